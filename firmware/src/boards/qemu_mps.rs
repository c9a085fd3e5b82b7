//! Arm's MPS boards as QEMU emulates them: MPS2 with AN385 (Cortex-M3), AN386 (Cortex-M4F) or AN500 (Cortex-M7), MPS3 with
//! AN547 (Cortex-M55).
//!
//! Source of the addresses: Arm DAI 0385, DAI 0386, DAI 0500 and DAI 0547; of the UART: Arm DDI 0479
//! (Cortex-M System Design Kit), chapter 4.5.

use core::convert::Infallible;

use cortex_m as _; // the critical section that defmt wants
use defmt_semihosting as _;
use embedded_hal::digital;
use embedded_io::{ErrorType, Read, Write};

use super::{file_flash::StorePort, register::Register, wait::Wake};

/// UART0, and the interrupt of what it receives; the FPGA's LEDs.
#[cfg(not(feature = "board-an547"))]
const PLACES: (usize, u16, usize) = (0x4000_4000, 0, 0x4002_8000);
/// The same, by their addresses in the Secure world, where the core starts. The interrupt is that of both directions:
/// QEMU up to 9.1 swaps those of one.
#[cfg(feature = "board-an547")]
const PLACES: (usize, u16, usize) = (0x5930_3000, 43, 0x5930_2000);
const UART0: usize = PLACES.0;
const UART0_INTERRUPT: u16 = PLACES.1;
const FPGAIO_LED: usize = PLACES.2;
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
}

/// Sets the board up; called once.
pub fn take() -> Parts {
    // SAFETY: these are UART0's registers, and nothing else in the image names them.
    let [data, state, mut control, interrupts, mut divider] =
        [0, 4, 8, 12, 16].map(|offset| unsafe { Register::new(UART0 + offset) });
    // The smallest divider that the UART takes: 25 MHz / 16. QEMU keeps no time for it.
    divider.write(16);
    control.write(CONTROL);
    Parts {
        uart: Uart {
            data,
            state,
            interrupts,
            wake: Wake::new(UART0_INTERRUPT),
        },
        // SAFETY: as above, for the FPGA's LED register.
        led: Led(unsafe { Register::new(FPGAIO_LED) }),
        store: StorePort(()),
    }
}

/// The core's clock, in Hz.
#[cfg(not(feature = "board-an547"))]
pub const CLOCK: u32 = 25_000_000;
/// The core's clock, in Hz.
#[cfg(feature = "board-an547")]
pub const CLOCK: u32 = 32_000_000;

/// The memory of an agent's flash: plain memory, in which writing clears bits and erasing sets them, as in flash.
#[cfg(feature = "agent")]
pub(super) struct AgentMemory(());

#[cfg(feature = "agent")]
impl AgentMemory {
    pub(super) fn new() -> Self {
        Self(())
    }

    fn place(at: usize) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(crate::layout::ORIGIN + at)
    }

    /// What a start finds there.
    pub(super) fn fill(&mut self, at: usize, bytes: &[u8]) {
        // SAFETY: the board's memory, set apart for this; the driver keeps within it, and nothing borrows it at the start.
        unsafe { Self::place(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    pub(super) fn erase(&mut self, at: usize, len: usize) {
        for index in at..at + len {
            // SAFETY: as above.
            unsafe { Self::place(index).write_volatile(0xFF) };
        }
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
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
