//! What host and agent say to each other besides [`Request`](super::Request): models are loaded, activated, rolled back.
//!
//! On the wire such a message begins with the byte [`TAG`], which begins no [`Request`](super::Request) and no
//! [`Response`](super::Response); after it comes the postcard form of [`AgentRequest`] or [`AgentResponse`]. Order of
//! variants and fields is the wire format, as there. Every request may be sent twice: the second does nothing that the
//! first did not.

use serde::{Deserialize, Serialize, Serializer, ser::SerializeTuple};

use super::Input;
use super::message::{Bytes, LabelBytes, Undecodable, decode};

/// The first byte of an agent's messages.
pub const TAG: u8 = 0x40;

/// What the host asks of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum AgentRequest<'a> {
    /// What are you? → [`AgentResponse::Info`]
    Info,
    /// What does this slot hold? → [`AgentResponse::Slot`]
    Slot {
        /// 0 or 1.
        slot: u8,
    },
    /// Begin to load a package into the slot that is not active, or go on with it where the same manifest was begun
    /// before → [`AgentResponse::Loading`]
    Begin {
        /// The first [`MANIFEST_LEN`](super::package::MANIFEST_LEN) bytes of the package.
        #[serde(borrow)]
        manifest: Bytes<'a>,
    },
    /// A piece of the blob → [`AgentResponse::Loading`]. Pieces that are there already are passed over.
    Chunk {
        /// Its first byte in the blob.
        offset: u32,
        /// The bytes.
        #[serde(borrow)]
        bytes: Bytes<'a>,
    },
    /// Give up what was begun → [`AgentResponse::Done`]
    Abort,
    /// Verify what was loaded, test it, and serve it from now on → [`AgentResponse::Slot`]. Where it fails the model before
    /// is served on.
    Activate,
    /// The same with what the other slot holds: the model before → [`AgentResponse::Slot`]
    Rollback,
    /// What was learnt and saved last, or the blob's weights where nothing was → [`AgentResponse::Done`]
    Restore,
    /// Run the model on an input drawn at random, and say what each layer takes → [`AgentResponse::Profile`]
    Profile {
        /// The first node that is reported.
        first: u16,
    },
    /// Judge a sample, and learn nothing → [`AgentResponse::Judged`]
    Eval {
        /// The model's input 0.
        #[serde(borrow)]
        input: Input<'a>,
        /// What it should give.
        #[serde(borrow)]
        target: LabelBytes<'a>,
    },
    /// What was served so far? → [`AgentResponse::Status`]
    Status,
    /// The weights that were written just now are these → [`AgentResponse::Done`]. A locked agent runs and keeps written
    /// weights only after it; where the signature is wrong it goes back to those before.
    Commit {
        /// Above that of every delta before.
        counter: u32,
        /// ed25519 over [`Delta::signed`].
        #[serde(borrow)]
        signature: Bytes<'a>,
    },
    /// Start anew → [`AgentResponse::Done`], then the reset
    Restart,
}

/// What an agent answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum AgentResponse<'a> {
    /// To [`AgentRequest::Info`].
    #[serde(borrow)]
    Info(Info<'a>),
    /// To [`AgentRequest::Slot`], [`AgentRequest::Activate`] and [`AgentRequest::Rollback`].
    Slot(Slot),
    /// To [`AgentRequest::Begin`] and [`AgentRequest::Chunk`].
    Loading {
        /// The slot.
        slot: u8,
        /// The byte of the blob that is wanted next.
        offset: u32,
        /// Bytes of the blob.
        len: u32,
    },
    /// It is done.
    Done,
    /// To [`AgentRequest::Profile`].
    Profile {
        /// What is counted.
        unit: Unit,
        /// Nodes that the model has.
        nodes: u16,
        /// The node of the first count.
        first: u16,
        /// A count for each node from there on, u32, little-endian; as many as fit.
        #[serde(borrow)]
        counts: Bytes<'a>,
    },
    /// To [`AgentRequest::Eval`].
    Judged {
        /// The class with the largest output.
        prediction: u16,
        /// Whether that is the target's class; false where the target is no class.
        right: bool,
    },
    /// To [`AgentRequest::Status`].
    Status(Status),
    /// It cannot be done; the model that was served is served on.
    Refused(AgentError),
}

/// An agent's card. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info<'a> {
    /// Its [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u16,
    /// Version of the image, as `0.1.0`.
    pub version: &'a str,
    /// Its board, as `mote --on` names it.
    pub board: &'a str,
    /// Its core, e.g. `Cortex-M4F`.
    pub core: &'a str,
    /// Its functions of f32, [`MATH`](crate::scalar::MATH).
    pub math: &'a str,
    /// Clock of the core, in Hz; 0 where nobody knows.
    pub clock: u32,
    /// Flash that the image leaves to slots and what is learnt.
    pub flash: u32,
    /// The longest blob that a slot takes.
    pub slot_len: u32,
    /// RAM for a model: arena and targets.
    pub arena: u32,
    /// The longest frame that it takes, before COBS.
    pub frame_max: u32,
    /// Format version of the blobs that it takes.
    pub format: u16,
    /// The operators that it knows: bit n for code n of the format.
    pub ops: u64,
    /// The first eight bytes of the public key that packages must be signed with; 0: it takes any, it is unlocked.
    pub key: u64,
    /// The least version that it takes.
    pub floor: u32,
    /// The slot that is served.
    pub active: Option<u8>,
    /// Starts since the flash was made.
    pub starts: u32,
}

