//! Packages for agents: made of a blob, signed, read and verified. The layout is that of [`nn_core::link::package`].

mod key;

pub use key::{Key, KeyError, PublicKey, hex, id_digits};

use std::io;
use std::path::{Path, PathBuf};

use nn_core::conformance::{Fault, Outcome, self_test};
use nn_core::link::package::{HASH_LEN, MAGIC, MANIFEST_LEN, Manifest, ManifestError};
use nn_core::model::Model;
use nn_core::ops::AllOps;
use nn_core::train::TrainError;
use sha2::{Digest, Sha512};

use crate::blob::{Blob, BlobError};
use crate::export::AlignedBytes;

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It cannot be read or written.
    #[error("the package {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its first bytes are no manifest.
    #[error("{} cannot be used: {source}; `mote package MODEL.mote` makes packages", path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// Another length than the manifest says.
    #[error("{} is cut short, or has something after it: wanted {wanted} bytes, found {found}", path.display())]
    Length {
        /// Which.
        path: PathBuf,
        /// Manifest and blob.
        wanted: usize,
        /// Of the file.
        found: usize,
    },
    /// The blob is not the manifest's.
    #[error("{} was changed: the {what} of its blob is not the one that its manifest names", path.display())]
    Altered {
        /// Which.
        path: PathBuf,
        /// Hash or CRC-32.
        what: &'static str,
    },
    /// The blob is refused.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The blob computes other bits than the manifest says.
    #[error(
        "{}: the self-test's digests are {found:016x?} here, the manifest has {wanted:016x?}: it was made by a mote of \
         other arithmetic",
        path.display()
    )]
    SelfTest {
        /// Which.
        path: PathBuf,
        /// Inference, training.
        wanted: [u64; 2],
        /// The same.
        found: [u64; 2],
    },
    /// The self-test does not run.
    #[error("the self-test of {model} does not run here: {fault:?}")]
    Fault {
        /// The model.
        model: String,
        /// Why.
        fault: Fault,
    },
    /// It is not signed, where a signature is to be verified.
    #[error("{} is not signed: `mote package MODEL.mote --key FILE` signs", .0.display())]
    Unsigned(PathBuf),
    /// The signature is another key's.
    #[error(
        "{} is signed by key {}, wanted {}",
        path.display(),
        id_digits(*found),
        id_digits(*wanted)
    )]
    Key {
        /// Which.
        path: PathBuf,
        /// The key that was given.
        wanted: u64,
        /// The manifest's.
        found: u64,
    },
    /// The signature is not of these bytes.
    #[error("the signature of {} is not that of its manifest: it was changed after signing", .0.display())]
    Signature(PathBuf),
    /// It would rule itself out.
    #[error(
        "version {version} lies below the floor {floor} that the package sets: an agent would refuse it"
    )]
    Floor {
        /// Of the package.
        version: u32,
        /// The least that is taken once it was active.
        floor: u32,
    },
}

/// A package whose blob has passed every check.
#[derive(Debug, Clone)]
pub struct Package {
    /// What stands before the blob.
    pub manifest: Manifest,
    /// The blob.
    pub blob: Blob,
}

impl Package {
    /// A package of `blob`, not signed. Runs the self-test here.
    ///
    /// # Errors
    /// [`PackageError::Fault`], [`PackageError::Floor`].
    pub fn new(blob: Blob, version: u32, floor: u32) -> Result<Self, PackageError> {
        if version < floor {
            return Err(PackageError::Floor { version, floor });
        }
        let outcome = tested(&blob)?;
        let manifest = Manifest {
            // A blob's lengths are 32-bit.
            blob_len: blob.bytes().len() as u32,
            blob_crc32: blob.model().header().crc,
            version,
            floor,
            inference: outcome.inference,
            training: outcome.training,
            hash: sha512(blob.bytes()),
            ..Manifest::default()
        };
        Ok(Self { manifest, blob })
    }

    /// The same, signed by `key`.
    #[must_use]
    pub fn signed(mut self, key: &Key) -> Self {
        self.manifest.key = key.public().id();
        self.manifest.signature = key.sign(&self.manifest.signed());
        self
    }

    /// Whether it carries a signature.
    pub fn is_signed(&self) -> bool {
        self.manifest.key != 0 || self.manifest.signature != [0; HASH_LEN]
    }

