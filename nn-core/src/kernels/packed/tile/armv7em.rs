//! The innermost loops in assembly, for Cortex-M4 and M7.
//!
//! All fourteen registers are in use: what else a loop wants lies on the stack, and is loaded over registers that have
//! done their work. Sums of a convolution: r2, r3 S₀ at both pixels, r4, r5 256·S₁ + S₀, r6, r7 S₂, r8, r9
//! 256·S₃ + S₂. Counts are instructions; where LDRD and LDM count one, they take a cycle more for each register.
#![allow(unsafe_code)]

use core::arch::naked_asm;

use super::{DENSE_CHANNELS, Lines, Sums};
use crate::kernels::packed::channel;

/// Two taps of four channels at two pixels, whose inputs are in two registers: 10 instructions, 16 MACs.
/// r12 and lr hold the weights of channels 0, 1 and 2, 3.
macro_rules! block {
    ($x0:literal, $x1:literal) => {
        concat!(
            "smlad r4, r12, ", $x0, ", r4\n",
            "smlad r5, r12, ", $x1, ", r5\n",
            "smlad r8, lr, ", $x0, ", r8\n",
            "smlad r9, lr, ", $x1, ", r9\n",
            "sxtb16 r12, r12\n",
            "sxtb16 lr, lr\n",
            "smlad r2, r12, ", $x0, ", r2\n",
            "smlad r3, r12, ", $x1, ", r3\n",
            "smlad r6, lr, ", $x0, ", r6\n",
            "smlad r7, lr, ", $x1, ", r7\n",
        )
    };
}

macro_rules! clear_sums {
    () => {
        "mov r2, #0\nmov r3, #0\nmov r4, #0\nmov r5, #0\nmov r6, #0\nmov r7, #0\nmov r8, #0\nmov r9, #0\n"
    };
}

/// The sums of two pixels whose inputs lie in lines.
#[inline(always)]
pub(in super::super) fn lines(x: &[i16], weights: &[i32], lines: &Lines) -> Sums {
    let mut sums = [0; 8];
    if x.len() < lines.reach() || weights.len() < lines.weights() || lines.weights() == 0 {
        return sums;
    }
    let (x, weights, out) = (x.as_ptr(), weights.as_ptr(), &raw mut sums);
    // SAFETY: what is read of both slices lies inside (checked above), and eight sums are written.
    unsafe {
        match (lines.distance, lines.words) {
            (2, 3) => adjacent::<3>(x, weights, lines, out),
            (2, 5) => adjacent::<5>(x, weights, lines, out),
            (_, 3) => spaced::<3>(x, weights, lines, out),
            _ => spaced::<0>(x, weights, lines, out),
        }
    }
    sums
}

/// The second pixel lies a word further, so that a word serves both: 12 instructions a word and one a line, 16 MACs.
///
/// r0 inputs, r1 weights, r10, r11 two words of inputs in turn. Stack: bytes from a line's end to the next, the end of
/// the weights, the sums.
///
/// # Safety
/// What `lines` tells of, `WORDS` words a line, lies behind the pointers; words are aligned.
#[unsafe(naked)]
unsafe extern "C" fn adjacent<const WORDS: u32>(
    x: *const i16,
    weights: *const i32,
    lines: *const Lines,
    sums: *mut Sums,
) {
    naked_asm!(
        "push {{r3-r11, lr}}",
        "ldrd r4, r5, [r2]",
        "ldr r6, [r2, #8]",
        "lsl r4, r4, #1",
        "sub r4, r4, #4 * {words} + 4",
        "mul r6, r6, r5",
        "add r5, r1, r6, lsl #3",
        "push {{r4, r5}}",
        clear_sums!(),
        "1:",
        "ldr r10, [r0], #4",
        ".rept {words} / 2",
        "ldr r11, [r0], #4",
        "ldrd r12, lr, [r1], #8",
        block!("r10", "r11"),
        "ldr r10, [r0], #4",
        "ldrd r12, lr, [r1], #8",
        block!("r11", "r10"),
        ".endr",
        ".rept {words} & 1",
        "ldr r11, [r0], #4",
        "ldrd r12, lr, [r1], #8",
        block!("r10", "r11"),
        ".endr",
        "ldrd r10, r11, [sp]",
        "add r0, r0, r10",
        "cmp r1, r11",
        "bne 1b",
        "ldr r12, [sp, #8]",
        "stm r12, {{r2-r9}}",
        "add sp, sp, #12",
        "pop {{r4-r11, pc}}",
        words = const WORDS,
    )
}

