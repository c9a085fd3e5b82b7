//! Whether the files of a data set are there, and are what they should be.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{DataError, SetInfo, find};

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    /// The file's name, without `.gz`.
    pub name: &'static str,
    /// Where it was found, or looked for.
    pub path: PathBuf,
    /// The SHA-256 wanted, in hex.
    pub wanted: &'static str,
    /// What was found.
    pub state: FileState,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// The file is what it should be.
    Good,
    /// Another content; its SHA-256, in hex.
    Differs(String),
    /// There is no such file.
    Missing,
}

/// Compares the SHA-256 of each file (unpacked, when packed) with the one known.
///
/// # Errors
/// When a file exists and cannot be read.
pub fn check(set: &SetInfo, directory: Option<&Path>) -> Result<Vec<FileCheck>, DataError> {
    let directory = set.directory(directory);
    set.files
        .iter()
        .map(|file| {
            let (path, state) = match find(&directory, file.name) {
                None => (directory.join(file.name), FileState::Missing),
                Some(path) => {
                    let found = sha256(&path).map_err(|source| DataError::Read {
                        path: path.clone(),
                        source,
                    })?;
                    let good = found == file.sha256;
                    (
                        path,
                        if good {
                            FileState::Good
                        } else {
                            FileState::Differs(found)
                        },
                    )
                }
            };
            Ok(FileCheck {
                name: file.name,
                path,
                wanted: file.sha256,
                state,
            })
        })
        .collect()
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut file = std::fs::File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(file).read_to_end(&mut bytes)?;
    } else {
        file.read_to_end(&mut bytes)?;
    }
    Ok(Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_good_from_missing_and_different() {
        let directory = std::env::temp_dir().join(format!("mote-check-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("train-labels-idx1-ubyte"), b"abc").unwrap();
        let set = super::super::set("mnist").unwrap();
        let checks = check(set, Some(&directory));
        std::fs::remove_dir_all(&directory).unwrap();
        let checks = checks.unwrap();
        assert_eq!(checks[0].state, FileState::Missing);
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checks[1].state, FileState::Differs(abc.to_owned()));
    }
}
