//! A model's input on the wire: plain, or with runs of equal bytes written once.
//!
//! Most of a digit is background, and a serial line is slow: at 115,200 baud 784 bytes take 68 ms.
//! Runs are packed in the manner of PackBits: a control byte `c` below 128 is followed by
//! `c + 1` bytes as they are, one from 128 on by a single byte that stands for `c − 126` copies.

use serde::{Deserialize, Serialize};

use super::message::Bytes;

const LITERAL_MAX: usize = 128;
const RUN_MAX: usize = 129;
/// A run of two within a literal would cost a byte more than it saves.
const RUN_MIN: usize = 3;

/// Raw little-endian bytes of a model's input 0, in one of two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input<'a> {
    /// As they are.
    #[serde(borrow)]
    Plain(Bytes<'a>),
    /// Packed by [`pack_runs`].
    #[serde(borrow)]
    Runs(Bytes<'a>),
}

/// An input of another length than the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputLength {
    /// Bytes that the model takes.
    pub wanted: usize,
    /// Bytes that came.
    pub found: usize,
}

impl Input<'_> {
    /// Writes the input's bytes to `to`, all of them.
    ///
    /// # Errors
    ///
    /// [`InputLength`] when they are not exactly as many; `to` is then partly written.
    pub fn copy_to(&self, to: &mut [u8]) -> Result<(), InputLength> {
        let wanted = to.len();
        let found = match self {
            Input::Plain(Bytes(bytes)) => {
                if bytes.len() == wanted {
                    copy(bytes, to);
                }
                bytes.len()
            }
            Input::Runs(Bytes(packed)) => unpack_runs(packed, to),
        };
        if found == wanted {
            Ok(())
        } else {
            Err(InputLength { wanted, found })
        }
    }
}

/// As many bytes as both have. `copy_from_slice` would bring a panic, and what words it.
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Packs `bytes` and hands the result to `sink` piece by piece; never longer than `bytes` by more
/// than one byte in 128.
///
/// ```
/// let mut packed = Vec::new();
/// nn_core::link::pack_runs(&[7, 7, 7, 7, 1, 2], |piece| packed.extend_from_slice(piece));
/// assert_eq!(packed, [130, 7, 1, 1, 2]);
/// ```
pub fn pack_runs(bytes: &[u8], mut sink: impl FnMut(&[u8])) {
    let mut literal = bytes.get(..0).unwrap_or_default();
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let run = rest.iter().take(RUN_MAX).take_while(|&&b| b == first);
        let run = run.count();
        let taken = if run < RUN_MIN {
            // The literal always ends where `rest` begins, so that it grows by one in place.
            let start = bytes.len() - rest.len() - literal.len();
            let end = start + literal.len() + 1;
            literal = bytes.get(start..end).unwrap_or_default();
            1
        } else {
            run
        };
        if literal.len() == LITERAL_MAX || taken > 1 {
            flush(&mut literal, &mut sink);
        }
        if taken > 1 {
            // 3 to 129 copies are 129 to 255.
            sink(&[(taken + 126) as u8, first]);
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    flush(&mut literal, &mut sink);
}

fn flush(literal: &mut &[u8], sink: &mut impl FnMut(&[u8])) {
    if !literal.is_empty() {
        // At most 128 bytes: 0 to 127.
        sink(&[(literal.len() - 1) as u8]);
        sink(literal);
        *literal = &[];
    }
}

/// Writes what fits of the unpacked bytes to `to`; returns how many there are in all, not counting
/// a last piece that is cut.
fn unpack_runs(packed: &[u8], to: &mut [u8]) -> usize {
    let mut found = 0usize;
    let mut rest = packed;
    while let Some((&control, tail)) = rest.split_first() {
        let control = usize::from(control);
        if control < LITERAL_MAX {
            let Some((literal, tail)) = tail.split_at_checked(control + 1) else {
                break;
            };
            let end = found.saturating_add(literal.len());
            if let Some(room) = to.get_mut(found..end) {
                copy(literal, room);
            }
            found = end;
            rest = tail;
        } else {
            let Some((&byte, tail)) = tail.split_first() else {
                break;
            };
            let end = found.saturating_add(control - 126);
            if let Some(room) = to.get_mut(found..end) {
                room.fill(byte);
            }
            found = end;
            rest = tail;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        pack_runs(bytes, |piece| packed.extend_from_slice(piece));
        packed
    }

    #[test]
    fn what_is_packed_unpacks() {
        let mut state = 1u32;
        for len in (0..300).chain([784, 3136]) {
            for most in [1, 2, 3, 5, 140, 300] {
                // Runs of random length up to `most`.
                let mut bytes = Vec::new();
                while bytes.len() < len {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let run = 1 + (state >> 16) as usize % most;
                    let run = run.min(len - bytes.len());
                    bytes.extend(core::iter::repeat_n((state >> 8) as u8, run));
                }
                let packed = pack(&bytes);
                assert!(packed.len() <= len + len.div_ceil(128), "{len} {most}");
                let mut unpacked = vec![0; len];
                let input = Input::Runs(Bytes(&packed));
                assert_eq!(input.copy_to(&mut unpacked), Ok(()));
                assert_eq!(unpacked, bytes);
            }
        }
    }

    #[test]
    fn another_length_is_refused() {
        let mut to = [0; 8];
        let wrong = |found| Err(InputLength { wanted: 8, found });
        assert_eq!(Input::Plain(Bytes(&[1; 7])).copy_to(&mut to), wrong(7));
        assert_eq!(Input::Plain(Bytes(&[1; 9])).copy_to(&mut to), wrong(9));
        assert_eq!(
            Input::Runs(Bytes(&pack(&[1; 9]))).copy_to(&mut to),
            wrong(9)
        );
        // Cut: a run without its byte, a literal without its last.
        assert_eq!(Input::Runs(Bytes(&[134])).copy_to(&mut to), wrong(0));
        assert_eq!(
            Input::Runs(Bytes(&[131, 3, 3, 1, 1])).copy_to(&mut to),
            wrong(5)
        );
        assert_eq!(Input::Runs(Bytes(&[255; 6])).copy_to(&mut to), wrong(387));
    }
}