/// The second pixel lies at any distance: 14 instructions a word, 16 MACs.
///
/// r0 inputs, r1 weights, r10, r11 inputs of both pixels, r12 weights, lr the distance in bytes. Stack: bytes from line
/// to line, the end of the weights, the end of the line, bytes from a line's end to the next, the sums. `WORDS` is how
/// many words a line has, or 0 for any number.
///
/// # Safety
/// What `lines` tells of lies behind the pointers.
#[unsafe(naked)]
unsafe extern "C" fn spaced<const WORDS: u32>(
    x: *const i16,
    weights: *const i32,
    lines: *const Lines,
    sums: *mut Sums,
) {
    naked_asm!(
        "push {{r3-r11, lr}}",
        "ldrd r4, r5, [r2]",
        "ldrd r6, r7, [r2, #8]",
        "lsl lr, r7, #1",
        "lsl r4, r4, #1",
        "mul r8, r5, r6",
        "add r8, r1, r8, lsl #3",
        "add r9, r0, r5, lsl #2",
        "sub r10, r4, r5, lsl #2",
        "push {{r4, r8, r9, r10}}",
        clear_sums!(),
        "1:",
        ".rept {unrolled}",
        "ldr r11, [r0, lr]",
        "ldr r10, [r0], #4",
        "ldr r12, [r1], #4",
        "smlad r4, r12, r10, r4",
        "smlad r5, r12, r11, r5",
        "sxtb16 r12, r12",
        "smlad r2, r12, r10, r2",
        "smlad r3, r12, r11, r3",
        "ldr r12, [r1], #4",
        "smlad r8, r12, r10, r8",
        "smlad r9, r12, r11, r9",
        "sxtb16 r12, r12",
        "smlad r6, r12, r10, r6",
        "smlad r7, r12, r11, r7",
        ".endr",
        ".if {words} == 0",
        "ldr r12, [sp, #8]",
        "cmp r0, r12",
        "bne 1b",
        "ldr r10, [sp]",
        "add r12, r12, r10",
        "str r12, [sp, #8]",
        ".endif",
        "ldr r11, [sp, #12]",
        "add r0, r0, r11",
        "ldr r10, [sp, #4]",
        "cmp r1, r10",
        "bne 1b",
        "ldr r12, [sp, #16]",
        "stm r12, {{r2-r9}}",
        "add sp, sp, #20",
        "pop {{r4-r11, pc}}",
        words = const WORDS,
        unrolled = const if WORDS == 0 { 1 } else { WORDS },
    )
}

/// The sums of two pixels whose words alternate.
#[inline(always)]
pub(in super::super) fn pairs(x: &[i32], weights: &[i32]) -> Sums {
    let mut sums = [0; 8];
    let steps = (x.len() / 2).min(weights.len() / 2);
    // SAFETY: so many steps of two words lie in both slices, and eight sums are written.
    unsafe { alternating(x.as_ptr(), weights.as_ptr(), steps, &raw mut sums) };
    sums
}

/// Words of both pixels alternate: 12 instructions a step, 16 MACs; 3 more for four steps, and for each of the rest.
///
/// r0 inputs, r1 weights, r10, r11 inputs of both pixels. Stack: the end of the inputs, the end of what is whole fours
/// of steps, the sums.
///
/// # Safety
/// `steps` steps lie behind both pointers.
#[unsafe(naked)]
unsafe extern "C" fn alternating(
    x: *const i32,
    weights: *const i32,
    steps: usize,
    sums: *mut Sums,
) {
    naked_asm!(
        "push {{r3-r11, lr}}",
        "add r12, r0, r2, lsl #3",
        "bic r2, r2, #3",
        "add lr, r0, r2, lsl #3",
        "push {{r12, lr}}",
        clear_sums!(),
        "b 2f",
        "1:",
        ".rept 4",
        "ldrd r10, r11, [r0], #8",
        "ldrd r12, lr, [r1], #8",
        block!("r10", "r11"),
        ".endr",
        "2:",
        "ldr r12, [sp, #4]",
        "cmp r0, r12",
        "bne 1b",
        "b 4f",
        "3:",
        "ldrd r10, r11, [r0], #8",
        "ldrd r12, lr, [r1], #8",
        block!("r10", "r11"),
        "4:",
        "ldr r12, [sp]",
        "cmp r0, r12",
        "bne 3b",
        "ldr r12, [sp, #8]",
        "stm r12, {{r2-r9}}",
        "add sp, sp, #12",
        "pop {{r4-r11, pc}}",
    )
}

