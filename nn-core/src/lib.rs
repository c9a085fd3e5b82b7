//! What a Mote model is, how it runs, and how it learns.
//!
//! `no_std`, no allocation, no global state, no panic. The same code runs on the workstation and on the
//! microcontroller, and gives the same bits on both, in inference and in training.
//!
//! | module | what lives there |
//! |---|---|
//! | [`tensor`] | shapes, number types, quantization |
//! | [`model`] | the blob: header, graph, weights; loading and writing |
//! | [`memory`] | the arena and its planners |
//! | [`ops`] | one file an operator |
//! | [`kernels`] | the inner loops, and packing weights for them |
//! | [`session`] | running a model |
//! | [`program`] | running a model that was planned when its image was built |
//! | [`train`] | letting it learn |
//! | [`conformance`] | random inputs and targets, by which two machines show that they agree |
//! | `link` | frames between host and device (feature `link`) |
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!(
    "blobs are little-endian and are read in place: nn-core needs a little-endian target"
);

pub mod conformance;
pub mod crc;
pub mod digest;
mod engine;
pub mod fixed_point;
pub mod kernels;
#[cfg(feature = "link")]
pub mod link;
pub mod memory;
pub mod model;
pub mod ops;
pub mod program;
pub mod scalar;
mod seq;
pub mod session;
mod stored;
pub mod tensor;
pub mod train;

pub use engine::{ArenaParts, ArenaReport, SetupError, arena_len};
