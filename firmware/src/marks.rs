//! Marks in a run, for the emulator's trace: functions that do nothing, whose addresses the host looks up.

use core::arch::asm;

/// The traced run begins.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mote_mark_start() {
    // SAFETY: it does nothing, so that a call of it stays.
    unsafe { asm!("nop") };
}

/// A layer has run.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mote_mark_layer() {
    // SAFETY: it does nothing.
    unsafe { asm!("nop", "nop") };
}

/// The traced run has ended.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mote_mark_end() {
    // SAFETY: it does nothing.
    unsafe { asm!("nop", "nop", "nop") };
}
