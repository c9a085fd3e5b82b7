//! Checkpoints: a network's weights, and all that training needs to go on, in one safetensors file.
//!
//! | tensor | shape | what it is |
//! |---|---|---|
//! | `<layer>.weight` | `[out, in, height, width]` or `[out, in]` | libtorch's layout |
//! | `<layer>.bias` | `[out]` | |
//! | `optim.<slot>.<layer>.weight` | that of the weight | a moment of the optimizer |
//! | `best.<layer>.weight` | that of the weight | of the best epoch, where the recipe may stop early |
//!
//! All are f32. The file's metadata has one entry, `mote`: a [`Progress`] as JSON. One entry only,
//! because the order of several would change from run to run, and the same training shall give
//! the same bytes.

mod read;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

pub use read::read_tensors;

use crate::recipe::{Recipe, RecipeError};

/// The metadata entry that holds the [`Progress`].
const METADATA_KEY: &str = "mote";
/// What tensors of the optimizer begin with.
const OPTIMIZER_PREFIX: &str = "optim.";
/// What the weights of the best epoch begin with.
const BEST_PREFIX: &str = "best.";

/// A network in training, or trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// How far training has come.
    pub progress: Progress,
    /// Weights, biases and the optimizer's moments, by name.
    pub tensors: BTreeMap<String, Values>,
}

/// How far training has come, and from what it goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The recipe's text (TOML).
    pub recipe: String,
    /// The seed trained with.
    pub seed: u64,
    /// Epochs to train in all.
    pub epochs: usize,
    /// Training samples used, when not all.
    pub limit: Option<usize>,
    /// Epochs done.
    pub epoch: usize,
    /// Batches done in the epoch under way.
    pub batch: usize,
    /// Steps of the optimizer done in all.
    pub step: u64,
    /// The epoch under way so far.
    pub running: Running,
    /// The best accuracy on the validation samples after any epoch, from 0 to 1.
    pub best_accuracy: Option<f64>,
    /// The file whose weights the training began with, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// The best epoch by what the recipe watches, where it may stop early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// The best epoch so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Which, from 1.
    pub epoch: usize,
    /// What was watched there.
    pub value: f64,
    /// Epochs since then.
    pub waited: usize,
}

impl Progress {
    /// Before the first step of a training as the recipe says.
    pub fn new(recipe: &Recipe) -> Self {
        Self {
            recipe: recipe.text.clone(),
            seed: recipe.train.seed,
            epochs: recipe.train.epochs,
            limit: None,
            epoch: 0,
            batch: 0,
            step: 0,
            running: Running::default(),
            best_accuracy: None,
            start: None,
            best: None,
        }
    }
}

/// Sums over the training samples of the epoch under way.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// Samples seen.
    pub samples: u64,
    /// Samples read rightly.
    pub correct: u64,
    /// Their loss.
    pub loss: f64,
}

