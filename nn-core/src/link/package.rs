//! A package: a blob, with what an agent has to know before it trusts it.
//!
//! ```text
//! package = manifest (256 bytes, fixed layout) | blob
//! ```
//!
//! An agent's slot holds a package as it stands in its file, so that the blob lies on a 16-byte boundary.
//!
//! ```
//! use nn_core::link::package::{MANIFEST_LEN, Manifest};
//!
//! let manifest = Manifest { blob_len: 144, version: 3, ..Manifest::default() };
//! let bytes = manifest.encode();
//! assert_eq!(bytes.len(), MANIFEST_LEN);
//! assert_eq!(Manifest::decode(&bytes), Ok(manifest));
//! ```

/// `MOTP`.
pub const MAGIC: [u8; 4] = *b"MOTP";
/// The layout that this crate reads and writes.
pub const FORMAT: u16 = 1;
/// Bytes of a manifest.
pub const MANIFEST_LEN: usize = 256;
/// Bytes of a SHA-512 hash, and of an ed25519 signature.
pub const HASH_LEN: usize = 64;
/// Bytes at the manifest's start that the signature covers.
pub const SIGNED_LEN: usize = 192;

/// What stands before the blob. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// Of the blob.
    pub blob_len: u32,
    /// CRC-32 in the blob's header.
    pub blob_crc32: u32,
    /// Counts up from release to release.
    pub version: u32,
    /// The least version that an agent takes once this one is active: the floor only ever rises.
    pub floor: u32,
    /// Digest of the outputs of the self-test, see [`self_test`](crate::conformance::self_test).
    pub inference: u64,
    /// Digest of its training steps; 0 where it takes none.
    pub training: u64,
    /// SHA-512 of the blob (FIPS 180-4).
    pub hash: [u8; HASH_LEN],
    /// The first eight bytes of the public key that the signature is of; 0 without a signature.
    pub key: u64,
    /// ed25519 (RFC 8032) over the first [`SIGNED_LEN`] bytes; zeros without a signature.
    pub signature: [u8; HASH_LEN],
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            blob_len: 0,
            blob_crc32: 0,
            version: 0,
            floor: 0,
            inference: 0,
            training: 0,
            hash: [0; HASH_LEN],
            key: 0,
            signature: [0; HASH_LEN],
        }
    }
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ManifestError {
    /// Fewer bytes than a manifest has, or more.
    Length {
        /// How many came.
        found: usize,
    },
    /// They do not begin with [`MAGIC`].
    Magic,
    /// A layout that this crate does not know.
    Format {
        /// The layout's number.
        found: u16,
    },
    /// Bytes that are 0 in every manifest are not.
    Reserved,
}

impl core::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ManifestError::Length { found } => {
                write!(f, "a manifest has {MANIFEST_LEN} bytes, found {found}")
            }
            ManifestError::Magic => f.write_str("no package: it does not begin with MOTP"),
            ManifestError::Format { found } => {
                write!(f, "a package of format {FORMAT} is wanted, found {found}")
            }
            ManifestError::Reserved => f.write_str("a package whose reserved bytes are not 0"),
        }
    }
}

impl core::error::Error for ManifestError {}

impl Manifest {
    /// The manifest's bytes.
    pub fn encode(&self) -> [u8; MANIFEST_LEN] {
        let mut bytes = [0; MANIFEST_LEN];
        let mut rest = bytes.as_mut_slice();
        for part in [
            MAGIC.as_slice(),
            &u32::from(FORMAT).to_le_bytes(),
            &self.blob_len.to_le_bytes(),
            &self.blob_crc32.to_le_bytes(),
            &self.version.to_le_bytes(),
            &self.floor.to_le_bytes(),
            &self.inference.to_le_bytes(),
            &self.training.to_le_bytes(),
            &self.key.to_le_bytes(),
            &self.hash,
            &[0; SIGNED_LEN - 112],
            &self.signature,
        ] {
            for (to, from) in rest.iter_mut().zip(part) {
                *to = *from;
            }
            rest = core::mem::take(&mut rest)
                .get_mut(part.len()..)
                .unwrap_or_default();
        }
        bytes
    }

