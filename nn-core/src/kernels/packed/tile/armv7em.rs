//! The innermost loops in assembly, for Cortex-M4 and M7.
//!
//! All fourteen registers are in use: what else a loop wants lies on the stack, and is loaded over registers that have
//! done their work. Sums of a convolution: r2, r3 S₀ at both pixels, r4, r5 256·S₁ + S₀, r6, r7 S₂, r8, r9
//! 256·S₃ + S₂. Counts are instructions; where LDRD and LDM count one, they take a cycle more for each register.
#![allow(unsafe_code)]

mod outputs;

use core::arch::naked_asm;

use self::outputs::{finish, finish_each, finish_single};
use super::frame::Frame;
pub(in super::super) use super::frame::Kernel;
use super::{Blocks, Lines, Output, Pool};

/// Two taps of four channels at two pixels, whose inputs are in two registers: 10 instructions, 16 MACs.
/// r12 and lr hold the weights of channels 0, 1 and 2, 3.
macro_rules! block {
    ($x0:literal, $x1:literal) => {
        concat!(
            "smlad r4, r12, ",
            $x0,
            ", r4\n",
            "smlad r5, r12, ",
            $x1,
            ", r5\n",
            "smlad r8, lr, ",
            $x0,
            ", r8\n",
            "smlad r9, lr, ",
            $x1,
            ", r9\n",
            "sxtb16 r12, r12\n",
            "sxtb16 lr, lr\n",
            "smlad r2, r12, ",
            $x0,
            ", r2\n",
            "smlad r3, r12, ",
            $x1,
            ", r3\n",
            "smlad r6, lr, ",
            $x0,
            ", r6\n",
            "smlad r7, lr, ",
            $x1,
            ", r7\n",
        )
    };
}

macro_rules! clear_sums {
    () => {
        "mov r2, #0\nmov r3, #0\nmov r4, #0\nmov r5, #0\nmov r6, #0\nmov r7, #0\nmov r8, #0\nmov r9, #0\n"
    };
}

/// Bytes of [`Frame`].
macro_rules! frame_bytes {
    () => {
        "56"
    };
}
const _: () = assert!(size_of::<Frame>() == 56);

impl<'w> Kernel<'w> {
    /// The inputs lie in lines.
    pub(in super::super) fn lines(lines: &Lines, blocks: &Blocks<'w>) -> Option<Self> {
        let kernel = Self::new(spaced::<0>, lines, blocks, [lines.weights(); 2])?;
        // The word that serves both pixels is read once more.
        let shared = Frame {
            skip: kernel.frame.skip - 4,
            ..kernel.frame
        };
        let (frame, run): (_, unsafe extern "C" fn(&Frame)) = match (lines.distance, lines.words) {
            (2, 3) => (shared, adjacent::<3>),
            (2, 5) => (shared, adjacent::<5>),
            (_, 3) => (kernel.frame, spaced::<3>),
            _ => (kernel.frame, spaced::<0>),
        };
        Some(Self {
            frame,
            run,
            ..kernel
        })
    }

    /// Depthwise: the inputs lie in lines of two planes for each block, `plane` halves from one to the next. Block 0 is
    /// number `first` of them.
    pub(in super::super) fn depthwise(
        lines: &Lines,
        plane: usize,
        first: usize,
        blocks: &Blocks<'w>,
    ) -> Option<Self> {
        let half = lines.count as usize * lines.words as usize;
        let kernel = Self::new(each::<0>, lines, blocks, [2 * half, half])?;
        let planes = (2 * blocks.table.len()).saturating_sub(1);
        let from = 2 * first * plane;
        let shared = (lines.distance, lines.words) == (2, 3);
        Some(Self {
            frame: Frame {
                plane: 2 * plane,
                // The word that serves both pixels is read once more.
                skip: kernel.frame.skip - if shared { 4 } else { 0 },
                ..kernel.frame
            },
            run: if shared { each::<3> } else { each::<0> },
            from,
            reach: from + planes * plane + lines.reach(),
            ..kernel
        })
    }

    /// The words of both pixels alternate: so many halves.
    pub(in super::super) fn pairs(halves: usize, blocks: &Blocks<'w>) -> Option<Self> {
        let words = halves / 2;
        let lines = Lines {
            pitch: 0,
            // Of what lies in memory.
            words: words as u32,
            count: 1,
            distance: 0,
        };
        Some(Self {
            reach: halves,
            // A step is two words.
            steps: Some([halves & !15, halves & !3]),
            ..Self::new(alternating, &lines, blocks, [words; 2])?
        })
    }
}

