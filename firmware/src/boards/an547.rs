//! Arm's MPS3 with AN547 (Cortex-M55), as QEMU emulates it. Source of the addresses: Arm DAI 0547.

#[path = "qemu_mps.rs"]
mod qemu_mps;
pub use qemu_mps::{CLOCK, Flash, Led, Parts, StorePort, Uart, Watchdog, exit, take};

#[cfg(feature = "agent")]
pub(super) use qemu_mps::AgentMemory;

/// By their addresses in the Secure world, where the core starts.
const PLACES: qemu_mps::Places = qemu_mps::Places {
    clock: 32_000_000,
    uart: 0x5930_3000,
    // That of both directions: QEMU up to 9.1 swaps those of one.
    received: 43,
    led: 0x5930_2000,
    // It has several, of another kind, which QEMU does not emulate all.
    watchdog: None,
};
