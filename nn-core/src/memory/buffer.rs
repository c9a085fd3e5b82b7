//! One entry of the planner's table.

use crate::memory::{Span, round_up};

/// Alignment of a buffer inside the shared part: that of the accumulators of fixed point.
pub(crate) const BUFFER_ALIGN: usize = 8;

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The values of a tensor; when training, also its gradient, unless that has a buffer of its own.
    Activation,
    /// The gradient of a tensor.
    Delta,
    /// What a node keeps from its forward to its backward step.
    Saved,
    /// What a node needs during its forward step only.
    Scratch,
    /// What a node keeps from one run to the next.
    State,
    /// What a node needs during its backward step only.
    BackScratch,
    /// A node's share of a gradient that several nodes add to.
    Share,
    /// The running norm of each output channel's gradient, from step to step.
    Norms,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Activation,
        Self::Delta,
        Self::Saved,
        Self::Scratch,
        Self::State,
        Self::BackScratch,
        Self::Share,
        Self::Norms,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Activation => "activation",
            Self::Delta => "delta",
            Self::Saved => "saved",
            Self::Scratch => "scratch",
            Self::State => "state",
            Self::BackScratch => "backward scratch",
            Self::Share => "share of a delta",
            Self::Norms => "norms",
        }
    }
}

/// A buffer: what it is for, when it lives, and where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes, rounded up to a multiple of 8; 0 for a tensor that shares another's buffer, whole.
    pub size: u32,
    /// Place, from the start of the shared part.
    pub offset: u32,
    /// First step at which it lives.
    pub first: u16,
    /// Last step at which it lives.
    pub last: u16,
    /// The tensor's or the node's number; a share's is 4 · node + input.
    pub owner: u16,
    /// Kind: 3 bits; flags: 3 bits; how many entries before this one lies the one whose buffer it shares: 10 bits.
    tag: u16,
}

const UNPLACED: u32 = u32::MAX;

/// A node below it learns: a gradient is wanted here.
pub(crate) const FLOWS: u16 = 1 << 3;
/// A loss lies above it: a gradient arrives here.
pub(crate) const REACHED: u16 = 1 << 4;
/// Its gradient lies in a buffer of its own.
pub(crate) const APART: u16 = 1 << 5;

const DISTANCE_AT: u32 = 6;

impl Buffer {
    /// A buffer that is not placed yet; `None` where it is too large.
    pub(crate) fn new(kind: Kind, owner: u16, bytes: usize, first: u16, last: u16) -> Option<Self> {
        Some(Self {
            size: u32::try_from(round_up(bytes, BUFFER_ALIGN))
                .ok()
                .filter(|size| *size <= i32::MAX as u32)?,
            offset: UNPLACED,
            first,
            last,
            owner,
            tag: kind as u16,
        })
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        let kind = usize::from(self.tag & 7);
        Kind::ALL.get(kind).copied().unwrap_or(Kind::Activation)
    }

    pub(crate) fn is(&self, flag: u16) -> bool {
        self.tag & flag != 0
    }

    pub(crate) fn set(&mut self, flag: u16) {
        self.tag |= flag;
    }

    /// How many entries before this one lies the one whose buffer it shares; 0 where it has its own.
    pub(crate) fn shares_back(&self) -> usize {
        usize::from(self.tag >> DISTANCE_AT)
    }

    /// Lets it share the buffer of the entry `distance` before it; `false` where that is too far.
    pub(crate) fn share(&mut self, distance: usize) -> bool {
        match u16::try_from(distance) {
            Ok(distance) if distance < 1 << (16 - DISTANCE_AT) => {
                self.tag |= distance << DISTANCE_AT;
                self.size = 0;
                true
            }
            _ => false,
        }
    }

    /// Lets it follow upon the entry `distance` before it, where that begins, when that is needed no more; `false` where
    /// that is too far.
    pub(crate) fn follow(&mut self, distance: usize) -> bool {
        let size = self.size;
        let shares = self.share(distance);
        self.size = size;
        shares
    }

    /// Whether it lies where another lay, and is shorter.
    pub(crate) fn follows(&self) -> bool {
        self.size > 0 && self.shares_back() > 0
    }

    /// Whether it is to be placed; one that follows is not by itself.
    pub(crate) fn waits(&self) -> bool {
        self.size > 0 && self.offset == UNPLACED && !self.follows()
    }

    pub(crate) fn unplace(&mut self) {
        self.offset = UNPLACED;
    }

    pub(crate) fn is_placed(&self) -> bool {
        self.size > 0 && self.offset != UNPLACED
    }

    /// Whether both live at some step.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    pub(crate) fn live_until(&mut self, step: u16) {
        self.last = self.last.max(step);
    }

    /// The first `bytes` of it; nothing where it has no place.
    pub(crate) fn span(&self, bytes: usize) -> Span {
        if self.is_placed() {
            // No buffer is larger than 2^31 bytes.
            Span::ram(self.offset, bytes.min(self.size as usize) as u32)
        } else {
            Span::NOTHING
        }
    }
}
