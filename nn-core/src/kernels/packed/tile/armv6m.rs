//! The three sums of four channels at a pixel in assembly, for Cortex-M0 and M0+: see `quads`.
//!
//! Only r0 to r7 take part in most instructions, and MULS leaves its product where a factor was: a word of weights is
//! reversed and swapped into a register that the product then takes, the word itself comes last.
#![allow(unsafe_code)]

mod fours;
mod lstm;
mod mixed;
mod outputs;

use core::arch::naked_asm;

pub(in super::super) use self::lstm::lstm_step;
pub(in super::super) use self::mixed::cells;
use super::{CHANNELS, Lines};
use crate::kernels::packed::channel::LEN;

/// Words of a round of a loop over a line: a power of two, as division takes long.
const ROUND: usize = 8;

/// A loop over blocks, with all that is the same at each pixel and block.
#[derive(Debug)]
pub(super) struct Loop {
    frame: Frame,
    /// Halves to the end of the last input.
    reach: usize,
    /// Words of a block's weights.
    weights: usize,
    /// Words of a round that the first leaves out.
    left_out: usize,
    /// Whether each line begins on a boundary of words where the first does.
    aligned: bool,
}

/// What a loop is given, in the order in which assembly reads it.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    /// 0: inputs; 4: weights.
    x: *const i16,
    weights: *const i32,
    /// 8: bytes of a line; 12: from its end to the next line; 16: from line to line.
    line: usize,
    skip: isize,
    pitch: usize,
    /// 20: bytes of the loop that the first round of a line leaves out.
    left_out: usize,
    /// 24: the end of the weights.
    end: *const i32,
    /// 28: what the three sums begin with; then twice the channels' sums.
    sums: [i32; CHANNELS],
}

impl Loop {
    /// Over inputs that lie in lines.
    pub(super) fn new(lines: &Lines) -> Self {
        // Counts of 16 bits, or of what lies in memory.
        let (words, pitch) = (lines.words as usize, 2 * lines.pitch as usize);
        let left_out = words.wrapping_neg() % ROUND;
        let frame = Frame {
            x: core::ptr::null(),
            weights: core::ptr::null(),
            line: 4 * words,
            skip: pitch.wrapping_sub(4 * words).cast_signed(),
            pitch,
            left_out: 0,
            end: core::ptr::null(),
            sums: [0; CHANNELS],
        };
        Self {
            frame,
            reach: lines.reach() - lines.distance as usize,
            weights: lines.weights(),
            left_out,
            aligned: pitch.is_multiple_of(4),
        }
    }

    /// Twice the sums of a block at the pixel whose inputs begin here; `start` is what the three sums begin with.
    #[inline]
    pub(super) fn doubled(&mut self, x: &[i16], weights: &[i32], start: i32) -> &[i32; CHANNELS] {
        if x.len() < self.reach || weights.len() < self.weights || self.weights == 0 {
            return &[0; CHANNELS];
        }
        let frame = &mut self.frame;
        (frame.x, frame.weights) = (x.as_ptr(), weights.as_ptr());
        frame.end = weights.as_ptr().wrapping_add(self.weights);
        frame.sums[0] = start;
        // SAFETY: all inputs of the lines and all weights lie behind their pointers (checked above).
        unsafe {
            if self.aligned && x.as_ptr().addr().is_multiple_of(4) {
                frame.left_out = 40 * self.left_out;
                of_words(frame);
            } else {
                frame.left_out = 42 * self.left_out;
                of_halves(frame);
            }
        }
        &frame.sums
    }
}

/// A tap of four channels: 8 instructions, 4 MACs. r5 is lost, and the weights.
macro_rules! tap {
    ($w:literal, $x:literal) => {
        concat!(
            "rev r5, ",
            $w,
            "\n",
            "muls r5, ",
            $x,
            ", r5\n",
            "add r9, r5\n",
            "rev16 r5, ",
            $w,
            "\n",
            "muls r5, ",
            $x,
            ", r5\n",
            "add r10, r5\n",
            "muls ",
            $w,
            ", ",
            $x,
            ", ",
            $w,
            "\n",
            "add r8, ",
            $w,
            "\n",
        )
    };
}
use tap;

