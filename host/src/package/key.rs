//! Keys that packages are signed with: ed25519 (RFC 8032), in a PKCS#8 file in PEM (RFC 8410), as OpenSSL writes them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// Bytes of a public key.
const PUBLIC_LEN: usize = 32;

/// Why a key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there already: a key is never overwritten.
    #[error("{} is there already, and a key is never overwritten: name another file", .0.display())]
    Exists(PathBuf),
    /// The file cannot be read or written.
    #[error("the key file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no such key.
    #[error(
        "{} holds no ed25519 key ({reason}): wanted PKCS#8 in PEM, as `mote key new` and `openssl genpkey -algorithm \
         ed25519` write it",
        path.display()
    )]
    NoKey {
        /// Which.
        path: PathBuf,
        /// What its reader says.
        reason: String,
    },
    /// This machine gives no random numbers.
    #[error("this machine gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// Not the digits of a public key.
    #[error("a public key is 64 hexadecimal digits, found `{0}`: `mote key show FILE` prints it")]
    Public(String),
}

/// A key pair.
#[derive(Debug, Clone)]
pub struct Key(SigningKey);

impl Key {
    /// A new one, from this machine's random numbers.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn random() -> Result<Self, KeyError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(KeyError::Random)?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// The pair of this secret, for tests.
    pub fn of_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::NoKey`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })?;
        match SigningKey::from_pkcs8_pem(&text) {
            Ok(key) => Ok(Self(key)),
            Err(error) => Err(KeyError::NoKey {
                path: path.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// Writes a new key file, which its owner alone may read.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::File`].
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        // Version 1, without the public key: what OpenSSL reads.
        let pair = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let text = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| {
            let path = path.to_owned();
            let source = io::Error::other(error.to_string());
            KeyError::File { path, source }
        })?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
            _ => KeyError::File {
                path: path.to_owned(),
                source,
            },
        };
        let mut file = options.open(path).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// The half that everyone may know.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// The half of a pair that verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Its first eight bytes, which a manifest names it by.
    pub fn id(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }

    /// The same as the first digits of the key.
    pub fn short(&self) -> String {
        id_digits(self.id())
    }

    /// Whether `signature` is this key's of `message`. Signatures that others could have made of it are none (the strict
    /// rules of `ed25519-dalek`).
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

/// 64 hexadecimal digits: what `MOTE_KEY` takes.
impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(self.0.as_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError::Public(text.to_owned());
        let digits = text.trim().as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else {
            return Err(wrong());
        };
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            // Two digits are a byte.
            .map(|&[high, low]| Some((digit(high)? * 16 + digit(low)?) as u8))
            .collect();
        let bytes: Option<[u8; PUBLIC_LEN]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let key = VerifyingKey::from_bytes(&bytes.ok_or_else(wrong)?);
        key.map(Self).map_err(|_| wrong())
    }
}

/// The number that a manifest names a key by, as the key's first digits.
pub fn id_digits(id: u64) -> String {
    hex(&id.to_le_bytes())
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 2.
    const SECRET: [u8; 32] = [
        0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e,
        0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab, 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8,
        0xa6, 0xfb,
    ];
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("mote-key-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        let key = Key::of_secret(&SECRET);
        let public = key.public();
        assert_eq!(public.to_string(), PUBLIC);
        assert_eq!(hex(&key.sign(&[0x72])), SIGNATURE);
        assert!(public.verifies(&[0x72], &key.sign(&[0x72])));
        assert!(!public.verifies(&[0x73], &key.sign(&[0x72])));
        assert_eq!(public.id(), 0x5a89_43e8_c317_403d);
        assert_eq!(public.short(), PUBLIC[..16]);
        assert_eq!(PUBLIC.parse::<PublicKey>().unwrap(), public);
    }

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let folder = folder("file");
        let path = folder.join("release.pem");
        let key = Key::random().unwrap();
        key.write(&path).unwrap();
        assert_eq!(Key::read(&path).unwrap().public(), key.public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let error = Key::random().unwrap().write(&path).unwrap_err();
        assert!(matches!(error, KeyError::Exists(_)), "{error}");
        assert_eq!(Key::read(&path).unwrap().public(), key.public());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        let folder = folder("wrong");
        let path = folder.join("wrong.pem");
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        let error = Key::read(&path).unwrap_err().to_string();
        assert!(error.contains("holds no ed25519 key"), "{error}");
        for text in ["", "12", "zz", &PUBLIC[1..], &format!("{PUBLIC}00")] {
            let error = text.parse::<PublicKey>().unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