/// The outputs of eight channels of a dense layer; both slices are whole steps of four taps.
#[inline(always)]
pub(in super::super) fn dense(
    x: &[i32],
    weights: &[i32],
    table: &[i32; DENSE_CHANNELS * channel::LEN],
    y: &mut [i8; DENSE_CHANNELS],
) {
    let steps = (x.len() / 2).min(weights.len() / 8);
    // SAFETY: so many steps of two words and of eight lie in the slices, and eight outputs are written.
    unsafe { eight(x.as_ptr(), weights.as_ptr(), steps, table.as_ptr(), y.as_mut_ptr()) }
}

/// Two taps of eight channels, whose inputs are in a register: 14 instructions, 16 MACs.
macro_rules! eight_channels {
    ($x:literal) => {
        concat!(
            "ldrd r12, lr, [r1], #8\n",
            "smlad r3, r12, ", $x, ", r3\n",
            "smlad r5, lr, ", $x, ", r5\n",
            "sxtb16 r12, r12\n",
            "sxtb16 lr, lr\n",
            "smlad r2, r12, ", $x, ", r2\n",
            "smlad r4, lr, ", $x, ", r4\n",
            "ldrd r12, lr, [r1], #8\n",
            "smlad r7, r12, ", $x, ", r7\n",
            "smlad r9, lr, ", $x, ", r9\n",
            "sxtb16 r12, r12\n",
            "sxtb16 lr, lr\n",
            "smlad r6, r12, ", $x, ", r6\n",
            "smlad r8, lr, ", $x, ", r8\n",
        )
    };
}

/// The output of a channel, of whose sum there is 2^-`shift` in a register: 8 instructions. r0 table, r1 outputs.
macro_rules! output {
    ($sum:literal, $shift:literal) => {
        concat!(
            "ldm r0!, {{r10-r12, lr}}\n",
            "add ", $sum, ", r10, ", $sum, ", ", $shift, "\n",
            "smmlar r10, ", $sum, ", r11, r12\n",
            "add r10, r10, ", $sum, ", asr #31\n",
            "asr r10, r10, lr\n",
            "ssat r10, #8, r10\n",
            "strb r10, [r1], #1\n",
        )
    };
}

/// r0 inputs, r1 weights, r2, r4, r6, r8 the sums S of even channels, r3, r5, r7, r9 256·S′ + S, r10, r11 four inputs,
/// r12, lr weights: 29 instructions for four taps, 32 MACs; 3 more for sixteen taps, and for each four of the rest.
/// Stack: the end of the inputs, the end of what is whole sixteens, the table, (saved registers), the outputs.
///
/// # Safety
/// `steps` steps of four taps lie behind the pointers, eight channels in the table, and eight outputs are written.
#[unsafe(naked)]
unsafe extern "C" fn eight(
    x: *const i32,
    weights: *const i32,
    steps: usize,
    table: *const i32,
    y: *mut i8,
) {
    naked_asm!(
        "push {{r3-r11, lr}}",
        "add r12, r0, r2, lsl #3",
        "bic r2, r2, #3",
        "add lr, r0, r2, lsl #3",
        "push {{r12, lr}}",
        clear_sums!(),
        "b 2f",
        "1:",
        ".rept 4",
        "ldrd r10, r11, [r0], #8",
        eight_channels!("r10"),
        eight_channels!("r11"),
        ".endr",
        "2:",
        "ldr r12, [sp, #4]",
        "cmp r0, r12",
        "bne 1b",
        "b 4f",
        "3:",
        "ldrd r10, r11, [r0], #8",
        eight_channels!("r10"),
        eight_channels!("r11"),
        "4:",
        "ldr r12, [sp]",
        "cmp r0, r12",
        "bne 3b",
        "sub r3, r3, r2",
        "sub r5, r5, r4",
        "sub r7, r7, r6",
        "sub r9, r9, r8",
        "ldr r0, [sp, #8]",
        "ldr r1, [sp, #48]",
        output!("r2", "lsl #1"),
        output!("r3", "asr #7"),
        output!("r4", "lsl #1"),
        output!("r5", "asr #7"),
        output!("r6", "lsl #1"),
        output!("r7", "asr #7"),
        output!("r8", "lsl #1"),
        output!("r9", "asr #7"),
        "add sp, sp, #12",
        "pop {{r4-r11, pc}}",
    )
}
