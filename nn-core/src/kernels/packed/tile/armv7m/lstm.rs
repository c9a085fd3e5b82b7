//! A step of an LSTM.

use core::arch::naked_asm;

use super::outputs::split;
use super::single_tap;
use crate::fixed_point::LINES;
use crate::kernels::packed::lstm::Layer;
use crate::kernels::packed::tile::quads;

/// What a step keeps on its stack, in the order in which assembly reads it.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    /// 0: x, and then h.
    inputs: *const i32,
    /// 4: the table, of the products of x; 8: of those of h.
    table: *const i32,
    h_table: *const i32,
    /// 12: the loops over x and over h.
    x: Line,
    h: Line,
    /// 44: the lines of the functions of the gates.
    starts: *const i32,
    slopes: *const u16,
    /// 52: the cell, from this unit on; 56: the next h.
    cell: *mut i16,
    hidden: *mut i16,
    /// 60: the end of the weights.
    end: *const i32,
    /// Weights; then 64: sums of a unit's gates.
    weights: *const i32,
}

/// A loop over taps.
#[derive(Debug)]
#[repr(C)]
struct Line {
    /// 0: less 128·Σ of the inputs, in each byte.
    start: i32,
    /// 4: bytes of the loop that its first round leaves out; then where it begins.
    begin: usize,
    /// 8: the end of the inputs that are whole fours; 12: the end.
    fours: *const i32,
    end: *const i32,
}

/// Bytes of four taps in the loop over taps.
const FOUR: usize = 4 * 25;
/// Fours of taps in a round of that loop.
const ROUND: usize = 4;

impl Line {
    fn new(inputs: &[i32]) -> Self {
        let fours = inputs.len() / 2;
        let left_out = match fours {
            0 => ROUND,
            _ => fours.wrapping_neg() % ROUND,
        };
        Self {
            start: quads::start(quads::sum(inputs)),
            begin: FOUR * left_out,
            fours: inputs.as_ptr().wrapping_add(2 * fours),
            end: inputs.as_ptr_range().end,
        }
    }
}

/// h and c of all units, from the vector of x and h. `hidden` receives h.
pub(in super::super::super) fn lstm_step(
    layer: &Layer,
    inputs: &[i32],
    cell: &mut [i16],
    hidden: &mut [i16],
) {
    if !layer.fits(inputs, cell, hidden) {
        return;
    }
    let [x_words, _] = layer.words();
    let (x, h) = inputs.split_at_checked(x_words).unwrap_or_default();
    let table = layer.table.as_ptr();
    let frame = Frame {
        inputs: inputs.as_ptr(),
        table,
        h_table: table.wrapping_add(20),
        x: Line::new(x),
        h: Line::new(h),
        // Intervals count from −256.
        starts: LINES.starts.as_ptr().wrapping_add(256),
        slopes: LINES.slopes.as_ptr().wrapping_add(256),
        cell: cell.as_mut_ptr(),
        hidden: hidden.as_mut_ptr(),
        end: layer.weights.as_ptr_range().end,
        weights: layer.weights.as_ptr(),
    };
    // SAFETY: x and h are as long as the frame says; the weights are as many as the units want, the cell and the next h
    // have a number for each (checked above); the table has its length.
    unsafe { units(&frame) };
}

/// The taps of x or of h of a unit: 25 instructions for four, 16 MACs, 13 for two that are left over; 10 more, and 2 for
/// each sixteen; 14 to tell the gates apart.
///
/// r0 inputs, r1 weights, which begin with the sums' start; r2, r4, r6 sums, r5 an input, r8, r9 ends, r10–r12, lr
/// weights. 256·f is left in r2, i in r6, 256·o in r4, g in r8.
macro_rules! taps {
    ($line:literal, $round:literal, $done:literal) => {
        concat!(
            "ldm r1!, {{r2, r4, r6, r8}}\n",
            "ldrd r7, r12, [sp, #",
            $line,
            "]\n",
            "ldrd r8, r9, [sp, #",
            $line,
            " + 8]\n",
            "add r2, r2, r7\n",
            "add r4, r4, r7\n",
            "add r6, r6, r7\n",
            "bx r12\n",
            $round,
            ":\n",
            ".rept {round}\n",
            "ldm r1!, {{r10-r12, lr}}\n",
            single_tap!("r10"),
            single_tap!("r11"),
            single_tap!("r12"),
            single_tap!("lr"),
            ".endr\n",
            "cmp r0, r8\n",
            "bne ",
            $round,
            "b\n",
            "cmp r0, r9\n",
            "beq ",
            $done,
            "f\n",
            "ldrd r10, r11, [r1], #8\n",
            single_tap!("r10"),
            single_tap!("r11"),
            $done,
            ":\n",
            split!("r2", "r4", "r6", "r8"),
        )
    };
}

/// A product rescaled and held to 16 bits: 9 instructions. lr table; r3, r5, r7, r9–r12 are lost.
macro_rules! rescaled {
    ($sum:literal, $turn:literal) => {
        concat!(
            "ldm lr!, {{r3, r5, r7, r9, r10}}\n",
            $turn,
            " ",
            $sum,
            ", ",
            $sum,
            ", r3\n",
            "smull r11, r12, ",
            $sum,
            ", r5\n",
            // The carry is the bit that rounds.
            "lsls r11, r11, #1\n",
            "adc r12, r12, r7\n",
            "and ",
            $sum,
            ", r9, ",
            $sum,
            ", asr #31\n",
            "add ",
            $sum,
            ", ",
            $sum,
            ", r12\n",
            "asr ",
            $sum,
            ", ",
            $sum,
            ", r10\n",
            "ssat ",
            $sum,
            ", #16, ",
            $sum,
            "\n",
        )
    };
}

