//! Memory-mapped registers, for boards without a device crate.

/// A 32-bit register at a fixed address.
pub(super) struct Register(*mut u32);

impl Register {
    /// # Safety
    ///
    /// `address` is that of a register which the caller alone uses, now and later.
    pub(super) const unsafe fn new(address: usize) -> Self {
        Register(address as *mut u32)
    }

    pub(super) fn read(&self) -> u32 {
        // SAFETY: `new`'s caller vouches for the address.
        unsafe { self.0.read_volatile() }
    }

    pub(super) fn write(&mut self, value: u32) {
        // SAFETY: `new`'s caller vouches for the address.
        unsafe { self.0.write_volatile(value) }
    }
}
