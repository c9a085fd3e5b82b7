//! What an agent says about itself and its model.

use nn_core::link::agent::{Info, Unit};

/// What an agent says about itself. Lengths are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AgentInfo {
    /// Version of its link.
    pub protocol: u16,
    /// Version of its image.
    pub version: String,
    /// Its board.
    pub board: String,
    /// Its core.
    pub core: String,
    /// Its functions of f32, [`nn_core::scalar::MATH`].
    pub math: String,
    /// Clock of the core, in Hz; 0 where nobody knows.
    pub clock: u32,
    /// Flash for packages and what is learnt.
    pub flash: u32,
    /// The longest blob that it takes.
    pub slot_len: u32,
    /// RAM for a model.
    pub arena: u32,
    /// The longest frame that it takes.
    pub frame_max: u32,
    /// Format version of the blobs that it takes.
    pub format: u16,
    /// The operators that it knows: bit n for code n.
    pub ops: u64,
    /// What packages must be signed with: the first eight bytes of the public key. 0: nothing.
    pub key: u64,
    /// The least version that it takes.
    pub floor: u32,
    /// The slot that it serves.
    pub active: Option<u8>,
    /// Its starts so far.
    pub starts: u32,
}

impl From<Info<'_>> for AgentInfo {
    fn from(info: Info<'_>) -> Self {
        Self {
            protocol: info.protocol,
            version: info.version.to_owned(),
            board: info.board.to_owned(),
            core: info.core.to_owned(),
            math: info.math.to_owned(),
            clock: info.clock,
            flash: info.flash,
            slot_len: info.slot_len,
            arena: info.arena,
            frame_max: info.frame_max,
            format: info.format,
            ops: info.ops,
            key: info.key,
            floor: info.floor,
            active: info.active,
            starts: info.starts,
        }
    }
}

/// How far a package has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading {
    /// The slot that it goes to.
    pub slot: u8,
    /// The byte of the blob that is wanted next.
    pub offset: u32,
    /// Bytes of the blob.
    pub len: u32,
}

/// What each layer takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What is counted.
    pub unit: Unit,
    /// A count for each node.
    pub counts: Vec<u32>,
}
