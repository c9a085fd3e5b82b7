//! What a package has to be before it is served.

use ed25519_dalek::{Signature, VerifyingKey};
use nn_core::{
    SetupError,
    conformance::{Fault, self_test},
    link::{
        agent::{AgentError, LoadReason},
        package::{HASH_LEN, MANIFEST_LEN, Manifest},
    },
    model::{LoadError, Model, NodeFault},
    ops::OpSet,
    train::TrainError,
};
use sha2::{Digest, Sha512};

/// The public half of the key that a locked agent trusts.
pub type Key = [u8; 32];

/// What a manifest names a key by.
pub fn key_id(key: &Key) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The rules of a manifest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The longest blob that a slot takes.
    pub(super) slot: u32,
    /// The least version.
    pub(super) floor: u32,
    pub(super) key: Option<Key>,
}

impl Rules {
    pub(super) fn check(&self, manifest: &Manifest) -> Result<(), AgentError> {
        let found = manifest.blob_len;
        if found == 0 || found > self.slot {
            let wanted = self.slot;
            return Err(AgentError::TooLong { wanted, found });
        }
        // One whose own floor is above it could not be gone back to.
        let (wanted, found) = (self.floor.max(manifest.floor), manifest.version);
        if found < wanted {
            return Err(AgentError::Floor { wanted, found });
        }
        let Some(key) = &self.key else {
            return Ok(());
        };
        if manifest.key == 0 {
            return Err(AgentError::Unsigned);
        }
        let (wanted, found) = (key_id(key), manifest.key);
        if found != wanted {
            return Err(AgentError::Key { wanted, found });
        }
        is_signed(key, &manifest.signed(), &manifest.signature)
    }
}

/// Whether `signature` is that of `message` by the holder of `key`.
#[inline(never)]
pub(super) fn is_signed(key: &Key, message: &[u8], signature: &[u8]) -> Result<(), AgentError> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| AgentError::Signature)?;
    let signature = Signature::from_slice(signature).map_err(|_| AgentError::Signature)?;
    let verified = key.verify_strict(message, &signature);
    verified.map_err(|_| AgentError::Signature)
}

/// SHA-512 of `bytes`.
#[inline(never)]
pub(super) fn hash(bytes: &[u8]) -> [u8; HASH_LEN] {
    Sha512::digest(bytes).into()
}

/// A package in its slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Package<'m> {
    pub(super) manifest: Manifest,
    pub(super) blob: &'m [u8],
}

impl<'m> Package<'m> {
    /// The package at the front of a slot.
    pub(super) fn read(slot: &'m [u8]) -> Result<Self, AgentError> {
        let (head, rest) = slot
            .split_at_checked(MANIFEST_LEN)
            .ok_or(AgentError::Manifest)?;
        let manifest = Manifest::decode(head).map_err(|_| AgentError::Manifest)?;
        let wrong = AgentError::TooLong {
            wanted: u32::try_from(rest.len()).unwrap_or(u32::MAX),
            found: manifest.blob_len,
        };
        let blob = rest.get(..manifest.blob_len as usize).ok_or(wrong)?;
        Ok(Self { manifest, blob })
    }

    /// Whether these are the bytes that the manifest was made for.
    pub(super) fn check_hash(&self) -> Result<(), AgentError> {
        match hash(self.blob) == self.manifest.hash {
            true => Ok(()),
            false => Err(AgentError::Hash),
        }
    }

    /// The model, if it is whole, all of its operators are known, and there is RAM for it.
    #[inline(never)]
    pub(super) fn model<K: OpSet>(&self, ram: usize) -> Result<(Model<'m>, Need), AgentError> {
        let model = Model::load_with::<K>(self.blob).map_err(refusal)?;
        if model.header().crc != self.manifest.blob_crc32 {
            return Err(AgentError::Hash);
        }
        let need = Need::of::<K>(&model);
        let wanted = need.arena.saturating_add(4 * need.outputs);
        if wanted > ram {
            return Err(AgentError::Arena {
                wanted: word(wanted),
                found: word(ram),
            });
        }
        Ok((model, need))
    }

