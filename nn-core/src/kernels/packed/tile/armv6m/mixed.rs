//! A kernel of one cell: a channel at four pixels.

use core::arch::naked_asm;

use super::outputs::{ABOVE, ROUNDING, four_outputs};
use super::{CHANNELS, ROUND};
use crate::kernels::packed::tile::Blocks;
use crate::kernels::packed::tile::mixed::Mixed;

/// What the loop is given, in the order in which assembly reads it.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    /// 0: inputs; 4: the channel's weights, of taps before the first where the first round leaves some out.
    x: *const i32,
    weights: *const u8,
    /// 8: what the three sums begin with.
    start: [i32; 3],
    /// 20: bytes of the loop that its first round leaves out; then where it begins.
    begin: usize,
    /// 24: the end of the inputs.
    x_end: *const i32,
    /// 28: the table; 32: its end.
    table: *const i32,
    table_end: *const i32,
    /// 36: outputs; 40: bytes from pixel to pixel.
    y: *mut i8,
    step: usize,
    /// 44: bytes of a block's weights, but for those that its channels went on.
    block: usize,
    /// 48: what outputs have too much; 52: what rounds.
    above: i32,
    rounding: i32,
}

/// The outputs of all blocks at four pixels, `step` numbers from one to the next.
#[inline(never)]
pub(in super::super::super) fn cells(mixed: &Mixed, blocks: &Blocks, y: &mut [i8], step: usize) {
    let x = mixed.as_words();
    let (taps, count) = (mixed.len(), blocks.table.len());
    let fits = taps > 0
        && count > 0
        && blocks.weights.len() >= taps * count
        && y.len() >= 3 * step + CHANNELS * count;
    if !fits {
        return;
    }
    let left_out = taps.wrapping_neg() % ROUND;
    let table = blocks.table.as_ptr_range();
    let mut frame = Frame {
        x: x.as_ptr(),
        weights: blocks.weights.as_ptr().wrapping_sub(left_out).cast(),
        start: mixed.start,
        // A tap takes 8 instructions.
        begin: 16 * left_out,
        x_end: x.as_ptr_range().end,
        table: table.start.cast(),
        table_end: table.end.cast(),
        y: y.as_mut_ptr(),
        step,
        block: 4 * taps - CHANNELS,
        above: ABOVE,
        rounding: ROUNDING,
    };
    // SAFETY: there are three words for each tap, a weight for each tap of each channel, and a place for each output
    // (checked above); weights that the first round leaves out are not read.
    unsafe { run(&mut frame) };
}

/// Tells the pixels' sums apart, as `split` of `mixed` does: 20 instructions. The sums are in r8, r6 and r7; twice those of
/// the pixels are left in r4 to r7.
macro_rules! told_apart {
    () => {
        concat!(
            "mov r2, r8\n",
            "lsls r4, r2, #8\n",
            "asrs r3, r4, #8\n",
            "subs r2, r2, r3\n",
            "lsrs r2, r2, #8\n",
            "subs r6, r6, r2\n",
            "lsls r5, r6, #8\n",
            "asrs r3, r5, #8\n",
            "subs r6, r6, r3\n",
            "adds r6, r6, r2\n",
            "lsrs r6, r6, #8\n",
            "subs r7, r7, r6\n",
            "lsls r2, r7, #8\n",
            "asrs r3, r2, #8\n",
            "subs r7, r7, r3\n",
            "adds r7, r7, r6\n",
            "asrs r4, r4, #7\n",
            "asrs r5, r5, #7\n",
            "asrs r6, r2, #7\n",
            "asrs r7, r7, #7\n",
        )
    };
}

/// A channel at a time: 8 instructions for a tap, 4 MACs; 3 for each eight taps; 56 more, the outputs besides.
///
/// r0 inputs, r1 weights; r2, r3, r4 inputs, r5 a weight; r8, r6, r7 sums; r11 what rounds, r12 bytes from pixel to pixel,
/// lr the end of the inputs. Stack: the frame.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn run(frame: &mut Frame) {
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4-r7}}",
        "push {{r0}}",
        "ldr r3, [r0, #40]",
        "mov r12, r3",
        "ldr r3, [r0, #52]",
        "mov r11, r3",
        // Where the loop begins: of thumb code.
        "adr r4, 1f",
        "ldr r3, [r0, #20]",
        "adds r4, r4, r3",
        "adds r4, #1",
        "str r4, [r0, #20]",
        "8:",
        "ldr r4, [sp]",
        "ldm r4!, {{r0, r1, r2, r6, r7}}",
        "mov r8, r2",
        "ldm r4!, {{r2, r3}}",
        "mov lr, r3",
        "bx r2",
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
        "cmp r0, lr",
        "bne 1b",
        told_apart!(),
        "push {{r4-r7}}",
        // The next channel's weights, or the next block's: each begins on a boundary of words.
        "ldr r4, [sp, #16]",
        "ldr r5, [r4, #4]",
        "adds r5, #1",
        "lsls r6, r5, #30",
        "bne 2f",
        "ldr r6, [r4, #44]",
        "adds r5, r5, r6",
        "2:",
        "str r5, [r4, #4]",
        // The channel's numbers.
        "ldr r5, [r4, #28]",
        "ldm r5!, {{r0, r1, r6, r7}}",
        "str r5, [r4, #28]",
        "mov r8, r0",
        "sxth r2, r1",
        "mov r9, r2",
        "subs r1, r1, r2",
        "lsrs r1, r1, #16",
        "ldr r2, [r4, #48]",
        "subs r6, r6, r2",
        "mov r10, r6",
        "movs r2, r7",
        "ldr r0, [r4, #36]",
        "adds r3, r0, #1",
        "str r3, [r4, #36]",
        "bl {four_outputs}",
        "ldr r4, [sp]",
        "ldr r5, [r4, #28]",
        "ldr r6, [r4, #32]",
        "cmp r5, r6",
        "beq 3f",
        "b 8b",
        "3:",
        "pop {{r0}}",
        "pop {{r4-r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4-r7, pc}}",
        round = const ROUND,
        four_outputs = sym four_outputs,
    )
}
