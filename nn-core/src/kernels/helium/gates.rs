//! The gates of recurrent layers: sums of products in 16 bits, and what an LSTM does with them.

use core::arch::naked_asm;

use super::four_rows_of;
use crate::fixed_point::{LINES, Rescale};
use crate::kernels::LstmUnit;

/// What [`add_products`] reads, in its order.
#[repr(C)]
struct Products {
    x: *const i8,
    weight: *const i8,
    len: usize,
    rows: usize,
    bias: *const i32,
    biases: usize,
    z: *mut i16,
    zero: i32,
    /// Bits to the left, the multiplier, bits to the left that are not above 0.
    factor: [i32; 3],
}

/// Bits by which a number is shifted to the left before it is multiplied, the multiplier, and those after it, to the right.
fn split(factor: Rescale) -> [i32; 3] {
    let shift = i32::from(factor.shift);
    [shift.max(0), factor.multiplier, shift.min(0)]
}

/// z += sat(rescale(Σ weight · (x − zero) + bias)), held to 16 bits, for each row of `weight`; none where there are not as
/// many. Biases that are not there count as 0.
#[inline]
pub(crate) fn add_product(
    x: &[i8],
    zero: i8,
    weight: &[i8],
    bias: &[i32],
    factor: Rescale,
    z: &mut [i16],
) {
    if x.is_empty() || z.is_empty() || weight.len() / x.len() < z.len() {
        return;
    }
    let mut products = Products {
        x: x.as_ptr(),
        weight: weight.as_ptr(),
        len: x.len(),
        rows: z.len(),
        bias: bias.as_ptr(),
        biases: bias.len(),
        z: z.as_mut_ptr(),
        zero: zero.into(),
        factor: split(factor),
    };
    // SAFETY: neither inputs nor rows are none; as many weights as there are inputs for each row are there (checked above).
    unsafe { add_products(&mut products) };
}

/// 16 inputs of four rows: 15 instructions for 64 MACs; 17 for the last 1 to 16 inputs, and 65 more for four rows.
///
/// The registers are those of `four_rows_of`. Then q0 sums, q1, q2 scratch, r1 the frame, others scratch. Stack: the frame,
/// how many inputs the last are.
///
/// # Safety
/// The frame's pointers are those of what it says, with one row and one input at least.
#[unsafe(naked)]
unsafe extern "C" fn add_products(products: *mut Products) {
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "ldr r2, [r0, #8]",
        "sub r2, r2, #1",
        "and r1, r2, #15",
        "add r1, r1, #1",
        "push {{r0, r1}}",
        "1:",
        "ldr lr, [sp]",
        "ldrd r11, r3, [lr]",
        "ldrd r0, r12, [lr, #8]",
        "add r5, r3, r0",
        "add r7, r5, r0",
        "add r9, r7, r0",
        "add r8, r9, r0",
        "str r8, [lr, #4]",
        "cmp r12, #4",
        "bhs 2f",
        // Rows that are not there are the first one.
        "cmp r12, #2",
        "it lo",
        "movlo r5, r3",
        "cmp r12, #3",
        "it lo",
        "movlo r7, r3",
        "mov r9, r3",
        "2:",
        "sub r1, r0, #1",
        "bic r1, r1, #15",
        "add r1, r1, r11",
        "mov r0, #0",
        "mov r2, #0",
        "mov r4, #0",
        "mov r6, #0",
        four_rows_of!("ldr r1, [sp, #4]\n"),
        "ldr r1, [sp]",
        "vmov q0[2], q0[0], r0, r4",
        "vmov q0[3], q0[1], r2, r6",
        "vmov q1[2], q1[0], r8, r12",
        "vmov q1[3], q1[1], r10, lr",
        "ldr r0, [r1, #28]",
        "vmul.i32 q1, q1, r0",
        "vsub.i32 q0, q0, q1",
        "ldrd r2, r3, [r1, #16]",
        "vctp.32 r3",
        "vpst",
        "vldrwt.u32 q1, [r2]",
        "add r2, r2, #16",
        "subs r3, r3, #4",
        "it lo",
        "movlo r3, #0",
        "strd r2, r3, [r1, #16]",
        "vadd.i32 q0, q0, q1",
        "ldrd r4, r5, [r1, #32]",
        "ldr r6, [r1, #40]",
        "vdup.32 q2, r6",
        "vshl.s32 q0, r4",
        "vqrdmulh.s32 q0, q0, r5",
        "vand q2, q2, q0",
        "vshr.s32 q2, q2, #31",
        "vqadd.s32 q0, q0, q2",
        "vrshl.s32 q0, r6",
        "vqmovnb.s32 q0, q0",
        "vmovlb.s16 q0, q0",
        "ldr r7, [r1, #24]",
        "ldr r8, [r1, #12]",
        "vctp.32 r8",
        "vpst",
        "vldrht.s32 q1, [r7]",
        "vadd.i32 q0, q0, q1",
        "vqmovnb.s32 q0, q0",
        "vpst",
        "vstrht.32 q0, [r7], #8",
        "str r7, [r1, #24]",
        "subs r8, r8, #4",
        "str r8, [r1, #12]",
        "bhi 1b",
        "add sp, sp, #8",
        "pop {{r4-r11, pc}}",
    )
}

