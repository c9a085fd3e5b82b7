//! Inner loops over fixed point of 32 bits in assembly, for Cortex-M4 and M7: products exact, sums of 64 bits.
#![allow(unsafe_code)]

use core::arch::{asm, naked_asm};

use super::products::Products;

/// Whether no sum of all inputs moves by 2⁶² or more, and so does not saturate: with |x| of at most X, n of them, and
/// a weight of at most 2³¹ in size, it moves by at most n·X·2³¹.
#[inline(never)]
pub(crate) fn are_small(products: &Products<'_, i32>) -> bool {
    let largest = products
        .inputs()
        .fold(0, |largest, x| x.unsigned_abs().max(largest));
    // Below 2³² inputs and sizes: below 2⁶⁴.
    let count = products.rows as u64 * products.run as u64;
    u64::from(largest).saturating_mul(count) < 1 << 31
}

/// Adds the products to `sums` in blocks of 4; gives the first output that is left.
///
/// The inputs [`are_small`]: the loop does not look whether a sum saturates. None where one begins beyond ± 2⁶².
#[inline(never)]
pub(crate) fn add_products(products: &Products<'_, i32>, sums: &mut [i64]) -> usize {
    if !products.are_there(1, sums.len()) {
        return 0;
    }
    const HALF: u64 = 1 << 62;
    if sums.iter().any(|sum| sum.unsigned_abs() > HALF) {
        return 0;
    }
    let mut at = 0;
    for sums in sums.as_chunks_mut::<4>().0 {
        for row in 0..products.rows {
            let x = products.x.as_ptr().wrapping_add(row * products.x_step);
            let weight = products.weight.as_ptr();
            let weight = weight.wrapping_add(row * products.w_step + at);
            // SAFETY: `are_there`: a run of inputs, not empty, and their weights of four outputs.
            unsafe { four(x, weight, products.run, 4 * products.columns, sums) };
        }
        at += 4;
    }
    at
}

/// sums\[i\] += Σ_j x\[j\] · weight\[j, i\]: 14 instructions for 4 MACs, 8 where x is 0.
///
/// r0 inputs, r1 weights, r2 inputs to go, r3 bytes from weight to weight, r4–r11 four sums, r12 an input, lr a weight.
/// Stack: the sums.
///
/// # Safety
/// `run` inputs, at least one, and four weights of each are there.
#[unsafe(naked)]
unsafe extern "C" fn four(
    x: *const i32,
    weight: *const i32,
    run: usize,
    column: usize,
    sums: *mut [i64; 4],
) {
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "ldr r12, [sp, #36]",
        "ldm r12, {{r4-r11}}",
        "2:",
        "ldr r12, [r0], #4",
        "cmp r12, #0",
        "beq 3f",
        "ldr lr, [r1]",
        "smlal r4, r5, r12, lr",
        "ldr lr, [r1, #4]",
        "smlal r6, r7, r12, lr",
        "ldr lr, [r1, #8]",
        "smlal r8, r9, r12, lr",
        "ldr lr, [r1, #12]",
        "smlal r10, r11, r12, lr",
        "3:",
        "add r1, r1, r3",
        "subs r2, r2, #1",
        "bne 2b",
        "ldr r12, [sp, #36]",
        "stm r12, {{r4-r11}}",
        "pop {{r4-r11, pc}}",
    )
}

/// Two weights: 17 instructions. Of each the draw's three steps, then the upper half of factor · δ + draw · 2^up.
macro_rules! descend {
    () => {
        concat!(
            "ldrd {first}, {second}, [{deltas}], #8\n",
            descend!(@draw),
            "mov {step}, #0\n",
            "smlal {low}, {step}, {factor}, {first}\n",
            descend!(@draw),
            "mov {next}, #0\n",
            "smlal {low}, {next}, {factor}, {second}\n",
            "ldrd {first}, {second}, [{weights}]\n",
            "qsub {first}, {first}, {step}\n",
            "qsub {second}, {second}, {next}\n",
            "strd {first}, {second}, [{weights}], #8\n",
        )
    };
    (@draw) => {
        "eor {state}, {state}, {state}, lsl #13\n\
         eor {state}, {state}, {state}, lsr #17\n\
         eor {state}, {state}, {state}, lsl #5\n\
         lsl {low}, {state}, {up}\n"
    };
}

/// Two weights, 7 instructions: the upper half of factor · δ + 2³¹ of each.
macro_rules! nearest {
    () => {
        "ldrd {step}, {next}, [{deltas}], #8\n\
         ldrd {first}, {second}, [{weights}]\n\
         smmulr {step}, {factor}, {step}\n\
         smmulr {next}, {factor}, {next}\n\
         qsub {first}, {first}, {step}\n\
         qsub {second}, {second}, {next}\n\
         strd {first}, {second}, [{weights}], #8\n"
    };
}

/// w\[i\] −= factor · delta\[i\] / 2³², to nearest with halves up and saturated, for whole fours; gives how many numbers
/// those are. 16 instructions for four.
pub(crate) fn subtract_row_to_nearest(factor: i32, deltas: &[i32], weights: &mut [i32]) -> usize {
    let fours = deltas.len().min(weights.len()) / 4;
    if fours > 0 {
        // SAFETY: so many numbers are there; nothing but weights is written.
        unsafe {
            asm!(
                "2:",
                nearest!(),
                nearest!(),
                "subs {fours}, {fours}, #1",
                "bne 2b",
                deltas = inout(reg) deltas.as_ptr() => _,
                weights = inout(reg) weights.as_mut_ptr() => _,
                fours = inout(reg) fours => _,
                factor = in(reg) factor,
                first = out(reg) _,
                second = out(reg) _,
                step = out(reg) _,
                next = out(reg) _,
                options(nostack),
            );
        }
    }
    4 * fours
}

/// w\[i\] −= (factor · delta\[i\] + draw · 2^up) / 2³², rounded down and saturated, for whole fours; gives the last state
/// of the draws, and how many numbers those are.
pub(crate) fn subtract_row(
    [factor, up]: [i32; 2],
    state: u32,
    deltas: &[i32],
    weights: &mut [i32],
) -> (u32, usize) {
    let fours = deltas.len().min(weights.len()) / 4;
    let mut state = state;
    if fours > 0 {
        // SAFETY: so many numbers are there; nothing but weights is written.
        unsafe {
            asm!(
                "2:",
                descend!(),
                descend!(),
                "subs {fours}, {fours}, #1",
                "bne 2b",
                state = inout(reg) state,
                deltas = inout(reg) deltas.as_ptr() => _,
                weights = inout(reg) weights.as_mut_ptr() => _,
                fours = inout(reg) fours => _,
                factor = in(reg) factor,
                up = in(reg) up,
                first = out(reg) _,
                second = out(reg) _,
                low = out(reg) _,
                step = out(reg) _,
                next = out(reg) _,
                options(nostack),
            );
        }
    }
    (state, 4 * fours)
}
