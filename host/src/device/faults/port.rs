//! A line that damages one byte of each frame.

use std::{io, time::Duration};

use crate::device::{DeviceError, Port};

/// What befalls a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of its bits is another.
    Corrupt,
    /// It is gone.
    Drop,
    /// It comes twice.
    Duplicate,
    /// The next comes before it.
    Reorder,
}

/// Which way the frames go that are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToDevice,
    ToHost,
}

/// Which byte, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Damage {
    pub(super) kind: Kind,
    pub(super) way: Way,
    /// From the frame's first byte.
    pub(super) at: usize,
}

/// A port that damages the first try of each question, or the answer to it, and lets the others through.
pub(super) struct Faulty<P> {
    pub(super) port: P,
    pub(super) damage: Option<Damage>,
    /// How many frames were damaged.
    pub(super) damaged: u32,
    /// Bytes of the answer so far; none where it is not to be damaged.
    came: Option<usize>,
}

impl<P> Faulty<P> {
    pub(super) fn new(port: P) -> Self {
        Self {
            port,
            damage: None,
            damaged: 0,
            came: None,
        }
    }
}

fn damage(bytes: &mut Vec<u8>, at: usize, kind: Kind) -> bool {
    let Some(&byte) = bytes.get(at) else {
        return false;
    };
    match kind {
        // Each bit in turn.
        Kind::Corrupt => bytes[at] = byte ^ (1 << (at % 8)),
        Kind::Drop => {
            bytes.remove(at);
        }
        Kind::Duplicate => bytes.insert(at, byte),
        // Two that are equal would stay what they are.
        Kind::Reorder if bytes.get(at + 1).is_some_and(|next| *next != byte) => {
            bytes.swap(at, at + 1);
        }
        Kind::Reorder => return false,
    }
    true
}

impl<P: Port> Port for Faulty<P> {
    fn name(&self) -> String {
        self.port.name()
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Only a repetition begins with a zero.
        let first = bytes.first() != Some(&0);
        let mut bytes = bytes.to_vec();
        self.came = None;
        match self.damage {
            Some(Damage { kind, way, at }) if first => match way {
                Way::ToDevice => self.damaged += u32::from(damage(&mut bytes, at, kind)),
                Way::ToHost => self.came = Some(0),
            },
            _ => {}
        }
        self.port.send(&bytes)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Room for a byte that comes twice.
        let room = buffer.len().saturating_sub(1);
        let len = self.port.receive(&mut buffer[..room])?;
        let (Some(came), Some(Damage { kind, at, .. })) = (self.came, self.damage) else {
            return Ok(len);
        };
        self.came = Some(came + len);
        if !(came..came + len).contains(&at) {
            return Ok(len);
        }
        let mut bytes = buffer[..len].to_vec();
        if damage(&mut bytes, at - came, kind) {
            self.damaged += 1;
        }
        self.came = None;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn byte_time(&self) -> Duration {
        self.port.byte_time()
    }

    fn check(&mut self) -> Result<(), DeviceError> {
        self.port.check()
    }

    fn finish(&mut self) -> Result<(), DeviceError> {
        self.port.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_changes_the_bytes_as_it_says() {
        let after = |kind, at| {
            let mut bytes = vec![1, 2, 3];
            (damage(&mut bytes, at, kind), bytes)
        };
        assert_eq!(after(Kind::Corrupt, 1), (true, vec![1, 0, 3]));
        assert_eq!(after(Kind::Drop, 0), (true, vec![2, 3]));
        assert_eq!(after(Kind::Duplicate, 2), (true, vec![1, 2, 3, 3]));
        assert_eq!(after(Kind::Reorder, 0), (true, vec![2, 1, 3]));
        for kind in [Kind::Corrupt, Kind::Drop, Kind::Duplicate] {
            assert_eq!(after(kind, 3), (false, vec![1, 2, 3]));
        }
        assert_eq!(after(Kind::Reorder, 2), (false, vec![1, 2, 3]));
    }
}
