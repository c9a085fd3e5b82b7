//! A NOR flash in memory that loses power where it is told to.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// Bytes of a page.
pub(crate) const PAGE: usize = 1024;
/// Bytes of a word.
pub(crate) const WORD: usize = 4;

/// What becomes of the word that is written, or of the page that is erased, when power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Torn {
    /// Nothing.
    Untouched,
    /// Half of it is done.
    Half,
}

/// Power fails at this operation, counted from 0: a word that is written, or a page that is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) after: usize,
    pub(crate) torn: Torn,
}

/// The flash; what it holds outlasts a cut.
#[derive(Debug, Clone)]
pub(crate) struct Flash {
    bytes: Vec<u8>,
    /// Operations so far.
    pub(crate) operations: usize,
    cut: Option<Cut>,
}

/// There is no power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPower;

impl NorFlashError for NoPower {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Flash {
    /// Erased.
    pub(crate) fn new(pages: usize) -> Self {
        Self::holding(vec![0xFF; pages * PAGE])
    }

    /// Holding something else.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            operations: 0,
            cut: None,
        }
    }

    /// Powered again, until `cut`.
    pub(crate) fn powered(mut self, cut: Option<Cut>) -> Self {
        (self.operations, self.cut) = (0, cut);
        self
    }

    /// How much of an operation on so many bytes is done.
    fn done(&mut self, len: usize) -> Result<usize, NoPower> {
        let operation = self.operations;
        self.operations += 1;
        match self.cut {
            Some(cut) if operation > cut.after => Err(NoPower),
            Some(cut) if operation == cut.after && cut.torn == Torn::Untouched => Ok(0),
            Some(cut) if operation == cut.after => Ok(len / 2),
            _ => Ok(len),
        }
    }

    fn has_power(&self) -> Result<(), NoPower> {
        match self.cut {
            Some(cut) if self.operations > cut.after => Err(NoPower),
            _ => Ok(()),
        }
    }
}

impl ErrorType for Flash {
    type Error = NoPower;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NoPower> {
        self.has_power()?;
        let offset = offset as usize;
        bytes.copy_from_slice(&self.bytes[offset..offset + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
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
            self.bytes[page..page + len].fill(0xFF);
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
            // Writing clears bits; a word that was torn may be written again.
            let mut bits = self.bytes[at..at + WORD].iter().zip(word);
            assert!(
                bits.all(|(old, new)| old & new == *new),
                "the word at {at} holds another"
            );
            self.bytes[at..at + len].copy_from_slice(&word[..len]);
            self.has_power()?;
        }
        Ok(())
    }
}
