//! What can keep a network from becoming a blob.

use std::path::PathBuf;

use nn_core::session::RunError;

use super::BuildError;
use crate::blob::BlobError;
use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::evaluate::EvaluateError;
use crate::recipe::Format;
use crate::sample::SampleError;

/// Why a recipe and its checkpoint cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The checkpoint does not fit the recipe.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint has parameters that the recipe has no layer for.
    #[error(
        "the checkpoint has parameters that the recipe has no layer for: {found}; \
         was it trained with this recipe?"
    )]
    Unknown {
        /// Their names.
        found: String,
    },
    /// A weight or bias that is infinite or not a number.
    #[error(
        "the checkpoint's tensor `{name}`: wanted finite numbers, found {found} at index {index}; \
         the training diverged: train again with a smaller learning rate"
    )]
    NotFinite {
        /// The tensor.
        name: String,
        /// Where in it, row-major.
        index: usize,
        /// The value there.
        found: f32,
    },
    /// A kernel, stride or padding larger than the blob format holds.
    #[error(
        "layer `{layer}`: wanted padding up to 255, kernels and strides up to 65535, found {found}"
    )]
    Window {
        /// The layer.
        layer: String,
        /// The size that is too large.
        found: usize,
    },
    /// An activation that overflows on a training sample.
    #[error(
        "layer `{layer}`: wanted finite activations on the calibration samples, found others; \
         the weights are too large for f32"
    )]
    Overflow {
        /// The layer.
        layer: String,
    },
    /// No sample to calibrate with.
    #[error("calibration: wanted at least 1 training sample, found none")]
    NoSamples,
    /// An input whose scale gives a factor that the int8 kernel cannot take.
    #[error(
        "layer `{layer}`: its input has the int8 scale {scale:e}, which the kernels of its \
         operator cannot take; export the formats f32 or head instead (`--format f32`)"
    )]
    Scale {
        /// The layer.
        layer: String,
        /// The scale of its input.
        scale: f32,
    },
    /// A layer whose int8 sums could exceed 32 bits.
    #[error(
        "layer `{layer}`, output channel {channel}: its int8 sums could exceed 32 bits; \
         export the formats f32 or head instead (`--format f32`)"
    )]
    Accumulator {
        /// The layer.
        layer: String,
        /// The output channel.
        channel: usize,
    },
    /// A layer that has no int8 form here.
    #[error(
        "layer `{layer}`: a {operator} has no int8 form here; export the formats f32 or q16, or name it or a layer \
         below it in [export.train] and export head or head-q16 (`--format f32`)"
    )]
    NoInt8 {
        /// The layer.
        layer: String,
        /// What it is.
        operator: &'static str,
    },
    /// A layer that nn-core has no operator for.
    #[error("layer `{layer}`: a {operator} can be trained, but not run on a device yet")]
    Unsupported {
        /// The layer.
        layer: String,
        /// What it is.
        operator: &'static str,
    },
    /// int8 asked of a network that was not calibrated.
    #[error("layer `{layer}`: int8 needs calibrated ranges, found none for it")]
    Uncalibrated {
        /// The layer.
        layer: String,
    },
    /// The head format without a plan of what learns.
    #[error(
        "the format `{format}` wants a section [export.train] in the recipe, which says what learns"
    )]
    NoTrainPlan {
        /// The format.
        format: Format,
    },
    /// A layer that learns by name, beyond the nodes that a training plan can name.
    #[error(
        "layer `{layer}` is node {node} of the graph: a plan that names layers reaches the first \
         64; use `layers = \"last:K\"` or \"all\" in [export.train]"
    )]
    TrainPlan {
        /// The layer.
        layer: String,
        /// Its node.
        node: usize,
    },
    /// The graph breaks a rule of the format.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The blob written is refused by the reader.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The data set cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A sample that does not fit the network.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The arena is not what the plan says.
    #[error("the f32 model does not run: {0}")]
    Run(#[from] RunError),
    /// The model cannot be set up in an arena of the size that its header states.
    #[error("the f32 model cannot be set up: {0}")]
    Setup(#[from] nn_core::SetupError),
    /// Accuracy cannot be measured.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError<RunError>),
    /// A blob or card cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
