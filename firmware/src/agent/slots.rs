//! A package on its way into a slot.
//!
//! Pages are erased as they come, written in whole words, read back, and marked in the journal: a load that was cut short
//! goes on from the last mark.

use embedded_storage::nor_flash::NorFlash;
use nn_core::link::{
    agent::AgentError,
    package::{MANIFEST_LEN, Manifest},
};

use super::journal::Journal;
use crate::flash::{Shared, Worn};

/// Bytes that are written at once: whole words of any flash, and pages are whole such pieces.
const PIECE: usize = 256;

/// A load that goes on.
pub(super) struct Loading {
    pub(super) slot: u8,
    pub(super) manifest: Manifest,
    /// Where the slot begins.
    base: u32,
    /// Bytes of the package that are in the flash.
    written: u32,
    piece: Piece,
    /// Bytes of it that came.
    filled: usize,
}

/// Some flashes want words.
#[repr(align(8))]
struct Piece([u8; PIECE]);

impl Loading {
    /// A load into the slot at `base`, of which so many bytes, whole pages or the whole package, are there.
    pub(super) fn new(slot: u8, base: u32, manifest: Manifest, written: u32) -> Self {
        Self {
            slot,
            manifest,
            base,
            written,
            piece: Piece([0; PIECE]),
            filled: 0,
        }
    }

    /// Bytes of the package.
    fn len(&self) -> u32 {
        self.manifest.blob_len.saturating_add(MANIFEST_LEN as u32)
    }

    /// Bytes of the package that came.
    fn taken(&self) -> u32 {
        // At most PIECE.
        self.written.saturating_add(self.filled as u32)
    }

    /// The byte of the blob that is wanted next.
    pub(super) fn wanted(&self) -> u32 {
        self.taken().saturating_sub(MANIFEST_LEN as u32)
    }

    /// Takes the piece of the blob at `offset`; what is there already is passed over.
    ///
    /// # Errors
    ///
    /// [`AgentError::Offset`]: nothing was taken. [`AgentError::Flash`]: the load has to be begun anew.
    pub(super) fn take<F: NorFlash>(
        &mut self,
        offset: u32,
        bytes: &[u8],
        flash: Shared<'_, F>,
        journal: &mut Journal<Shared<'_, F>>,
    ) -> Result<(), AgentError> {
        let wanted = self.wanted();
        let wrong = AgentError::Offset {
            wanted,
            found: offset,
        };
        let len = u32::try_from(bytes.len()).map_err(|_| wrong)?;
        let end = offset.checked_add(len).ok_or(wrong)?;
        if offset > wanted || end > self.manifest.blob_len {
            return Err(wrong);
        }
        let there = (wanted - offset) as usize;
        self.append(bytes.get(there..).unwrap_or(&[]), flash, journal)
    }

    /// Takes the next bytes of the package.
    pub(super) fn append<F: NorFlash>(
        &mut self,
        mut bytes: &[u8],
        flash: Shared<'_, F>,
        journal: &mut Journal<Shared<'_, F>>,
    ) -> Result<(), AgentError> {
        while !bytes.is_empty() {
            let room = self.piece.0.get_mut(self.filled..).unwrap_or(&mut []);
            let len = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(len);
            for (to, from) in room.iter_mut().zip(now) {
                *to = *from;
            }
            self.filled += len;
            bytes = later;
            if self.filled == PIECE || self.taken() == self.len() {
                self.write(flash, journal)?;
            }
        }
        Ok(())
    }

    /// Writes what came.
    fn write<F: NorFlash>(
        &mut self,
        mut flash: Shared<'_, F>,
        journal: &mut Journal<Shared<'_, F>>,
    ) -> Result<(), AgentError> {
        const {
            assert!(F::ERASE_SIZE.is_multiple_of(PIECE) && PIECE.is_multiple_of(F::WRITE_SIZE));
        }
        let page = F::ERASE_SIZE as u32;
        let at = self.base.saturating_add(self.written);
        if self.written.is_multiple_of(page) {
            flash.erase(at, at.saturating_add(page)).map_err(worn)?;
        }
        let whole = self.filled.next_multiple_of(F::WRITE_SIZE);
        let padding = self.piece.0.get_mut(self.filled..whole);
        padding.unwrap_or(&mut []).fill(0xFF);
        let piece = self.piece.0.get(..whole).unwrap_or(&self.piece.0);
        flash.write(at, piece).map_err(worn)?;
        self.written = self.taken();
        self.filled = 0;
        if self.written.is_multiple_of(page) || self.written == self.len() {
            journal.mark(self.written)?;
        }
        Ok(())
    }
}

/// What the host is told of it.
pub(super) fn worn(Worn { offset }: Worn) -> AgentError {
    AgentError::Flash { offset }
}
