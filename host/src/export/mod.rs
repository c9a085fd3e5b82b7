//! From a checkpoint to a blob: calibration, quantization, memory plan, card.

mod builder;

pub use builder::{AlignedBytes, BuildError, Builder, Int8Layer};
