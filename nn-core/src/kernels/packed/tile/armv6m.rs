//! The three sums of four channels at a pixel in assembly, for Cortex-M0 and M0+: see `quads`.
//!
//! Only r0 to r7 take part in most instructions, and MULS leaves its product where a factor was: a word of weights is
//! reversed and swapped into a register that the product then takes, the word itself comes last.
#![allow(unsafe_code)]

use core::arch::naked_asm;

use super::Lines;

/// Words of a round of a loop over a line.
const ROUND: usize = 6;

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
    /// 28: sums of the word, of the reversed one, of the swapped one.
    sums: [i32; 3],
}

/// The three sums of the inputs that lie in lines, each begun with `start`.
#[inline]
pub(super) fn sums(x: &[i16], lines: &Lines, weights: &[i32], start: i32) -> [i32; 3] {
    // Counts of 16 bits, or of what lies in memory.
    let (words, pitch) = (lines.words as usize, lines.pitch as usize);
    let reach = lines.reach() - lines.distance as usize;
    if words == 0 || lines.count == 0 || x.len() < reach || weights.len() < lines.weights() {
        return [0; 3];
    }
    let aligned = x.as_ptr().addr().is_multiple_of(4) && pitch.is_multiple_of(2);
    let bytes = if aligned { 40 } else { 42 };
    let left_out = match words % ROUND {
        0 => 0,
        first => bytes * (ROUND - first),
    };
    let mut frame = Frame {
        x: x.as_ptr(),
        weights: weights.as_ptr(),
        line: 4 * words,
        skip: (2 * pitch).wrapping_sub(4 * words).cast_signed(),
        pitch: 2 * pitch,
        left_out,
        end: weights.as_ptr().wrapping_add(lines.weights()),
        sums: [start; 3],
    };
    // SAFETY: all inputs of the lines and all weights lie behind their pointers (checked above).
    unsafe {
        if aligned {
            of_words(&mut frame);
        } else {
            of_halves(&mut frame);
        }
    }
    frame.sums
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

/// All lines: besides the taps, 8 instructions for each, and 2 for six words.
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
            "mov r2, r8\n",
            "mov r3, r9\n",
            "mov r4, r10\n",
            "adds r1, #28\n",
            "stm r1!, {{r2-r4}}\n",
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
