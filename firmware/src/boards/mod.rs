//! The boards: each hands out a serial port, a light and a flash, and says how to stop.
//!
//! A board's module, `NAME.rs`, offers
//! - `take() -> Parts`, called once at boot;
//! - `exit(success: bool) -> !`, which in QEMU ends the machine with status 0 or 1;
//! - `Led`, `Uart`, `Parts`, `StorePort`, `Flash` and `Watchdog`, the types of what it hands out.

// `mod board`, from the file of the board that the image is built for: the build script finds it by the board's name.
include!(concat!(env!("OUT_DIR"), "/board.rs"));

#[cfg(feature = "emulated")]
mod file_flash;
#[cfg(feature = "emulated")]
mod interrupts;
#[cfg(all(feature = "emulated", feature = "agent"))]
mod memory_flash;
#[cfg(feature = "emulated")]
mod register;
#[cfg(feature = "usb")]
mod usb_serial;
#[cfg(all(feature = "real", feature = "agent"))]
mod window;

pub use board::{CLOCK, Flash, Led, Parts, StorePort, Uart, Watchdog, exit, take};
#[cfg(all(feature = "emulated", feature = "agent"))]
pub use memory_flash::AgentFlash;
#[cfg(all(feature = "real", feature = "agent"))]
pub use window::AgentFlash;

/// The board's name, as `mote --on` takes it.
pub const NAME: &str = env!("MOTE_BOARD");
/// Its core.
pub const CORE: &str = env!("MOTE_CORE");
