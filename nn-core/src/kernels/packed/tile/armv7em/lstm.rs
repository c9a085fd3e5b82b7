//! A step of an LSTM.

use core::arch::naked_asm;

use crate::fixed_point::LINES;
use crate::kernels::packed::lstm::Layer;

/// What a step keeps on its stack, in the order in which assembly reads it.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    /// 0: x, and then h.
    inputs: *const i32,
    /// 4: the table.
    table: *const i32,
    /// 8: bytes of the loop of x that its first round leaves out; then where it begins. 12: the end of x that is whole
    /// eights of taps. 16: the end of x.
    x_begin: usize,
    x_eights: *const i32,
    x_end: *const i32,
    /// 20: the same of h.
    h_begin: usize,
    h_eights: *const i32,
    h_end: *const i32,
    /// 32: the lines of the functions of the gates.
    starts: *const i32,
    slopes: *const u16,
    /// 40: the cell, from this unit on; 44: the next h.
    cell: *mut i16,
    hidden: *mut i16,
    /// 48: the end of the weights.
    end: *const i32,
    /// Weights; then 52: sums of a unit's gates.
    weights: *const i32,
}

/// Bytes of eight taps in the loop over taps.
const EIGHT: usize = 4 * 27;
/// Eights of taps in a round of that loop.
const ROUND: usize = 4;

/// Of so many words of inputs the words that are whole eights of taps, and what the first round leaves out.
fn round(words: usize) -> (usize, usize) {
    let eights = words / 4;
    let first = eights % ROUND;
    let left_out = if first == 0 { 0 } else { ROUND - first };
    (4 * eights, EIGHT * left_out)
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
    let [x_words, h_words] = layer.words();
    let ((x_eights, x_begin), (h_eights, h_begin)) = (round(x_words), round(h_words));
    let x = inputs.as_ptr();
    let h = x.wrapping_add(x_words);
    let frame = Frame {
        inputs: x,
        table: layer.table.as_ptr(),
        x_begin,
        x_eights: x.wrapping_add(x_eights),
        x_end: h,
        h_begin,
        h_eights: h.wrapping_add(h_eights),
        h_end: h.wrapping_add(h_words),
        // Intervals count from −256.
        starts: LINES.starts.as_ptr().wrapping_add(256),
        slopes: LINES.slopes.as_ptr().wrapping_add(256),
        cell: cell.as_mut_ptr(),
        hidden: hidden.as_mut_ptr(),
        end: layer.weights.as_ptr_range().end,
        weights: layer.weights.as_ptr(),
    };
    // SAFETY: x and h, at least two words each, an even number, are as long as the frame says; the weights are as many
    // as the units want, the cell and the next h have a number for each (checked above); the table has its length.
    unsafe { units(&frame) };
}

/// The taps of x or of h of a unit: 27 instructions for eight, 32 MACs; 7 more, and 3 for each 32 taps. The last four of
/// an odd number of fours take 14.
///
/// r0 inputs, r1 weights, which begin with the sums' start; r2 S₀, r3 256·S₁ + S₀, r4 S₂, r5 256·S₃ + S₂, of which f and
/// o are left as 256·S₁ and 256·S₃.
macro_rules! taps {
    ($begin:literal, $eights:literal, $end:literal, $round:literal, $done:literal) => {
        concat!(
            "ldm r1!, {{r2-r5}}\n",
            "ldr pc, [sp, #",
            $begin,
            "]\n",
            $round,
            ":\n",
            ".rept {round}\n",
            "ldm.w r0!, {{r6-r9}}\n",
            four_channels!("r6", "r7"),
            four_channels!("r8", "r9"),
            ".endr\n",
            "ldr r12, [sp, #",
            $eights,
            "]\n",
            "cmp r0, r12\n",
            "bne ",
            $round,
            "b\n",
            "ldr r12, [sp, #",
            $end,
            "]\n",
            "cmp r0, r12\n",
            "beq ",
            $done,
            "f\n",
            "ldm r0!, {{r6, r7}}\n",
            four_channels!("r6", "r7"),
            $done,
            ":\n",
            "sub r3, r3, r2\n",
            "sub r5, r5, r4\n",
        )
    };
}

/// A product rescaled and held to 16 bits: 7 instructions. lr table; r6–r11 are lost.
macro_rules! rescaled {
    ($sum:literal, $turn:literal) => {
        concat!(
            "ldm lr!, {{r6-r10}}\n",
            $turn,
            " ",
            $sum,
            ", ",
            $sum,
            ", r6\n",
            "smmlar r11, ",
            $sum,
            ", r7, r8\n",
            "and ",
            $sum,
            ", r9, ",
            $sum,
            ", asr #31\n",
            "add ",
            $sum,
            ", ",
            $sum,
            ", r11\n",
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
            rescaled!("r2", "lsl"),
            rescaled!("r3", "asr"),
            rescaled!("r4", "lsl"),
            rescaled!("r5", "asr"),
        )
    };
}

