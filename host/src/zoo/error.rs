//! Why a system does not run to its end.

use crate::blob::BlobError;
use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::device::DeviceError;
use crate::export::{BuildError, ExportError};
use crate::recipe::RecipeError;
use crate::sample::SampleError;

/// Why a system did not run.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// No system and no group has this name.
    #[error("no system or group is called `{found}`; wanted one of {wanted}")]
    Unknown {
        /// The name given.
        found: String,
        /// Those that there are.
        wanted: String,
    },
    /// Its network cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its network cannot be loaded.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The device refused, or did not answer.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Numbers that do not fit its network.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Its samples cannot be analysed.
    #[cfg(feature = "zoo")]
    #[error(transparent)]
    Analysis(#[from] crate::analysis::AnalysisError),
    /// Its recipe cannot be read.
    #[error(transparent)]
    Recipe(Box<RecipeError>),
    /// Its data are missing or damaged.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Its training failed.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Train(Box<crate::train::TrainError>),
    /// This program was built without libtorch.
    #[error(
        "this `mote` was built without training: run scripts/setup, then build with the default features"
    )]
    NoTraining,
    /// No pretrained network is at hand.
    #[error(
        "no pretrained weights: `scripts/setup --backbone` fetches a MobileNetV2's; or bring VGG16's, PyTorch's as safetensors \
         (features.0.weight ...), as vgg16/vgg16.safetensors in the folder of the data sets or in .cache/data"
    )]
    NoWeights,
    /// What it learnt cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its network cannot be exported.
    #[error(transparent)]
    Export(Box<ExportError>),
    /// A picture of it cannot be drawn.
    #[error(transparent)]
    Picture(#[from] crate::report::ReportError),
    /// Its network cannot be measured.
    #[error("{0}")]
    Measure(String),
}

impl From<RecipeError> for ZooError {
    fn from(error: RecipeError) -> Self {
        Self::Recipe(Box::new(error))
    }
}

impl From<ExportError> for ZooError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Data(error) => Self::Data(error),
            error => Self::Export(Box::new(error)),
        }
    }
}

#[cfg(feature = "train")]
impl From<crate::train::TrainError> for ZooError {
    fn from(error: crate::train::TrainError) -> Self {
        match error {
            crate::train::TrainError::Data(error) => Self::Data(error),
            error => Self::Train(Box::new(error)),
        }
    }
}
