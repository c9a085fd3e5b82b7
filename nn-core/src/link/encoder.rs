//! Sending: a message goes through postcard, CRC-32 and COBS straight to the wire.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use crate::crc::Crc32;

/// Stack that [`encode`] buffers in: one COBS block.
pub const ENCODER_BYTES: usize = 255;

/// Why a message could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError<E> {
    /// The wire refused bytes.
    Sink(E),
    /// The message is none that postcard can write; cannot happen with [`super::Request`] and
    /// [`super::Response`], whose lengths are all known beforehand.
    Message,
}

impl<E: core::fmt::Display> core::fmt::Display for EncodeError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            EncodeError::Sink(error) => write!(f, "the link refused bytes: {error}"),
            EncodeError::Message => f.write_str("the message cannot be encoded"),
        }
    }
}

impl<E: core::error::Error> core::error::Error for EncodeError<E> {}

/// Writes one frame to `sink`, in pieces of at most [`ENCODER_BYTES`] bytes.
///
/// # Errors
///
/// The first error of `sink`; the rest of the frame is then not sent.
#[inline(never)]
pub fn encode<M, E, S>(seq: u8, message: &M, sink: S) -> Result<(), EncodeError<E>>
where
    M: Serialize + ?Sized,
    S: FnMut(&[u8]) -> Result<(), E>,
{
    let mut cobs = Cobs {
        sink,
        block: [0; ENCODER_BYTES],
        len: 1,
        crc: Crc32::new(),
        refused: None,
    };
    cobs.put(&[seq]);
    let written = postcard::serialize_with_flavor::<M, &mut Cobs<S, E>, ()>(message, &mut cobs);
    if written.is_ok() {
        cobs.end();
    }
    match (cobs.refused, written) {
        (Some(error), _) => Err(EncodeError::Sink(error)),
        (None, Err(_)) => Err(EncodeError::Message),
        (None, Ok(())) => Ok(()),
    }
}

struct Cobs<S, E> {
    sink: S,
    /// Code byte, then up to 254 bytes that are not zero.
    block: [u8; ENCODER_BYTES],
    /// Bytes of `block` in use, the code byte among them: 1 to 254 between calls, so `len as u8`
    /// is exact.
    len: usize,
    crc: Crc32,
    /// The sink's error; postcard's error type cannot carry it.
    refused: Option<E>,
}

impl<S: FnMut(&[u8]) -> Result<(), E>, E> Cobs<S, E> {
    /// Takes bytes that the CRC covers.
    fn put(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.stuff(bytes);
    }

    fn stuff(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == 0 {
                self.flush();
            } else {
                if let Some(slot) = self.block.get_mut(self.len) {
                    *slot = byte;
                    self.len += 1;
                }
                if self.len == ENCODER_BYTES {
                    self.flush();
                }
            }
        }
    }

    /// Sends the block; its code is its length, and says where the next zero was (none after 255).
    fn flush(&mut self) {
        self.block[0] = self.len as u8;
        if let (None, Some(block)) = (&self.refused, self.block.get(..self.len)) {
            self.refused = (self.sink)(block).err();
        }
        self.len = 1;
    }

    fn end(&mut self) {
        let crc = self.crc.finish().to_le_bytes();
        self.stuff(&crc);
        // The last block and the zero that ends the frame leave together. There is room: `len` is
        // below ENCODER_BYTES here.
        self.block[0] = self.len as u8;
        if let Some(slot) = self.block.get_mut(self.len) {
            *slot = 0;
            self.len += 1;
        }
        if let (None, Some(block)) = (&self.refused, self.block.get(..self.len)) {
            self.refused = (self.sink)(block).err();
        }
    }
}

impl<S: FnMut(&[u8]) -> Result<(), E>, E> Flavor for &mut Cobs<S, E> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.put(bytes);
        match self.refused {
            Some(_) => Err(postcard::Error::SerializeBufferFull),
            None => Ok(()),
        }
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
