//! Rows of numbers times a factor, added to other rows: to\[r, i\] += from\[r, i\] · factor.
//!
//! The sums of a convolution's backward pass, over what one number of its output saw: for the weights from the input, for
//! the input from the weights. Each sum meets one product a call, so that the order in which they meet is the callers'.
#![allow(unsafe_code)]

use super::part;
use crate::scalar::Scalar;

/// How rows lie: so many of `run` numbers each, the next row so much further.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct ScaledRows {
    pub(crate) rows: usize,
    pub(crate) run: usize,
    pub(crate) to_step: usize,
    pub(crate) from_step: usize,
}

impl ScaledRows {
    /// Exchanges the two.
    #[inline(always)]
    pub(crate) fn turn(&mut self) {
        core::mem::swap(&mut self.to_step, &mut self.from_step);
    }
}

/// to\[r, i\] += from\[r, i\] · factor.
#[inline(never)]
pub(crate) fn add_scaled_rows<S: Scalar>(
    rows: &ScaledRows,
    to: &mut [S::Acc],
    from: &[S],
    factor: S,
) {
    for row in 0..rows.rows {
        let to = to.get_mut(row * rows.to_step..).unwrap_or(&mut []);
        let from = part(from, row * rows.from_step, rows.run);
        for (to, from) in to.iter_mut().zip(from) {
            *to = S::mul_acc(*to, *from, factor);
        }
    }
}

/// [`add_scaled_rows`] of f32.
#[inline(never)]
pub(crate) fn add_scaled_rows_f32(rows: &ScaledRows, to: &mut [f32], from: &[f32], factor: f32) {
    #[cfg(mote_vfp)]
    if rows.are_there(to.len(), from.len()) {
        // SAFETY: all rows are there.
        unsafe { in_eights(rows, to, from, factor) };
    }
    #[cfg(not(mote_vfp))]
    add_scaled_rows(rows, to, from, factor);
}

#[cfg(any(mote_vfp, all(mote_armv7em, not(mote_helium))))]
impl ScaledRows {
    /// Whether all numbers of all rows are there, and there is one.
    fn are_there(&self, to: usize, from: usize) -> bool {
        if self.rows == 0 || self.run == 0 {
            return false;
        }
        // Of numbers in memory: no sum gets near the end of a word.
        let last = self.rows.wrapping_sub(1);
        let end = |step: usize| last.wrapping_mul(step).wrapping_add(self.run);
        end(self.to_step) <= to && end(self.from_step) <= from
    }
}

/// to\[r, i\] += (from\[r, i\] − zero) · factor, in 32 bits; `factor` has 16 bits, `zero` is an int8.
#[inline(always)]
pub(crate) fn add_scaled_rows_i8(
    rows: &ScaledRows,
    to: &mut [i32],
    from: &[i8],
    zero: i32,
    factor: i32,
) {
    #[cfg(all(mote_armv7em, not(mote_helium)))]
    if rows.are_there(to.len(), from.len()) {
        // Each in its half.
        let halves = zero << 16 | factor & 0xFFFF;
        // SAFETY: all rows are there, and there is a number.
        unsafe { super::armv7em::scaled_rows_i8(to.as_mut_ptr(), from.as_ptr(), rows, halves) };
    }
    #[cfg(any(not(mote_armv7em), mote_helium))]
    add_differences(rows, to, from, zero, factor);
}

#[cfg(any(not(mote_armv7em), mote_helium))]
#[inline(never)]
fn add_differences(rows: &ScaledRows, to: &mut [i32], from: &[i8], zero: i32, factor: i32) {
    for row in 0..rows.rows {
        let to = to.get_mut(row * rows.to_step..).unwrap_or(&mut []);
        let from = part(from, row * rows.from_step, rows.run);
        for (to, from) in to.iter_mut().zip(from) {
            let product = (i32::from(*from) - zero).wrapping_mul(factor);
            *to = to.wrapping_add(product);
        }
    }
}

