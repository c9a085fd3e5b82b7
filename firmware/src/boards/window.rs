//! An agent's flash on a board whose core reads its flash as memory: a window of that.

use core::{ops::Range, ptr, slice};

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

use super::board::{FLASH, Flash, StorePort};
use crate::{
    flash::Mapped,
    layout::{LEN, ORIGIN},
};

/// Where the window begins, from the start of the chip's flash: below 2^32.
const BASE: u32 = (ORIGIN - FLASH) as u32;

impl StorePort {
    /// The flash of an agent.
    pub fn open_for_agent(self) -> AgentFlash {
        AgentFlash(self.flash())
    }
}

/// The window.
pub struct AgentFlash(Flash);

/// Whether that lies within the window.
fn check(offset: u32, len: usize) -> Result<(), NorFlashErrorKind> {
    let end = (offset as usize).checked_add(len);
    match end.is_some_and(|end| end <= LEN) {
        true => Ok(()),
        false => Err(NorFlashErrorKind::OutOfBounds),
    }
}

impl ErrorType for AgentFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for AgentFlash {
    const READ_SIZE: usize = Flash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check(offset, bytes.len())?;
        self.0.read(BASE + offset, bytes)
    }

    fn capacity(&self) -> usize {
        LEN
    }
}

impl NorFlash for AgentFlash {
    const WRITE_SIZE: usize = Flash::WRITE_SIZE;
    const ERASE_SIZE: usize = Flash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check(to, 0)?;
        check(from, 0)?;
        self.0.erase(BASE + from, BASE + to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check(offset, bytes.len())?;
        self.0.write(BASE + offset, bytes)
    }
}

impl Mapped for AgentFlash {
    unsafe fn bytes<'m>(&self, range: Range<u32>) -> Option<&'m [u8]> {
        let len = range.end.checked_sub(range.start)? as usize;
        check(range.start, len).ok()?;
        let first = ptr::with_exposed_provenance::<u8>(ORIGIN + range.start as usize);
        // SAFETY: within the chip's flash, which the core reads as memory; the caller keeps it from being written.
        Some(unsafe { slice::from_raw_parts(first, len) })
    }
}
