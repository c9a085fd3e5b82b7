//! Data sets: what there is, where it lies, how it is read, split and varied.
//!
//! A set is one file in this folder and one line in [`SETS`]. Images are `u8`, NHWC, and stay so
//! until a model reads them: f32 models take `x / 255`, int8 models take `x − 128`.

mod augment;
mod check;
mod idx;
mod mat;
mod mnist;
mod rng;
mod series;
mod shift;
mod usps;
mod windows;
pub mod writers;

use std::path::{Path, PathBuf};

pub use augment::Augmenter;
pub use check::{FileCheck, FileState, check};
pub use idx::{Idx, IdxError};
pub use mat::MatError;
pub use rng::Stream;
pub use series::{Series, SeriesError, SeriesFile};
pub use shift::{Shift, ShiftError, UnknownShift};
pub use windows::Windows;

use nn_core::tensor::Tensor;

use crate::paths;
use crate::sample::{self, SampleError};

/// The data sets that a recipe can name.
pub const SETS: &[&SetInfo] = &[&mnist::MNIST, &usps::FRAMED, &usps::FULL];

/// Prices day by day, of any CSV file: a recipe's `[data.series]` says which.
pub const SERIES: SetInfo = SetInfo {
    name: "series",
    folder: "series",
    title: "prices day by day, from a CSV file",
    shape: [0, 1, 1],
    classes: &[],
    samples: [0, 0],
    source: "any CSV file with a date and a close in each row",
    fetch: "",
    files: &[],
    load: |_, _, _| Err(DataError::Series(SeriesError::NoRecipe)),
};

/// The environment variable that says where data sets lie, as `--data` does.
pub const DATA_VARIABLE: &str = "MOTE_DATA";

/// What is known of a data set without reading it.
#[derive(Debug)]
pub struct SetInfo {
    /// What recipes call it.
    pub name: &'static str,
    /// The folder of its files.
    pub folder: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// Height, width and channels of one image.
    pub shape: [usize; 3],
    /// The name of each class, in the order of the labels.
    pub classes: &'static [&'static str],
    /// Samples in the training and the test set.
    pub samples: [usize; 2],
    /// Where it comes from, and under which terms.
    pub source: &'static str,
    /// The command that fetches it.
    pub fetch: &'static str,
    /// Its files.
    pub files: &'static [SetFile],
    load: fn(&SetInfo, &Path, Part) -> Result<DataSet, DataError>,
}

/// One file of a data set.
#[derive(Debug)]
pub struct SetFile {
    /// Its name, without a `.gz` that it may have.
    pub name: &'static str,
    /// SHA-256 of the file as it is when not compressed, in hex.
    pub sha256: &'static str,
}

/// The part of a data set that is learnt from, or the part that is only ever tested on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Learnt from; a share of it may be held out for validation.
    Train,
    /// Only ever tested on.
    Test,
}

