//! A step of an LSTM.

use core::arch::naked_asm;

use super::{ROUND, high_product, split, tap, word};
use crate::fixed_point::LINES;
use crate::kernels::packed::lstm::Layer;
use crate::kernels::packed::tile::quads;

/// What a step keeps on its stack, in the order in which assembly reads it.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    /// 0: x, and then h.
    inputs: *const i32,
    /// 4: the loop over x; 16: that over h.
    x: Line,
    h: Line,
    /// 28: the table.
    table: *const i32,
    /// 32: the lines of the functions of the gates.
    starts: *const i32,
    slopes: *const u16,
    /// 40: the cell, from this unit on; 44: the next h.
    cell: *mut i16,
    hidden: *mut i16,
    /// 48: the end of the weights.
    end: *const i32,
    /// 52: 2¹⁵ − 1, 2¹⁷ − 1, 2¹⁴ + 1, 2²⁴ + 2⁸, 2¹⁵.
    numbers: [i32; 5],
    /// 72: weights, from this unit on; then 76: the products with x of f, i, o, g, and 92: those with h.
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
    /// 8: the end of the inputs.
    end: *const i32,
}

impl Line {
    fn new(inputs: &[i32]) -> Self {
        Self {
            start: quads::start(quads::sum(inputs)),
            // A word takes 20 instructions.
            begin: 40 * (inputs.len().wrapping_neg() % ROUND),
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
    let frame = Frame {
        inputs: inputs.as_ptr(),
        x: Line::new(x),
        h: Line::new(h),
        table: layer.table.as_ptr(),
        // Intervals count from −256.
        starts: LINES.starts.as_ptr().wrapping_add(256),
        slopes: LINES.slopes.as_ptr().wrapping_add(256),
        cell: cell.as_mut_ptr(),
        hidden: hidden.as_mut_ptr(),
        end: layer.weights.as_ptr_range().end,
        numbers: [0x7FFF, 0x1_FFFF, 0x4001, 0x100_0100, 0x8000],
        weights: layer.weights.as_ptr(),
    };
    // SAFETY: x and h are as long as the frame says, and not empty; the weights are as many as the units want, the cell
    // and the next h have a number for each (checked above); the table has its length.
    unsafe { units(&frame) };
}

/// The taps of x or of h of a unit: 20 instructions for two, 8 MACs; 18 more, 3 for each sixteen; 33 to tell the gates
/// apart.
///
/// r0 inputs, r1 weights, which begin with the sums' start, r7 the end; r8, r9, r10 sums. Twice f, i, o, g is left in r4
/// to r7, and at the place given, r0; 2¹⁵ − 1 in r2, 2¹⁵ in r8.
macro_rules! taps {
    ($line:literal, $place:literal, $round:literal) => {
        concat!(
            "ldm r1!, {{r2-r5}}\n",
            "ldr r6, [sp, #",
            $line,
            "]\n",
            "adds r2, r2, r6\n",
            "adds r3, r3, r6\n",
            "adds r4, r4, r6\n",
            "mov r8, r2\n",
            "mov r9, r3\n",
            "mov r10, r4\n",
            "ldr r2, [sp, #",
            $line,
            " + 4]\n",
            "ldr r7, [sp, #",
            $line,
            " + 8]\n",
            "bx r2\n",
            ".p2align 2\n",
            $round,
            ":\n",
            ".rept {round}\n",
            word!(),
            ".endr\n",
            "cmp r0, r7\n",
            "beq 9f\n",
            "b ",
            $round,
            "b\n",
            "9:\n",
            split!(),
            "add r0, sp, #",
            $place,
            "\n",
            "stm r0!, {{r4-r7}}\n",
            "subs r0, #16\n",
            "ldr r2, [sp, #68]\n",
            "mov r8, r2\n",
            "ldr r2, [sp, #52]\n",
        )
    };
}

/// Held to 16 bits, from one register to another: 3 instructions, but where it is too large.
macro_rules! held {
    ($value:literal, $to:literal) => {
        concat!(
            "sxth ",
            $to,
            ", ",
            $value,
            "\n",
            "cmp ",
            $to,
            ", ",
            $value,
            "\n",
            "beq 9f\n",
            "asrs ",
            $value,
            ", ",
            $value,
            ", #31\n",
            "ldr ",
            $to,
            ", [sp, #52]\n",
            "eors ",
            $to,
            ", ",
            $value,
            "\n",
            "9:\n",
        )
    };
}

/// A product rescaled and held to 16 bits, where its sum lies: 34 instructions. r0 sums, r1 table, r2 2¹⁵ − 1, r8 2¹⁵;
/// r3–r7 and r12 are lost.
macro_rules! rescaled {
    ($at:literal, $turn:expr) => {
        concat!(
            "ldr r3, [r0, #",
            $at,
            "]\n",
            "ldm r1!, {{r4, r5}}\n",
            $turn,
            high_product!(),
            "ldm r1!, {{r4, r6, r7}}\n",
            "adds r5, r5, r4\n",
            "ands r3, r3, r6\n",
            "adds r5, r5, r3\n",
            "asrs r5, r5, r7\n",
            "sxth r4, r5\n",
            "cmp r4, r5\n",
            "beq 9f\n",
            "asrs r4, r5, #31\n",
            "eors r4, r4, r2\n",
            "9:\n",
            "str r4, [r0, #",
            $at,
            "]\n",
        )
    };
}

/// From twice a sum to X, for the gates i and g.
macro_rules! turned_left {
    () => {
        "subs r4, #1\nlsls r3, r3, r4\n"
    };
}

/// The same for f and o.
macro_rules! turned_right {
    () => {
        "movs r6, #7\nsubs r6, r6, r4\nlsls r3, r3, r6\n"
    };
}

/// Both products of a gate, held to 16 bits, in r5: 6 instructions. r4 is lost.
macro_rules! joined {
    ($at:literal) => {
        concat!(
            "ldr r4, [sp, #76 + ",
            $at,
            "]\n",
            "ldr r5, [sp, #92 + ",
            $at,
            "]\n",
            "adds r4, r4, r5\n",
            held!("r4", "r5"),
        )
    };
}

/// A function of the gates at a number t in r4, still to be shifted: 7 instructions. r0 starts, r1 slopes of the lines;
/// r5, r6 are lost.
macro_rules! line {
    () => {
        concat!(
            "asrs r5, r4, #9\n",
            "lsls r6, r5, #2\n",
            "ldr r6, [r0, r6]\n",
            "lsls r5, r5, #1\n",
            "ldrh r5, [r1, r5]\n",
            "muls r4, r5, r4\n",
            "adds r4, r4, r6\n",
        )
    };
}

/// Logistic function of both products of a gate, in r4: 17 instructions. r9 2²⁴ + 2⁸.
macro_rules! logistic {
    ($at:literal) => {
        concat!(
            joined!($at),
            "lsls r4, r5, #1\n",
            "adds r4, r4, r5\n",
            line!(),
            "add r4, r9\n",
            "asrs r4, r4, #10\n",
        )
    };
}

/// Hyperbolic tangent at half a number t in r4, which is held to 18 bits first: 13 instructions.
macro_rules! tanh {
    () => {
        concat!(
            "lsls r4, r4, #1\n",
            "lsls r5, r4, #14\n",
            "asrs r5, r5, #14\n",
            "cmp r5, r4\n",
            "beq 9f\n",
            "asrs r4, r4, #31\n",
            "ldr r5, [sp, #56]\n",
            "eors r4, r4, r5\n",
            "9:\n",
            line!(),
            "asrs r4, r4, #9\n",
        )
    };
}

/// All units: besides their taps, each takes about 450 instructions.
///
/// # Safety
/// What the frame tells of lies behind its pointers.
#[unsafe(naked)]
unsafe extern "C" fn units(frame: &Frame) {
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4-r7}}",
        "sub sp, #108",
        "mov r1, sp",
        "ldm r0!, {{r2-r7}}",
        "stm r1!, {{r2-r7}}",
        "ldm r0!, {{r2-r7}}",
        "stm r1!, {{r2-r7}}",
        "ldm r0!, {{r2-r7}}",
        "stm r1!, {{r2-r7}}",
        "ldr r1, [r0]",
        // Where the loops begin: of thumb code.
        "adr r2, 1f",
        "adds r2, #1",
        "ldr r3, [sp, #8]",
        "adds r2, r2, r3",
        "str r2, [sp, #8]",
        "adr r2, 3f",
        "adds r2, #1",
        "ldr r3, [sp, #20]",
        "adds r2, r2, r3",
        "str r2, [sp, #20]",
        "8:",
        "ldr r0, [sp]",
        taps!("4", "76", "1"),
        "str r1, [sp, #72]",
        "ldr r1, [sp, #28]",
        "bl 5f",
        "ldr r0, [sp, #12]",
        "ldr r1, [sp, #72]",
        taps!("16", "92", "3"),
        "str r1, [sp, #72]",
        "ldr r1, [sp, #28]",
        "adds r1, #80",
        "bl 5f",
        // The numbers of the cell.
        "mov lr, r1",
        "ldr r0, [sp, #32]",
        "ldr r1, [sp, #36]",
        "ldr r2, [sp, #64]",
        "mov r9, r2",
        logistic!("8"),
        "mov r10, r4",
        logistic!("4"),
        "mov r12, r4",
        joined!("12"),
        "lsls r4, r5, #1",
        "adds r4, r4, r5",
        tanh!(),
        "mov r11, r4",
        logistic!("0"),
        // f · c: of a half the one away from zero.
        "ldr r2, [sp, #40]",
        "movs r3, #0",
        "ldrsh r3, [r2, r3]",
        "muls r4, r3, r4",
        "ldr r5, [sp, #60]",
        "adds r4, r4, r5",
        "asrs r3, r3, #31",
        "adds r4, r4, r3",
        "adds r4, r4, r3",
        "asrs r4, r4, #15",
        // i · g, and the next c.
        "mov r7, lr",
        "ldm r7!, {{r0, r1, r3, r5}}",
        "mov lr, r7",
        "mov r6, r11",
        "mov r7, r12",
        "muls r7, r6, r7",
        "adds r7, r7, r0",
        "asrs r6, r6, #31",
        "adds r7, r7, r6",
        "adds r7, r7, r6",
        "asrs r7, r7, r1",
        held!("r7", "r6"),
        "adds r6, r6, r4",
        held!("r6", "r4"),
        "cmp r5, #0",
        "beq 6f",
        "cmp r4, r5",
        "ble 7f",
        "mov r4, r5",
        "7:",
        "rsbs r5, r5, #0",
        "cmp r4, r5",
        "bge 6f",
        "mov r4, r5",
        "6:",
        "strh r4, [r2]",
        "adds r2, #2",
        "str r2, [sp, #40]",
        // tanh c: the upper half of 2^16 · c times the scale.
        "uxth r5, r3",
        "lsrs r3, r3, #16",
        "muls r5, r4, r5",
        "muls r3, r4, r3",
        "add r5, r8",
        "asrs r5, r5, #16",
        "adds r4, r3, r5",
        "ldr r0, [sp, #32]",
        "ldr r1, [sp, #36]",
        tanh!(),
        // The next h.
        "mov r3, r10",
        "muls r3, r4, r3",
        "lsls r3, r3, #1",
        "mov r1, lr",
        "ldm r1!, {{r5}}",
        high_product!(),
        "ldm r1!, {{r4, r6}}",
        "adds r5, r5, r4",
        "adds r5, r5, r3",
        "asrs r5, r5, r6",
        "sxtb r4, r5",
        "cmp r4, r5",
        "beq 9f",
        "asrs r5, r5, #31",
        "movs r4, #127",
        "eors r4, r4, r5",
        "9:",
        "ldr r2, [sp, #44]",
        "strh r4, [r2]",
        "adds r2, #2",
        "str r2, [sp, #44]",
        "ldr r1, [sp, #72]",
        "ldr r2, [sp, #48]",
        "cmp r1, r2",
        "beq 9f",
        "b 8b",
        "9:",
        "add sp, #108",
        "pop {{r4-r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4-r7, pc}}",
        // The products of the four gates.
        "5:",
        rescaled!("4", turned_left!()),
        rescaled!("0", turned_right!()),
        rescaled!("12", turned_left!()),
        rescaled!("8", turned_right!()),
        "bx lr",
        round = const ROUND,
    )
}
