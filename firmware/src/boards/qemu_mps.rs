//! What Arm's MPS boards have in common as QEMU emulates them; where it lies is in each board's file.
//!
//! Source: Arm DDI 0479 (Cortex-M System Design Kit), chapters 4.5 (UART) and 4.7 (watchdog).

#[path = "wait.rs"]
mod wait;

use core::convert::Infallible;

use cortex_m as _; // the critical section that defmt wants
use defmt_semihosting as _;
use embedded_hal::digital;
use embedded_io::{ErrorType, Read, Write};

pub use crate::boards::file_flash::{Flash, StorePort};
use crate::{boards::register::Register, watchdog};

use self::wait::Wake;
use super::PLACES;

/// Where a board has what.
pub(super) struct Places {
    /// The core's clock, in Hz.
    pub(super) clock: u32,
    /// UART0's registers.
    pub(super) uart: usize,
    /// The interrupt of what it receives.
    pub(super) received: u16,
    /// The FPGA's register of LEDs.
    pub(super) led: usize,
    /// The watchdog's registers, where QEMU emulates it.
    pub(super) watchdog: Option<usize>,
}

const TX_FULL: u32 = 1;
const RX_FULL: u32 = 2;
/// Transmitter and receiver on, an interrupt for each byte that comes.
const CONTROL: u32 = 0b1011;
const RX_INTERRUPT: u32 = 2;

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
    // SAFETY: these are UART0's registers, and nothing else in the image names them.
    let [data, state, mut control, interrupts, mut divider] =
        [0, 4, 8, 12, 16].map(|offset| unsafe { Register::new(PLACES.uart + offset) });
    // The smallest divider that the UART takes: 25 MHz / 16. QEMU keeps no time for it.
    divider.write(16);
    control.write(CONTROL);
    Parts {
        uart: Uart {
            data,
            state,
            interrupts,
            wake: Wake::new(PLACES.received),
        },
        // SAFETY: as above, for the FPGA's LED register.
        led: Led(unsafe { Register::new(PLACES.led) }),
        store: StorePort::new(),
        watchdog: Watchdog(PLACES.watchdog.map(|base| {
            // SAFETY: as above, for the watchdog's registers.
            [0x000, 0x008, 0x00C, 0xC00].map(|offset| unsafe { Register::new(base + offset) })
        })),
    }
}

/// The core's clock, in Hz.
pub const CLOCK: u32 = PLACES.clock;

/// The memory of an agent's flash: plain memory, in which writing clears bits and erasing sets them, as in flash.
#[cfg(feature = "agent")]
pub(in crate::boards) struct AgentMemory(());

#[cfg(feature = "agent")]
impl AgentMemory {
    pub(in crate::boards) fn new() -> Self {
        Self(())
    }

    fn place(at: usize) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(crate::layout::ORIGIN + at)
    }

    /// What a start finds there.
    pub(in crate::boards) fn fill(&mut self, at: usize, bytes: &[u8]) {
        // SAFETY: the board's memory, set apart for this; the driver keeps within it, and nothing borrows it at the start.
        unsafe { Self::place(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    pub(in crate::boards) fn erase(&mut self, at: usize, len: usize) {
        for index in at..at + len {
            // SAFETY: as above.
            unsafe { Self::place(index).write_volatile(0xFF) };
        }
    }

    pub(in crate::boards) fn write(&mut self, at: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let place = Self::place(at + index);
            // SAFETY: as above.
            unsafe { place.write_volatile(place.read_volatile() & byte) };
        }
    }
}

/// Ends the emulation with status 0 or 1.
pub fn exit(success: bool) -> ! {
    semihosting::process::exit(i32::from(!success))
}

/// CMSDK UART0: it holds a single byte each way, and QEMU waits until that is taken.
pub struct Uart {
    data: Register,
    state: Register,
    interrupts: Register,
    wake: Wake,
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else {
            return Ok(0);
        };
        while self.state.read() & RX_FULL == 0 {
            self.wake.sleep();
            // In this order: a byte that comes in between leaves the line low and is seen above;
            // the next one raises it and wakes.
            self.wake.clear();
            self.interrupts.write(RX_INTERRUPT);
        }
        *first = self.data.read() as u8; // the register holds 8 bits
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            while self.state.read() & TX_FULL != 0 {}
            self.data.write(byte.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while self.state.read() & TX_FULL != 0 {}
        Ok(())
    }
}

/// The board's LED 0.
pub struct Led(Register);

impl digital::ErrorType for Led {
    type Error = Infallible;
}

impl digital::OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.write(0);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.write(1);
        Ok(())
    }
}

/// CMSDK watchdog: it counts down from what it loads, twice. After the first time it raises an interrupt that cannot be masked,
/// in whose handler an image stays; after the second it resets.
pub struct Watchdog(Option<[Register; 4]>);

/// Its counts in a millisecond.
const WATCHDOG_COUNTS: u32 = 25_000;
/// What lets its registers be written.
const WATCHDOG_KEY: u32 = 0x1ACC_E551;
/// Interrupt and reset on.
const WATCHDOG_ON: u32 = 0b11;

impl watchdog::Watchdog for Watchdog {
    fn start(&mut self, milliseconds: u32) {
        if let Some([load, control, _, lock]) = &mut self.0 {
            lock.write(WATCHDOG_KEY);
            load.write(milliseconds.saturating_mul(WATCHDOG_COUNTS) / 2);
            control.write(WATCHDOG_ON);
        }
    }

    fn feed(&mut self) {
        if let Some([_, _, clear, _]) = &mut self.0 {
            clear.write(1);
        }
    }
}
