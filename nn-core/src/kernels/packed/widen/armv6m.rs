//! What moves bytes and words in assembly, for Cortex-M0 and M0+.
#![allow(unsafe_code)]

use core::arch::naked_asm;

/// Moves what lies from word `from` on to the front: 6 instructions for eight words.
pub(in super::super) fn move_up(words: &mut [i32], from: usize) {
    let count = words.len().saturating_sub(from);
    let eights = count / 8 * 8;
    if from == 0 {
        return;
    }
    if eights > 0 {
        let to = words.as_mut_ptr();
        // SAFETY: `eights` words from `from` on are read, and written at the front, each after it was read: all lie in the
        // slice.
        unsafe { move_eights(to, to.wrapping_add(from), to.wrapping_add(eights)) };
    }
    for index in eights..count {
        let word = words.get(from + index).copied().unwrap_or(0);
        if let Some(place) = words.get_mut(index) {
            *place = word;
        }
    }
}

/// r0 to, r1 from, r2 the end of what is written; r3 to r6 words.
///
/// # Safety
/// As many words, whole eights, can be read and written, and `from` lies behind `to`.
#[unsafe(naked)]
unsafe extern "C" fn move_eights(to: *mut i32, from: *const i32, end: *const i32) {
    naked_asm!(
        "push {{r4-r6, lr}}",
        "1:",
        "ldm r1!, {{r3-r6}}",
        "stm r0!, {{r3-r6}}",
        "ldm r1!, {{r3-r6}}",
        "stm r0!, {{r3-r6}}",
        "cmp r0, r2",
        "bne 1b",
        "pop {{r4-r6, pc}}",
    )
}

/// Of `count` numbers, `step` bytes from one to the next, x + 128: 16 instructions for four.
#[inline]
pub(in super::super) fn gather(x: &[i8], step: usize, count: usize, out: &mut [u8]) {
    // What is there: counted without a division.
    let there = |count: usize| count == 0 || x.len() > (count - 1) * step;
    let count = count.min(out.len());
    let whole = if there(count & !3) { count & !3 } else { 0 };
    if whole > 0 {
        let out = out.as_mut_ptr();
        // SAFETY: `whole` numbers are read, a step from one to the next, and as many bytes written, four at a time: all of
        // them are there (checked above).
        unsafe { gather_fours(x.as_ptr(), out, step, out.wrapping_add(whole)) };
    }
    for index in whole..count {
        let x = x.get(index * step).copied().unwrap_or(0);
        if let Some(out) = out.get_mut(index) {
            *out = x.cast_unsigned() ^ 0x80;
        }
    }
}

/// r0 inputs, r1 where they go, r2 the step, r3 the end of what is written; r4 two steps, r5 three, r12 four; r6 128, r7 a
/// number.
///
/// # Safety
/// As many numbers, whole fours, can be read and written.
#[unsafe(naked)]
unsafe extern "C" fn gather_fours(x: *const i8, out: *mut u8, step: usize, end: *const u8) {
    naked_asm!(
        "push {{r4-r7, lr}}",
        "lsls r4, r2, #2",
        "mov r12, r4",
        "lsls r4, r2, #1",
        "adds r5, r4, r2",
        "movs r6, #128",
        "1:",
        "ldrb r7, [r0]",
        "eors r7, r6",
        "strb r7, [r1]",
        "ldrb r7, [r0, r2]",
        "eors r7, r6",
        "strb r7, [r1, #1]",
        "ldrb r7, [r0, r4]",
        "eors r7, r6",
        "strb r7, [r1, #2]",
        "ldrb r7, [r0, r5]",
        "eors r7, r6",
        "strb r7, [r1, #3]",
        "add r0, r12",
        "adds r1, #4",
        "cmp r1, r3",
        "bne 1b",
        "pop {{r4-r7, pc}}",
    )
}
