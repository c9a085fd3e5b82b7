//! Pictures of what came out: PNG files that need no font and no library of the system.

use std::path::{Path, PathBuf};

use crate::history::EpochRow;

/// Why a picture cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file cannot be written.
    #[error("cannot write the picture {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Placeholder.
pub fn training_curve(path: &Path, _title: &str, _rows: &[EpochRow]) -> Result<(), ReportError> {
    std::fs::write(path, b"").map_err(|source| ReportError::Write {
        path: path.to_path_buf(),
        source,
    })
}
