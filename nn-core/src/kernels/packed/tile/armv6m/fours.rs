//! Four pixels of a channel in a word: the loop of depthwise convolutions.

use core::arch::naked_asm;

use super::outputs::{ABOVE, ROUNDING, four_outputs};
use super::split;
use crate::kernels::packed::tile::fours::{Channel, Fours, PIXELS};

/// What the loop is given, in the order in which assembly reads it.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    /// 0: the upper half of the channel's multiplier; 4: its shift; 8: its bias; 12: the lower half of the multiplier, with
    /// a sign; 16: its offset; 20: what rounds.
    of_channel: [i32; 6],
    /// 24: outputs; 28: bytes from one to the next.
    y: *mut i8,
    step: usize,
    /// 32: inputs.
    x: *const u8,
    /// 36: weights.
    weights: *const i16,
    /// 40: what the sums begin with.
    start: i32,
    /// 44: bytes from row to row.
    pitch: usize,
    /// 48: bytes of all weights.
    taps: usize,
    /// 52: 1 where a row has three columns at stride 1, 2 at stride 2, else 3.
    kind: usize,
    /// 56: bytes from part to part of a row.
    part: usize,
    /// 60: the end of the outputs.
    y_end: *mut i8,
    /// 64: bytes of weights from a tap of a part to its next one; 68: of a row.
    along: usize,
    row: usize,
}

impl Fours {
    /// The outputs of `fours` times four pixels of a channel, `step` numbers from one to the next; `x` begins where their
    /// first tap lies.
    #[inline(never)]
    pub(in super::super::super) fn run(
        &self,
        x: &[u8],
        channel: &Channel,
        (y, step): (&mut [i8], usize),
        fours: usize,
    ) {
        let [rows, columns] = self.kernel;
        // Of what lies in memory: none of it leaves 32 bits.
        let (taps, outputs) = (rows * columns, PIXELS * fours);
        let reach = rows.saturating_sub(1) * self.pitch + self.reach + outputs;
        let fits = taps > 0
            && fours > 0
            && (1..=columns).contains(&self.parts)
            && x.len() + PIXELS >= reach
            && channel.weights.len() + 1 >= 2 * taps
            && y.len() > (outputs - 1) * step;
        let aligned = (x.as_ptr().addr() | self.pitch | self.part).is_multiple_of(4);
        if !fits || !aligned {
            return;
        }
        let [bias, multiplier, offset, shift] = *channel.table;
        let low = multiplier << 16 >> 16;
        let high = multiplier.wrapping_sub(low).cast_unsigned() >> 16;
        let offset = offset.wrapping_sub(ABOVE);
        let mut frame = Frame {
            of_channel: [high.cast_signed(), shift, bias, low, offset, ROUNDING],
            y: y.as_mut_ptr(),
            step,
            x: x.as_ptr(),
            weights: channel.weights.as_ptr(),
            start: self.start(channel),
            pitch: self.pitch,
            taps: 4 * taps,
            kind: if columns == 3 { self.parts } else { 3 },
            part: self.part,
            y_end: y.as_mut_ptr().wrapping_add(outputs * step),
            along: 4 * self.parts,
            row: 4 * columns,
        };
        // SAFETY: inputs, weights and outputs reach as far as the kernel wants, and words of inputs lie on boundaries
        // (checked above).
        unsafe { run(&mut frame) };
    }
}

/// A tap of four pixels, whose inputs are in a register, which is not lost, and what goes on to the next weight: 10
/// instructions, 4 MACs. r4 the weight, r5 the product.
macro_rules! tap {
    ($x:literal, $next:literal) => {
        concat!(
            "ldrsh r4, [r1, r7]\n",
            $next,
            "\n",
            "rev r5, ",
            $x,
            "\n",
            "muls r5, r4, r5\n",
            "add r9, r5\n",
            "rev16 r5, ",
            $x,
            "\n",
            "muls r5, r4, r5\n",
            "add r10, r5\n",
            "muls r4, ",
            $x,
            ", r4\n",
            "add r8, r4\n",
        )
    };
}

/// A tap of a row whose taps are told one after the other.
macro_rules! next_tap {
    ($x:literal) => {
        tap!($x, "adds r7, #4")
    };
}

/// The inputs of a tap that begin in one word, r2, and end in the next, r3.
macro_rules! across {
    ($x:literal, $right:literal, $left:literal) => {
        concat!(
            "lsrs ",
            $x,
            ", r2, #",
            $right,
            "\n",
            "lsls r5, r3, #",
            $left,
            "\n",
            "orrs ",
            $x,
            ", r5\n",
        )
    };
}

