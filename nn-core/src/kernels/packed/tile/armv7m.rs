//! The innermost loops in assembly, for Cortex-M3.
//!
//! Three sums for four channels (see `quads`): of each word of weights, of its bytes reversed, of the bytes of its
//! halves swapped. Sums of a convolution: r2, r3 of the word at both pixels, r4, r5 reversed, r6, r7 swapped; a
//! reversed word turned by 16 bits is the swapped one. Counts are instructions; MLA and loads take two cycles, LDRD and
//! LDM one and one more for each register.
#![allow(unsafe_code)]

mod fours;
mod lstm;
mod mixed;
mod outputs;

use core::arch::naked_asm;

pub(in super::super) use self::lstm::lstm_step;
pub(in super::super) use self::mixed::cells;
use self::outputs::{finish, finish_single};
use super::frame::Frame;
pub(in super::super) use super::frame::Kernel;
use super::{Blocks, Lines, Output, Pool, quads};

/// A tap of four channels: 6 instructions, 4 MACs.
macro_rules! single_tap {
    ($w:literal) => {
        concat!(
            "ldrsh r5, [r0], #2\n",
            "mla r2, ",
            $w,
            ", r5, r2\n",
            "rev ",
            $w,
            ", ",
            $w,
            "\n",
            "mla r4, ",
            $w,
            ", r5, r4\n",
            "ror ",
            $w,
            ", ",
            $w,
            ", #16\n",
            "mla r6, ",
            $w,
            ", r5, r6\n",
        )
    };
}
use single_tap;

/// A tap of four channels at two pixels, whose inputs are in two registers: 8 instructions, 8 MACs.
macro_rules! tap {
    ($w:literal, $x0:literal, $x1:literal) => {
        concat!(
            multiplied!("r2", "r3", $w, $x0, $x1),
            "rev ",
            $w,
            ", ",
            $w,
            "\n",
            multiplied!("r4", "r5", $w, $x0, $x1),
            "ror ",
            $w,
            ", ",
            $w,
            ", #16\n",
            multiplied!("r6", "r7", $w, $x0, $x1),
        )
    };
}

/// The products of a weight and the inputs of both pixels: 2 instructions.
macro_rules! multiplied {
    ($sum0:literal, $sum1:literal, $w:literal, $x0:literal, $x1:literal) => {
        concat!(
            "mla ", $sum0, ", ", $w, ", ", $x0, ", ", $sum0, "\n", "mla ", $sum1, ", ", $w, ", ",
            $x1, ", ", $sum1, "\n",
        )
    };
}
const _: () = assert!(size_of::<Frame>() == 64);

impl<'w> Kernel<'w> {
    /// The inputs lie in lines.
    pub(in super::super) fn lines(lines: &Lines, blocks: &Blocks<'w>) -> Option<Self> {
        let kernel = Self::new(spaced::<1>, lines, blocks, [lines.weights(); 2])?;
        // What serves both pixels is read once more: so many bytes.
        let (read, run): (_, unsafe extern "C" fn(&Frame)) = match (lines.distance, lines.words) {
            (2, 3) => (4, words::<3>),
            (2, 5) => (4, words::<5>),
            (1, 2) => (2, halves::<2>),
            (1, 3) => (2, halves::<3>),
            (_, words) if words.is_multiple_of(4) => (0, spaced::<4>),
            _ => (0, spaced::<1>),
        };
        Some(Self {
            frame: Frame {
                skip: kernel.frame.skip - read,
                ..kernel.frame
            },
            run,
            ..kernel
        })
    }
}

/// Takes the frame to the stack; then, for each block, r0 inputs, r1 weights.
macro_rules! begin {
    () => {
        concat!(
            "push {{r4-r11, lr}}\n",
            "sub sp, sp, #64\n",
            "mov r12, sp\n",
            "ldm r0!, {{r1-r8}}\n",
            "stm r12!, {{r1-r8}}\n",
            "ldm r0, {{r1-r8}}\n",
            "stm r12, {{r1-r8}}\n",
            "mov r1, r4\n",
            "8:\n",
            "ldr r0, [sp, #16]\n",
        )
    };
}

/// What the sums begin with.
macro_rules! start {
    () => {
        concat!(
            "ldrd r2, r3, [sp, #56]\n",
            "mov r4, r2\n",
            "mov r5, r3\n",
            "mov r6, r2\n",
            "mov r7, r3\n",
        )
    };
}

/// Ends a block and goes on to the next.
macro_rules! end {
    () => {
        concat!(
            "bl {finish}\n",
            "ldrd r11, r12, [sp, #32]\n",
            "ldr r10, [sp, #4]\n",
            "add r10, r10, r12\n",
            "str r10, [sp, #4]\n",
            "subs r11, r11, #1\n",
            "str r11, [sp, #32]\n",
            "bne 8b\n",
            "add sp, sp, #64\n",
            "pop {{r4-r11, pc}}\n",
        )
    };
}

/// Two taps whose inputs at the first pixel are in two registers, and at the second, a word further, read to two
/// others: 19 instructions, 16 MACs.
macro_rules! word {
    ($a0:literal, $b0:literal, $a1:literal, $b1:literal) => {
        concat!(
            "ldrsh ",
            $a1,
            ", [r0], #2\n",
            "ldrsh ",
            $b1,
            ", [r0], #2\n",
            "ldrd r12, lr, [r1], #8\n",
            tap!("r12", $a0, $a1),
            tap!("lr", $b0, $b1),
        )
    };
}