    /// Manifest and blob.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.manifest.encode(), self.blob.bytes()].concat()
    }

    /// Reads a package, and verifies all but its signature: length, CRC-32, hash, blob, self-test.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn read(path: &Path) -> Result<Self, PackageError> {
        let bytes = std::fs::read(path).map_err(|source| PackageError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::of_bytes(path, &bytes)
    }

    /// The same of bytes that lie at `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, PackageError> {
        let (head, blob) = bytes.split_at(bytes.len().min(MANIFEST_LEN));
        let path = path.to_owned();
        let manifest = match Manifest::decode(head) {
            Ok(manifest) => manifest,
            Err(source) => return Err(PackageError::Manifest { path, source }),
        };
        let (wanted, found) = (manifest.package_len(), bytes.len());
        if wanted != found {
            return Err(PackageError::Length {
                path,
                wanted,
                found,
            });
        }
        if sha512(blob) != manifest.hash {
            let what = "SHA-512";
            return Err(PackageError::Altered { path, what });
        }
        let blob = Blob::new(&path, AlignedBytes::copy_of(blob))?;
        if blob.model().header().crc != manifest.blob_crc32 {
            let what = "CRC-32";
            return Err(PackageError::Altered { path, what });
        }
        let outcome = tested(&blob)?;
        let wanted = [manifest.inference, manifest.training];
        let found = [outcome.inference, outcome.training];
        if wanted != found {
            return Err(PackageError::SelfTest {
                path,
                wanted,
                found,
            });
        }
        Ok(Self { manifest, blob })
    }

    /// Verifies its signature.
    ///
    /// # Errors
    /// [`PackageError::Unsigned`], [`PackageError::Key`], [`PackageError::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), PackageError> {
        let path = || self.blob.path().to_owned();
        if !self.is_signed() {
            return Err(PackageError::Unsigned(path()));
        }
        let (wanted, found) = (key.id(), self.manifest.key);
        if wanted != found {
            let path = path();
            return Err(PackageError::Key {
                path,
                wanted,
                found,
            });
        }
        match key.verifies(&self.manifest.signed(), &self.manifest.signature) {
            true => Ok(()),
            false => Err(PackageError::Signature(path())),
        }
    }
}

/// Whether bytes begin as a package does.
pub fn is_package(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The SHA-512 of `bytes` (FIPS 180-4).
pub fn sha512(bytes: &[u8]) -> [u8; HASH_LEN] {
    Sha512::digest(bytes).into()
}

/// The self-test's digests, computed here. Training is left out where its steps diverge: targets are drawn at random, and
/// not every model's rate suits them.
///
/// # Errors
/// [`PackageError::Fault`].
pub fn tested(blob: &Blob) -> Result<Outcome, PackageError> {
    let model = blob.model();
    let arena = model.arena_infer().max(model.arena_train());
    let mut arena = AlignedBytes::zeroed(arena);
    let mut room = vec![0.0; outputs(&model)];
    let mut run =
        |trains| self_test::<AllOps>(blob.bytes(), arena.as_mut_slice(), &mut room, trains);
    let outcome = match run(true) {
        Err(Fault::Train(TrainError::Diverged)) => run(false),
        outcome => outcome,
    };
    outcome.map_err(|fault| PackageError::Fault {
        model: model.name().to_owned(),
        fault,
    })
}

/// Numbers that all outputs have together.
fn outputs(model: &Model<'_>) -> usize {
    let count = model.outputs().as_slice().len();
    (0..count)
        .filter_map(|index| model.output(index))
        .map(|output| output.elements())
        .sum()
}

#[cfg(test)]
mod tests {
    use nn_core::ops::Activation;
    use nn_core::tensor::{DType, Quant};
    use nn_core::train::{Loss, TrainSpec, Trainable};

    use super::*;
    use crate::export::Builder;

    /// 4 inputs, 3 outputs; learns at this rate.
    fn blob(rate: f32) -> Blob {
        let mut builder = Builder::new("small");
        let x = builder.input(&[4], DType::F32, Quant::None).unwrap();
        let weight: Vec<f32> = (0..12).map(|index| index as f32 * 0.1 - 0.5).collect();
        let x = builder.dense("dense", x, &weight, &[0.1; 3], Activation::None);
        let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, rate);
        let bytes = builder.finish(&[x.unwrap()], Some(spec)).unwrap();
        Blob::new(Path::new("small.mote"), bytes).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Package, PackageError> {
        Package::of_bytes(Path::new("small.motp"), bytes)
    }

    #[test]
    fn a_package_is_read_as_it_was_made() {
        let key = Key::of_secret(&[7; 32]);
        let package = Package::new(blob(0.1), 3, 2).unwrap();
        assert!(!package.is_signed());
        let error = package.verify(&key.public()).unwrap_err();
        assert!(matches!(error, PackageError::Unsigned(_)), "{error}");
        let package = package.signed(&key);
        let again = read(&package.bytes()).unwrap();
        assert_eq!(again.manifest, package.manifest);
        assert_eq!((again.manifest.version, again.manifest.floor), (3, 2));
        assert_ne!(again.manifest.training, 0);
        again.verify(&key.public()).unwrap();
        let other = Key::of_secret(&[8; 32]).public();
        let error = again.verify(&other).unwrap_err();
        assert!(matches!(error, PackageError::Key { .. }), "{error}");
    }

    #[test]
    fn every_change_is_noticed() {
        let key = Key::of_secret(&[7; 32]);
        let bytes = Package::new(blob(0.1), 3, 0).unwrap().signed(&key).bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let kept = read(&changed).and_then(|package| package.verify(&key.public()));
            assert!(kept.is_err(), "byte {at}");
        }
        for len in [0, 3, 255, 256, bytes.len() - 1] {
            assert!(read(&bytes[..len]).is_err(), "{len}");
        }
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_model_whose_steps_diverge_is_tested_without_them() {
        let package = Package::new(blob(1e30), 1, 0).unwrap();
        assert_eq!(package.manifest.training, 0);
        assert_ne!(package.manifest.inference, 0);
        read(&package.bytes()).unwrap();
        let error = Package::new(blob(0.1), 1, 2).unwrap_err().to_string();
        assert!(error.contains("below the floor 2"), "{error}");
    }
}
