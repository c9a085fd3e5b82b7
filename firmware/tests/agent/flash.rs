//! A NOR flash in memory that the core reads, loses power where it is told to, and wears out.

use std::{ops::Range, slice};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use firmware::flash::Mapped;

/// Bytes of a page.
pub(crate) const PAGE: usize = 512;
/// Bytes of a word.
const WORD: usize = 4;

/// Power fails at this operation, counted from 0: a word that is written, or a page that is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) at: usize,
    /// Whether half of it is done, or nothing.
    pub(crate) half: bool,
}

/// The flash; what it holds outlasts a cut.
pub(crate) struct Flash {
    /// Of a leaked box, which others look into while some of it is written.
    first: *mut u128,
    len: usize,
    /// Operations since power came.
    pub(crate) operations: usize,
    cut: Option<Cut>,
    /// A page that is no longer erased, and says nothing of it.
    pub(crate) worn: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct NoPower;

impl NorFlashError for NoPower {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Flash {
    /// Erased.
    pub(crate) fn new(len: usize) -> Self {
        Self::holding(&vec![0xFF; len])
    }

    /// Holding something else.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let words = bytes
            .chunks(16)
            .map(|chunk| u128::from_le_bytes(chunk.try_into().unwrap()));
        let words: Box<[u128]> = words.collect();
        Self {
            first: Box::into_raw(words).cast(),
            len: bytes.len(),
            operations: 0,
            cut: None,
            worn: None,
        }
    }

    /// What it holds.
    pub(crate) fn contents(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.copy_to(0, &mut bytes);
        bytes
    }

    /// Holds `bytes` at `at` from now on.
    pub(crate) fn plant(&mut self, at: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            self.set(at + index, *byte);
        }
    }

    /// Powered again, until `cut`.
    pub(crate) fn power(&mut self, cut: Option<Cut>) {
        (self.operations, self.cut) = (0, cut);
    }

    fn place(&self, at: usize) -> *mut u8 {
        assert!(at < self.len);
        // SAFETY: within the box.
        unsafe { self.first.cast::<u8>().add(at) }
    }

    fn get(&self, at: usize) -> u8 {
        // SAFETY: within the box, which is written through this pointer alone.
        unsafe { self.place(at).read() }
    }

    fn set(&mut self, at: usize, byte: u8) {
        // SAFETY: within the box; no one borrows these bytes, by `Mapped`'s contract.
        unsafe { self.place(at).write(byte) };
    }

    fn copy_to(&self, at: usize, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.get(at + index);
        }
    }

    /// How much of an operation on so many bytes is done.
    fn done(&mut self, len: usize) -> Result<usize, NoPower> {
        let operation = self.operations;
        self.operations += 1;
        match self.cut {
            Some(cut) if operation > cut.at => Err(NoPower),
            Some(cut) if operation == cut.at => Ok(if cut.half { len / 2 } else { 0 }),
            _ => Ok(len),
        }
    }

    pub(crate) fn has_power(&self) -> Result<(), NoPower> {
        match self.cut {
            Some(cut) if self.operations > cut.at => Err(NoPower),
            _ => Ok(()),
        }
    }
}

impl Drop for Flash {
    fn drop(&mut self) {
        let words = std::ptr::slice_from_raw_parts_mut(self.first, self.len.div_ceil(16));
        // SAFETY: the box that `holding` leaked.
        drop(unsafe { Box::from_raw(words) });
    }
}

impl ErrorType for Flash {
    type Error = NoPower;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NoPower> {
        self.has_power()?;
        self.copy_to(offset as usize, bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.len
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NoPower> {
        let (from, to) = (from as usize, to as usize);
        assert!(from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE));
        for page in (from..to).step_by(PAGE) {
            let len = self.done(PAGE)?;
            for at in page..page + len {
                if self.worn != Some(page) {
                    self.set(at, 0xFF);
                }
            }
            self.has_power()?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NoPower> {
        let offset = offset as usize;
        assert!(offset.is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD));
        for (index, word) in bytes.chunks(WORD).enumerate() {
            let len = self.done(WORD)?;
            let at = offset + index * WORD;
            for (place, byte) in (at..).zip(&word[..len]) {
                // Writing clears bits.
                let old = self.get(place);
                let worn = self.worn == Some(place / PAGE * PAGE);
                assert!(worn || old & byte == *byte, "byte {place} holds another");
                self.set(place, old & byte);
            }
            self.has_power()?;
        }
        Ok(())
    }
}

impl Mapped for Flash {
    unsafe fn bytes<'m>(&self, range: Range<u32>) -> Option<&'m [u8]> {
        let (start, end) = (range.start as usize, range.end as usize);
        if start >= end || end > self.len {
            return None;
        }
        // SAFETY: within the box; the caller sees to it that they are not written, and that the flash is there.
        Some(unsafe { slice::from_raw_parts(self.place(start), end - start) })
    }
}
