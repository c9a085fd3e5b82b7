//! `link`: what host and device say to each other over a byte stream.
//!
//! ```text
//! frame = COBS( seq: u8 | postcard(message) | CRC-32: u32, little-endian ) | 0x00
//! ```
//!
//! - COBS (consistent overhead byte stuffing, Cheshire and Baker 1999) frees a frame of zeros,
//!   so that a zero always ends one: after noise the receiver is in step again at the next zero.
//! - The CRC-32 (IEEE 802.3) covers `seq` and the message.
//! - The host numbers its requests (`seq` counts up and wraps); a response carries the number of
//!   its request. A number that repeats the one before means a repeated request: the device runs, learns and
//!   saves once.
//! - The host speaks first, one request at a time, and begins with a lone zero to flush what the
//!   device may have half received.
//!
//! Nothing here allocates. [`Decoder`] fills a buffer of the caller's; [`encode`] streams through
//! [`ENCODER_BYTES`] of stack, so that a device needs no buffer for what it sends.
//!
//! ```
//! use nn_core::link::{Decoder, Request, decode_request, encode};
//!
//! let mut wire = Vec::new();
//! encode(7, &Request::Digest, |bytes| {
//!     wire.extend_from_slice(bytes);
//!     Ok::<(), core::convert::Infallible>(())
//! })
//! .unwrap();
//!
//! let mut buffer = [0; 64];
//! let mut decoder = Decoder::new(&mut buffer);
//! let (used, frame) = decoder.push(&wire);
//! let frame = frame.unwrap().unwrap();
//! assert_eq!(used, wire.len());
//! assert_eq!(frame.seq, 7);
//! assert_eq!(decode_request(frame.message).unwrap(), Request::Digest);
//! ```

pub mod agent;
mod decoder;
mod encoder;
mod input;
mod message;
pub mod package;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Frame, FrameError};
pub use encoder::{ENCODER_BYTES, EncodeError, encode};
pub use input::{Input, InputLength, pack_runs};
pub use message::{
    Bytes, ErrorCode, Hello, LabelBytes, Request, Response, StackUse, StoreReport, StoreState,
    Undecodable, decode_inference_request, decode_request, decode_response,
};

/// Version of the protocol, the first field of [`Response::Hello`].
///
/// It changes whenever an older peer could misread a message; a host refuses a device of another
/// version and says which image to build.
pub const PROTOCOL: u16 = 3;

/// Bytes of a decoded frame that are not payload, at most: `seq`, the longest message head
/// ([`Request::Train`]: two variants and two lengths, or [`Request::WriteWeights`]), CRC-32.
pub const FRAME_OVERHEAD: usize = 1 + 16 + 4;
