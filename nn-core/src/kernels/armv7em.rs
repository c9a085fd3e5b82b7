//! Inner loops over plain weights in assembly, for Cortex-M4 and M7.
#![allow(unsafe_code)]

use core::arch::naked_asm;

use super::{ROWS_I8, ScaledRows, Sums};

/// sums\[r\] += Σ (x − zero) · rows\[r\] of whole fours of x, for each row that is there.
///
/// Returns how many numbers those are. Where the first row is none, or rows are shorter than x, there are none.
#[inline]
pub(super) fn dot_rows(
    x: &[i8],
    rows: [&[i8]; ROWS_I8],
    zero: i32,
    sums: &mut [i32; ROWS_I8],
) -> usize {
    let len = x.len() & !3;
    let [first, ..] = rows;
    let fits = |row: &[i8]| row.len() >= len;
    if len == 0 || !fits(first) || !rows.iter().all(|row| fits(row) || row.is_empty()) {
        return 0;
    }
    let before = *sums;
    // A row that is not there is the first one; its sum is not kept.
    let starts = rows.map(|row| if row.is_empty() { first } else { row }.as_ptr());
    // Its lower 16 bits, twice.
    let zeros = zero & 0xFFFF | zero << 16;
    // SAFETY: `len` numbers, a multiple of 4 and not 0, lie behind each pointer.
    unsafe { four_rows(x.as_ptr(), starts.as_ptr(), len, zeros, sums) };
    for ((sum, before), row) in sums.iter_mut().zip(before).zip(rows) {
        if row.is_empty() {
            *sum = before;
        }
    }
    len
}

/// Four inputs of four rows: 25 instructions for 16 MACs, and 3 more for eight inputs.
///
/// r0 inputs, r1–r4 rows, r5–r8 sums, r9 the zero point twice, r10, r11 two inputs each, r12, lr weights. Stack: the end
/// of the inputs, (saved registers), the sums. An odd number of fours begins in the middle.
///
/// # Safety
/// `len` numbers, a multiple of 4 and not 0, lie behind the input and behind each of four rows.
#[unsafe(naked)]
unsafe extern "C" fn four_rows(
    x: *const i8,
    rows: *const *const i8,
    len: usize,
    zeros: i32,
    sums: *mut [i32; ROWS_I8],
) {
    macro_rules! row {
        ($row:literal, $sum:literal) => {
            concat!(
                "ldr r12, [",
                $row,
                "], #4\n",
                "sxtb16 lr, r12\n",
                "sxtb16 r12, r12, ror #8\n",
                "smlad ",
                $sum,
                ", lr, r10, ",
                $sum,
                "\n",
                "smlad ",
                $sum,
                ", r12, r11, ",
                $sum,
                "\n",
            )
        };
    }
    macro_rules! four {
        () => {
            concat!(
                "ldr r11, [r0], #4\n",
                "sxtb16 r10, r11\n",
                "sxtb16 r11, r11, ror #8\n",
                "ssub16 r10, r10, r9\n",
                "ssub16 r11, r11, r9\n",
                row!("r1", "r5"),
                row!("r2", "r6"),
                row!("r3", "r7"),
                row!("r4", "r8"),
            )
        };
    }
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "add r12, r0, r2",
        "push {{r12}}",
        "mov r9, r3",
        "tst r2, #4",
        "ldr r12, [sp, #40]",
        "ldm r12, {{r5-r8}}",
        "ldm r1, {{r1-r4}}",
        "bne 2f",
        "1:",
        four!(),
        "2:",
        four!(),
        "ldr r12, [sp]",
        "cmp r0, r12",
        "bne 1b",
        "ldr r12, [sp, #40]",
        "stm r12, {{r5-r8}}",
        "add sp, sp, #4",
        "pop {{r4-r11, pc}}",
    )
}

