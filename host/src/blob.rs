//! A blob in memory, read from a file and checked.

use std::path::{Path, PathBuf};

use nn_core::model::{LoadError, Model};

use crate::export::AlignedBytes;

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It cannot be read.
    #[error("cannot read the model {path}; `mote export RECIPE` writes models")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It breaks a rule of the format.
    #[error("{path} cannot be used: {source}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which rule.
        source: LoadError,
    },
}

/// A model file whose every check has passed.
#[derive(Debug, Clone)]
pub struct Blob {
    path: PathBuf,
    bytes: AlignedBytes,
}

impl Blob {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn open(path: &Path) -> Result<Self, BlobError> {
        let bytes = std::fs::read(path).map_err(|source| BlobError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::new(path, AlignedBytes::copy_of(&bytes))
    }

    /// Checks `bytes`, which lie (or will lie) at `path`.
    ///
    /// # Errors
    /// [`BlobError::Invalid`].
    pub fn new(path: &Path, bytes: AlignedBytes) -> Result<Self, BlobError> {
        let path = path.to_owned();
        match Model::load(&bytes) {
            Ok(_) => Ok(Self { path, bytes }),
            Err(source) => Err(BlobError::Invalid { path, source }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The model.
    ///
    /// # Panics
    /// Never: the same bytes were checked when the blob was made.
    pub fn model(&self) -> Model<'_> {
        Model::load(&self.bytes).expect("checked when the blob was made")
    }
}
