//! Inner loops over plain weights with MVE, for Cortex-M55: 16 products of bytes an instruction (VMLADAVA), tails by
//! predicates, so that nothing outside of a slice is read.
//!
//! Sums are of the raw numbers; Σ (x − zero) · w = Σ x · w − zero · Σ w, and all of it wraps.
#![allow(unsafe_code)]

pub(crate) mod curves;
pub(crate) mod depthwise;
pub(crate) mod each;
mod finish;
pub(crate) mod gates;
mod patches;
mod runs;

use core::arch::naked_asm;

pub(crate) use finish::Rescaling;
pub(crate) use patches::{CHANNELS, Chunk, Sums};
pub(crate) use runs::Runs;

use super::ROWS_I8;

/// sums\[r\] += Σ (x − zero) · rows\[r\], for each row that is there.
///
/// Returns how many numbers of x those are: all, or none where the first row is none, or rows are shorter than x.
#[inline]
pub(super) fn dot_rows(
    x: &[i8],
    rows: [&[i8]; ROWS_I8],
    zero: i32,
    sums: &mut [i32; ROWS_I8],
) -> usize {
    let len = x.len();
    let [first, ..] = rows;
    let fits = |row: &[i8]| row.len() >= len;
    if len == 0 || !fits(first) || !rows.iter().all(|row| fits(row) || row.is_empty()) {
        return 0;
    }
    let before = *sums;
    // A row that is not there is the first one; its sum is not kept.
    let starts = rows.map(|row| if row.is_empty() { first } else { row }.as_ptr());
    // SAFETY: `len` numbers, not 0, lie behind each pointer.
    unsafe { four_rows(x.as_ptr(), starts.as_ptr(), len, zero, sums) };
    for ((sum, before), row) in sums.iter_mut().zip(before).zip(rows) {
        if row.is_empty() {
            *sum = before;
        }
    }
    len
}

/// The sums of products, and those of weights, of four rows: 16 inputs of each at a time, 15 instructions for 64 MACs, then the
/// last 1 to 16. `$last` puts how many those are into r1.
///
/// r0, r2, r4, r6 sums of products, from what they are on, r8, r10, r12, lr of weights (accumulators of MVE are even
/// registers), r3, r5, r7, r9 rows, r11 inputs, r1 the end of all inputs but the last 1 to 16, q0 inputs, q1–q3 weights.
macro_rules! four_rows_of {
    ($last:literal) => {
        concat!(
            "mov r8, #0\n",
            "mov r10, #0\n",
            "mov r12, #0\n",
            "mov lr, #0\n",
            "cmp r11, r1\n",
            "beq 3f\n",
            "2:\n",
            "vldrb.u8 q0, [r11], #16\n",
            four_rows_of!(@row "r3", "r0", "r8"),
            four_rows_of!(@row "r5", "r2", "r10"),
            four_rows_of!(@row "r7", "r4", "r12"),
            four_rows_of!(@row "r9", "r6", "lr"),
            "cmp r11, r1\n",
            "bne 2b\n",
            "3:\n",
            $last,
            "vctp.8 r1\n",
            "vpstttt\n",
            "vldrbt.u8 q0, [r11]\n",
            "vldrbt.u8 q1, [r3]\n",
            "vldrbt.u8 q2, [r5]\n",
            "vldrbt.u8 q3, [r7]\n",
            "vmladava.s8 r0, q0, q1\n",
            "vaddva.s8 r8, q1\n",
            "vmladava.s8 r2, q0, q2\n",
            "vaddva.s8 r10, q2\n",
            "vmladava.s8 r4, q0, q3\n",
            "vaddva.s8 r12, q3\n",
            "vpst\n",
            "vldrbt.u8 q1, [r9]\n",
            "vmladava.s8 r6, q0, q1\n",
            "vaddva.s8 lr, q1\n",
        )
    };
    (@row $row:literal, $product:literal, $weight:literal) => {
        concat!(
            "vldrb.u8 q1, [", $row, "], #16\n",
            "vmladava.s8 ", $product, ", q0, q1\n",
            "vaddva.s8 ", $weight, ", q1\n",
        )
    };
}
pub(crate) use four_rows_of;

/// The registers are those of [`four_rows_of`]. Stack: how many inputs the last are, the zero point, (saved registers), the
/// sums.
///
/// # Safety
/// `len` numbers, not 0, lie behind the input and behind each of four rows.
#[unsafe(naked)]
unsafe extern "C" fn four_rows(
    x: *const i8,
    rows: *const *const i8,
    len: usize,
    zero: i32,
    sums: *mut [i32; ROWS_I8],
) {
    naked_asm!(
        cpu!(),
        "push {{r3-r11, lr}}",
        "sub r2, r2, #1",
        "and r12, r2, #15",
        "add r12, r12, #1",
        "push {{r12}}",
        "bic r2, r2, #15",
        "mov r11, r0",
        "ldm r1, {{r3, r5, r7, r9}}",
        "add r1, r0, r2",
        "ldr lr, [sp, #44]",
        "ldm lr, {{r0, r2, r4, r6}}",
        four_rows_of!("pop {{r1}}\n"),
        "pop {{r1}}",
        "mls r0, r8, r1, r0",
        "mls r2, r10, r1, r2",
        "mls r4, r12, r1, r4",
        "mls r6, lr, r1, r6",
        "ldr r1, [sp, #36]",
        "stm r1, {{r0, r2, r4, r6}}",
        "pop {{r4-r11, pc}}",
    )
}

/// Σ of some numbers.
#[inline]
pub(crate) fn sum(values: &[i8]) -> i32 {
    // SAFETY: as many numbers lie behind the pointer.
    unsafe { sum_of(values.as_ptr(), values.len()) }
}

/// 3 instructions for 16 numbers. r0 numbers, r2 the sum, lr how many are left.
///
/// # Safety
/// `len` numbers lie behind `values`.
#[unsafe(naked)]
unsafe extern "C" fn sum_of(values: *const i8, len: usize) -> i32 {
    naked_asm!(
        cpu!(),
        "push {{r4, lr}}",
        "mov r2, #0",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r0], #16",
        "vaddva.s8 r2, q0",
        "letp lr, 2b",
        "3:",
        "mov r0, r2",
        "pop {{r4, pc}}",
    )
}

/// The lowest of some numbers; 127 where there is none.
#[inline]
pub(crate) fn lowest(values: &[i8]) -> i32 {
    // SAFETY: as many numbers lie behind the pointer.
    unsafe { lowest_of(values.as_ptr(), values.len()) }
}

/// 3 instructions for 16 numbers. r0 numbers, then the lowest, r2 the lowest, lr how many are left.
///
/// # Safety
/// `len` numbers lie behind `values`.
#[unsafe(naked)]
unsafe extern "C" fn lowest_of(values: *const i8, len: usize) -> i32 {
    naked_asm!(
        cpu!(),
        "push {{r4, lr}}",
        "mov r2, #127",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r0], #16",
        "vminv.s8 r2, q0",
        "letp lr, 2b",
        "3:",
        "sxtb r0, r2",
        "pop {{r4, pc}}",
    )
}
