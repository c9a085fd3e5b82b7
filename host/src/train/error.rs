//! Why training stops without a result.

use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::history::HistoryError;
use crate::recipe::RecipeError;
use crate::report::ReportError;

/// Why training stops without a result.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The weights to begin with are not there.
    #[error(
        "no {path}, whose weights the training begins with: the recipe's `start` or --start names another, and the first lines of \
         the recipe may say where it is to be had"
    )]
    NoStart {
        /// The file.
        path: PathBuf,
    },
    /// libtorch refuses an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// The data set cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The recipe kept in a checkpoint is none of this version.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The history cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The picture of the training cannot be drawn.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// CUDA was asked for and is not there.
    #[error(
        "wanted CUDA, found a libtorch {found}; `scripts/setup --cuda` fetches one with CUDA, \
         `--device cpu` trains without"
    )]
    NoCuda {
        /// Why there is no CUDA.
        found: &'static str,
    },
    /// The threads cannot be started.
    #[error("cannot start the training threads; fewer may do: --threads 1")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The loss is no number any more.
    #[error(
        "the loss is {loss} in epoch {epoch}, batch {batch}: training has diverged at a learning \
         rate of {learning_rate:.3e}; choose a lower one in [train] optimizer"
    )]
    Diverged {
        /// The loss.
        loss: f64,
        /// From 1.
        epoch: usize,
        /// From 1.
        batch: usize,
        /// The rate of that step.
        learning_rate: f64,
    },
    /// There is nothing to learn from.
    #[error("wanted at least 1 training sample, found none: raise --limit or lower validation")]
    NoSamples,
    /// No tensor of the file to start from is one of the network's.
    #[error(
        "no tensor of {path} has name and shape of one of this network: wanted such as {wanted}; found {found}; name \
         the layers as there, or train without a start"
    )]
    NothingFits {
        /// The file.
        path: PathBuf,
        /// Names and shapes in the network.
        wanted: String,
        /// Names and shapes in the file.
        found: String,
    },
    /// Fewer samples of a class than labels that should be known.
    #[error(
        "wanted {wanted} samples of class {class} with known labels, found {found}: lower labels in [train.pseudo], or raise --limit"
    )]
    FewLabels {
        /// The class.
        class: usize,
        /// How many there should be.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// Resuming with another recipe than the checkpoint's.
    #[error(
        "the recipe is not the one that {path} was trained with; train anew without --resume, \
         or in another folder with --out"
    )]
    OtherRecipe {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The network asks for a parameter that it does not have: a defect in this program.
    #[error("there is no parameter `{0}`; please report this")]
    NoParameter(String),
}
