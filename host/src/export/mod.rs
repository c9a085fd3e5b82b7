//! From a checkpoint to a blob: calibration, quantization, memory plan, card.
//!
//! ```text
//! recipe + checkpoint ─▶ Network ─▶ f32 blob ─▶ ranges of its activations on training samples
//!                           └──────▶ int8 and head blobs ◀── scales and zero points ──┘
//! ```
//!
//! Ranges are measured by running the f32 blob in a session of `nn_core`, so that exporting needs
//! no libtorch. [`export`] does it all; [`Network::lower`] is the step from layers to bytes.

mod aligned;
mod builder;
mod calibration;
mod card;
mod error;
mod fold;
mod inspection;
mod lower;
mod network;
mod quantization;
mod read;
mod recurrent;
mod run;

pub use aligned::AlignedBytes;
pub use builder::{BuildError, Builder, Gives, InQ16, Int8Layer, Packed, Saturated};
pub use calibration::{Range, Ranges};
pub use card::Card;
pub use error::ExportError;
pub use fold::BatchNorm;
pub use inspection::{Endpoint, HeadPlan, Inspection, LayerCost, TrainPlan};
pub use lower::{Lowered, Room, Target};
pub use network::Network;
pub use quantization::{Affine, input_rescale, operators, quantize_multiplier};
pub use recurrent::{
    CellState, Int8Recurrent, RecurrentWeights, lstm_requant, quantize_gru, quantize_lstm,
    quantize_rnn,
};
pub use run::{Exported, Options, Origin, Report, export};

#[cfg(test)]
mod tests;
