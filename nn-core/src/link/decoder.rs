//! Receiving: bytes as they come, in any pieces, to whole and checked frames.

use super::input::copy;
use crate::crc::Crc32;

/// A frame whose CRC-32 held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'b> {
    /// The sender's number of this request, or of the request that this responds to.
    pub seq: u8,
    /// The postcard bytes of the message.
    pub message: &'b [u8],
}

/// Why bytes up to a zero are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FrameError {
    /// It holds more than the receiver's buffer of `max` bytes.
    TooLong {
        /// Bytes that the receiver can take: `seq`, message and CRC-32.
        max: usize,
    },
    /// It ends within a COBS block, or is too short to hold `seq` and a CRC-32.
    Cut,
    /// Its CRC-32 is not the one it carries.
    Crc {
        /// What the frame carries.
        wanted: u32,
        /// What its bytes amount to.
        found: u32,
    },
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FrameError::TooLong { max } => write!(f, "a frame exceeds the {max} bytes wanted"),
            FrameError::Cut => f.write_str("a frame is cut short"),
            FrameError::Crc { wanted, found } => {
                write!(f, "CRC-32 {wanted:08x} wanted, {found:08x} found")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// A streaming decoder over a buffer of the caller's.
///
/// The buffer's length is the longest frame it takes, without COBS: payload plus
/// [`super::FRAME_OVERHEAD`].
pub struct Decoder<'b> {
    buffer: &'b mut [u8],
    /// Bytes of the frame so far; beyond the buffer's length the frame is too long.
    len: usize,
    /// Bytes that the current COBS block still lacks.
    block: u8,
    /// A zero is due when the block is over: its code was below 255 and it is not the last.
    zero: bool,
    /// A byte has come since the last zero.
    begun: bool,
    /// The last zero ended the frame, whose bytes are still lent out.
    ended: bool,
}

impl<'b> Decoder<'b> {
    /// A decoder for frames of at most `buffer.len()` bytes before COBS.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Decoder {
            buffer,
            len: 0,
            block: 0,
            zero: false,
            begun: false,
            ended: false,
        }
    }

    /// Takes bytes up to the end of the next frame, and says how many it took.
    ///
    /// `None` means that all were taken and the frame goes on. After a frame or an error call
    /// again with the rest. Empty frames (zeros in a row) are passed over.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Option<Result<Frame<'_>, FrameError>>) {
        if self.ended {
            self.restart();
        }
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            if byte == 0 {
                rest = tail;
                if self.begun {
                    self.ended = true;
                    return (bytes.len() - rest.len(), Some(self.finish()));
                }
            } else if self.block == 0 {
                rest = tail;
                if self.zero {
                    self.store(&[0]);
                }
                self.block = byte - 1;
                self.zero = byte != 255;
                self.begun = true;
            } else {
                // As much of the block as is here and free of zeros, at once.
                let most = rest.len().min(usize::from(self.block));
                let most = rest.get(..most).unwrap_or(rest);
                let run = most.iter().position(|&byte| byte == 0);
                let (run, tail) = rest.split_at(run.unwrap_or(most.len()));
                self.store(run);
                // `run` is no longer than `block`, a u8.
                self.block -= run.len() as u8;
                rest = tail;
            }
        }
        (bytes.len(), None)
    }

    /// Forgets a frame that has not ended, for instance after a timeout.
    pub fn restart(&mut self) {
        self.len = 0;
        self.block = 0;
        self.zero = false;
        self.begun = false;
        self.ended = false;
    }

    fn store(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.buffer.get_mut(self.len..end) {
            copy(bytes, room);
        }
        self.len = end;
    }

    fn finish(&self) -> Result<Frame<'_>, FrameError> {
        let max = self.buffer.len();
        let frame = self.buffer.get(..self.len);
        let frame = frame.ok_or(FrameError::TooLong { max })?;
        let (covered, crc) = frame.split_last_chunk::<4>().ok_or(FrameError::Cut)?;
        let (&seq, message) = covered.split_first().ok_or(FrameError::Cut)?;
        if self.block != 0 {
            return Err(FrameError::Cut);
        }
        let mut sum = Crc32::new();
        sum.update(covered);
        let (wanted, found) = (u32::from_le_bytes(*crc), sum.finish());
        if wanted != found {
            return Err(FrameError::Crc { wanted, found });
        }
        Ok(Frame { seq, message })
    }
}