/// Takes the frame to the stack; then, for each block, r0 inputs, r1 weights, sums 0.
macro_rules! begin {
    () => {
        concat!(
            "push {{r4-r11, lr}}\n",
            "sub sp, sp, #",
            frame_bytes!(),
            "\n",
            "ldm r0, {{r1-r12, lr}}\n",
            "stm sp, {{r1-r12, lr}}\n",
            "mov r1, r12\n",
            "ldr r12, [r0, #52]\n",
            "str r12, [sp, #52]\n",
            "8:\n",
            "ldr r0, [sp, #16]\n",
            clear_sums!(),
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
            "add sp, sp, #",
            frame_bytes!(),
            "\n",
            "pop {{r4-r11, pc}}\n",
        )
    };
}

/// The second pixel lies a word further, so that a word serves both: 12 instructions a word and one a line, 16 MACs.
///
/// r0 inputs, r1 weights, r10, r11 two words of inputs in turn. `WORDS` is how many a line has.
///
/// # Safety
/// What the frame tells of lies behind its pointers; words are aligned.
#[unsafe(naked)]
unsafe extern "C" fn adjacent<const WORDS: u32>(frame: &Frame) {
    naked_asm!(
        cpu!(),
        begin!(),
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
        end!(),
        words = const WORDS,
        finish = sym finish,
    )
}

/// The second pixel lies at any distance: 14 instructions a word, 16 MACs.
///
/// r0 inputs, r1 weights, r10, r11 inputs of both pixels, r12 weights, lr the distance in bytes. `WORDS` is how many
/// words a line has, or 0 for any number.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn spaced<const WORDS: u32>(frame: &Frame) {
    naked_asm!(
        cpu!(),
        begin!(),
        "ldr lr, [sp, #48]",
        ".if {words} == 0",
        "ldr r10, [sp]",
        "ldr r11, [sp, #12]",
        "sub r11, r11, r10",
        "add r11, r11, r0",
        "str r11, [sp, #8]",
        ".endif",
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
        "ldr r10, [sp, #12]",
        "add r12, r12, r10",
        "str r12, [sp, #8]",
        ".endif",
        "ldrd r10, r11, [sp]",
        "add r0, r0, r10",
        "cmp r1, r11",
        "bne 1b",
        end!(),
        words = const WORDS,
        unrolled = const if WORDS == 0 { 1 } else { WORDS },
        finish = sym finish,
    )
}

/// Words of both pixels alternate: 12 instructions a step, 16 MACs; 3 more for four steps, and for each of the rest.
///
/// r0 inputs, r1 weights, r10, r11 inputs of both pixels.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn alternating(frame: &Frame) {
    naked_asm!(
        cpu!(),
        begin!(),
        "b 2f",
        "1:",
        ".rept 4",
        "ldrd r10, r11, [r0], #8",
        "ldrd r12, lr, [r1], #8",
        block!("r10", "r11"),
        ".endr",
        "2:",
        "ldr r12, [sp, #8]",
        "cmp r0, r12",
        "bne 1b",
        "b 4f",
        "3:",
        "ldrd r10, r11, [r0], #8",
        "ldrd r12, lr, [r1], #8",
        block!("r10", "r11"),
        "4:",
        "ldr r12, [sp, #12]",
        "cmp r0, r12",
        "bne 3b",
        end!(),
        finish = sym finish,
    )
}

/// A tap of two channels of a depthwise convolution, whose inputs are in two registers: 5 instructions, 4 MACs.
macro_rules! tap {
    ($x0:literal, $x1:literal, $low0:literal, $low1:literal, $high0:literal, $high1:literal) => {
        concat!(
            "ldr r12, [r1], #4\n",
            "smlabb ",
            $low0,
            ", r12, ",
            $x0,
            ", ",
            $low0,
            "\n",
            "smlatt ",
            $high0,
            ", r12, ",
            $x0,
            ", ",
            $high0,
            "\n",
            "smlabb ",
            $low1,
            ", r12, ",
            $x1,
            ", ",
            $low1,
            "\n",
            "smlatt ",
            $high1,
            ", r12, ",
            $x1,
            ", ",
            $high1,
            "\n",
        )
    };
}

/// A plane of two channels of a depthwise convolution, given their sums at both pixels.
macro_rules! plane {
    ($low0:literal, $low1:literal, $high0:literal, $high1:literal) => {
        concat!(
            ".if {words} == 0\n",
            "ldr r10, [sp]\n",
            "ldr r11, [sp, #12]\n",
            "sub r11, r11, r10\n",
            "add r11, r11, r0\n",
            "str r11, [sp, #8]\n",
            "1:\n",
            "ldr r11, [r0, lr]\n",
            "ldr r10, [r0], #4\n",
            tap!("r10", "r11", $low0, $low1, $high0, $high1),
            "ldr r12, [sp, #8]\n",
            "cmp r0, r12\n",
            "bne 1b\n",
            "ldr r10, [sp, #12]\n",
            "add r12, r12, r10\n",
            "str r12, [sp, #8]\n",
            ".else\n",
            "1:\n",
            "ldr r10, [r0], #4\n",
            "ldr r11, [r0], #4\n",
            tap!("r10", "r11", $low0, $low1, $high0, $high1),
            "ldr r10, [r0], #4\n",
            tap!("r11", "r10", $low0, $low1, $high0, $high1),
            "ldr r11, [r0], #4\n",
            tap!("r10", "r11", $low0, $low1, $high0, $high1),
            ".endif\n",
            "ldrd r10, r11, [sp]\n",
            "add r0, r0, r10\n",
            "cmp r1, r11\n",
            "bne 1b\n",
            // On to the next plane.
            "ldrd r10, r12, [sp, #32]\n",
            "add r11, r11, r12\n",
            "str r11, [sp, #4]\n",
            "ldr r0, [sp, #16]\n",
            "ldr r11, [sp, #52]\n",
            "add r0, r0, r11\n",
            "str r0, [sp, #16]\n",
        )
    };
}