/// A slot, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// 0 or 1.
    pub slot: u8,
    /// How it is.
    pub state: SlotState,
    /// The manifest's version; as the rest, 0 where the slot is empty.
    pub version: u32,
    /// Bytes of the blob.
    pub blob_len: u32,
    /// CRC-32 in the blob's header.
    pub blob_crc32: u32,
    /// Digest of the self-test's outputs, as measured at the last activation; else the manifest's.
    pub inference: u64,
    /// The same of its training steps.
    pub training: u64,
}

/// How a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SlotState {
    /// Nothing that counts.
    Empty,
    /// A package that is not whole yet.
    Loading,
    /// A whole package, not verified yet.
    Loaded,
    /// Verified and tested once: the model before, which can be rolled back to.
    Standby,
    /// The model that is served.
    Active,
}

/// What [`AgentResponse::Profile`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Instructions, in an emulator that counts them.
    Instructions,
    /// Cycles of the core's clock.
    Cycles,
}

/// What was served since the model was set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Runs that were asked for.
    pub runs: u32,
    /// Training steps.
    pub steps: u32,
    /// Samples of a class that were judged or learnt from.
    pub judged: u32,
    /// Of those, how many were right before the step.
    pub right: u32,
    /// The last step's loss, as the bits of an f32.
    pub loss: u32,
    /// Whether there is something learnt that is not saved.
    pub unsaved: bool,
}

/// Why an agent refuses. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AgentError {
    /// No model is active.
    NoModel,
    /// There are slots 0 and 1.
    NoSlot,
    /// The bytes are no manifest of this version's.
    Manifest,
    /// The blob is longer than a slot, or has none.
    TooLong {
        /// What a slot takes.
        wanted: u32,
        /// What the manifest says.
        found: u32,
    },
    /// The version lies below the floor.
    Floor {
        /// The least that is taken.
        wanted: u32,
        /// The manifest's.
        found: u32,
    },
    /// A package without a signature, for an agent that wants one.
    Unsigned,
    /// A signature by another key.
    Key {
        /// The key that the agent has.
        wanted: u64,
        /// The manifest's.
        found: u64,
    },
    /// A signature that is not this manifest's, or not these weights'.
    Signature,
    /// A piece that leaves a gap, or ends behind the blob.
    Offset {
        /// The byte that is wanted next.
        wanted: u32,
        /// The piece's first.
        found: u32,
    },
    /// Nothing was begun.
    NotLoading,
    /// Bytes of the blob are missing.
    Incomplete {
        /// Bytes of the blob.
        wanted: u32,
        /// How many are there.
        found: u32,
    },
    /// The bytes in flash are not those that the manifest's hash and CRC-32 are of.
    Hash,
    /// The blob is refused; the number is that of the reason, and words are in the agent's log.
    Blob {
        /// The place of the reason among the runtime's, see `LoadReason`.
        reason: LoadReason,
    },
    /// The model takes more RAM than there is.
    Arena {
        /// What it takes, arena and targets.
        wanted: u32,
        /// What there is.
        found: u32,
    },
    /// The self-test gave another digest: this machine computes other bits than the host that made the package.
    SelfTest {
        /// The manifest's.
        wanted: u64,
        /// The machine's.
        found: u64,
    },
    /// The flash did not take what was written or erased.
    Flash {
        /// Where, from the start of the agent's flash.
        offset: u32,
    },
    /// The other slot holds no model that was served before.
    NoStandby,
    /// Weights were written that are not signed yet.
    Uncommitted,
    /// The counter is not above that of the last delta.
    Counter {
        /// The least that is taken.
        wanted: u32,
        /// What came.
        found: u32,
    },
    /// The model does not learn.
    NoTrainPlan,
    /// The input or the target is none of the model's.
    Sample,
    /// The model could not be run.
    Internal,
    /// What the active model has learnt cannot be saved, and would be lost.
    Unsaved,
}

/// Why a blob is refused, in kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LoadReason {
    /// Cut short, or no blob at all.
    NoBlob,
    /// Another format version.
    Version,
    /// Weights laid out for another core.
    Layout,
    /// An operator or number type that the agent has no code for.
    Kernel,
    /// Its arena sizes are not those that planning gives.
    ArenaSize,
    /// A rule of the format is broken.
    Malformed,
}

/// Weights that a host writes into a locked agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// CRC-32 of the blob that they belong to.
    pub model_crc32: u32,
    /// Above that of every delta before.
    pub counter: u32,
    /// SHA-512 of all learnt weights.
    pub hash: [u8; super::package::HASH_LEN],
}

/// Bytes of [`Delta::signed`].
pub const DELTA_LEN: usize = 4 + 4 + 4 + super::package::HASH_LEN;

