//! Inner loops over plain weights in assembly, for Cortex-M4 and M7.
#![allow(unsafe_code)]

use core::arch::{asm, naked_asm};

use super::ROWS_I8;

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

/// The larger of each of four bytes.
#[inline(always)]
pub(super) fn larger(a: [i8; 4], b: [i8; 4]) -> [i8; 4] {
    let word = |bytes: [i8; 4]| u32::from_le_bytes(bytes.map(i8::cast_unsigned));
    let mut larger = word(a);
    // SAFETY: instructions on registers and on the flags that SSUB8 sets and SEL reads.
    unsafe {
        asm!(
            "ssub8 {scratch}, {a}, {b}",
            "sel {a}, {a}, {b}",
            a = inout(reg) larger,
            b = in(reg) word(b),
            scratch = out(reg) _,
            options(pure, nomem, nostack)
        );
    }
    larger.to_le_bytes().map(u8::cast_signed)
}
