//! ST's Nucleo-F446RE: STM32F446RE, Cortex-M4F.
//!
//! USART2 (PA2, PA3) reaches the host through the board's debugger as a USB serial port, 115,200
//! baud; LD2 is on PA5; logs go over RTT. Source: ST UM1724, chapter 6; ST RM0390.

use core::{convert::Infallible, ops::Range};

use defmt_rtt as _;
use embedded_io::{ErrorType, Read, Write};
use embedded_storage::nor_flash::{self, NorFlash, ReadNorFlash};
use stm32f4xx_hal::{
    block,
    flash::{FlashExt, LockedFlash, UnlockedFlash},
    gpio::{Output, Pin},
    pac::{Peripherals, USART2},
    prelude::*,
    rcc::Config,
    serial::{self, Serial},
    watchdog::IndependentWatchdog,
};

use crate::{model, watchdog};

/// The board's light.
pub type Led = Pin<'A', 5, Output>;

/// What the board hands out.
pub struct Parts {
    /// The link to the host.
    pub uart: Uart,
    /// A light that is on while a request is served.
    pub led: Led,
    /// The flash for what is learnt.
    pub store: StorePort,
    /// What resets the chip when it hangs; not started.
    pub watchdog: Watchdog,
}

/// Sets the board up: 168 MHz from the chip's own oscillator, which the baud rate can bear.
/// Called once.
pub fn take() -> Parts {
    let Some(chip) = Peripherals::take() else {
        defmt::panic!("the board is taken already");
    };
    let mut rcc = chip.RCC.freeze(Config::hsi().sysclk(168.MHz()));
    let pins = chip.GPIOA.split(&mut rcc);
    let config = serial::Config::default().baudrate(115_200.bps());
    let uart = match Serial::new(chip.USART2, (pins.pa2, pins.pa3), config, &mut rcc) {
        Ok(uart) => Uart(uart),
        Err(_) => defmt::panic!("the clock cannot give 115,200 baud"),
    };
    Parts {
        uart,
        led: pins.pa5.into_push_pull_output(),
        store: StorePort(LockedFlash::new(chip.FLASH)),
        watchdog: Watchdog(IndependentWatchdog::new(chip.IWDG)),
    }
}

/// The core's clock, in Hz.
pub const CLOCK: u32 = 168_000_000;

/// Stops; a debugger that is attached sees it, and the log has said why.
pub fn exit(success: bool) -> ! {
    if success {
        loop {
            cortex_m::asm::wfi();
        }
    }
    loop {
        cortex_m::asm::bkpt();
    }
}

/// USART2, polled: the host sends a request and waits, so bytes only come while none is worked on.
pub struct Uart(Serial<USART2>);

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else {
            return Ok(0);
        };
        loop {
            // Noise and lost bytes show in the frame's CRC-32.
            if let Ok(byte) = block!(self.0.read()) {
                *first = byte;
                return Ok(1);
            }
        }
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        // The port has no way to fail in sending.
        self.0.bwrite_all(bytes).ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.0.bflush().ok();
        Ok(())
    }
}

/// The chip's independent watchdog, of about 32 kHz (17 to 47 kHz: the time is a rough one).
pub struct Watchdog(IndependentWatchdog);

impl watchdog::Watchdog for Watchdog {
    fn start(&mut self, milliseconds: u32) {
        self.0.start(milliseconds.millis());
    }

    fn feed(&mut self) {
        self.0.feed();
    }
}

/// Gives the flash, once.
pub struct StorePort(LockedFlash);

impl StorePort {
    /// The flash, and what of it is for the store: sectors of 128 KiB.
    pub fn open(self) -> Option<(Flash, Range<u32>)> {
        Some((Flash(self.0), model::STORE))
    }
}

/// The chip's flash, unlocked while it is written. The core waits until an operation is done; erasing a sector takes one
/// to two seconds.
pub struct Flash(LockedFlash);

impl nor_flash::ErrorType for Flash {
    type Error = <LockedFlash as nor_flash::ErrorType>::Error;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = LockedFlash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        ReadNorFlash::read(&mut self.0, offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = UnlockedFlash::WRITE_SIZE;
    const ERASE_SIZE: usize = UnlockedFlash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        NorFlash::erase(&mut self.0.unlocked(), from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        NorFlash::write(&mut self.0.unlocked(), offset, bytes)
    }
}