impl Delta {
    /// What its signature covers: `MOTW`, the CRC-32, the counter, the hash.
    pub fn signed(&self) -> [u8; DELTA_LEN] {
        let mut bytes = [0; DELTA_LEN];
        let parts = b"MOTW"
            .iter()
            .copied()
            .chain(self.model_crc32.to_le_bytes())
            .chain(self.counter.to_le_bytes())
            .chain(self.hash);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        bytes
    }
}

/// A message with [`TAG`] before it, as [`encode`](super::encode) takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tagged<'m, M>(pub &'m M);

impl<M: Serialize> Serialize for Tagged<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&TAG)?;
        tuple.serialize_element(self.0)?;
        tuple.end()
    }
}

/// Whether a frame's message is an agent's.
pub fn is_agents(message: &[u8]) -> bool {
    message.first() == Some(&TAG)
}

/// Reads the message of a frame that a host sent to an agent.
///
/// # Errors
///
/// [`Undecodable`] when it is no [`AgentRequest`], or bytes are left over.
pub fn decode_agent_request(message: &[u8]) -> Result<AgentRequest<'_>, Undecodable> {
    decode(message.strip_prefix(&[TAG]).ok_or(Undecodable)?)
}

/// Reads the message of a frame that an agent sent.
///
/// # Errors
///
/// [`Undecodable`] when it is no [`AgentResponse`], or bytes are left over.
pub fn decode_agent_response(message: &[u8]) -> Result<AgentResponse<'_>, Undecodable> {
    decode(message.strip_prefix(&[TAG]).ok_or(Undecodable)?)
}

impl core::fmt::Display for AgentError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AgentError::NoModel => {
                f.write_str("no model is active: load one, `mote device load MODEL --on PLACE`")
            }
            AgentError::NoSlot => f.write_str("there are slots 0 and 1"),
            AgentError::Manifest => {
                f.write_str("no manifest that this agent can read: make the package anew, or update the agent")
            }
            AgentError::TooLong { wanted, found } => {
                write!(f, "a slot takes blobs of 1 to {wanted} bytes, found {found}")
            }
            AgentError::Floor { wanted, found } => write!(
                f,
                "version {wanted} or above is wanted, found {found}: an older one was ruled out by one that was active"
            ),
            AgentError::Unsigned => f.write_str(
                "the agent is locked and the package is not signed: `mote package MODEL --key FILE`",
            ),
            AgentError::Key { wanted, found } => {
                // As the first digits of the key, whose bytes the number has from its low end up.
                let (wanted, found) = (wanted.swap_bytes(), found.swap_bytes());
                write!(f, "a signature by key {wanted:016x} is wanted, found {found:016x}")
            }
            AgentError::Signature => {
                f.write_str("the signature is not that of these bytes: they were changed after signing")
            }
            AgentError::Offset { wanted, found } => {
                write!(f, "byte {wanted} of the blob is wanted next, found {found}")
            }
            AgentError::NotLoading => f.write_str("nothing is being loaded"),
            AgentError::Incomplete { wanted, found } => {
                write!(f, "{found} of the blob's {wanted} bytes are there: load the rest")
            }
            AgentError::Hash => {
                f.write_str("the bytes in flash are not those of the manifest: load the package again")
            }
            AgentError::Blob { reason } => write!(f, "the blob is refused: {reason}"),
            AgentError::Arena { wanted, found } => write!(
                f,
                "the model takes {wanted} bytes of RAM, the agent has {found}: take a smaller model, or let fewer layers learn"
            ),
            AgentError::SelfTest { wanted, found } => write!(
                f,
                "the self-test wants digest {wanted:016x}, found {found:016x}: host and device compute other bits"
            ),
            AgentError::Flash { offset } => {
                write!(f, "the flash at byte {offset} does not take what is written: it is worn or protected")
            }
            AgentError::NoStandby => f.write_str("there is no model before this one to go back to"),
            AgentError::Uncommitted => {
                f.write_str("weights were written that are not signed: commit them, or reset")
            }
            AgentError::Counter { wanted, found } => {
                write!(f, "a counter of {wanted} or above is wanted, found {found}")
            }
            AgentError::NoTrainPlan => f.write_str("the model does not learn"),
            AgentError::Sample => f.write_str("the input or the target is none of the model's"),
            AgentError::Internal => f.write_str("the model could not be run"),
            AgentError::Unsaved => f.write_str(
                "what the active model has learnt cannot be saved, and would be lost: read its weights back, then reset it",
            ),
        }
    }
}

impl core::error::Error for AgentError {}

impl core::fmt::Display for LoadReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            LoadReason::NoBlob => "it is cut short, or no blob at all",
            LoadReason::Version => "another format version: export it anew, or update the agent",
            LoadReason::Layout => "its weights are laid out for another core: export it with --for",
            LoadReason::Kernel => "the agent has no code for one of its operators or number types",
            LoadReason::ArenaSize => "its arena sizes are not those that planning gives",
            LoadReason::Malformed => "it breaks a rule of the format",
        })
    }
}