/// Two taps, whose inputs are a word: 20 instructions, 8 MACs.
macro_rules! word {
    () => {
        concat!(
            "ldm r0!, {{r6}}\n",
            "ldm r1!, {{r2, r3}}\n",
            "sxth r4, r6\n",
            "asrs r6, r6, #16\n",
            tap!("r2", "r4"),
            tap!("r3", "r6"),
        )
    };
}
use word;

/// Two taps, whose inputs are two halves: 21 instructions, 8 MACs. r6 is 0.
macro_rules! halves {
    () => {
        concat!(
            "ldm r1!, {{r2, r3}}\n",
            "ldrsh r4, [r0, r6]\n",
            "adds r0, #2\n",
            tap!("r2", "r4"),
            "ldrsh r4, [r0, r6]\n",
            "adds r0, #2\n",
            tap!("r3", "r4"),
        )
    };
}

/// Tells the channels' sums apart, as `split` of `quads` does: 33 instructions. Twice each is left in r4 to r7.
macro_rules! split {
    () => {
        concat!(
            "mov r2, r8\n",
            "mov r3, r9\n",
            "mov r4, r10\n",
            "lsls r5, r4, #8\n",
            "subs r5, r2, r5\n",
            "lsls r6, r2, #8\n",
            "subs r6, r4, r6\n",
            "lsls r7, r5, #24\n",
            "subs r3, r3, r7\n",
            "lsls r7, r6, #16\n",
            "subs r3, r3, r7\n",
            "lsls r7, r5, #16\n",
            "adds r5, r5, r7\n",
            "lsls r7, r6, #16\n",
            "adds r6, r6, r7\n",
            "lsls r7, r3, #16\n",
            "subs r6, r6, r7\n",
            "lsls r7, r5, #8\n",
            "adds r7, r6, r7\n",
            "lsls r6, r6, #8\n",
            "asrs r6, r6, #8\n",
            "subs r7, r7, r6\n",
            "asrs r4, r7, #8\n",
            "subs r5, r5, r4\n",
            "lsrs r5, r5, #8\n",
            "subs r5, r3, r5\n",
            "lsls r5, r5, #8\n",
            "asrs r5, r5, #8\n",
            "subs r3, r3, r5\n",
            "asrs r4, r7, #7\n",
            "lsls r7, r5, #1\n",
            "lsls r5, r6, #1\n",
            "asrs r6, r3, #7\n",
        )
    };
}
use split;

/// All lines, and then the channels' sums as `quads::split` tells them apart, in 33 instructions: besides the taps, 8
/// instructions for each line, and 3 for eight words.
///
/// r0 inputs, r1 weights, r7 the end of the line; r8, r9, r10 sums, r11 where a line begins in the loop, r12 bytes from
/// the end of a line to the next, lr from line to line. Stack: the end of the weights, the frame.
macro_rules! run {
    ($two_taps:expr) => {
        concat!(
            "push {{r4-r7, lr}}\n",
            "mov r4, r8\n",
            "mov r5, r9\n",
            "mov r6, r10\n",
            "mov r7, r11\n",
            "push {{r4-r7}}\n",
            "ldr r2, [r0, #24]\n",
            "push {{r0}}\n",
            "push {{r2}}\n",
            "ldr r1, [r0, #4]\n",
            "ldr r3, [r0, #12]\n",
            "mov r12, r3\n",
            "ldr r3, [r0, #16]\n",
            "mov lr, r3\n",
            "ldr r3, [r0, #20]\n",
            "adr r4, 2f\n",
            "adds r4, r4, r3\n",
            // Of thumb code.
            "adds r4, #1\n",
            "mov r11, r4\n",
            "ldr r3, [r0, #28]\n",
            "mov r8, r3\n",
            "mov r9, r3\n",
            "mov r10, r3\n",
            "ldr r3, [r0, #8]\n",
            "ldr r0, [r0]\n",
            "adds r7, r0, r3\n",
            "movs r6, #0\n",
            "bx r11\n",
            ".p2align 2\n",
            "2:\n",
            ".rept {round}\n",
            $two_taps,
            ".endr\n",
            "cmp r0, r7\n",
            "beq 3f\n",
            "b 2b\n",
            "3:\n",
            "add r0, r12\n",
            "add r7, lr\n",
            "ldr r2, [sp]\n",
            "cmp r1, r2\n",
            "beq 4f\n",
            "bx r11\n",
            "4:\n",
            "pop {{r0, r1}}\n",
            split!(),
            "adds r1, #28\n",
            "stm r1!, {{r4-r7}}\n",
            "pop {{r4-r7}}\n",
            "mov r8, r4\n",
            "mov r9, r5\n",
            "mov r10, r6\n",
            "mov r11, r7\n",
            "pop {{r4-r7, pc}}\n",
        )
    };
}