/// A function of the gates at a number t in r8, still to be shifted: 4 instructions. r6 starts, r7 slopes of the lines;
/// r9, r10, r11 are lost.
macro_rules! line {
    ($value:literal) => {
        concat!(
            "asr r9, r8, #9\n",
            "ldr r10, [r6, r9, lsl #2]\n",
            "ldrh r11, [r7, r9, lsl #1]\n",
            "mla ",
            $value,
            ", r8, r11, r10\n",
        )
    };
}

/// Logistic function: 7 instructions.
macro_rules! logistic {
    ($value:literal) => {
        concat!(
            "add r8, ",
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

/// All units: besides their taps, each takes 141 instructions.
///
/// After the taps r2–r5 hold what belongs to the gates i, f, g, o.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn units(frame: &Frame) {
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "sub sp, sp, #60",
        "ldm r0!, {{r1-r12, lr}}",
        "stm sp, {{r1-r12, lr}}",
        // Where the loops begin: of thumb code.
        "adr.w r2, 1f + 1",
        "adr.w r4, 3f + 1",
        "ldr r3, [sp, #8]",
        "add r2, r2, r3",
        "str r2, [sp, #8]",
        "ldr r5, [sp, #20]",
        "add r4, r4, r5",
        "str r4, [sp, #20]",
        "ldr r1, [r0]",
        "8:",
        "ldr r0, [sp]",
        taps!("8", "12", "16", "1", "2"),
        "ldr lr, [sp, #4]",
        all_rescaled!(),
        "pkhbt r2, r2, r3, lsl #16",
        "pkhbt r3, r4, r5, lsl #16",
        "strd r2, r3, [sp, #52]",
        taps!("20", "24", "28", "3", "4"),
        "ldr lr, [sp, #4]",
        "add lr, lr, #80",
        all_rescaled!(),
        "ldrd r6, r7, [sp, #52]",
        "sxtah r2, r2, r6",
        "sxtah r3, r3, r6, ror #16",
        "sxtah r4, r4, r7",
        "sxtah r5, r5, r7, ror #16",
        "ssat r2, #16, r2",
        "ssat r3, #16, r3",
        "ssat r4, #16, r4",
        "ssat r5, #16, r5",
        "ldrd r6, r7, [sp, #32]",
        logistic!("r2"),
        logistic!("r3"),
        logistic!("r5"),
        "add r8, r4, r4, lsl #1",
        "ssat r8, #18, r8, lsl #1",
        line!("r4"),
        "asr r4, r4, #9",
        // f · c: of a half the one away from zero.
        "ldr r8, [sp, #40]",
        "ldrsh r9, [r8]",
        "movw r10, #0x4001",
        "smlabb r3, r3, r9, r10",
        "add r3, r3, r9, asr #31",
        "add r3, r3, r9, asr #31",
        "asr r3, r3, #15",
        // i · g, and the next c.
        "ldm lr!, {{r9-r12}}",
        "smlabb r2, r2, r4, r9",
        "add r2, r2, r4, asr #31",
        "add r2, r2, r4, asr #31",
        "asr r2, r2, r10",
        "ssat r2, #16, r2",
        "add r2, r2, r3",
        "ssat r2, #16, r2",
        "cmp r12, #0",
        "bne 7f",
        "6:",
        "strh r2, [r8], #2",
        "str r8, [sp, #40]",
        // tanh c.
        "lsl r2, r2, #16",
        "smmulr r8, r2, r11",
        "ssat r8, #18, r8, lsl #1",
        line!("r2"),
        "asr r2, r2, #9",
        // The next h.
        "smulbb r2, r2, r5",
        "ldm lr, {{r6-r8}}",
        "ldr r9, [sp, #44]",
        "lsl r2, r2, #1",
        "smmlar r10, r2, r6, r7",
        "add r2, r10, r2, asr #31",
        "asr r2, r2, r8",
        "ssat r2, #8, r2",
        "strh r2, [r9], #2",
        "str r9, [sp, #44]",
        "ldr r9, [sp, #48]",
        "cmp r1, r9",
        "bne 8b",
        "add sp, sp, #60",
        "pop {{r4-r11, pc}}",
        "7:",
        "cmp r2, r12",
        "it gt",
        "movgt r2, r12",
        "rsb r12, r12, #0",
        "cmp r2, r12",
        "it lt",
        "movlt r2, r12",
        "b 6b",
        round = const ROUND,
    )
}
