//! Logistic function and hyperbolic tangent of int8 numbers, after `fixed_point.rs`, four at a time; of more numbers than
//! there are bytes, as a table of all of them.

use core::arch::naked_asm;

use super::each::look_up;
use crate::fixed_point::InputRescale;
use crate::fixed_point::constant::{
    EXP_ABOVE_HALF, EXP_BELOW_HALF, EXP_MINUS_EIGHTH, FORTY_EIGHT_OVER_17, MINUS_32_OVER_17,
    ONE_THIRD,
};

/// Numbers from which on a table takes less.
const TABLED: usize = 272;

/// What the functions in assembly read, in its order.
#[repr(C)]
struct Numbers {
    /// e^(−2^k) in Q0.31, k from −2.
    above_half: [i32; 2],
    below_half: [i32; 5],
    /// Bits to the left and multiplier of a number less its zero point.
    input: [i32; 2],
    /// Less the zero point.
    start: i32,
    /// Below a quarter, and less a quarter.
    quarter: [i32; 2],
    /// Integer bits, and bits to the left that make them 5.
    bits: [i32; 2],
    eighth: i32,
    third: i32,
    exp_eighth: i32,
    half: i32,
    /// 32/17, negative, and 48/17.
    newton: [i32; 2],
    /// From which steps on the function is the highest, and that.
    highest: [i32; 2],
    lowest: [i32; 2],
}

type Function = unsafe extern "C" fn(*mut i8, usize, *const Numbers);

fn each(values: &mut [i8], zero: i32, input: &InputRescale, integer_bits: i32, function: Function) {
    let numbers = Numbers {
        above_half: EXP_ABOVE_HALF,
        below_half: EXP_BELOW_HALF,
        input: [input.shift.into(), input.multiplier],
        start: zero.wrapping_neg(),
        quarter: [(1 << (29 - integer_bits)) - 1, -(1 << (29 - integer_bits))],
        bits: [integer_bits, integer_bits - 5],
        eighth: 1 << 28,
        third: ONE_THIRD,
        exp_eighth: EXP_MINUS_EIGHTH,
        half: 1 << 30,
        newton: [MINUS_32_OVER_17, FORTY_EIGHT_OVER_17],
        highest: [input.radius, i8::MAX.into()],
        lowest: [input.radius.wrapping_neg(), i8::MIN.into()],
    };
    // SAFETY: as many numbers lie behind each pointer.
    let run = |values: &mut [i8]| unsafe {
        function(values.as_mut_ptr(), values.len(), &numbers);
    };
    if values.len() < TABLED {
        run(values);
    } else {
        tabled(values, run);
    }
}

/// A function of each number, which is computed once for each that there may be.
#[inline(never)] // Stack.
fn tabled(values: &mut [i8], run: impl Fn(&mut [i8])) {
    let mut table = [0; 256];
    for (entry, number) in table.iter_mut().zip(i8::MIN..=i8::MAX) {
        *entry = number;
    }
    run(&mut table);
    look_up(values, &table);
}

/// Logistic function, in place.
pub(crate) fn logistic(values: &mut [i8], zero: i32, input: &InputRescale) {
    each(values, zero, input, 4, logistic_each);
}

/// Hyperbolic tangent, in place.
pub(crate) fn tanh(values: &mut [i8], zero: i32, input: &InputRescale) {
    // e^(−2|x|): the doubled number has one integer bit more.
    each(values, zero, input, 5, tanh_each);
}