    /// Whether the model computes what it did on the host that made the package.
    #[inline(never)]
    pub(super) fn test<K: OpSet>(&self, ram: &mut [u8]) -> Result<(), AgentError> {
        let (_, need) = self.model::<K>(ram.len())?;
        let manifest = &self.manifest;
        let (arena, room) = need.divide(ram).ok_or(AgentError::Internal)?;
        // An agent that lets no model learn cannot test that.
        let trains = manifest.training != 0 && K::TRAIN;
        let outcome = self_test::<K>(self.blob, arena, room, trains).map_err(|fault| {
            crate::log::log!(error, "self-test: {}", fault);
            match fault {
                Fault::Load(error) => refusal(error),
                Fault::SetUp(error) => set_up_refusal(error),
                // The host left the steps out where they do.
                Fault::Train(TrainError::Diverged) => AgentError::SelfTest {
                    wanted: manifest.training,
                    found: 0,
                },
                _ => AgentError::Internal,
            }
        })?;
        let differs = |wanted, found| AgentError::SelfTest { wanted, found };
        if outcome.inference != manifest.inference {
            return Err(differs(manifest.inference, outcome.inference));
        }
        if trains && outcome.training != manifest.training {
            return Err(differs(manifest.training, outcome.training));
        }
        Ok(())
    }
}

/// What a model takes of RAM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// Bytes of arena.
    arena: usize,
    /// Outputs, in all: so many numbers have the targets.
    outputs: usize,
}

impl Need {
    fn of<K: OpSet>(model: &Model) -> Self {
        let train = match K::TRAIN && model.learns() {
            true => model.arena_train(),
            false => 0,
        };
        let arena = model.arena_infer().max(train);
        let count = model.outputs().as_slice().len();
        let outputs = (0..count).filter_map(|index| model.output(index));
        Self {
            arena: arena.checked_next_multiple_of(16).unwrap_or(usize::MAX),
            outputs: outputs
                .map(|tensor| tensor.elements())
                .fold(0, usize::saturating_add)
                .min(usize::MAX / 8),
        }
    }

    /// Arena and room for targets.
    pub(super) fn divide<'m>(&self, ram: &'m mut [u8]) -> Option<(&'m mut [u8], &'m mut [f32])> {
        let (arena, rest) = ram.split_at_mut_checked(self.arena)?;
        let room = rest.get_mut(..4 * self.outputs)?;
        Some((arena, bytemuck::try_cast_slice_mut(room).ok()?))
    }
}

/// Why a blob whose bytes are right is refused.
fn refusal(error: LoadError) -> AgentError {
    crate::log::log!(error, "the blob is refused: {}", error);
    let reason = match error {
        LoadError::Crc { .. } => return AgentError::Hash,
        LoadError::Truncated { .. } | LoadError::TrailingBytes { .. } | LoadError::Magic { .. } => {
            LoadReason::NoBlob
        }
        LoadError::Version { .. } => LoadReason::Version,
        LoadError::Layout { .. } => LoadReason::Layout,
        LoadError::Node {
            fault: NodeFault::NotLinked,
            ..
        } => LoadReason::Kernel,
        // Its bytes are what they were: it names an operator or a number type of a later version.
        LoadError::Graph => LoadReason::Kernel,
        _ => LoadReason::Malformed,
    };
    AgentError::Blob { reason }
}

/// Why a model cannot be planned.
pub(super) fn set_up_refusal(error: SetupError) -> AgentError {
    let reason = match error {
        SetupError::Arena { wanted, found } => {
            return AgentError::Arena {
                wanted: word(wanted),
                found: word(found),
            };
        }
        SetupError::Header { .. } => LoadReason::ArenaSize,
        SetupError::NotLinked { .. } => LoadReason::Kernel,
        SetupError::Plan(_) => LoadReason::Malformed,
        _ => return AgentError::Internal,
    };
    AgentError::Blob { reason }
}

/// Sizes on a device fit 32 bits.
pub(super) fn word(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
