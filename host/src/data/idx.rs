//! The IDX format: `0 0 type dimensions | size of each dimension (u32, big-endian) | values`.
//!
//! Source: the format's description beside the MNIST database. Types 8, unsigned bytes, and 12, whole
//! numbers of 4 bytes, big-endian, are read. Files may be packed with gzip.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// Type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;
/// Type code of whole numbers of 4 bytes.
const WORD: u8 = 0x0C;
/// What is read at most: a header that says more than this is damaged.
const LARGEST: usize = 1 << 32;

/// The content of an IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The size of each dimension, the slowest first.
    pub dimensions: Vec<usize>,
    /// The values, as many as the product of `dimensions`.
    pub values: Vec<u8>,
}

/// Why a file is no IDX file of unsigned bytes.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The file cannot be opened or read, or its gzip stream is damaged.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The first four bytes are wrong.
    #[error(
        "{path}: wanted an IDX file of up to 4 dimensions (magic 00 00 {kind:02x} 01 to 00 00 {kind:02x} 04), \
         found {found:02x?}. Fetch the file again"
    )]
    Magic {
        /// The file.
        path: PathBuf,
        /// The type wanted.
        kind: u8,
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// The sizes say more than any file holds.
    #[error("{path}: the header's sizes {dimensions:?} are more than 4 GiB. Fetch the file again")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The sizes found.
        dimensions: Vec<usize>,
    },
    /// There are fewer or more bytes than the sizes say.
    #[error(
        "{path}: the header's sizes {dimensions:?} want {wanted} bytes of values, found {found}. \
         The file is cut off or damaged: fetch it again"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// The sizes found.
        dimensions: Vec<usize>,
        /// Bytes that these sizes want.
        wanted: usize,
        /// Bytes found (at most one more than wanted).
        found: usize,
    },
}

impl Idx {
    /// Reads `path`, unpacking it when its name ends in `.gz`.
    ///
    /// # Errors
    /// What was wanted and what was found: magic, sizes, length.
    pub fn read(path: &Path) -> Result<Self, IdxError> {
        Self::open(path, UNSIGNED_BYTE)
    }

    /// Sizes and values of a file of whole numbers of 4 bytes, none of them negative.
    ///
    /// # Errors
    /// As [`Idx::read`].
    pub fn read_words(path: &Path) -> Result<(Vec<usize>, Vec<u32>), IdxError> {
        let Self { dimensions, values } = Self::open(path, WORD)?;
        let words = values.chunks_exact(4);
        let words = words.map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        Ok((dimensions, words.collect()))
    }

    fn open(path: &Path, kind: u8) -> Result<Self, IdxError> {
        let read = |source| IdxError::Read {
            path: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        if path.extension().is_some_and(|extension| extension == "gz") {
            Self::parse(MultiGzDecoder::new(file), path, kind)
        } else {
            Self::parse(file, path, kind)
        }
    }

    fn parse(mut reader: impl Read, path: &Path, kind: u8) -> Result<Self, IdxError> {
        let read = |source| IdxError::Read {
            path: path.to_path_buf(),
            source,
        };
        let mut magic = Vec::new();
        reader
            .by_ref()
            .take(4)
            .read_to_end(&mut magic)
            .map_err(read)?;
        let rank = match magic[..] {
            [0, 0, found, rank @ 1..=4] if found == kind => Some(rank),
            _ => None,
        };
        let Some(rank) = rank else {
            return Err(IdxError::Magic {
                path: path.to_path_buf(),
                kind,
                found: magic,
            });
        };

        let mut sizes = Vec::new();
        reader
            .by_ref()
            .take(u64::from(rank) * 4)
            .read_to_end(&mut sizes)
            .map_err(read)?;
        let dimensions: Vec<usize> = sizes
            .chunks_exact(4)
            .map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
            .collect();
        if dimensions.len() != usize::from(rank) {
            let (wanted, found) = (usize::from(rank) * 4, sizes.len());
            return Err(IdxError::Length {
                path: path.to_path_buf(),
                dimensions,
                wanted,
                found,
            });
        }
        let wanted = dimensions
            .iter()
            .try_fold(if kind == WORD { 4 } else { 1 }, |product: usize, &size| {
                product.checked_mul(size)
            })
            .filter(|&bytes| bytes <= LARGEST);
        let Some(wanted) = wanted else {
            return Err(IdxError::TooLarge {
                path: path.to_path_buf(),
                dimensions,
            });
        };

        let mut values = Vec::new();
        reader
            .take(wanted as u64 + 1)
            .read_to_end(&mut values)
            .map_err(read)?;
        if values.len() != wanted {
            let found = values.len();
            return Err(IdxError::Length {
                path: path.to_path_buf(),
                dimensions,
                wanted,
                found,
            });
        }
        Ok(Self { dimensions, values })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SMALL: &[u8] = &[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];

    fn parse(bytes: &[u8]) -> Result<Idx, IdxError> {
        Idx::parse(bytes, Path::new("small-idx"), UNSIGNED_BYTE)
    }

    #[test]
    fn reads_sizes_and_values() {
        let idx = parse(SMALL).unwrap();
        assert_eq!(idx.dimensions, [2, 3]);
        assert_eq!(idx.values, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn reads_words() {
        let path = std::env::temp_dir().join(format!("mote-idx-words-{}", std::process::id()));
        std::fs::write(&path, [0, 0, 12, 1, 0, 0, 0, 2, 0, 0, 1, 2, 0, 0, 0, 7]).unwrap();
        let (words, bytes) = (Idx::read_words(&path), Idx::read(&path));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(words.unwrap(), (vec![2], vec![258, 7]));
        assert!(matches!(bytes, Err(IdxError::Magic { .. })));
    }

    #[test]
    fn reads_gzip() {
        let path = std::env::temp_dir().join(format!("mote-idx-{}.gz", std::process::id()));
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(SMALL).unwrap();
        std::fs::write(&path, packer.finish().unwrap()).unwrap();
        let idx = Idx::read(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(idx.unwrap().values, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn every_cut_is_an_error() {
        for length in 0..SMALL.len() {
            let error = parse(&SMALL[..length]).unwrap_err();
            match length {
                0..4 => assert!(matches!(error, IdxError::Magic { .. })),
                _ => assert!(matches!(error, IdxError::Length { .. })),
            }
        }
    }

    #[test]
    fn says_what_was_wanted_and_found() {
        let error = parse(&[SMALL, &[7]].concat()).unwrap_err().to_string();
        assert!(error.contains("want 6 bytes of values, found 7"), "{error}");
        let error = parse(&[0, 0, 13, 1, 0, 0, 0, 0]).unwrap_err().to_string();
        assert!(error.contains("[00, 00, 0d, 01]"), "{error}");
        let huge = [0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(matches!(parse(&huge), Err(IdxError::TooLarge { .. })));
    }
}
