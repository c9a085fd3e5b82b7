//! A kernel of one cell: two channels at four pixels.

use core::arch::naked_asm;

use super::outputs::scaled;
use crate::kernels::packed::tile::mixed::Mixed;
use crate::kernels::packed::tile::{Blocks, CHANNELS};

/// What the loop keeps on its stack, in the order in which assembly reads it.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    /// 0: inputs.
    x: *const i32,
    /// 4: what the three sums begin with.
    start: [i32; 3],
    /// 16: the end of the inputs.
    x_end: *const i32,
    /// 20: bytes of the loop that its first round leaves out; then where it begins.
    begin: usize,
    /// 24: bytes from the end of a block's weights to its other two channels, and from there to the next block: in turn.
    steps: [isize; 2],
    /// 32: the table.
    table: *const i32,
    /// 36: outputs; 40: bytes from pixel to pixel; 44: the end of the outputs.
    y: *mut i8,
    step: usize,
    y_end: *mut i8,
    /// 48: weights.
    weights: *const i32,
}

/// Taps of a round of the loop.
const ROUND: usize = 8;
/// Bytes of a tap in it.
const TAP: usize = 4 * 9;

/// The outputs of all blocks at four pixels, `step` numbers from one to the next.
#[inline(never)]
pub(in super::super::super) fn cells(mixed: &Mixed, blocks: &Blocks, y: &mut [i8], step: usize) {
    let x = mixed.as_words();
    let (taps, count) = (x.len() / 3, blocks.table.len());
    let outputs = CHANNELS * count;
    let fits = taps > 0
        && count > 0
        && blocks.weights.len() >= taps * count
        && y.len() >= 3 * step + outputs;
    if !fits {
        return;
    }
    let words = (4 * taps).cast_signed();
    let frame = Frame {
        x: x.as_ptr(),
        start: mixed.start,
        x_end: x.as_ptr_range().end,
        begin: TAP * (taps.wrapping_neg() % ROUND),
        steps: [2 - words, -2],
        table: blocks.table.as_ptr().cast(),
        y: y.as_mut_ptr(),
        step,
        y_end: y.as_mut_ptr().wrapping_add(outputs),
        weights: blocks.weights.as_ptr(),
    };
    // SAFETY: the inputs are as long as the frame says, the weights and the table as the blocks want, and the outputs of
    // the last pixel are there (checked above).
    unsafe { pairs(&frame) };
}

/// Tells the pixels' sums apart, as `split` of `mixed` does: 10 instructions. `first`, `second` and `third` are the three
/// sums, 2⁸ times those of the pixels are left in `a`, `b`, `c`, `third`.
macro_rules! told_apart {
    ($first:literal, $second:literal, $third:literal, $a:literal, $b:literal, $c:literal) => {
        concat!(
            "lsl ",
            $a,
            ", ",
            $first,
            ", #8\n",
            "sub ",
            $first,
            ", ",
            $first,
            ", ",
            $a,
            ", asr #8\n",
            "sub ",
            $second,
            ", ",
            $second,
            ", ",
            $first,
            ", lsr #8\n",
            "lsl ",
            $b,
            ", ",
            $second,
            ", #8\n",
            "sub ",
            $second,
            ", ",
            $second,
            ", ",
            $b,
            ", asr #8\n",
            "add ",
            $second,
            ", ",
            $second,
            ", ",
            $first,
            ", lsr #8\n",
            "sub ",
            $third,
            ", ",
            $third,
            ", ",
            $second,
            ", lsr #8\n",
            "lsl ",
            $c,
            ", ",
            $third,
            ", #8\n",
            "sub ",
            $third,
            ", ",
            $third,
            ", ",
            $c,
            ", asr #8\n",
            "add ",
            $third,
            ", ",
            $third,
            ", ",
            $second,
            ", lsr #8\n",
        )
    };
}

/// The output of the first channel at a pixel.
macro_rules! first {
    ($sum:literal) => {
        scaled!($sum, "asr #7", "r2", "r3", "r11", "r12", "r0", "lr")
    };
}

/// The output of the second channel at a pixel.
macro_rules! second {
    ($sum:literal) => {
        scaled!($sum, "asr #7", "r5", "r6", "r11", "r12", "r1", "lr")
    };
}

/// Two channels at a time: 9 instructions for a tap, 8 MACs; 2 for each eight taps; 105 for the 8 outputs.
///
/// r0 inputs, r1 weights; r2, r3, r4 sums of one channel, r5, r6, r7 of the other; r8, r9, r10 inputs, r11, r12 weights,
/// lr the end of the inputs.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn pairs(frame: &Frame) {
    naked_asm!(
        "push {{r4-r11, lr}}",
        "sub sp, sp, #52",
        "mov r12, sp",
        "ldm r0!, {{r1-r8}}",
        "stm r12!, {{r1-r8}}",
        "ldm r0, {{r1-r5}}",
        "stm r12, {{r1-r5}}",
        // Where the loop begins: of thumb code.
        "adr.w r2, 1f + 1",
        "ldr r3, [sp, #20]",
        "add r2, r2, r3",
        "str r2, [sp, #20]",
        "mov r1, r5",
        "8:",
        "ldm sp, {{r0, r2, r3, r4, lr}}",
        "mov r5, r2",
        "mov r6, r3",
        "mov r7, r4",
        "ldr pc, [sp, #20]",
        "1:",
        ".rept {round}",
        "ldm r0!, {{r8, r9, r10}}",
        "ldrb r11, [r1], #1",
        "ldrb r12, [r1], #3",
        "mla r2, r8, r11, r2",
        "mla r3, r9, r11, r3",
        "mla r4, r10, r11, r4",
        "mla r5, r8, r12, r5",
        "mla r6, r9, r12, r6",
        "mla r7, r10, r12, r7",
        ".endr",
        "cmp r0, lr",
        "bne 1b",
        "ldrd r11, r12, [sp, #24]",
        "add r1, r1, r11",
        "strd r12, r11, [sp, #24]",
        "str r1, [sp, #48]",
        "ldr r1, [sp, #32]",
        told_apart!("r2", "r3", "r4", "r8", "r9", "r10"),
        "ldm r1!, {{r2, r3, r11, r12}}",
        first!("r8"),
        first!("r9"),
        first!("r10"),
        first!("r4"),
        told_apart!("r5", "r6", "r7", "r0", "r2", "r3"),
        "ldm r1!, {{r5, r6, r11, r12}}",
        "str r1, [sp, #32]",
        second!("r0"),
        second!("r2"),
        second!("r3"),
        second!("r7"),
        "bfi r8, r0, #8, #8",
        "bfi r9, r2, #8, #8",
        "bfi r10, r3, #8, #8",
        "bfi r4, r7, #8, #8",
        "ldrd r5, r6, [sp, #36]",
        "strh r8, [r5]",
        "strh r9, [r5, r6]",
        "add r11, r5, r6, lsl #1",
        "strh r10, [r11]",
        "strh r4, [r11, r6]",
        "add r5, r5, #2",
        "str r5, [sp, #36]",
        "ldr r12, [sp, #44]",
        "ldr r1, [sp, #48]",
        "cmp r5, r12",
        "bne 8b",
        "add sp, sp, #52",
        "pop {{r4-r11, pc}}",
        round = const ROUND,
    )
}
