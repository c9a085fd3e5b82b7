//! A kernel of one cell: a channel at four pixels.

use core::arch::naked_asm;

use super::{CHANNELS, ROUND};
use crate::kernels::packed::tile::mixed::Mixed;

/// The three sums of a channel of a block.
#[inline(always)]
pub(in super::super) fn mixed_sums(
    mixed: &Mixed,
    weights: &[[u8; CHANNELS]],
    channel: usize,
) -> [i32; 3] {
    let words = mixed.as_words();
    let [first, second, third] = mixed.start;
    if words.is_empty() || 3 * weights.len() != words.len() || channel >= CHANNELS {
        return [0; 3];
    }
    let left_out = weights.len().wrapping_neg() % ROUND;
    // A tap takes 8 instructions.
    let mut sums = [first, second, third, 16 * left_out as i32];
    let weights = weights.as_ptr().wrapping_sub(left_out).cast::<u8>();
    let range = words.as_ptr_range();
    // SAFETY: there are three words for each tap, and a weight (checked above); those that the first round leaves out are
    // not read.
    unsafe {
        run(
            range.start,
            weights.wrapping_add(channel),
            range.end,
            &mut sums,
        );
    };
    let [first, second, third, _] = sums;
    [first, second, third]
}

/// 8 instructions for a tap, 4 MACs, and 3 for each eight.
///
/// r0 inputs, r1 weights, r12 the end of the inputs, r2, r3, r4 inputs, r5 a weight, r6, r7, r8 sums.
///
/// # Safety
/// What is told of lies behind the pointers.
#[unsafe(naked)]
unsafe extern "C" fn run(x: *const i32, weights: *const u8, end: *const i32, sums: &mut [i32; 4]) {
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "push {{r3, r4}}",
        "mov r12, r2",
        "ldm r3!, {{r4, r6, r7}}",
        "mov r8, r4",
        "ldr r3, [r3]",
        "adr r4, 1f",
        "adds r4, r4, r3",
        // Of thumb code.
        "adds r4, #1",
        "bx r4",
        ".p2align 2",
        "1:",
        ".set tap, 0",
        ".rept {round}",
        "ldm r0!, {{r2, r3, r4}}",
        "ldrb r5, [r1, #tap]",
        "muls r2, r5, r2",
        "add r8, r2",
        "muls r3, r5, r3",
        "adds r6, r6, r3",
        "muls r4, r5, r4",
        "adds r7, r7, r4",
        ".set tap, tap + 4",
        ".endr",
        "adds r1, #4 * {round}",
        "cmp r0, r12",
        "bne 1b",
        "pop {{r3, r4}}",
        "mov r5, r8",
        "mov r8, r4",
        "stm r3!, {{r5, r6, r7}}",
        "pop {{r4-r7, pc}}",
        round = const ROUND,
    )
}
