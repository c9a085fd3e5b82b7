//! The flash of a Pico: a chip of its own, W25Q16JV, which the core reads as memory and the ROM writes.
//!
//! While it is written it cannot be read: what runs then lies in RAM or in the ROM, interrupts are masked, and core 1 never
//! left the ROM. Source: RP2040 Datasheet, chapter 2.8.3.1.3.

use core::{mem::transmute, ptr};

use cortex_m::interrupt;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use rp2040_hal::rom_data;

/// Where the core reads it.
pub(in crate::boards) const FLASH: usize = 0x1000_0000;
const CAPACITY: usize = 2 * 1024 * 1024;
/// What is written at once; 0xFF leaves a byte as it is.
const PAGE: usize = 256;
/// Words of what the ROM starts at the flash's beginning, which makes it fast again after the ROM wrote.
const BOOT: usize = 64;
/// What can be erased at once with a command of its own.
const BLOCK: u32 = 64 * 1024;
const ERASE_BLOCK: u8 = 0xD8;

/// Gives the flash, once.
pub struct StorePort(());

impl StorePort {
    /// The board's only one.
    pub(super) fn new() -> Self {
        StorePort(())
    }

    /// The flash, and what of it is for the store: sectors of 4 KiB.
    #[cfg(not(feature = "agent"))]
    pub fn open(self) -> Option<(Flash, core::ops::Range<u32>)> {
        Some((self.flash(), crate::model::STORE))
    }

    /// All of the flash.
    pub(in crate::boards) fn flash(self) -> Flash {
        let mut boot = [0; BOOT];
        for (index, word) in boot.iter_mut().enumerate() {
            // SAFETY: the flash's first 256 bytes, which can be read, and hold `BOOT` of the board's module.
            *word = unsafe { (FLASH as *const u32).add(index).read_volatile() };
        }
        Flash { boot }
    }
}

/// The flash. The core waits until an operation is done: about 45 ms for a sector, 0.4 ms for a page.
pub struct Flash {
    boot: [u32; BOOT],
}

/// What runs while the flash cannot be read, looked up before.
struct Rom {
    connect: unsafe extern "C" fn(),
    leave: unsafe extern "C" fn(),
    erase: unsafe extern "C" fn(u32, usize, u32, u8),
    program: unsafe extern "C" fn(u32, *const u8, usize),
    flush: unsafe extern "C" fn(),
    enter: unsafe extern "C" fn(),
}

impl Flash {
    /// Erases `len` bytes from `offset` on, or writes them where there is something to write.
    fn change(&mut self, offset: u32, bytes: *const u8, len: usize) {
        let boot = ptr::from_ref(&self.boot).addr() | 1;
        // SAFETY: a copy of what the ROM starts: code that runs wherever it lies, and returns where a caller is known.
        let enter = unsafe { transmute::<usize, unsafe extern "C" fn()>(boot) };
        let rom = Rom {
            connect: rom_data::connect_internal_flash::ptr(),
            leave: rom_data::flash_exit_xip::ptr(),
            erase: rom_data::flash_range_erase::ptr(),
            program: rom_data::flash_range_program::ptr(),
            flush: rom_data::flash_flush_cache::ptr(),
            enter,
        };
        // SAFETY: interrupts are masked, and the other core sleeps in the ROM; the callers checked the range.
        interrupt::free(|_| unsafe { in_ram(&rom, offset, bytes, len) });
    }
}

/// # Safety
///
/// Nothing may read the flash meanwhile; `offset` and `len` are whole sectors, or pages, of the flash; `bytes` lies in RAM.
#[inline(never)]
#[unsafe(link_section = ".data.pico_flash")]
unsafe fn in_ram(rom: &Rom, offset: u32, bytes: *const u8, len: usize) {
    // SAFETY: in the order that the data sheet wants; the caller vouches for the rest.
    unsafe {
        (rom.connect)();
        (rom.leave)();
        if bytes.is_null() {
            (rom.erase)(offset, len, BLOCK, ERASE_BLOCK);
        } else {
            (rom.program)(offset, bytes, len);
        }
        (rom.flush)();
        (rom.enter)();
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        for (address, byte) in (FLASH + offset as usize..).zip(bytes) {
            // SAFETY: `check_read` found it within the flash, which can be read here.
            *byte = unsafe { (address as *const u8).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for sector in (from..to).step_by(Self::ERASE_SIZE) {
            self.change(sector, ptr::null(), Self::ERASE_SIZE);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let (mut offset, mut bytes) = (offset as usize, bytes);
        while !bytes.is_empty() {
            // What of a page lies before these bytes and behind them stays as it is.
            let before = offset % PAGE;
            let (now, later) = bytes.split_at(bytes.len().min(PAGE - before));
            let mut page = [0xFF; PAGE];
            for (place, byte) in page.iter_mut().skip(before).zip(now) {
                *place = *byte;
            }
            // 2 MiB: it fits.
            self.change((offset - before) as u32, page.as_ptr(), PAGE);
            offset += now.len();
            bytes = later;
        }
        Ok(())
    }
}
