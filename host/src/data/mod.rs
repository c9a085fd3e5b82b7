//! Data sets: what there is, where it lies, how it is read, split and varied.
//!
//! A set is one file in this folder and one line in [`SETS`]. Images are `u8`, NHWC, and stay so
//! until a model reads them: f32 models take `x / 255`, int8 models take `x − 128`.

mod augment;
mod check;
mod fashion;
mod folders;
mod idx;
mod idx_files;
mod mat;
mod mnist;
mod places;
mod rng;
mod samples;
mod series;
mod series_error;
mod shift;
mod table;
mod text;
mod usps;
mod windows;
pub mod writers;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use augment::{Augmenter, Flip};
pub use check::{FileCheck, FileState, check};
pub use folders::{Color, FolderError, Folders};
pub use idx::{Idx, IdxError};
pub use idx_files::IdxFiles;
pub use mat::MatError;
pub use places::folder;
pub(crate) use places::{has, holding, place};
pub use rng::Stream;
pub use samples::{Column, DataSet, Split, Values};
pub use series::{Series, SeriesFile};
pub use series_error::SeriesError;
pub use shift::{Shift, ShiftError, UnknownShift};
pub use table::{Missing, Order, Scaling, Table, TableError};
pub use text::{Text, TextError};
pub use windows::Windows;

/// The data sets that a recipe can name.
pub const SETS: &[&SetInfo] = &[&mnist::MNIST, &fashion::FASHION, &usps::FRAMED, &usps::FULL];

/// The sets that a recipe describes itself, in a section `[data.NAME]`.
pub const OF_RECIPES: &[&SetInfo] = &[&SERIES, &TABLE, &TEXT, &DESCRIBED, &IDX, &FOLDERS];

/// Prices day by day, of any CSV file.
pub const SERIES: SetInfo = SetInfo {
    shape: [0, 1, 1],
    ..SetInfo::of_recipe(
        "series",
        "prices day by day, from a CSV file",
        "any CSV file with a date and a close in each row",
    )
};

/// A sample in each row, of any CSV file.
pub const TABLE: SetInfo = SetInfo::of_recipe(
    "table",
    "a sample in each row, from a CSV file",
    "any CSV file",
);

/// Letters and the one that comes next, of any text.
pub const TEXT: SetInfo =
    SetInfo::of_recipe("text", "the next letter, from a text", "any text in UTF-8");

/// Samples that are described, not read: of networks that are too large to be trained here.
pub const DESCRIBED: SetInfo = SetInfo {
    shape: [0, 0, 0],
    load: |_, _, _| Err(DataError::Described),
    ..SetInfo::of_recipe(
        "described",
        "no samples: a network that is described only",
        "none",
    )
};

/// Labelled images of any IDX files.
pub const IDX: SetInfo = SetInfo::of_recipe(
    "idx",
    "labelled images, from IDX files",
    "any IDX files of unsigned bytes",
);

/// Images in a folder for each class.
pub const FOLDERS: SetInfo = SetInfo::of_recipe(
    "folders",
    "images in a folder for each class",
    "any PNG and JPEG files",
);

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
    /// A table that cannot be read, or is too short.
    #[error(transparent)]
    Table(Box<TableError>),
    /// A text that cannot be read, or has other letters.
    #[error(transparent)]
    Text(Box<TextError>),
    /// A network that is described only.
    #[error(
        "the recipe describes a network, and names no samples to train or test it on: give it another [data] set"
    )]
    Described,
    /// Folders that hold no images of the classes.
    #[error(transparent)]
    Folders(Box<FolderError>),
    /// A file that a recipe names is not where it should be.
    #[error(
        "no {path} (nor {path}.gz); say where the data sets lie with --data DIR or the environment variable MOTE_DATA"
    )]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// A set that is nothing without a recipe.
    #[error(
        "the set `{0}` wants a recipe that says which file it is: `[data.{0}]`, and --recipe FILE where a model is tested"
    )]
    NoRecipe(&'static str),
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

impl DataError {
    /// Whether a file is not there.
    pub fn is_missing(&self) -> bool {
        let unread = |error: &csv::Error| matches!(error.kind(), csv::ErrorKind::Io(io) if io.kind() == ErrorKind::NotFound);
        match self {
            Self::Missing { .. } | Self::NoWriters { .. } | Self::NoFile { .. } => true,
            Self::Folders(error) => {
                matches!(&**error, FolderError::Read { source, .. } if source.kind() == ErrorKind::NotFound)
            }
            Self::Table(error) => {
                matches!(&**error, TableError::Read { source, .. } if unread(source))
            }
            Self::Text(error) => {
                matches!(&**error, TextError::Read { source, .. } if source.kind() == ErrorKind::NotFound)
            }
            Self::Series(SeriesError::Read { source, .. }) => unread(source),
            Self::Read { source, .. } => source.kind() == ErrorKind::NotFound,
            _ => false,
        }
    }
}

impl From<TextError> for DataError {
    fn from(error: TextError) -> Self {
        Self::Text(Box::new(error))
    }
}

impl From<FolderError> for DataError {
    fn from(error: FolderError) -> Self {
        Self::Folders(Box::new(error))
    }
}

impl From<TableError> for DataError {
    fn from(error: TableError) -> Self {
        Self::Table(Box::new(error))
    }
}

/// Finds a data set by the name that recipes use.
///
/// # Errors
/// [`DataError::UnknownSet`], with the names that there are.
pub fn set(name: &str) -> Result<&'static SetInfo, DataError> {
    let all = || SETS.iter().chain(OF_RECIPES).copied();
    all()
        .find(|set| set.name == name)
        .ok_or_else(|| DataError::UnknownSet {
            found: name.to_owned(),
            wanted: all().map(|set| set.name).collect::<Vec<_>>().join(", "),
        })
}

impl SetInfo {
    /// A set whose files and shape a recipe says; its samples are a row of numbers, unless said otherwise.
    const fn of_recipe(name: &'static str, title: &'static str, source: &'static str) -> Self {
        Self {
            name,
            folder: name,
            title,
            shape: [1, 1, 0],
            classes: &[],
            samples: [0, 0],
            source,
            fetch: "",
            files: &[],
            load: |set, _, _| Err(DataError::NoRecipe(set.name)),
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

/// `name` or `name.gz` in `directory`, whichever exists.
fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let plain = directory.join(name);
    let packed = directory.join(format!("{name}.gz"));
    [plain, packed].into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

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
