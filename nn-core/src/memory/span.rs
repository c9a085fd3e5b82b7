//! A part of the arena or of the weights section.

use core::ops::Range;

use crate::stored::stored;

/// Bytes from an offset on, in RAM or in flash (the blob's weights section).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    offset: u32,
    pub(crate) len: u32,
}

stored!(Span {
    offset: u32,
    len: u32
});

impl Span {
    /// Neither weights sections nor arenas reach 2³¹ bytes: see `load`.
    const FLASH: u32 = 1 << 31;
    /// No bytes.
    pub const NOTHING: Self = Self { offset: 0, len: 0 };

    /// Bytes of the arena's memory.
    pub const fn ram(offset: u32, len: u32) -> Self {
        Self { offset, len }
    }

    /// Bytes of the weights section.
    pub const fn flash(offset: u32, len: u32) -> Self {
        Self {
            offset: offset | Self::FLASH,
            len,
        }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.len == 0
    }

    pub(crate) const fn is_flash(self) -> bool {
        self.offset & Self::FLASH != 0
    }

    /// The span, `base` bytes further on.
    pub(crate) fn after(self, base: u32) -> Self {
        if self.len == 0 {
            return Self::NOTHING;
        }
        Self {
            offset: self.offset.saturating_add(base),
            len: self.len,
        }
    }

    /// Its first `len` bytes.
    pub(crate) fn truncated(self, len: u32) -> Self {
        Self {
            offset: self.offset,
            len: self.len.min(len),
        }
    }

    /// Its bytes, counted in the section in which it lies. An empty span lies at 0, where it overlaps nothing.
    pub(crate) fn range(self) -> Range<usize> {
        let start = self.start();
        start..start.saturating_add(self.len as usize)
    }

    /// Its first byte. An empty span lies at 0.
    pub(crate) fn start(self) -> usize {
        if self.len == 0 {
            0
        } else {
            (self.offset & !Self::FLASH) as usize
        }
    }

    /// Whether it ends within so many bytes.
    #[inline(always)]
    pub(crate) const fn is_within(self, bytes: usize) -> bool {
        let end = (self.offset & !Self::FLASH).saturating_add(self.len);
        self.len == 0 || end as usize <= bytes
    }

    /// Whether both lie in RAM and share a byte.
    #[inline(always)]
    pub(crate) const fn overlaps(self, other: Self) -> bool {
        // Asked for each pair of what a step borrows: as few comparisons as there can be. No end wraps: offsets in RAM
        // and lengths are below 2³¹.
        other.len != 0
            && self.len != 0
            && (self.offset | other.offset) & Self::FLASH == 0
            && self.offset < other.offset.wrapping_add(other.len)
            && other.offset < self.offset.wrapping_add(self.len)
    }
}