    /// Reads a manifest. The blob and the signature are not looked at.
    ///
    /// # Errors
    ///
    /// [`ManifestError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let length = ManifestError::Length { found: bytes.len() };
        let bytes: &[u8; MANIFEST_LEN] = bytes.try_into().map_err(|_| length)?;
        let mut reader = Reader(bytes);
        if reader.take() != MAGIC {
            return Err(ManifestError::Magic);
        }
        // Two halves of a word, the upper one reserved.
        let format = u32::from_le_bytes(reader.take());
        if format != u32::from(FORMAT) {
            let found = (format & 0xFFFF) as u16;
            return Err(ManifestError::Format { found });
        }
        let manifest = Self {
            blob_len: u32::from_le_bytes(reader.take()),
            blob_crc32: u32::from_le_bytes(reader.take()),
            version: u32::from_le_bytes(reader.take()),
            floor: u32::from_le_bytes(reader.take()),
            inference: u64::from_le_bytes(reader.take()),
            training: u64::from_le_bytes(reader.take()),
            key: u64::from_le_bytes(reader.take()),
            hash: reader.take(),
            signature: {
                if reader.take() != [0; SIGNED_LEN - 112] {
                    return Err(ManifestError::Reserved);
                }
                reader.take()
            },
        };
        Ok(manifest)
    }

    /// What the signature covers.
    pub fn signed(&self) -> [u8; SIGNED_LEN] {
        let mut signed = [0; SIGNED_LEN];
        for (to, from) in signed.iter_mut().zip(self.encode()) {
            *to = from;
        }
        signed
    }

    /// Bytes of the whole package.
    pub fn package_len(&self) -> usize {
        (self.blob_len as usize).saturating_add(MANIFEST_LEN)
    }
}

/// Takes fields off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        // The layout's fields lie within its length.
        let (field, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            blob_len: 0x0102_0304,
            blob_crc32: 0x1112_1314,
            version: 7,
            floor: 5,
            inference: 0x2122_2324_2526_2728,
            training: 0x3132_3334_3536_3738,
            hash: [0xAA; HASH_LEN],
            key: 0x4142_4344_4546_4748,
            signature: [0xBB; HASH_LEN],
        }
    }

    /// The layout as docs/agent.md has it.
    #[test]
    fn every_field_lies_where_the_page_says() {
        let bytes = manifest().encode();
        assert_eq!(&bytes[..4], b"MOTP");
        assert_eq!(bytes[4..8], [1, 0, 0, 0]);
        assert_eq!(bytes[8..12], [4, 3, 2, 1]);
        assert_eq!(bytes[12..16], [0x14, 0x13, 0x12, 0x11]);
        assert_eq!(bytes[16..24], [7, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(bytes[24], 0x28);
        assert_eq!(bytes[32], 0x38);
        assert_eq!(bytes[40], 0x48);
        assert_eq!(bytes[48..112], [0xAA; 64]);
        assert_eq!(bytes[112..192], [0; 80]);
        assert_eq!(bytes[192..], [0xBB; 64]);
        assert_eq!(manifest().signed(), bytes[..192]);
        assert_eq!(Manifest::decode(&bytes), Ok(manifest()));
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let bytes = manifest().encode();
        let change = |at: usize| {
            let mut bytes = bytes;
            bytes[at] ^= 2;
            Manifest::decode(&bytes)
        };
        assert_eq!(change(0), Err(ManifestError::Magic));
        assert_eq!(change(4), Err(ManifestError::Format { found: 3 }));
        for at in 112..192 {
            assert_eq!(change(at), Err(ManifestError::Reserved));
        }
        let found = MANIFEST_LEN - 1;
        assert_eq!(
            Manifest::decode(&bytes[..found]),
            Err(ManifestError::Length { found })
        );
    }
}