/// The products of the four gates.
macro_rules! all_rescaled {
    () => {
        concat!(
            rescaled!("r6", "lsl"),
            rescaled!("r2", "asr"),
            rescaled!("r8", "lsl"),
            rescaled!("r4", "asr"),
        )
    };
}

/// A function of the gates at a number t in r11, still to be shifted: 4 instructions. r9 starts, r10 slopes of the lines;
/// r3, r5, r12 are lost.
macro_rules! line {
    ($value:literal) => {
        concat!(
            "asr r12, r11, #9\n",
            "ldr r3, [r9, r12, lsl #2]\n",
            "ldrh r5, [r10, r12, lsl #1]\n",
            "mla ",
            $value,
            ", r11, r5, r3\n",
        )
    };
}

/// Logistic function: 7 instructions.
macro_rules! logistic {
    ($value:literal) => {
        concat!(
            "add r11, ",
            $value,
            ", ",
            $value,
            ", lsl #1\n",
            line!($value),
            "add ",
            $value,
            ", ",
            $value,
            ", #0x1000100\n",
            "asr ",
            $value,
            ", ",
            $value,
            ", #10\n",
        )
    };
}

/// All units: besides their taps, each takes 159 instructions.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn units(frame: &Frame) {
    naked_asm!(
        "push {{r4-r11, lr}}",
        "sub sp, sp, #84",
        "mov r12, sp",
        "ldm r0!, {{r1-r8}}",
        "stm r12!, {{r1-r8}}",
        "ldm r0!, {{r1-r8}}",
        "stm r12!, {{r1-r8}}",
        "ldr r1, [r0]",
        // Where the loops begin: of thumb code.
        "adr.w r2, 1f + 1",
        "ldr r3, [sp, #16]",
        "add r2, r2, r3",
        "str r2, [sp, #16]",
        "adr.w r2, 3f + 1",
        "ldr r3, [sp, #32]",
        "add r2, r2, r3",
        "str r2, [sp, #32]",
        "8:",
        "ldr r0, [sp]",
        taps!("12", "1", "2"),
        "ldr lr, [sp, #4]",
        all_rescaled!(),
        "strd r2, r4, [sp, #64]",
        "strd r6, r8, [sp, #72]",
        taps!("28", "3", "4"),
        "ldr lr, [sp, #8]",
        all_rescaled!(),
        "ldrd r3, r5, [sp, #64]",
        "ldrd r7, r9, [sp, #72]",
        "add r2, r2, r3",
        "add r4, r4, r5",
        "add r6, r6, r7",
        "add r8, r8, r9",
        "ssat r2, #16, r2",
        "ssat r4, #16, r4",
        "ssat r6, #16, r6",
        "ssat r8, #16, r8",
        "ldrd r9, r10, [sp, #44]",
        logistic!("r2"),
        logistic!("r4"),
        logistic!("r6"),
        "add r11, r8, r8, lsl #1",
        "ssat r11, #18, r11, lsl #1",
        line!("r8"),
        "asr r8, r8, #9",
        // f · c: of a half the one away from zero.
        "ldr r11, [sp, #52]",
        "ldrsh r12, [r11]",
        "movw r3, #0x4001",
        "mla r2, r2, r12, r3",
        "add r2, r2, r12, asr #31",
        "add r2, r2, r12, asr #31",
        "asr r2, r2, #15",
        // i · g, and the next c.
        "ldm lr!, {{r3, r5, r7, r12}}",
        "mla r6, r6, r8, r3",
        "add r6, r6, r8, asr #31",
        "add r6, r6, r8, asr #31",
        "asr r6, r6, r5",
        "ssat r6, #16, r6",
        "add r6, r6, r2",
        "ssat r6, #16, r6",
        "cmp r12, #0",
        "bne 7f",
        "6:",
        "strh r6, [r11], #2",
        "str r11, [sp, #52]",
        // tanh c.
        "lsl r6, r6, #16",
        "smull r3, r11, r6, r7",
        "lsls r3, r3, #1",
        "adc r11, r11, #0",
        "ssat r11, #18, r11, lsl #1",
        line!("r6"),
        "asr r6, r6, #9",
        // The next h.
        "mul r6, r6, r4",
        "ldm lr, {{r3, r5, r7}}",
        "ldr r9, [sp, #56]",
        "lsl r6, r6, #1",
        "smull r10, r11, r6, r3",
        "lsls r10, r10, #1",
        "adc r11, r11, r5",
        "add r6, r11, r6, asr #31",
        "asr r6, r6, r7",
        "ssat r6, #8, r6",
        "strh r6, [r9], #2",
        "str r9, [sp, #56]",
        "ldr r9, [sp, #60]",
        "cmp r1, r9",
        "bne 8b",
        "add sp, sp, #84",
        "pop {{r4-r11, pc}}",
        "7:",
        "cmp r6, r12",
        "it gt",
        "movgt r6, r12",
        "rsb r12, r12, #0",
        "cmp r6, r12",
        "it lt",
        "movlt r6, r12",
        "b 6b",
        round = const ROUND,
    )
}