/// The second pixel lies a word further, so that a word serves both: 19 instructions a word and two a line, 16 MACs.
///
/// r0 inputs, r1 weights, r8, r9 and r10, r11 the halves of two words of inputs in turn, r12, lr weights. `WORDS` is how
/// many a line has.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn words<const WORDS: u32>(frame: &Frame) {
    naked_asm!(
        begin!(),
        start!(),
        "1:",
        "ldrsh r8, [r0], #2",
        "ldrsh r9, [r0], #2",
        ".rept {words} / 2",
        word!("r8", "r9", "r10", "r11"),
        word!("r10", "r11", "r8", "r9"),
        ".endr",
        ".rept {words} & 1",
        word!("r8", "r9", "r10", "r11"),
        ".endr",
        "ldrd r10, r11, [sp]",
        "add r0, r0, r10",
        "cmp r1, r11",
        "bne 1b",
        end!(),
        words = const WORDS,
        finish = sym finish,
    )
}

/// Two taps of the only input channel, whose first input at the first pixel is in a register; that of the next two taps
/// is read to another: 19 instructions, 16 MACs.
macro_rules! two_halves {
    ($first:literal, $third:literal) => {
        concat!(
            "ldrsh r9, [r0], #2\n",
            "ldrsh ",
            $third,
            ", [r0], #2\n",
            "ldrd r12, lr, [r1], #8\n",
            tap!("r12", $first, "r9"),
            tap!("lr", "r9", $third),
        )
    };
}

/// The second pixel lies a half further, so that a half serves both: 19 instructions a word and one a line, 16 MACs.
///
/// r0 inputs, r1 weights, r8, r9, r10 inputs, r12, lr weights. `WORDS` is how many a line has.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn halves<const WORDS: u32>(frame: &Frame) {
    naked_asm!(
        begin!(),
        start!(),
        "1:",
        "ldrsh r8, [r0], #2",
        ".rept {words} / 2",
        two_halves!("r8", "r10"),
        two_halves!("r10", "r8"),
        ".endr",
        ".rept {words} & 1",
        two_halves!("r8", "r10"),
        ".endr",
        "ldrd r10, r11, [sp]",
        "add r0, r0, r10",
        "cmp r1, r11",
        "bne 1b",
        end!(),
        words = const WORDS,
        finish = sym finish,
    )
}

/// The second pixel lies at any distance: 21 instructions a word, 16 MACs; 2 more for `UNROLLED` words, of which lines
/// are whole multiples.
///
/// r0 inputs, r1 weights, r8, r9 inputs of both pixels, r10 the end of the line, r11 the distance in bytes, r12, lr
/// weights.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn spaced<const UNROLLED: u32>(frame: &Frame) {
    naked_asm!(
        begin!(),
        start!(),
        "ldr r8, [sp]",
        "ldr r10, [sp, #12]",
        "ldr r11, [sp, #48]",
        "sub r10, r10, r8",
        "add r10, r10, r0",
        "1:",
        ".rept {unrolled}",
        "ldrd r12, lr, [r1], #8",
        "ldrsh r9, [r0, r11]",
        "ldrsh r8, [r0], #2",
        tap!("r12", "r8", "r9"),
        "ldrsh r9, [r0, r11]",
        "ldrsh r8, [r0], #2",
        tap!("lr", "r8", "r9"),
        ".endr",
        "cmp r0, r10",
        "bne 1b",
        "ldrd r8, r12, [sp]",
        "ldr r9, [sp, #12]",
        "add r0, r0, r8",
        "add r10, r10, r9",
        "cmp r1, r12",
        "bne 1b",
        end!(),
        unrolled = const UNROLLED,
        finish = sym finish,
    )
}

/// All blocks of a dense layer. The inputs are whole steps of two words.
#[inline]
pub(in super::super) fn vector(x: &[i32], blocks: &Blocks, y: &mut [i8]) {
    let halves: &[i16] = bytemuck::cast_slice(x);
    let lines = Lines::of_vector(x);
    let kernel = Kernel::new(single, &lines, blocks, [lines.weights(); 2]);
    if let Some(mut kernel) = kernel {
        kernel.steps = Some([halves.len() & !15, halves.len() & !3]);
        let (second, pool) = (0, Pool::Both);
        kernel.run(halves, [quads::sum(x); 2], Output { y, second, pool });
    }
}

/// Four taps of four channels: 25 instructions, 16 MACs.
macro_rules! four_taps {
    () => {
        concat!(
            "ldm r1!, {{r10-r12, lr}}\n",
            single_tap!("r10"),
            single_tap!("r11"),
            single_tap!("r12"),
            single_tap!("lr"),
        )
    };
}

/// One vector: 25 instructions for four taps, 16 MACs; 2 more for sixteen taps, and for each four of the rest.
///
/// r0 inputs, r1 weights, r2, r4, r6 sums, r5 an input, r8 the end of what is whole sixteens, r9 of all, r10–r12, lr
/// weights.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn single(frame: &Frame) {
    naked_asm!(
        begin!(),
        "ldr r2, [sp, #56]",
        "ldrd r8, r9, [sp, #8]",
        "mov r4, r2",
        "mov r6, r2",
        "b 2f",
        "1:",
        four_taps!(),
        four_taps!(),
        four_taps!(),
        four_taps!(),
        "2:",
        "cmp r0, r8",
        "bne 1b",
        "b 4f",
        "3:",
        four_taps!(),
        "4:",
        "cmp r0, r9",
        "bne 3b",
        end!(),
        finish = sym finish_single,
    )
}