/// Why a data set cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No set has that name.
    #[error("there is no data set `{found}`; wanted one of: {wanted}. `mote data` describes them")]
    UnknownSet {
        /// The name given.
        found: String,
        /// The names that there are.
        wanted: String,
    },
    /// A file is not where it should be.
    #[error(
        "{set}: no {file} (nor {file}.gz) in {directory}. {}; \
         or say where it lies with --data DIR or the environment variable MOTE_DATA",
        match fetch.is_empty() {
            true => format!("Take it from its source (`mote data {set}`)"),
            false => format!("`{fetch}` fetches it"),
        }
    )]
    Missing {
        /// The set.
        set: &'static str,
        /// The file looked for.
        file: &'static str,
        /// Where it was looked for.
        directory: PathBuf,
        /// The command that fetches the set.
        fetch: &'static str,
    },
    /// A file is not what its name says.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// Two files do not belong together, or are of another set.
    #[error("{path}: wanted {wanted}, found {found}. `mote data` checks the files")]
    Content {
        /// The file.
        path: PathBuf,
        /// What was expected of it.
        wanted: String,
        /// What it holds.
        found: String,
    },
    /// Nobody knows who wrote the digits.
    #[error(
        "no qmnist-writer-ids/qmnist-train-labels-idx2-int (nor .gz) in {folder}: take it from          github.com/facebookresearch/qmnist, and say where it lies with --data DIR or the environment variable MOTE_DATA"
    )]
    NoWriters {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file is no MATLAB file that can be read.
    #[error("{path}: {source}. `mote data` checks the files")]
    Matlab {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: MatError,
    },
    /// A series that cannot be read, or is too short.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// A domain shift that does not fit the images.
    #[error(transparent)]
    Shift(#[from] ShiftError),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Finds a data set by the name that recipes use.
///
/// # Errors
/// [`DataError::UnknownSet`], with the names that there are.
pub fn set(name: &str) -> Result<&'static SetInfo, DataError> {
    SETS.iter()
        .find(|set| set.name == name)
        .copied()
        .ok_or_else(|| DataError::UnknownSet {
            found: name.to_owned(),
            wanted: SETS
                .iter()
                .map(|set| set.name)
                .chain([SERIES.name])
                .collect::<Vec<_>>()
                .join(", "),
        })
}

impl SetInfo {
    /// The directory that holds the set's files.
    ///
    /// `directory` is what `--data` gave; else `MOTE_DATA`, if the set is there, else `.cache/data` of the workspace.
    /// Each holds the files themselves or a folder of the set's name.
    pub fn directory(&self, directory: Option<&Path>) -> PathBuf {
        let base = folder(directory);
        let named = base.join(self.folder);
        let holds = |folder: &Path| {
            let mut files = self.files.iter();
            files.any(|file| find(folder, file.name).is_some())
        };
        // Other sets may lie where MOTE_DATA says, and this one be fetched all the same.
        let fetched = paths::cache_dir().join("data").join(self.folder);
        if !named.is_dir() && holds(&base) {
            base
        } else if directory.is_none() && !holds(&named) && holds(&fetched) {
            fetched
        } else {
            named
        }
    }

    /// Reads one part of the set; `directory` as for [`SetInfo::directory`].
    ///
    /// # Errors
    /// Files that are missing, damaged, or of another set.
    pub fn load(&self, directory: Option<&Path>, part: Part) -> Result<DataSet, DataError> {
        (self.load)(self, &self.directory(directory), part)
    }
}

/// Where data sets lie: what `--data` gave, else `MOTE_DATA`, else `.cache/data` of the workspace.
pub fn folder(given: Option<&Path>) -> PathBuf {
    given
        .map(Path::to_path_buf)
        .or_else(|| std::env::var_os(DATA_VARIABLE).map(PathBuf::from))
        .unwrap_or_else(|| paths::cache_dir().join("data"))
}

/// `name` or `name.gz` in `directory`, whichever exists.
fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let plain = directory.join(name);
    let packed = directory.join(format!("{name}.gz"));
    [plain, packed].into_iter().find(|path| path.is_file())
}

/// Samples of real numbers, and what is wanted of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// All inputs one after another.
    pub inputs: Vec<f32>,
    /// One number for each sample.
    pub targets: Vec<f32>,
}

/// Samples, in memory: labelled images, or numbers with a number each.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// The set's name.
    pub name: String,
    /// Height, width and channels of one image.
    pub shape: [usize; 3],
    /// How many classes the labels tell apart.
    pub classes: usize,
    /// All images one after another, each in HWC order.
    pub images: Vec<u8>,
    /// The class of each image, below `classes`; 0 for samples that are no images.
    pub labels: Vec<u8>,
    /// The samples, where they are no images.
    pub values: Option<Values>,
}

impl DataSet {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The pixels of sample `index`, HWC.
    ///
    /// # Panics
    /// When `index` is not below [`DataSet::len`].
    pub fn image(&self, index: usize) -> &[u8] {
        let length = self.image_len();
        &self.images[index * length..(index + 1) * length]
    }

    /// The class of sample `index`.
    ///
    /// # Panics
    /// When `index` is not below [`DataSet::len`].
    pub fn label(&self, index: usize) -> usize {
        usize::from(self.labels[index])
    }

    /// The bytes of `input` for sample `index`.
    ///
    /// # Errors
    /// [`SampleError`] when it does not fit.
    ///
    /// # Panics
    /// When `index` is not below [`DataSet::len`].
    pub fn encode(&self, input: &Tensor, index: usize) -> Result<Vec<u8>, SampleError> {
        match &self.values {
            None => sample::encode(input, self.image(index)),
            Some(values) => {
                let len = self.image_len();
                sample::encode_values(input, &values.inputs[index * len..(index + 1) * len])
            }
        }
    }