/// Inputs on boundaries of words: 20 instructions for 8 MACs.
///
/// # Safety
/// What the frame tells of lies behind its pointers; lines are words.
#[unsafe(naked)]
unsafe extern "C" fn of_words(frame: &mut Frame) {
    naked_asm!(run!(word!()), round = const ROUND)
}

/// Inputs anywhere: 21 instructions for 8 MACs.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn of_halves(frame: &mut Frame) {
    naked_asm!(run!(halves!()), round = const ROUND)
}

/// The outputs of a block's doubled sums.
#[inline(always)]
pub(super) fn outputs(doubled: &[i32; CHANNELS], table: &[[i32; LEN]; CHANNELS]) -> [i8; CHANNELS] {
    let mut outputs = [0; CHANNELS];
    // SAFETY: sums, table and outputs of a block are as long as it wants.
    unsafe { requantize(doubled, table, &mut outputs) };
    outputs
}

/// The upper half of a product, rounded to nearest with halves up, from four products of halves: 20 instructions.
///
/// r3 a factor x, of which the sign is left, r5 a factor m not below 0, where the product comes; r4 the lower half of x,
/// then r5 the upper of m, r6 the lower of m, r7 the upper of x; r8 2¹⁵. r4, r6, r7 and r12 are lost.
macro_rules! high_product {
    () => {
        concat!(
            "uxth r4, r3\n",
            "uxth r6, r5\n",
            "lsrs r5, r5, #16\n",
            "asrs r7, r3, #16\n",
            "asrs r3, r3, #31\n",
            "mov r12, r7\n",
            // Upper half of x, lower of m, and what the lower halves carry: of 32 bits.
            "muls r7, r6, r7\n",
            "muls r6, r4, r6\n",
            "lsrs r6, r6, #16\n",
            "adds r7, r7, r6\n",
            // Lower half of x, upper of m: below 2^31.
            "muls r4, r5, r4\n",
            "mov r6, r12\n",
            "muls r5, r6, r5\n",
            // Both and 2^15, of 32 bits without a sign but for the upper half of the first.
            "uxth r6, r7\n",
            "asrs r7, r7, #16\n",
            "adds r4, r4, r6\n",
            "add r4, r8\n",
            "lsrs r4, r4, #16\n",
            "adds r5, r5, r7\n",
            "adds r5, r5, r4\n",
        )
    };
}
use high_product;

/// Requantizes four sums as `channel::requantize` does, with upper halves of products from four products of halves: 37
/// instructions for each.
///
/// r0 sums, r1 table, r2 outputs, r3 the sum with its bias and then its sign, r5 the multiplier, r8 2¹⁵, r9 the end of
/// the outputs.
///
/// # Safety
/// Sums, table and outputs are as long as their types say.
#[unsafe(naked)]
unsafe extern "C" fn requantize(
    sums: &[i32; CHANNELS],
    table: &[[i32; LEN]; CHANNELS],
    outputs: &mut [i8; CHANNELS],
) {
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "push {{r4, r5}}",
        "movs r4, #128",
        "lsls r4, r4, #8",
        "mov r8, r4",
        "adds r4, r2, #4",
        "mov r9, r4",
        "1:",
        "ldm r0!, {{r3}}",
        "ldm r1!, {{r4, r5}}",
        "adds r3, r3, r4",
        high_product!(),
        // Offset, sign, shift.
        "ldm r1!, {{r4, r6}}",
        "adds r5, r5, r4",
        "adds r5, r5, r3",
        "asrs r5, r6",
        "sxtb r4, r5",
        "cmp r4, r5",
        "beq 2f",
        "asrs r5, r5, #31",
        "movs r4, #127",
        "eors r4, r5",
        "2:",
        "strb r4, [r2]",
        "adds r2, #1",
        "cmp r2, r9",
        "bne 1b",
        "pop {{r4, r5}}",
        "mov r8, r4",
        "mov r9, r5",
        "pop {{r4-r7, pc}}",
    )
}
