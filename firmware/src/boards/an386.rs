//! Arm's MPS2 with AN386 (Cortex-M4F), as QEMU emulates it. Source of the addresses: Arm DAI 0386.

#[path = "qemu_mps.rs"]
mod qemu_mps;
pub use qemu_mps::{CLOCK, Flash, Led, Parts, StorePort, Uart, Watchdog, exit, take};

#[cfg(feature = "agent")]
pub(super) use qemu_mps::AgentMemory;

const PLACES: qemu_mps::Places = qemu_mps::Places {
    clock: 25_000_000,
    uart: 0x4000_4000,
    received: 0,
    led: 0x4002_8000,
    watchdog: Some(0x4000_8000),
};