/// A tap of a part of a row: 12 instructions, and 3 where its inputs lie in two words. At the part's end it goes to 8.
macro_rules! tap_of_part {
    ($x:literal) => {
        concat!(tap!($x, "add r7, r12"), "cmp r7, lr\n", "bhs 8f\n")
    };
}

/// Four pixels at a time: for a row of three columns 41 instructions, 12 MACs; of other rows about 15 for a tap's four; 62
/// more, the outputs besides.
///
/// r0 inputs, r1 weights, r7 bytes to the weight of a tap; r2, r3 words of inputs, r6 the word of a tap, r4 a weight, r5 a
/// product; r8, r9, r10 sums. Of rows of three columns r11 bytes from row to row, r12 of all weights, lr to the second
/// part. Of any others r11 inputs of a part, r12 bytes to the next weight of a part, lr to the end of the row's. Stack: the
/// frame; of other rows, the inputs of the row and the first weight of the part.
///
/// # Safety
/// What the frame tells of lies behind its pointers, words of inputs on boundaries.
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
        "1:",
        "ldr r4, [sp]",
        "ldr r0, [r4, #32]",
        "adds r1, r0, #4",
        "str r1, [r4, #32]",
        "adds r4, #36",
        "ldm r4!, {{r1, r2, r3, r5, r6}}",
        "mov r8, r2",
        "mov r9, r2",
        "mov r10, r2",
        "mov r11, r3",
        "mov r12, r5",
        "movs r7, #0",
        "cmp r6, #1",
        "bne 4f",
        // Three columns, stride 1.
        "2:",
        "ldr r2, [r0]",
        "ldr r3, [r0, #4]",
        "add r0, r11",
        next_tap!("r2"),
        across!("r6", "8", "24"),
        next_tap!("r6"),
        across!("r2", "16", "16"),
        next_tap!("r2"),
        "cmp r7, r12",
        "bne 2b",
        // The outputs.
        "3:",
        split!(),
        "push {{r4-r7}}",
        "ldr r4, [sp, #16]",
        "ldm r4!, {{r1, r2, r3, r5, r6, r7}}",
        "mov r8, r3",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "ldm r4!, {{r0, r3}}",
        "mov r12, r3",
        "bl {four_outputs}",
        "ldr r4, [sp]",
        "str r0, [r4, #24]",
        "ldr r5, [r4, #60]",
        "cmp r0, r5",
        "bne 1b",
        "pop {{r0}}",
        "pop {{r4-r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4-r7, pc}}",
        "4:",
        "cmp r6, #2",
        "bne 6f",
        // Three columns, stride 2.
        "ldr r6, [r4]",
        "mov lr, r6",
        "5:",
        "mov r6, lr",
        "ldr r6, [r0, r6]",
        "ldr r2, [r0]",
        "ldr r3, [r0, #4]",
        "add r0, r11",
        next_tap!("r2"),
        next_tap!("r6"),
        across!("r2", "8", "24"),
        next_tap!("r2"),
        "cmp r7, r12",
        "bne 5b",
        "b 3b",
        // A row of any other.
        "6:",
        "ldr r4, [sp]",
        "ldr r5, [r4, #68]",
        "adds r5, r5, r7",
        "mov lr, r5",
        "ldr r5, [r4, #64]",
        "mov r12, r5",
        "push {{r0}}",
        // A part.
        "7:",
        "mov r11, r0",
        "push {{r7}}",
        "9:",
        "ldr r2, [r0]",
        tap_of_part!("r2"),
        "ldr r3, [r0, #4]",
        "adds r0, #4",
        across!("r6", "8", "24"),
        tap_of_part!("r6"),
        across!("r6", "16", "16"),
        tap_of_part!("r6"),
        across!("r6", "24", "8"),
        tap_of_part!("r6"),
        "b 9b",
        "8:",
        "pop {{r7}}",
        "adds r7, #4",
        "ldr r4, [sp, #4]",
        // From the first weight of the row on.
        "ldr r5, [r4, #68]",
        "mov r6, lr",
        "subs r6, r6, r5",
        "subs r6, r7, r6",
        "cmp r6, r12",
        "bhs 8f",
        "ldr r5, [r4, #56]",
        "mov r0, r11",
        "adds r0, r0, r5",
        "b 7b",
        "8:",
        "pop {{r0}}",
        "ldr r5, [r4, #44]",
        "adds r0, r0, r5",
        "mov r7, lr",
        "ldr r5, [r4, #48]",
        "cmp r7, r5",
        "bne 6b",
        "b 3b",
        four_outputs = sym four_outputs,
    )
}