/// What [`lstm_units`] reads besides pointers, in its order.
#[repr(C)]
struct Numbers {
    lines: [*const (); 2],
    /// 2³⁰, which halves; intervals of the lines below zero; 3; what rounds a logistic function, with its 1.
    constants: [i32; 4],
    vectors: [[i32; 4]; 8],
}

/// A step of the units whose gates' sums z are i, f, g and o, one after the other; none where they are not all there.
pub(crate) fn lstm(unit: &LstmUnit, z: &[i16], h: &mut [i8], c: &mut [i16]) {
    let units = h.len();
    if units == 0 || z.len() / 4 < units || c.len() < units {
        return;
    }
    let exponent = unit.exponent.clamp(-28, -9);
    let [left, multiplier, right] = split(unit.output);
    let [low, high] = match i32::from(unit.clip) {
        clip @ 1.. => [-clip, clip],
        _ => [i16::MIN.into(), i16::MAX.into()],
    };
    let vectors = [
        // Bits to the left: of i · g, of the cell in its function.
        -29 - exponent,
        exponent + 12,
        left,
        multiplier,
        low,
        high,
        right,
        unit.zero.into(),
    ];
    let numbers = Numbers {
        lines: [LINES.starts.as_ptr().cast(), LINES.slopes.as_ptr().cast()],
        constants: [1 << 30, 256, 3, (1 << 24) + (1 << 8)],
        vectors: vectors.map(|number| [number; 4]),
    };
    // SAFETY: as many numbers of each gate, of h and of c are there (checked above).
    unsafe { lstm_units(z.as_ptr(), h.as_mut_ptr(), c.as_mut_ptr(), units, &numbers) };
}