/// to\[r, i\] += (from\[r, i\] − zero) · factor: 13 instructions for four MACs, 7 for one that is left over, 11 for a row.
///
/// r0 sums, r1 numbers, r2 how the rows lie, r3 the factor in its lower half, r4–r7 four sums, r8 rows left, r9 numbers of
/// the row left, r10 numbers of a row, r11 the zero point twice, r12 the first and third number, lr the second and fourth.
///
/// # Safety
/// All rows are there, and there is a number. The upper half of `halves` is the zero point.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn scaled_rows_i8(
    to: *mut i32,
    from: *const i8,
    rows: *const ScaledRows,
    halves: i32,
) {
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "lsr r11, r3, #16",
        "orr r11, r11, r11, lsl #16",
        "ldr r8, [r2]",
        "1:",
        "ldr r10, [r2, #4]",
        "subs r9, r10, #4",
        "blo 3f",
        "2:",
        "ldr lr, [r1], #4",
        "ldm r0, {{r4-r7}}",
        "sxtb16 r12, lr",
        "sxtb16 lr, lr, ror #8",
        "ssub16 r12, r12, r11",
        "ssub16 lr, lr, r11",
        "smlabb r4, r12, r3, r4",
        "smlabb r5, lr, r3, r5",
        "smlatb r6, r12, r3, r6",
        "smlatb r7, lr, r3, r7",
        "stm r0!, {{r4-r7}}",
        "subs r9, r9, #4",
        "bhs 2b",
        "3:",
        "adds r9, r9, #4",
        "beq 5f",
        "4:",
        "ldrsb r12, [r1], #1",
        "ldr r4, [r0]",
        "ssub16 r12, r12, r11",
        "smlabb r4, r12, r3, r4",
        "str r4, [r0], #4",
        "subs r9, r9, #1",
        "bne 4b",
        "5:",
        "ldrd r12, lr, [r2, #8]",
        "sub r12, r12, r10",
        "sub lr, lr, r10",
        "add r0, r0, r12, lsl #2",
        "add r1, r1, lr",
        "subs r8, r8, #1",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// [`Sums`] of whole fours: y holds x0; x1 has as many, or one that meets all.
#[inline]
pub(super) fn sums(sums: &Sums, y: &mut [[i8; 4]], x1: &[[i8; 4]]) {
    let step = if x1.len() == 1 { 0 } else { 4 };
    if y.is_empty() || !(x1.len() == 1 || x1.len() == y.len()) {
        return;
    }
    let y = y.as_mut_ptr_range();
    // SAFETY: y is not empty; x1 has a four for each step of y, or one, which is not left (checked above).
    unsafe { four_sums(y.start, x1.as_ptr(), y.end, sums, step) };
}

/// Four sums: 95 instructions.
///
/// r0 y, r1 x1, r2 what is the same for all, r3 a number of x1, r4–r7 those of x0, then the sums; r8–r12 zero point or none,
/// multiplier, half, sign, shift; lr scratch. Stack: the end of y, the sums' numbers, (saved registers), the step of x1.
///
/// # Safety
/// `y` has at least one four up to `end`; `x1` has one at each `step` bytes for each of them.
#[unsafe(naked)]
unsafe extern "C" fn four_sums(
    y: *mut [i8; 4],
    x1: *const [i8; 4],
    end: *mut [i8; 4],
    sums: *const Sums,
    step: usize,
) {
    macro_rules! scaled {
        ($x:literal) => {
            concat!(
                "add ",
                $x,
                ", r8, ",
                $x,
                ", lsl #21\n",
                "and lr, r11, ",
                $x,
                ", asr #31\n",
                "smmlar ",
                $x,
                ", ",
                $x,
                ", r9, r10\n",
                "add ",
                $x,
                ", ",
                $x,
                ", lr\n",
                "asr ",
                $x,
                ", ",
                $x,
                ", r12\n",
            )
        };
    }
    macro_rules! added {
        ($sum:literal, $at:literal) => {
            concat!(
                "ldrsb r3, [r1, #",
                $at,
                "]\n",
                scaled!("r3"),
                "add ",
                $sum,
                ", ",
                $sum,
                ", r3\n",
            )
        };
    }
    macro_rules! finished {
        ($sum:literal) => {
            concat!(
                "lsl ",
                $sum,
                ", ",
                $sum,
                ", #1\n",
                "and lr, r10, ",
                $sum,
                ", asr #31\n",
                "smmlar ",
                $sum,
                ", ",
                $sum,
                ", r8, r9\n",
                "add ",
                $sum,
                ", ",
                $sum,
                ", lr\n",
                "asr ",
                $sum,
                ", ",
                $sum,
                ", r11\n",
                "add ",
                $sum,
                ", ",
                $sum,
                ", r12\n",
                "ssat ",
                $sum,
                ", #8, ",
                $sum,
                "\n",
            )
        };
    }
    naked_asm!(
        cpu!(),
        "push {{r2-r11, lr}}",
        "1:",
        "ldr r2, [sp, #4]",
        "ldm r2!, {{r8-r12}}",
        "ldrsb r4, [r0]",
        "ldrsb r5, [r0, #1]",
        "ldrsb r6, [r0, #2]",
        "ldrsb r7, [r0, #3]",
        scaled!("r4"),
        scaled!("r5"),
        scaled!("r6"),
        scaled!("r7"),
        "ldm r2!, {{r8-r12}}",
        added!("r4", "0"),
        added!("r5", "1"),
        added!("r6", "2"),
        added!("r7", "3"),
        "ldm r2, {{r8-r12}}",
        finished!("r4"),
        finished!("r5"),
        finished!("r6"),
        finished!("r7"),
        "bfi r4, r5, #8, #8",
        "bfi r4, r6, #16, #8",
        "bfi r4, r7, #24, #8",
        "str r4, [r0], #4",
        "ldr r3, [sp, #44]",
        "add r1, r1, r3",
        "ldr lr, [sp]",
        "cmp r0, lr",
        "bne 1b",
        "pop {{r2-r11, pc}}",
    )
}