    /// Image and class of each sample.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.images
            .chunks_exact(self.image_len().max(1))
            .zip(self.labels.iter().map(|&label| usize::from(label)))
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Panics
    /// When an index is not below [`DataSet::len`].
    pub fn select(&self, indices: &[usize]) -> Self {
        let len = self.image_len();
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        let (mut images, mut values) = (Vec::new(), None);
        match &self.values {
            None => images = gather(&self.images, len, indices),
            Some(all) => {
                values = Some(Values {
                    inputs: gather(&all.inputs, len, indices),
                    targets: gather(&all.targets, 1, indices),
                });
            }
        }
        Self {
            images,
            labels,
            values,
            ..self.emptied()
        }
    }

    /// The first `count` samples, or all when there are fewer.
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        self.select(&(0..count).collect::<Vec<_>>())
    }

    /// Divides the samples at random, the same way for the same seed; days of a series in their order, the last held
    /// out.
    ///
    /// `validation` is the share held out, from 0 to below 1.
    pub fn split(&self, validation: f64, seed: u64) -> Split {
        let mut order: Vec<usize> = (0..self.len()).collect();
        // A share of a count: never negative, never above the count.
        let held_out = ((self.len() as f64) * validation).round() as usize;
        if self.values.is_some() {
            let validation = order.split_off(self.len().saturating_sub(held_out));
            return Split {
                training: order,
                validation,
            };
        }
        Stream::new(seed, Stream::SPLIT, 0, 0).shuffle(&mut order);
        let training = order.split_off(held_out.min(order.len()));
        Split {
            training,
            validation: order,
        }
    }

    /// The set with `shift` applied to every image.
    ///
    /// # Errors
    /// When the shift does not fit the images' shape.
    pub fn shifted(&self, shift: Shift) -> Result<Self, ShiftError> {
        let mut images = Vec::with_capacity(self.images.len());
        for (image, _) in self.iter() {
            images.extend(shift.apply(image, self.shape)?);
        }
        Ok(Self {
            images,
            labels: self.labels.clone(),
            ..self.emptied()
        })
    }

    fn emptied(&self) -> Self {
        Self {
            name: self.name.clone(),
            shape: self.shape,
            classes: self.classes,
            images: Vec::new(),
            labels: Vec::new(),
            values: None,
        }
    }
}

/// The runs of `len` items at `indices`.
fn gather<T: Copy>(all: &[T], len: usize, indices: &[usize]) -> Vec<T> {
    let runs = indices.iter().map(|&index| index * len..(index + 1) * len);
    runs.flat_map(|run| all[run].iter().copied()).collect()
}

/// Which samples are learnt from, and which are held out, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Learnt from, in random order.
    pub training: Vec<usize>,
    /// Held out: tells how well unseen samples are read while training goes on.
    pub validation: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> DataSet {
        DataSet {
            name: "small".to_owned(),
            shape: [1, 2, 1],
            classes: 10,
            images: (0..20).collect(),
            labels: (0..10).collect(),
            values: None,
        }
    }

    #[test]
    fn a_split_has_every_sample_once_and_repeats() {
        let set = small();
        let split = set.split(0.3, 7);
        assert_eq!((split.training.len(), split.validation.len()), (7, 3));
        let mut all = [split.training.clone(), split.validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(set.split(0.3, 7), split);
        assert_ne!(set.split(0.3, 8), split);
    }

    #[test]
    fn select_keeps_image_and_label_together() {
        let set = small().select(&[4, 0]);
        assert_eq!(set.images, [8, 9, 0, 1]);
        assert_eq!(set.labels, [4, 0]);
        assert_eq!(set.iter().next(), Some((&[8u8, 9][..], 4)));
    }

    #[test]
    fn an_unknown_set_names_those_that_there_are() {
        let error = set("minst").unwrap_err().to_string();
        assert!(
            error.contains("`minst`") && error.contains("mnist"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_says_how_to_get_it() {
        let nowhere = std::env::temp_dir().join("mote-no-such-folder");
        let error = mnist::MNIST
            .load(Some(&nowhere), Part::Test)
            .unwrap_err()
            .to_string();
        for word in ["t10k-images-idx3-ubyte", "scripts/setup", "--data"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
