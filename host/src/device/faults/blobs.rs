//! Blobs that an agent cannot serve: refused, and the model before is served on.

use nn_core::link::{
    agent::{AgentError, LoadReason},
    package::Manifest,
};
use nn_core::model::reseal;

use super::{
    Bad, FaultError, Outcome, Trials,
    bench::{Bench, CHUNK, Start},
};
use crate::{
    device::{DeviceError, Qemu, agent::Agent},
    export::AlignedBytes,
    package::sha512,
};

/// Where the header has the version, and the two arena sizes.
const VERSION: usize = 4;
const ARENAS: [usize; 2] = [20, 24];
/// The name of the model's only node; its operator's number comes behind.
const NODE: &[u8] = b"dense";

/// A blob without a check, and a manifest for it.
struct Crafted {
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl Crafted {
    /// The new model's blob after `change`, with a checksum and a manifest that fit it.
    fn new(bench: &Bench, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = bench.new.package.blob.bytes().to_vec();
        change(&mut bytes);
        let mut aligned = AlignedBytes::copy_of(&bytes);
        // It renews the checksum, and then finds that the blob is none.
        reseal(aligned.as_mut_slice()).ok();
        let bytes = aligned.to_vec();
        let crc = bytes.get(28..32).and_then(|crc| crc.try_into().ok());
        let manifest = Manifest {
            blob_len: bytes.len() as u32,
            blob_crc32: crc.map_or(0, u32::from_le_bytes),
            hash: sha512(&bytes),
            ..bench.new.package.manifest
        };
        Self { manifest, bytes }
    }

    /// Loads it, and has it activated.
    fn activate(&self, agent: &mut Agent<Qemu>) -> Result<(), DeviceError> {
        agent.begin(&self.manifest)?;
        for (index, chunk) in self.bytes.chunks(CHUNK).enumerate() {
            agent.chunk((index * CHUNK) as u32, chunk)?;
        }
        agent.activate().map(|_| ())
    }
}

/// It was refused for `wanted`.
pub(super) fn refused(
    done: Result<(), DeviceError>,
    wanted: impl Fn(&AgentError) -> bool,
) -> Outcome {
    match done {
        Err(DeviceError::Agent(error)) if wanted(&error) => Ok(()),
        Err(error) => Err(Bad::Failed(format!("refused for another reason: {error}"))),
        Ok(()) => Err(Bad::Failed("it was taken".into())),
    }
}

/// Each of `cases` on one agent: `try_it` has to be refused as it should, and the model before served on.
fn each<C>(
    bench: &Bench,
    cases: impl IntoIterator<Item = (String, C)>,
    try_it: impl Fn(&mut Agent<Qemu>, C) -> Outcome,
) -> Result<Trials, FaultError> {
    let flash = bench.flash(false)?;
    let mut agent = bench.boot(&flash.0, Start::default())?;
    let mut trials = Trials::default();
    for (name, case) in cases {
        let outcome = try_it(&mut agent, case).and_then(|()| bench.serves_before(&mut agent));
        trials.count(name, outcome);
    }
    // After all of them it takes one that it can serve.
    trials.count("a whole one afterwards", bench.takes_new(&mut agent));
    agent.finish()?;
    Ok(trials)
}

/// Blobs of no byte, of one more than a slot takes, and of as many as there are numbers for.
pub(super) fn too_large(bench: &Bench) -> Result<Trials, FaultError> {
    let slot = bench.board.agent.map_or(0, |agent| agent.slot);
    let lengths = [0, slot, slot + 1, u32::MAX];
    let cases = lengths.map(|len| (format!("{len} bytes"), len));
    each(bench, cases, |agent, blob_len| {
        let manifest = Manifest {
            blob_len,
            ..bench.new.package.manifest
        };
        let begun = agent.begin(&manifest).map(|_| ());
        refused(begun, |error| matches!(error, AgentError::TooLong { .. }))
    })
}

fn reason(wanted: LoadReason) -> impl Fn(&AgentError) -> bool {
    move |error| matches!(error, AgentError::Blob { reason } if *reason == wanted)
}

/// The format's versions before and after, and the last of all.
pub(super) fn format_version(bench: &Bench) -> Result<Trials, FaultError> {
    let cases = [1u16, 3, u16::MAX].map(|version| (format!("version {version}"), version));
    each(bench, cases, |agent, version| {
        let crafted = Crafted::new(bench, |blob| {
            blob[VERSION..VERSION + 2].copy_from_slice(&version.to_le_bytes());
        });
        refused(crafted.activate(agent), reason(LoadReason::Version))
    })
}

/// Operators of numbers that this format has none of.
pub(super) fn unknown_kernels(bench: &Bench) -> Result<Trials, FaultError> {
    let cases = [100u8, 126, 127].map(|code| (format!("operator {code}"), code));
    each(bench, cases, |agent, code| {
        let crafted = Crafted::new(bench, |blob| {
            let at = blob.windows(NODE.len()).position(|name| name == NODE);
            if let Some(operator) = at.and_then(|at| blob.get_mut(at + NODE.len())) {
                *operator = code;
            }
        });
        refused(crafted.activate(agent), reason(LoadReason::Kernel))
    })
}

/// Arena sizes that are off by some bytes, 0, and larger than any RAM.
pub(super) fn arena_size(bench: &Bench) -> Result<Trials, FaultError> {
    let sizes: [fn(u32) -> u32; 5] = [
        |size| size - 16,
        |size| size + 16,
        |size| size + 4,
        |_| 0,
        |_| 0x7FFF_FFF0,
    ];
    let cases = ARENAS.iter().flat_map(|&at| sizes.map(|size| (at, size)));
    let cases = cases.map(|(at, size)| (format!("the size at byte {at}"), (at, size)));
    each(bench, cases, |agent, (at, size)| {
        let crafted = Crafted::new(bench, |blob| {
            let field = [blob[at], blob[at + 1], blob[at + 2], blob[at + 3]];
            let changed = size(u32::from_le_bytes(field));
            blob[at..at + 4].copy_from_slice(&changed.to_le_bytes());
        });
        refused(crafted.activate(agent), |error| {
            // A model that learns has a size for training; more than there is is refused for that.
            matches!(error, AgentError::Arena { .. })
                || reason(LoadReason::ArenaSize)(error)
                || reason(LoadReason::Malformed)(error)
        })
    })
}

/// Blobs that end early, with a manifest of what is left; and one that is not loaded to its end.
pub(super) fn truncated(bench: &Bench) -> Result<Trials, FaultError> {
    let len = bench.new.package.blob.bytes().len();
    let lengths = [1, 4, 16, 31, 32, 33, len / 2, len - 16, len - 1];
    let cases = lengths.map(|left| (format!("{left} of {len} bytes"), Some(left)));
    let cases = cases
        .into_iter()
        .chain([("not to its end".to_owned(), None)]);
    each(bench, cases, |agent, left| match left {
        Some(left) => {
            let crafted = Crafted::new(bench, |blob| blob.truncate(left));
            refused(crafted.activate(agent), |error| {
                // Bytes that are cut off may have been the ones that made the checksum fit.
                *error == AgentError::Hash || reason(LoadReason::NoBlob)(error)
            })
        }
        None => {
            let package = bench.new.release(77);
            agent.begin(&package.manifest)?;
            agent.chunk(0, &package.blob.bytes()[..CHUNK])?;
            let activated = agent.activate().map(|_| ());
            refused(activated, |error| {
                matches!(
                    error,
                    AgentError::Incomplete { .. } | AgentError::NotLoading
                )
            })
        }
    })
}

/// One bit of the blob is another than the manifest's hash is of; or the manifest has another hash, CRC-32 or digest.
pub(super) fn damaged(bench: &Bench) -> Result<Trials, FaultError> {
    let len = bench.new.package.blob.bytes().len();
    let bits = bench
        .positions(len)
        .map(|at| (format!("byte {at}"), Some(at)));
    let cases: Vec<_> = bits.chain([("the manifest".to_owned(), None)]).collect();
    each(bench, cases, |agent, at| {
        let package = &bench.new.package;
        let mut crafted = Crafted {
            manifest: package.manifest,
            bytes: package.blob.bytes().to_vec(),
        };
        match at {
            Some(at) => {
                crafted.manifest.version = 10 + at as u32;
                crafted.bytes[at] ^= 1 << (at % 8);
                refused(crafted.activate(agent), |error| *error == AgentError::Hash)
            }
            None => {
                crafted.manifest.blob_crc32 ^= 1;
                refused(crafted.activate(agent), |error| *error == AgentError::Hash)?;
                crafted.manifest.blob_crc32 ^= 1;
                crafted.manifest.inference ^= 1;
                refused(crafted.activate(agent), |error| {
                    matches!(error, AgentError::SelfTest { .. })
                })?;
                crafted.manifest.inference ^= 1;
                crafted.manifest.training ^= 1;
                refused(crafted.activate(agent), |error| {
                    matches!(error, AgentError::SelfTest { .. })
                })
            }
        }
    })
}