/// Depthwise: of two channels at two pixels 7 instructions a tap, 4 MACs. With 3 for `WORDS` a line has three words, and
/// the second pixel lies a word further: 6 a tap and one a line. With 0 a line has any number.
///
/// r0 inputs, r1 weights, r10, r11 inputs of both pixels, r12 weights, lr the distance in bytes; sums r2, r3 of channel
/// 0 at both pixels, r4, r5 of 1, r6, r7 of 2, r8, r9 of 3.
/// The frame's `block` is half of a block's weights.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn each<const WORDS: u32>(frame: &Frame) {
    naked_asm!(
        cpu!(),
        begin!(),
        "ldr lr, [sp, #48]",
        plane!("r2", "r3", "r6", "r7"),
        plane!("r4", "r5", "r8", "r9"),
        "bl {finish}",
        "ldr r11, [sp, #32]",
        "subs r11, r11, #1",
        "str r11, [sp, #32]",
        "bne 8b",
        "add sp, sp, #56",
        "pop {{r4-r11, pc}}",
        words = const WORDS,
        finish = sym finish_each,
    )
}

/// All blocks of a dense layer. The inputs are whole steps of two words.
#[inline(never)]
pub(in super::super) fn vector(x: &[i32], blocks: &Blocks, y: &mut [i8]) {
    let halves: &[i16] = bytemuck::cast_slice(x);
    // Two words of weights for each of the inputs, as of pairs; one pixel takes half as many inputs.
    if let Some(mut kernel) = Kernel::pairs(2 * halves.len(), blocks) {
        kernel.run = single;
        kernel.reach = halves.len();
        kernel.steps = Some([halves.len() & !15, halves.len() & !3]);
        let (second, pool) = (0, Pool::Both);
        kernel.run(halves, [0; 2], Output { y, second, pool });
    }
}

/// Four taps of four channels: 13 instructions, 16 MACs. r10–r12, lr weights of two words of inputs.
macro_rules! four_channels {
    ($x0:literal, $x1:literal) => {
        concat!(
            "ldm r1!, {{r10-r12, lr}}\n",
            "smlad r3, r10, ",
            $x0,
            ", r3\n",
            "smlad r5, r11, ",
            $x0,
            ", r5\n",
            "smlad r3, r12, ",
            $x1,
            ", r3\n",
            "smlad r5, lr, ",
            $x1,
            ", r5\n",
            "sxtb16 r10, r10\n",
            "sxtb16 r11, r11\n",
            "sxtb16 r12, r12\n",
            "sxtb16 lr, lr\n",
            "smlad r2, r10, ",
            $x0,
            ", r2\n",
            "smlad r4, r11, ",
            $x0,
            ", r4\n",
            "smlad r2, r12, ",
            $x1,
            ", r2\n",
            "smlad r4, lr, ",
            $x1,
            ", r4\n",
        )
    };
}

// Behind the macros that it has in common with the loops here.
mod lstm;
pub(in super::super) use lstm::lstm_step;

/// One vector: 27 instructions for eight taps, 32 MACs; 3 more for sixteen taps, and for each four of the rest.
///
/// r0 inputs, r1 weights, r2 S₀, r3 256·S₁ + S₀, r4 S₂, r5 256·S₃ + S₂, r6–r9 eight inputs.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn single(frame: &Frame) {
    naked_asm!(
        cpu!(),
        begin!(),
        "b 2f",
        "1:",
        "ldm r0!, {{r6-r9}}",
        four_channels!("r6", "r7"),
        four_channels!("r8", "r9"),
        "ldm r0!, {{r6-r9}}",
        four_channels!("r6", "r7"),
        four_channels!("r8", "r9"),
        "2:",
        "ldr r12, [sp, #8]",
        "cmp r0, r12",
        "bne 1b",
        "b 4f",
        "3:",
        "ldm r0!, {{r6, r7}}",
        four_channels!("r6", "r7"),
        "4:",
        "ldr r12, [sp, #12]",
        "cmp r0, r12",
        "bne 3b",
        end!(),
        finish = sym finish_single,
    )
}
