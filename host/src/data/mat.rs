//! MATLAB's file format, version 5: as much of it as matrices of bytes need.
//!
//! ```text
//! file    = 116 bytes of text | 8 bytes | version 0x0100 | "IM" (little-endian) | elements
//! element = type: u32 | length: u32 | bytes, padded to 8       (length > 0 in the type's upper half: 4 bytes follow at once)
//! matrix  = flags | dimensions: i32 each | name | values, the first dimension fastest
//! ```
//!
//! Source: MathWorks, "MAT-File Format", chapter 1. An element of type 15 holds another, packed by zlib.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Types of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// What is unpacked at most: a header that says more is damaged.
const LARGEST: u64 = 1 << 30;

/// Why bytes are no such file. The offset is from the beginning of the file, or of the unpacked element.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatError {
    /// The first 128 bytes are another format's.
    #[error("no little-endian MATLAB file of version 5")]
    Header,
    /// An element is longer than what is left.
    #[error("an element at byte {at} is cut off: the file is damaged")]
    Cut {
        /// Where.
        at: usize,
    },
    /// The zlib stream is damaged.
    #[error("the packed element at byte {at} is damaged")]
    Packed {
        /// Where.
        at: usize,
    },
    /// There is no such matrix of bytes.
    #[error("no matrix `{wanted}` of bytes; there are: {found}")]
    Missing {
        /// The name.
        wanted: String,
        /// The names of those that there are.
        found: String,
    },
}

/// A matrix of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matrix {
    /// How many rows.
    pub(super) rows: usize,
    /// How many columns.
    pub(super) columns: usize,
    /// All columns one after another.
    pub(super) values: Vec<u8>,
}

impl Matrix {
    /// The values of row `row`.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = u8> + '_ {
        let columns = self.values.chunks_exact(self.rows.max(1));
        columns.filter_map(move |column| column.get(row).copied())
    }
}

/// The matrix `name` of a file.
///
/// # Errors
/// [`MatError`].
pub(super) fn matrix(file: &[u8], name: &str) -> Result<Matrix, MatError> {
    if file.get(124..128) != Some(&[0, 1, b'I', b'M']) {
        return Err(MatError::Header);
    }
    let mut found = Vec::new();
    let mut at = 128;
    while at < file.len() {
        let element = Element::read(file, at)?;
        let unpacked;
        let inner = if element.kind == COMPRESSED {
            let mut bytes = Vec::new();
            let read = ZlibDecoder::new(element.bytes)
                .take(LARGEST)
                .read_to_end(&mut bytes);
            read.map_err(|_| MatError::Packed { at })?;
            unpacked = bytes;
            Element::read(&unpacked, 0)?
        } else {
            element
        };
        if inner.kind == MATRIX {
            match named(inner.bytes)? {
                (found, Some(matrix)) if found == name => return Ok(matrix),
                (other, _) => found.push(other),
            }
        }
        // A packed element is not padded.
        at = match element.kind {
            COMPRESSED => element.end,
            _ => element.end.next_multiple_of(8),
        };
    }
    Err(MatError::Missing {
        wanted: name.to_owned(),
        found: found.join(", "),
    })
}

/// A matrix's name, and itself where it is one of bytes with two dimensions.
fn named(bytes: &[u8]) -> Result<(String, Option<Matrix>), MatError> {
    let flags = Element::read(bytes, 0)?;
    let dimensions = Element::read(bytes, flags.end.next_multiple_of(8))?;
    let name = Element::read(bytes, dimensions.end.next_multiple_of(8))?;
    let values = Element::read(bytes, name.end.next_multiple_of(8))?;
    let sizes = dimensions.bytes.chunks_exact(4);
    let sizes: Vec<usize> = sizes
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
        .collect();
    let text = String::from_utf8_lossy(name.bytes).into_owned();
    let plain = dimensions.kind == INT32 && name.kind == INT8 && values.kind == UINT8;
    let matrix = match sizes[..] {
        [rows, columns] if plain && rows.checked_mul(columns) == Some(values.bytes.len()) => {
            let values = values.bytes.to_vec();
            Some(Matrix {
                rows,
                columns,
                values,
            })
        }
        _ => None,
    };
    Ok((text, matrix))
}

#[derive(Clone, Copy)]
struct Element<'b> {
    kind: u32,
    bytes: &'b [u8],
    /// Where its bytes end.
    end: usize,
}

impl<'b> Element<'b> {
    fn read(all: &'b [u8], at: usize) -> Result<Self, MatError> {
        let cut = || MatError::Cut { at };
        let word = |at: usize| {
            let bytes = all.get(at..at.checked_add(4)?)?;
            Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let tag = word(at).ok_or_else(cut)?;
        // A short element has its length beside its type, and its bytes where the length would be.
        let (kind, len, start) = match (tag >> 16) as usize {
            0 => (tag, word(at + 4).ok_or_else(cut)? as usize, at + 8),
            len => (tag & 0xFFFF, len, at + 4),
        };
        let end = start.checked_add(len).ok_or_else(cut)?;
        let bytes = all.get(start..end).ok_or_else(cut)?;
        Ok(Self { kind, bytes, end })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A matrix `m` of 2 x 3 bytes, as MATLAB writes it.
    fn element() -> Vec<u8> {
        let mut inner = Vec::new();
        for (kind, bytes) in [
            (6u32, &[6u8, 0, 0, 0, 0, 0, 0, 0][..]),
            (5, &[2, 0, 0, 0, 3, 0, 0, 0]),
        ] {
            inner.extend(kind.to_le_bytes());
            inner.extend(8u32.to_le_bytes());
            inner.extend(bytes);
        }
        inner.extend([1, 0, 1, 0, b'm', 0, 0, 0]);
        inner.extend([2, 0, 0, 0, 6, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0]);
        let mut element = 14u32.to_le_bytes().to_vec();
        element.extend(u32::try_from(inner.len()).unwrap().to_le_bytes());
        element.extend(inner);
        element
    }

    fn file(elements: &[u8]) -> Vec<u8> {
        let mut file = vec![b' '; 124];
        file.extend([0, 1, b'I', b'M']);
        file.extend(elements);
        file
    }

    #[test]
    fn plain_and_packed_matrices_are_read() {
        let mut packer =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(&element()).unwrap();
        let packed = packer.finish().unwrap();
        let mut elements = 15u32.to_le_bytes().to_vec();
        elements.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
        elements.extend(packed);
        for elements in [element(), elements] {
            let matrix = matrix(&file(&elements), "m").unwrap();
            assert_eq!((matrix.rows, matrix.columns), (2, 3));
            assert_eq!(matrix.row(1).collect::<Vec<_>>(), [2, 4, 6]);
        }
    }

    #[test]
    fn damage_is_an_error() {
        assert_eq!(matrix(b"no such file", "m"), Err(MatError::Header));
        let missing = matrix(&file(&element()), "n").unwrap_err().to_string();
        assert!(
            missing.contains("no matrix `n`") && missing.contains("are: m"),
            "{missing}"
        );
        let whole = file(&element());
        for len in 129..whole.len() {
            assert!(matrix(&whole[..len], "m").is_err(), "{len}");
        }
    }
}