/// Four numbers: 93 instructions of a logistic function, 91 of a hyperbolic tangent.
///
/// r0 numbers, r4–r10 factors, r12 the others, r1–r3 scratch, lr how many are left; q0 steps from the zero point, q1 in
/// fixed point, q2 what is above a quarter, q3 e^−|x|, then half a denominator, q4 its reciprocal, q5, q6 scratch, q7 2²⁹.
macro_rules! curve {
    ($name:ident, $($end:literal),+) => {
        /// # Safety
        /// `len` numbers lie behind `values`.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(values: *mut i8, len: usize, numbers: *const Numbers) {
            macro_rules! factor {
                ($shift:literal, $factor:literal) => {
                    concat!(
                        "vshl.i32 q4, q2, #",
                        $shift,
                        "\n",
                        "vpt.s32 lt, q4, zr\n",
                        "vqrdmulht.s32 q3, q3, ",
                        $factor,
                        "\n",
                    )
                };
            }
            macro_rules! nearer {
                () => {
                    concat!(
                        "vqrdmulh.s32 q5, q3, q4\n",
                        "vsub.i32 q5, q7, q5\n",
                        "vqrdmulh.s32 q5, q4, q5\n",
                        "vqshl.s32 q5, q5, #2\n",
                        "vadd.i32 q4, q4, q5\n",
                    )
                };
            }
            naked_asm!(
                cpu!(),
                "push {{r4-r10, lr}}",
                "vpush {{d8-d15}}",
                "mov r12, r2",
                "ldm r12!, {{r4-r10}}",
                "vmov.i32 q7, #0x20000000",
                "wlstp.32 lr, r1, 3f",
                "2:",
                "vldrb.s32 q0, [r0]",
                "ldrd r1, r2, [r12]",
                "ldr r3, [r12, #8]",
                "vadd.i32 q0, q0, r3",
                "vmov q1, q0",
                "vshl.s32 q1, r1",
                "vqrdmulh.s32 q1, q1, r2",
                "vabs.s32 q2, q1",
                "vneg.s32 q2, q2",
                // e^x.
                "ldrd r1, r2, [r12, #12]",
                "vdup.32 q3, r1",
                "vand q3, q3, q2",
                "vadd.i32 q3, q3, r2",
                "vsub.i32 q2, q3, q2",
                "ldrd r1, r2, [r12, #20]",
                "vshl.s32 q3, r1",
                "vshl.s32 q2, r2",
                "ldrd r1, r2, [r12, #28]",
                "vadd.i32 q3, q3, r1",
                "vqrdmulh.s32 q4, q3, q3",
                "vqrdmulh.s32 q5, q4, q3",
                "vqrdmulh.s32 q6, q4, q4",
                "vrshr.s32 q6, q6, #2",
                "vadd.i32 q5, q5, q6",
                "vqrdmulh.s32 q5, q5, r2",
                "vadd.i32 q4, q4, q5",
                "vshr.s32 q5, q4, #31",
                "vadd.i32 q4, q4, q5",
                "vrshr.s32 q4, q4, #1",
                "vadd.i32 q3, q3, q4",
                "ldrd r1, r2, [r12, #36]",
                "vqrdmulh.s32 q3, q3, r1",
                "vadd.i32 q3, q3, r1",
                factor!("7", "r4"),
                factor!("6", "r5"),
                factor!("5", "r6"),
                factor!("4", "r7"),
                factor!("3", "r8"),
                factor!("2", "r9"),
                factor!("1", "r10"),
                // 1 / (1 + e^x).
                "vshr.s32 q3, q3, #1",
                "vadd.i32 q3, q3, r2",
                "ldrd r1, r2, [r12, #44]",
                "vqrdmulh.s32 q4, q3, r1",
                "vadd.i32 q4, q4, r2",
                nearer!(),
                nearer!(),
                nearer!(),
                $($end,)+
                "vpt.i32 eq, q1, zr",
                "veort q4, q4, q4",
                "ldrd r1, r2, [r12, #52]",
                "vpt.s32 ge, q0, r1",
                "vdupt.32 q4, r2",
                "ldrd r1, r2, [r12, #60]",
                "vpt.s32 le, q0, r1",
                "vdupt.32 q4, r2",
                "vqmovnb.s32 q4, q4",
                "vqmovnb.s16 q4, q4",
                "vstrb.32 q4, [r0], #4",
                "letp lr, 2b",
                "3:",
                "vpop {{d8-d15}}",
                "pop {{r4-r10, pc}}",
            )
        }
    };
}
curve!(
    logistic_each,
    "vqshl.s32 q4, q4, #1",
    "vmvn.i32 q5, #0x80000000",
    "vpt.s32 lt, q1, zr",
    "vsubt.i32 q4, q5, q4",
    "vrshr.s32 q4, q4, #23",
    "mvn r1, #127",
    "vadd.i32 q4, q4, r1"
);
curve!(
    tanh_each,
    "vsub.i32 q4, q4, q7",
    "vqshl.s32 q4, q4, #2",
    "vrshr.s32 q4, q4, #24",
    "vpt.s32 lt, q1, zr",
    "vnegt.s32 q4, q4"
);