/// A tensor of f32, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// The size of each dimension.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub values: Vec<f32>,
}

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot read the checkpoint {path}; `mote train RECIPE` makes one")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the checkpoint {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no safetensors file, or is damaged.
    #[error("{path} is no safetensors file, or is damaged; `mote train RECIPE` makes a new one")]
    Format {
        /// The file.
        path: PathBuf,
        /// What safetensors found.
        source: safetensors::SafeTensorError,
    },
    /// The file has no metadata of ours.
    #[error(
        "{path}: wanted a checkpoint of `mote train`, found a safetensors file without the \
         metadata entry `mote`"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The metadata say something else than this version writes.
    #[error("{path}: the metadata entry `mote` is not as this version writes it")]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// A tensor is no f32.
    #[error("{path}: tensor `{name}`: wanted F32, found {found:?}")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        found: Dtype,
    },
    /// A tensor that the recipe wants is not there.
    #[error("the checkpoint has no tensor `{name}`; was it trained with this recipe?")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the recipe wants.
    #[error(
        "the checkpoint's tensor `{name}`: wanted the shape {wanted:?}, found {found:?}; \
         was it trained with this recipe?"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that the recipe wants.
        wanted: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A file that is missing, damaged or not ours.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let format = |source| CheckpointError::Format {
            path: path.to_path_buf(),
            source,
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let progress = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(METADATA_KEY))
            .ok_or_else(|| CheckpointError::Foreign {
                path: path.to_path_buf(),
            })?;
        let progress =
            serde_json::from_str(progress).map_err(|source| CheckpointError::Metadata {
                path: path.to_path_buf(),
                source,
            })?;

        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes).map_err(format)?.iter() {
            let values = match view.dtype() {
                Dtype::F32 => read::values(Dtype::F32, view.data()),
                _ => None,
            };
            let values = values.ok_or_else(|| CheckpointError::Dtype {
                path: path.to_path_buf(),
                name: name.to_owned(),
                found: view.dtype(),
            })?;
            tensors.insert(
                name.to_owned(),
                Values {
                    shape: view.shape().to_vec(),
                    values,
                },
            );
        }
        Ok(Self { progress, tensors })
    }

    /// Writes the checkpoint whole or not at all: to a file beside `path`, then renamed.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let write = |source| CheckpointError::Write {
            path: path.to_path_buf(),
            source,
        };
        let bytes = self.to_bytes(path)?;
        crate::paths::write_whole(path, &bytes).map_err(write)
    }

    fn to_bytes(&self, path: &Path) -> Result<Vec<u8>, CheckpointError> {
        let format = |source| CheckpointError::Format {
            path: path.to_path_buf(),
            source,
        };
        let progress =
            serde_json::to_string(&self.progress).map_err(|source| CheckpointError::Metadata {
                path: path.to_path_buf(),
                source,
            })?;
        let contents: Vec<Vec<u8>> = self
            .tensors
            .values()
            .map(|tensor| {
                tensor
                    .values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect()
            })
            .collect();
        let views = self
            .tensors
            .iter()
            .zip(&contents)
            .map(|((name, tensor), bytes)| {
                let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?;
                Ok((name.as_str(), view))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(format)?;
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), progress)]);
        safetensors::serialize(views, Some(metadata)).map_err(format)
    }

    /// The recipe that the checkpoint was trained with.
    ///
    /// # Errors
    /// When the text kept in the checkpoint is no recipe of this version.
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::parse(&self.progress.recipe, Path::new("the checkpoint's recipe"))
    }

    /// The tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Values, CheckpointError> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| CheckpointError::Missing {
                name: name.to_owned(),
            })?;
        if tensor.shape != shape {
            return Err(CheckpointError::Shape {
                name: name.to_owned(),
                wanted: shape.to_vec(),
                found: tensor.shape.clone(),
            });
        }
        Ok(tensor)
    }

    /// Weights and biases, without what belongs to the optimizer.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .filter(|(name, _)| Self::is_parameter(name))
    }

    /// Whether a tensor of that name is the network's own: no moment, nothing of the best epoch.
    pub fn is_parameter(name: &str) -> bool {
        !name.starts_with(OPTIMIZER_PREFIX) && !name.starts_with(BEST_PREFIX)
    }

    /// Weights and biases of the best epoch, by the names that they have; empty where none is kept.
    pub fn best(&self) -> impl Iterator<Item = (&str, &Values)> {
        let tensors = self.tensors.iter();
        tensors.filter_map(|(name, tensor)| Some((name.strip_prefix(BEST_PREFIX)?, tensor)))
    }

    /// The name under which the tensor `name` of the best epoch is kept.
    pub fn best_name(name: &str) -> String {
        format!("{BEST_PREFIX}{name}")
    }

    /// The moments that the optimizer keeps under `slot`, by the parameter that they belong to.
    pub fn moments(&self, slot: &str) -> impl Iterator<Item = (&str, &Values)> {
        let prefix = format!("{OPTIMIZER_PREFIX}{slot}.");
        self.tensors.iter().filter_map(move |(name, tensor)| {
            name.strip_prefix(&prefix)
                .map(|parameter| (parameter, tensor))
        })
    }

    /// The name under which the optimizer's `slot` for `parameter` is kept.
    pub fn moment_name(slot: &str, parameter: &str) -> String {
        format!("{OPTIMIZER_PREFIX}{slot}.{parameter}")
    }
}

#[cfg(test)]
mod tests;
