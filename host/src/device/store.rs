//! The flash that an emulated board keeps what it learnt in: a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nn_core::model::Model;

use super::boards::Board;

/// Bytes of a page, as `firmware/src/boards/file_flash.rs` has them.
const PAGE: usize = 4096;
/// Bytes that an item of the store takes beside its part of the weights, and of that part.
const ITEM: usize = 32;
const PART: usize = 128;
/// The longest path that an image takes.
const PATH: usize = 480;

/// Why a file cannot be a board's flash.
#[derive(Debug, thiserror::Error)]
pub enum StoreFileError {
    /// It cannot be read, or made.
    #[error("the flash file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is none that Mote made.
    #[error(
        "the flash file {} has {found} bytes, wanted whole pages of {PAGE}, at least two: take another file, or one that \
         does not exist yet",
        path.display()
    )]
    Length {
        /// Which.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// Its path is no text, or too long for an image.
    #[error("the flash file {} wants a path of UTF-8, of at most {PATH} bytes", .0.display())]
    Path(PathBuf),
}

/// The absolute path of the flash file, which is made, erased, where there is none: room for all that `model` learns, twice.
pub(super) fn file(path: &Path, model: &Model<'_>) -> Result<String, StoreFileError> {
    file_of(path, len(model))
}

fn file_of(path: &Path, len: usize) -> Result<String, StoreFileError> {
    let failed = |source| StoreFileError::File {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Ok(found) => {
            let len = found.len();
            if !found.is_file() || len < 2 * PAGE as u64 || !len.is_multiple_of(PAGE as u64) {
                let path = path.to_owned();
                return Err(StoreFileError::Length { path, found: len });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(path, vec![0xFF; len]).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let absolute = fs::canonicalize(path).map_err(failed)?;
    match absolute.to_str() {
        Some(text) if text.len() <= PATH => Ok(text.to_owned()),
        _ => Err(StoreFileError::Path(path.to_owned())),
    }
}

/// The absolute path of an agent's flash file, which is made, erased, where there is none.
pub(super) fn agent_file(path: &Path, board: &Board) -> Result<String, StoreFileError> {
    let failed = |source| StoreFileError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // Flash of any length fits; at least two pages make it a file of Mote's.
    let len = board.agent.map_or(0, |agent| agent.total());
    file_of(path, (len as usize).max(2 * PAGE))
}

/// Whole pages: two generations of all weights, and two pages to move items to and from.
fn len(model: &Model<'_>) -> usize {
    let parts = model.learnt().map(|range| range.len().div_ceil(PART));
    let generation = parts.sum::<usize>() * (PART + ITEM);
    // An item lies in one page: up to one's length stays free at a page's end.
    let used = PAGE - PART - ITEM;
    (2 * generation).div_ceil(used) * PAGE + 2 * PAGE
}