/// Four units: 91 instructions. What each does is in `lstm_unit.rs`, what the lines are in `fixed_point/gates.rs`.
///
/// r0 i, r1 f, r2 g, r3 o, r4 h, r5 c, r6 the lines' starts, r7 their slopes, r8 2³⁰, r9 256, r10 3, r11 what rounds, r12
/// vectors of numbers, lr units left; q0 to q4 scratch.
///
/// # Safety
/// `units` numbers lie behind h and c, four times as many behind z.
#[unsafe(naked)]
unsafe extern "C" fn lstm_units(
    z: *const i16,
    h: *mut i8,
    c: *mut i16,
    units: usize,
    numbers: *const Numbers,
) {
    // t in the vector; v instead.
    macro_rules! line {
        ($t:literal) => {
            concat!(
                "vshr.s32 q2, ",
                $t,
                ", #9\n",
                "vadd.i32 q2, q2, r9\n",
                "vldrw.u32 q3, [r6, q2, uxtw #2]\n",
                "vldrh.u32 q4, [r7, q2, uxtw #1]\n",
                "vmul.i32 ",
                $t,
                ", ",
                $t,
                ", q4\n",
                "vadd.i32 ",
                $t,
                ", ",
                $t,
                ", q3\n",
            )
        };
    }
    macro_rules! logistic {
        ($x:literal) => {
            concat!(
                "vmul.i32 ",
                $x,
                ", ",
                $x,
                ", r10\n",
                line!($x),
                "vadd.i32 ",
                $x,
                ", ",
                $x,
                ", r11\n",
                "vshr.s32 ",
                $x,
                ", ",
                $x,
                ", #10\n",
            )
        };
    }
    // Of 3x, or what was shifted from it; doubled, held to 18 bits.
    macro_rules! tanh {
        ($x:literal) => {
            concat!(
                "vqshl.s32 ",
                $x,
                ", ",
                $x,
                ", #15\n",
                "vshr.s32 ",
                $x,
                ", ",
                $x,
                ", #14\n",
                line!($x),
                "vshr.s32 ",
                $x,
                ", ",
                $x,
                ", #9\n",
            )
        };
    }
    // A half, to nearest; less one below zero.
    macro_rules! halved {
        ($x:literal) => {
            concat!(
                "vqrdmulh.s32 ",
                $x,
                ", ",
                $x,
                ", r8\n",
                "vshr.s32 q2, ",
                $x,
                ", #31\n",
                "vqadd.s32 ",
                $x,
                ", ",
                $x,
                ", q2\n",
            )
        };
    }
    macro_rules! held {
        ($x:literal) => {
            concat!(
                "vqmovnb.s32 ",
                $x,
                ", ",
                $x,
                "\n",
                "vmovlb.s16 ",
                $x,
                ", ",
                $x,
                "\n",
            )
        };
    }
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "vpush {{d8-d9}}",
        "mov r4, r1",
        "mov r5, r2",
        "lsl lr, r3, #1",
        "ldr r12, [sp, #52]",
        "add r1, r0, lr",
        "add r2, r1, lr",
        "mov r10, r3",
        "add r3, r2, lr",
        "wlstp.32 lr, r10, 2f",
        "ldm r12!, {{r6-r11}}",
        "1:",
        // i · g.
        "vldrh.s32 q0, [r0], #8",
        logistic!("q0"),
        "vldrh.s32 q1, [r2], #8",
        "vmul.i32 q1, q1, r10",
        tanh!("q1"),
        "vmul.i32 q0, q0, q1",
        halved!("q0"),
        "vldrw.u32 q1, [r12]",
        "vrshl.s32 q0, q0, q1",
        held!("q0"),
        // f · c.
        "vldrh.s32 q1, [r1], #8",
        logistic!("q1"),
        "vldrh.s32 q2, [r5]",
        "vmul.i32 q1, q1, q2",
        halved!("q1"),
        "vrshr.s32 q1, q1, #14",
        held!("q1"),
        "vadd.i32 q0, q0, q1",
        "vldrw.u32 q1, [r12, #64]",
        "vldrw.u32 q2, [r12, #80]",
        "vmax.s32 q0, q0, q1",
        "vmin.s32 q0, q0, q2",
        "vstrh.32 q0, [r5], #8",
        // o · tanh c.
        "vmul.i32 q0, q0, r10",
        "vldrw.u32 q1, [r12, #16]",
        "vrshl.s32 q0, q0, q1",
        tanh!("q0"),
        "vldrh.s32 q1, [r3], #8",
        logistic!("q1"),
        "vmul.i32 q0, q0, q1",
        "vldrw.u32 q1, [r12, #32]",
        "vshl.s32 q0, q0, q1",
        "vldrw.u32 q1, [r12, #48]",
        "vqrdmulh.s32 q0, q0, q1",
        "vldrw.u32 q1, [r12, #96]",
        "vand q2, q0, q1",
        "vshr.s32 q2, q2, #31",
        "vqadd.s32 q0, q0, q2",
        "vrshl.s32 q0, q0, q1",
        "vldrw.u32 q1, [r12, #112]",
        "vadd.i32 q0, q0, q1",
        "vqmovnb.s32 q0, q0",
        "vqmovnb.s16 q0, q0",
        "vstrb.32 q0, [r4], #4",
        "letp lr, 1b",
        "2:",
        "vpop {{d8-d9}}",
        "pop {{r4-r11, pc}}",
    )
}