/// Eights of a row take 21 instructions, what is left of it a four, a two and a one: 11, 7 and 5.
///
/// s0–s7 numbers and then products, s8–s15 sums, s24 the factor.
///
/// # Safety
/// All rows are there, and there is a number.
#[cfg(mote_vfp)]
#[inline(always)]
unsafe fn in_eights(rows: &ScaledRows, to: &mut [f32], from: &[f32], factor: f32) {
    let ScaledRows {
        rows,
        run,
        to_step,
        from_step,
    } = *rows;
    // SAFETY: the caller's; nothing but sums is written.
    unsafe {
        core::arch::asm!(
            "vmov s24, {factor}",
            "2:",
            "lsrs {count}, {run}, #3",
            "beq 4f",
            "3:",
            "vldmia {from}!, {{s0-s7}}",
            "vldmia {to}, {{s8-s15}}",
            "vmul.f32 s0, s0, s24",
            "vmul.f32 s1, s1, s24",
            "vmul.f32 s2, s2, s24",
            "vmul.f32 s3, s3, s24",
            "vmul.f32 s4, s4, s24",
            "vmul.f32 s5, s5, s24",
            "vmul.f32 s6, s6, s24",
            "vmul.f32 s7, s7, s24",
            "subs {count}, {count}, #1",
            "vadd.f32 s8, s8, s0",
            "vadd.f32 s9, s9, s1",
            "vadd.f32 s10, s10, s2",
            "vadd.f32 s11, s11, s3",
            "vadd.f32 s12, s12, s4",
            "vadd.f32 s13, s13, s5",
            "vadd.f32 s14, s14, s6",
            "vadd.f32 s15, s15, s7",
            "vstmia {to}!, {{s8-s15}}",
            "bne 3b",
            "4:",
            "lsls {count}, {run}, #29",
            "beq 7f",
            "bpl 5f",
            "vldmia {from}!, {{s0-s3}}",
            "vldmia {to}, {{s8-s11}}",
            "vmul.f32 s0, s0, s24",
            "vmul.f32 s1, s1, s24",
            "vmul.f32 s2, s2, s24",
            "vmul.f32 s3, s3, s24",
            "vadd.f32 s8, s8, s0",
            "vadd.f32 s9, s9, s1",
            "vadd.f32 s10, s10, s2",
            "vadd.f32 s11, s11, s3",
            "vstmia {to}!, {{s8-s11}}",
            "5:",
            "lsls {count}, {count}, #1",
            "beq 7f",
            "bpl 6f",
            "vldmia {from}!, {{s0-s1}}",
            "vldmia {to}, {{s8-s9}}",
            "vmul.f32 s0, s0, s24",
            "vmul.f32 s1, s1, s24",
            "vadd.f32 s8, s8, s0",
            "vadd.f32 s9, s9, s1",
            "vstmia {to}!, {{s8-s9}}",
            "lsls {count}, {count}, #1",
            "beq 7f",
            "6:",
            "vldmia {from}!, {{s0}}",
            "vldr s8, [{to}]",
            "vmul.f32 s0, s0, s24",
            "vadd.f32 s8, s8, s0",
            "vstmia {to}!, {{s8}}",
            "7:",
            "add {from}, {from}, {from_step}",
            "add {to}, {to}, {to_step}",
            "subs {rows}, {rows}, #1",
            "bne 2b",
            to = inout(reg) to.as_mut_ptr() => _,
            from = inout(reg) from.as_ptr() => _,
            rows = inout(reg) rows => _,
            run = in(reg) run,
            // From the end of a row to the next; these wrap.
            to_step = in(reg) to_step.wrapping_sub(run).wrapping_mul(4),
            from_step = in(reg) from_step.wrapping_sub(run).wrapping_mul(4),
            count = out(reg) _,
            // rustc knows no registers of this FPU as operands.
            factor = in(reg) factor.to_bits(),
            out("s0") _, out("s1") _, out("s2") _, out("s3") _,
            out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _,
            out("s12") _, out("s13") _, out("s14") _, out("s15") _,
            out("s24") _,
            options(nostack),
        );
    }
}
