//! Four pixels of a channel in a word: the loop of depthwise convolutions three columns wide.

use core::arch::naked_asm;

use super::outputs::{scaled, split};
use crate::kernels::packed::tile::fours::{Channel, Fours, PIXELS};

/// What the loop keeps on its stack, in the order in which assembly reads it.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    /// 0: weights.
    weights: *const i16,
    /// 4: what the sums begin with.
    start: i32,
    /// 8: bytes from row to row.
    pitch: usize,
    /// 12: bytes from the last row, or from past it where rows are counted, to the next four pixels.
    back: isize,
    /// 16: bytes to the second and to the third tap of a row.
    offsets: [usize; 2],
    /// 24: the channel's numbers.
    table: *const i32,
    /// 28: outputs; 32: bytes from one to the next; 36: the end.
    y: *mut i8,
    step: usize,
    y_end: *mut i8,
    /// 40: the end of the weights.
    weights_end: *const i16,
    /// Inputs.
    x: *const u8,
}

impl Fours {
    /// Bytes from where tap 0 of a row lies to tap `tap`.
    fn offset(&self, tap: usize) -> usize {
        let parts = self.parts.max(1);
        tap % parts * self.part + tap / parts
    }

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
        if columns != 3 || rows == 0 {
            self.run_portable(x, channel, (y, step), fours);
            return;
        }
        let offsets = [self.offset(1), self.offset(2)];
        let last = offsets[0].max(offsets[1]) + PIXELS * fours;
        let (weights, outputs) = (2 * columns * rows - 1, PIXELS * fours);
        let fits = fours > 0
            && x.len() >= (rows - 1) * self.pitch + last
            && channel.weights.len() >= weights
            && y.len() > (outputs - 1) * step;
        if !fits {
            return;
        }
        let unrolled = rows == 3;
        let past = if unrolled { rows - 1 } else { rows } * self.pitch;
        let frame = Frame {
            weights: channel.weights.as_ptr(),
            start: self.start(channel),
            pitch: self.pitch,
            back: PIXELS.wrapping_sub(past).cast_signed(),
            offsets,
            table: channel.table.as_ptr(),
            y: y.as_mut_ptr(),
            step,
            y_end: y.as_mut_ptr().wrapping_add(outputs * step),
            weights_end: channel.weights.as_ptr().wrapping_add(weights + 1),
            x: x.as_ptr(),
        };
        // SAFETY: inputs, weights and outputs reach as far as the kernel wants (checked above).
        unsafe {
            if unrolled {
                three::<3>(&frame);
            } else {
                three::<0>(&frame);
            }
        }
    }
}

/// A tap of four pixels, whose inputs lie at a place: 6 instructions, 4 MACs. r2, r3, r4 sums, r5 inputs.
macro_rules! one_tap {
    ($place:literal, $w:literal) => {
        concat!(
            "ldr r5, [r0",
            $place,
            "]\n",
            "mla r2, r5, ",
            $w,
            ", r2\n",
            "rev r5, r5\n",
            "mla r3, r5, ",
            $w,
            ", r3\n",
            "ror r5, r5, #16\n",
            "mla r4, r5, ",
            $w,
            ", r4\n",
        )
    };
}

/// A row of taps: 21 instructions, 12 MACs.
macro_rules! one_row {
    ($at:literal) => {
        concat!(
            "ldrsh r6, [r1, #",
            $at,
            "]\n",
            "ldrsh r7, [r1, #",
            $at,
            " + 4]\n",
            "ldrsh r8, [r1, #",
            $at,
            " + 8]\n",
            one_tap!("", "r6"),
            one_tap!(", r11", "r7"),
            one_tap!(", r12", "r8"),
        )
    };
}

/// The output of a pixel. r6–r9 the channel's share of the table.
macro_rules! output {
    ($sum:literal, $shift:literal) => {
        scaled!($sum, $shift, "r6", "r7", "r8", "r9", "r10", "r1")
    };
}

/// Four pixels at a time: of three rows 22 instructions for a row's 12 MACs, 25 of any other number; 54 more.
///
/// r0 inputs, r1 weights; r2, r3, r4 sums, r5 a word of inputs, r6, r7, r8 weights, r9 bytes from row to row, r10 from
/// the last row to the next four pixels, r11, r12 to the second and the third tap, lr table. Words of inputs lie anywhere,
/// which costs a cycle where it is no boundary.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn three<const ROWS: u32>(frame: &Frame) {
    naked_asm!(
        "push {{r4-r11, lr}}",
        "sub sp, sp, #44",
        "mov r12, sp",
        "ldm r0!, {{r1-r8}}",
        "stm r12!, {{r1-r8}}",
        "ldm r0, {{r1-r4}}",
        "stm r12, {{r1-r3}}",
        "mov r0, r4",
        "ldr lr, [sp, #24]",
        "1:",
        "ldm sp, {{r1, r2, r9-r12}}",
        "mov r3, r2",
        "mov r4, r2",
        ".if {rows}",
        one_row!("0"),
        "add r0, r0, r9",
        one_row!("12"),
        "add r0, r0, r9",
        one_row!("24"),
        ".else",
        "ldr r10, [sp, #40]",
        "2:",
        one_row!("0"),
        "add r0, r0, r9",
        "add r1, r1, #12",
        "cmp r1, r10",
        "bne 2b",
        "ldr r10, [sp, #12]",
        ".endif",
        "add r0, r0, r10",
        split!("r2", "r3", "r4", "r5"),
        "ldm lr, {{r6-r9}}",
        output!("r2", "asr #7"),
        output!("r4", "lsl #1"),
        output!("r3", "asr #7"),
        output!("r5", "lsl #1"),
        "ldrd r11, r12, [sp, #28]",
        "strb r2, [r11]",
        "strb r4, [r11, r12]",
        "add r11, r11, r12, lsl #1",
        "strb r3, [r11]",
        "strb r5, [r11, r12]",
        "add r11, r11, r12, lsl #1",
        "ldr r10, [sp, #36]",
        "str r11, [sp, #28]",
        "cmp r11, r10",
        "bne 1b",
        "add sp, sp, #44",
        "pop {{r4-r11, pc}}",
        rows = const ROWS,
    )
}
