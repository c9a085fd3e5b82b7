//! The flash that an emulated board keeps its weights in: a file of the host, by semihosting.
//!
//! QEMU names it in the command line that it gives the image: `store` and the path.

use core::{ffi::CStr, mem::MaybeUninit, ops::Range};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use semihosting::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    sys::arm_compat::sys_get_cmdline_uninit,
};

/// Bytes of the longest command line.
const COMMAND: usize = 512;
const PAGE: usize = 4096;

/// Opens the flash, once; none where QEMU was given none.
pub struct StorePort(());

impl StorePort {
    /// One that can be opened: the board's only one.
    pub(super) fn new() -> Self {
        StorePort(())
    }

    /// The flash, and what of it is for the store.
    #[inline(never)]
    pub fn open(self) -> Option<(Flash, Range<u32>)> {
        let mut line = [const { MaybeUninit::uninit() }; COMMAND];
        let line = sys_get_cmdline_uninit(&mut line).ok()?;
        // What ends it is not always there.
        let path = line
            .strip_prefix(b"store ")?
            .split(|byte| *byte == 0)
            .next()?;
        let mut name = [0; COMMAND];
        name.get_mut(..path.len())?.copy_from_slice(path);
        let name = CStr::from_bytes_until_nul(&name).ok()?;
        let file = File::options().read(true).write(true).open(name).ok()?;
        let len = u32::try_from(file.metadata().ok()?.len()).ok()?;
        Some((Flash { file, len }, 0..len))
    }
}

/// A file as flash.
pub struct Flash {
    file: File,
    len: u32,
}

/// The host cannot read or write the file, or the place lies outside.
#[derive(Debug, Clone, Copy)]
pub struct FileError;

impl NorFlashError for FileError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = FileError;
}

impl Flash {
    fn seek(&mut self, offset: u32) -> Result<(), FileError> {
        let place = SeekFrom::Start(offset.into());
        self.file.seek(place).map(|_| ()).map_err(|_| FileError)
    }
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FileError> {
        self.seek(offset)?;
        self.file.read_exact(bytes).map_err(|_| FileError)
    }

    fn capacity(&self) -> usize {
        self.len as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FileError> {
        self.seek(from)?;
        for _ in (from..to).step_by(64) {
            self.file.write_all(&[0xFF; 64]).map_err(|_| FileError)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FileError> {
        self.seek(offset)?;
        self.file.write_all(bytes).map_err(|_| FileError)
    }
}
