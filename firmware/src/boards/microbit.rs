//! The BBC micro:bit of 2015 as QEMU emulates it: nRF51822, Cortex-M0, 16 KiB of RAM.
//!
//! Source of the addresses: Nordic's nRF51 Series Reference Manual 3.0, chapters 14 (GPIO),
//! 24 (watchdog) and 29 (UART).

use core::convert::Infallible;

use cortex_m as _; // the critical section that defmt wants
use defmt_semihosting as _;
use embedded_hal::digital;
use embedded_io::{ErrorType, Read, Write};

pub use super::file_flash::{Flash, StorePort};
use super::register::Register;
#[cfg(feature = "agent")]
use crate::layout::{ORIGIN, PAGE};
use crate::watchdog;

const UART: usize = 0x4000_2000;
const WDT: usize = 0x4001_0000;
const GPIO: usize = 0x5000_0000;

/// Pins of the USB bridge, and the corner of the light matrix.
const TXD: u32 = 24;
const RXD: u32 = 25;
const ROW_1: u32 = 13;
const COLUMN_1: u32 = 4;

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

/// Sets the board up; called once.
pub fn take() -> Parts {
    // SAFETY: `take` is called once, and nothing else in the image names these registers.
    let [gpio_out_set, gpio_out_clear, gpio_dir_set] =
        [0x508, 0x50C, 0x518].map(|offset| unsafe { Register::new(GPIO + offset) });
    // SAFETY: as above.
    let [
        start_rx,
        start_tx,
        received,
        sent,
        enable,
        pin_tx,
        pin_rx,
        rxd,
        txd,
        baud,
    ] = [
        0x000, 0x008, 0x108, 0x11C, 0x500, 0x50C, 0x514, 0x518, 0x51C, 0x524,
    ]
    .map(|offset| unsafe { Register::new(UART + offset) });

    let mut led = Led {
        set: gpio_out_set,
        clear: gpio_out_clear,
    };
    led.set.write(1 << TXD); // a line at rest is high
    let mut direction = gpio_dir_set;
    direction.write(1 << TXD | 1 << ROW_1 | 1 << COLUMN_1);

    for (mut register, value) in [
        (pin_tx, TXD),
        (pin_rx, RXD),
        (baud, 0x01D7_E000), // 115,200
        (enable, 4),
        (start_rx, 1),
        (start_tx, 1),
    ] {
        register.write(value);
    }
    Parts {
        uart: Uart {
            received,
            sent,
            rxd,
            txd,
        },
        led,
        store: StorePort::new(),
        watchdog: Watchdog(
            // SAFETY: as above.
            [0x000, 0x504, 0x600].map(|offset| unsafe { Register::new(WDT + offset) }),
        ),
    }
}

/// The chip's flash as an agent's: the non-volatile memory controller (chapter 6) writes words and erases pages.
#[cfg(feature = "agent")]
pub(super) struct AgentMemory {
    config: Register,
    erase_page: Register,
}

#[cfg(feature = "agent")]
impl AgentMemory {
    const READ: u32 = 0;
    const WRITE: u32 = 1;
    const ERASE: u32 = 2;

    pub(super) fn new() -> Self {
        // SAFETY: nothing else in the image names these registers.
        let [config, erase_page] =
            [0x504, 0x508].map(|offset| unsafe { Register::new(0x4001_E000 + offset) });
        Self { config, erase_page }
    }

    /// What a start finds there: whole words.
    pub(super) fn fill(&mut self, at: usize, bytes: &[u8]) {
        if at.is_multiple_of(PAGE) {
            self.erase(at, PAGE);
        }
        self.write(at, bytes);
    }

    /// Erases the page, wherever power is said to fail: its file has the half.
    pub(super) fn erase(&mut self, at: usize, _done: usize) {
        self.config.write(Self::ERASE);
        // Addresses have 32 bits here.
        self.erase_page.write((ORIGIN + at) as u32);
        self.config.write(Self::READ);
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.config.write(Self::WRITE);
        for (place, bytes) in (ORIGIN + at..).step_by(4).zip(bytes.chunks(4)) {
            let mut word = [0xFF; 4];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            let place = core::ptr::with_exposed_provenance_mut::<u32>(place);
            // SAFETY: flash set apart for this, which takes writes now; the driver keeps within it.
            unsafe { place.write_volatile(u32::from_le_bytes(word)) };
        }
        self.config.write(Self::READ);
    }
}

/// The core's clock, in Hz.
pub const CLOCK: u32 = 16_000_000;

/// Ends the emulation with status 0 or 1.
pub fn exit(success: bool) -> ! {
    semihosting::process::exit(i32::from(!success))
}

/// The nRF51's UART, polled: it holds six bytes that came. (With the core asleep between bytes,
/// QEMU 7.2 was seen not to wake it.)
pub struct Uart {
    received: Register,
    sent: Register,
    rxd: Register,
    txd: Register,
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else {
            return Ok(0);
        };
        while self.received.read() == 0 {}
        // Cleared first: reading the byte raises it again when another waits.
        self.received.write(0);
        *first = self.rxd.read() as u8; // the register holds 8 bits
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            self.sent.write(0);
            self.txd.write(byte.into());
            while self.sent.read() == 0 {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The light in the matrix's corner: on while its row is high and its column low.
pub struct Led {
    set: Register,
    clear: Register,
}

impl digital::ErrorType for Led {
    type Error = Infallible;
}

impl digital::OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.clear.write(1 << ROW_1);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.clear.write(1 << COLUMN_1);
        self.set.write(1 << ROW_1);
        Ok(())
    }
}

/// The nRF51's watchdog, which QEMU does not emulate. It runs at 32,768 Hz.
pub struct Watchdog([Register; 3]);

/// What feeds it.
const RELOAD: u32 = 0x6E52_4635;

impl watchdog::Watchdog for Watchdog {
    fn start(&mut self, milliseconds: u32) {
        let [start, counts, _] = &mut self.0;
        // 125 milliseconds are 4096 counts.
        counts.write(milliseconds.saturating_mul(4096) / 125);
        start.write(1);
    }

    fn feed(&mut self) {
        let [_, _, reload] = &mut self.0;
        reload.write(RELOAD);
    }
}
