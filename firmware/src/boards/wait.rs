//! Sleeping until a peripheral has something, for images that serve no interrupt.

use cortex_m::{
    asm,
    interrupt::{self, InterruptNumber},
    peripheral::NVIC,
};

/// An interrupt that wakes the core and is never served: with interrupts masked, WFI returns as
/// soon as one is pending (ARMv6-M ARM B1.5.17, ARMv7-M ARM B1.5.19).
///
/// In QEMU, sleeping leaves the processor to the thread that brings the bytes.
pub(super) struct Wake(Number);

#[derive(Clone, Copy)]
struct Number(u16);

// SAFETY: it always gives the number that it was made with.
unsafe impl InterruptNumber for Number {
    fn number(self) -> u16 {
        self.0
    }
}

impl Wake {
    /// Masks all interrupts, and lets number `interrupt` of the device wake the core.
    pub(super) fn new(interrupt: u16) -> Self {
        let number = Number(interrupt);
        interrupt::disable();
        // SAFETY: no critical section relies on the mask: nothing is ever served.
        unsafe { NVIC::unmask(number) };
        Wake(number)
    }

    /// Sleeps until the interrupt is pending; returns at once when it is already.
    pub(super) fn sleep(&self) {
        asm::wfi();
    }

    /// Takes the interrupt back; its cause must then be removed, and looked at once more.
    pub(super) fn clear(&self) {
        NVIC::unpend(self.0);
    }
}
