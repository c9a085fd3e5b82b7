//! The boards: each hands out a serial port, a light and a flash, and says how to stop.
//!
//! A board's module offers
//! - `take() -> Parts`, called once at boot;
//! - `exit(success: bool) -> !`, which in QEMU ends the machine with status 0 or 1.

#[cfg(any(
    feature = "board-an385",
    feature = "board-an386",
    feature = "board-an500",
    feature = "board-an547"
))]
#[path = "qemu_mps.rs"]
mod board;

#[cfg(feature = "board-microbit")]
#[path = "microbit.rs"]
mod board;

#[cfg(feature = "board-nucleo-f446re")]
#[path = "stm32f446.rs"]
mod board;

#[cfg(feature = "emulated")]
mod file_flash;
#[cfg(feature = "emulated")]
mod interrupts;
#[cfg(all(feature = "emulated", feature = "agent"))]
mod memory_flash;
#[cfg(feature = "emulated")]
mod register;
#[cfg(any(
    feature = "board-an385",
    feature = "board-an386",
    feature = "board-an500",
    feature = "board-an547"
))]
mod wait;

pub use board::{CLOCK, Led, Parts, Uart, exit, take};
#[cfg(not(feature = "emulated"))]
pub use board::{Flash, StorePort};
#[cfg(feature = "emulated")]
pub use file_flash::{Flash, StorePort};
#[cfg(all(feature = "emulated", feature = "agent"))]
pub use memory_flash::AgentFlash;

/// The board's name, as `mote --on` takes it.
pub const NAME: &str = env!("MOTE_BOARD");
/// Its core.
pub const CORE: &str = env!("MOTE_CORE");
