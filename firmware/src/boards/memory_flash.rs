//! An agent's flash on an emulated board: memory that the core reads, and a file of the host that outlasts the emulator.
//!
//! QEMU names it in the command line that it gives the image: `flash` and the path, then faults to try: `cut=N`, power that
//! fails at operation N (a page that is erased, or a word that is written; counted from 0 at the start), which is left half
//! done, and the emulator exits with status 86; `worn=OFFSET`, a page that can no longer be erased.

use core::{ffi::CStr, mem::MaybeUninit, ops::Range};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use semihosting::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    sys::arm_compat::sys_get_cmdline_uninit,
};

use super::{board::AgentMemory, file_flash::StorePort};
use crate::{
    flash::Mapped,
    layout::{LEN, ORIGIN, PAGE},
};

/// Bytes of the longest command line.
const COMMAND: usize = 512;
/// Bytes of a word.
const WORD: usize = 4;
/// The emulator's status when power fails.
const NO_POWER: i32 = 86;

impl StorePort {
    /// The flash of an agent. Without a file of the host it forgets everything when the emulator ends.
    #[inline(never)]
    pub fn open_for_agent(self) -> AgentFlash {
        let mut flash = AgentFlash {
            memory: AgentMemory::new(),
            file: None,
            operation: 0,
            cut: None,
            worn: None,
        };
        if flash.find().is_none() {
            defmt::error!("no file for the flash: it is lost when the emulator ends");
            flash.file = None;
        }
        flash.fill();
        flash
    }
}

/// Memory and a file as flash.
pub struct AgentFlash {
    memory: AgentMemory,
    file: Option<File>,
    /// Operations since the start.
    operation: u32,
    /// The operation at which power fails.
    cut: Option<u32>,
    /// The page that is worn.
    worn: Option<u32>,
}

/// The host cannot write the file, the page is worn, or the place lies outside.
#[derive(Debug, Clone, Copy)]
pub struct FlashError;

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for AgentFlash {
    type Error = FlashError;
}

impl AgentFlash {
    /// What the command line says.
    fn find(&mut self) -> Option<()> {
        let mut line = [const { MaybeUninit::uninit() }; COMMAND];
        let line = sys_get_cmdline_uninit(&mut line).ok()?;
        // What ends it is not always there.
        let mut path = line
            .strip_prefix(b"flash ")?
            .split(|byte| *byte == 0)
            .next()?;
        while let Some(at) = path.iter().rposition(|byte| *byte == b' ') {
            let (before, option) = path.split_at_checked(at)?;
            match option.get(1..)?.split_at_checked(4)? {
                (b"cut=", number) => self.cut = Some(decimal(number)?),
                (b"worn", [b'=', number @ ..]) => {
                    self.worn = Some(decimal(number)? / PAGE as u32 * PAGE as u32);
                }
                // A path with a space in it.
                _ => break,
            }
            path = before;
        }
        let mut name = [0; COMMAND];
        name.get_mut(..path.len())?.copy_from_slice(path);
        let name = CStr::from_bytes_until_nul(&name).ok()?;
        self.file = Some(File::options().read(true).write(true).open(name).ok()?);
        Some(())
    }

    /// Puts what the file holds into memory; what it lacks is erased flash.
    fn fill(&mut self) {
        // A page of the board with the smallest.
        let mut piece = [0; 1024];
        for at in (0..LEN).step_by(piece.len()) {
            piece.fill(0xFF);
            let mut found = 0;
            while let Some(file) = &mut self.file
                && let Some(rest) = piece.get_mut(found..).filter(|rest| !rest.is_empty())
            {
                match file.read(rest) {
                    Ok(len @ 1..) => found += len,
                    _ => break,
                }
            }
            self.memory.fill(at, &piece);
            let lacks = piece.get(found..).unwrap_or_default();
            if let Some(file) = self.file.as_mut().filter(|_| !lacks.is_empty()) {
                file.write_all(lacks).ok();
            }
        }
    }

    /// How many of so many bytes an operation gets done.
    fn begin(&mut self, len: usize) -> (usize, bool) {
        let operation = self.operation;
        self.operation += 1;
        match self.cut == Some(operation) {
            true => (len / 2, true),
            false => (len, false),
        }
    }

    /// Writes to the file what memory holds there.
    fn keep(&mut self, range: Range<usize>) -> Result<(), FlashError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        // SAFETY: nothing is written before it is done.
        let bytes = unsafe { bytes(range.clone()) }.ok_or(FlashError)?;
        file.seek(SeekFrom::Start(range.start as u64))
            .map_err(|_| FlashError)?;
        file.write_all(bytes).map_err(|_| FlashError)
    }
}

/// The number of these digits.
fn decimal(digits: &[u8]) -> Option<u32> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// What lies there.
///
/// # Safety
///
/// Nothing is written there as long as it is borrowed.
unsafe fn bytes<'m>(range: Range<usize>) -> Option<&'m [u8]> {
    let len = range.end.checked_sub(range.start)?;
    if range.end > LEN {
        return None;
    }
    let first = core::ptr::with_exposed_provenance::<u8>(ORIGIN + range.start);
    // SAFETY: memory of the board, set apart for this (build/agent.rs checks it); the caller keeps it from being written.
    Some(unsafe { core::slice::from_raw_parts(first, len) })
}

impl ReadNorFlash for AgentFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, to: &mut [u8]) -> Result<(), FlashError> {
        let start = offset as usize;
        let end = start.checked_add(to.len()).ok_or(FlashError)?;
        // SAFETY: nothing is written before it is copied.
        let from = unsafe { bytes(start..end) }.ok_or(FlashError)?;
        to.copy_from_slice(from);
        Ok(())
    }

    fn capacity(&self) -> usize {
        LEN
    }
}

impl NorFlash for AgentFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let range = from as usize..to as usize;
        if range.end > LEN || !range.start.is_multiple_of(PAGE) || !range.end.is_multiple_of(PAGE) {
            return Err(FlashError);
        }
        for page in range.step_by(PAGE) {
            if self.worn == Some(page as u32) {
                return Err(FlashError);
            }
            let (done, cut) = self.begin(PAGE);
            self.memory.erase(page, done);
            self.keep(page..page + done)?;
            if cut {
                semihosting::process::exit(NO_POWER);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, from: &[u8]) -> Result<(), FlashError> {
        let start = offset as usize;
        let end = start.checked_add(from.len()).ok_or(FlashError)?;
        if end > LEN || !start.is_multiple_of(WORD) || !from.len().is_multiple_of(WORD) {
            return Err(FlashError);
        }
        let (mut at, mut has_power) = (start, true);
        for word in from.chunks(WORD) {
            let (done, cut) = self.begin(WORD);
            self.memory.write(at, word.get(..done).unwrap_or(word));
            at += done;
            if cut {
                has_power = false;
                break;
            }
        }
        self.keep(start..at)?;
        if !has_power {
            semihosting::process::exit(NO_POWER);
        }
        Ok(())
    }
}

impl Mapped for AgentFlash {
    unsafe fn bytes<'m>(&self, range: Range<u32>) -> Option<&'m [u8]> {
        // SAFETY: the caller's.
        unsafe { bytes(range.start as usize..range.end as usize) }
    }
}
