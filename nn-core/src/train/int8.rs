//! Learning in int8: weights of eight bits and nothing behind them.
//!
//! A weight W of output channel o stands for w = s·W, with the channel's scale s. Gradient descent on w moves W by the
//! gradient of w divided by s: W ← sat(W − (rate · g) / s), rounded up or down at random with the odds of the remainder,
//! so that steps far below 1 are right on the average. Biases are i32 of the scale s·s_x and learn alike.
//!
//! The gradient at an int8 tensor is one f32 and a mantissa of 16 bits for each number: δ = scale · mantissa. It lies in
//! a buffer of its own, the scale first. It is summed in 32 bits in the same place, and then narrowed.
//!
//! Sums cannot overflow: before they are formed, mantissas are shifted right by as little as that takes.
//! `docs/numerics.md` has the formulas and the order.

mod gradient;
mod scales;

use crate::kernels::{ScaledRows, add_scaled_rows_i8};
use crate::scalar::XorShift32;

pub(crate) use gradient::{
    Clamp, Gradient, Mantissas, Sums, Weighted, gradient_bytes, quantize, shift_of_sum,
    shifted_mantissa,
};
pub(crate) use scales::{Scales, Shares};

/// Weights are held within ± this: the range of symmetric weights.
const WEIGHT: i32 = 127;
/// Biases are held within ± this, so that sums of products find room above them.
const BIAS: i64 = 1 << 30;

/// 2^exponent; the nearest normal number where there is none.
#[inline(always)]
fn two_to(exponent: i32) -> f32 {
    f32::from_bits((exponent.clamp(-126, 127) + 127).cast_unsigned() << 23)
}

/// Weights that learn, or stay.
#[derive(Debug)]
pub(crate) enum Weights<'w, T> {
    /// They stay.
    Frozen(&'w [T]),
    /// They learn.
    Learning(&'w mut [T]),
}

impl<T> Weights<'_, T> {
    /// Their values.
    pub(crate) fn values(&self) -> &[T] {
        match self {
            Self::Frozen(weights) => weights,
            Self::Learning(weights) => weights,
        }
    }
}

/// A step as a whole number over a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fraction {
    mantissa: i32,
    shift: u32,
}

impl Fraction {
    /// The nearest of `bits` bits, at most 24, and a shift of at most `most`; the largest where it is more.
    fn new(value: f32, bits: u32, most: u32) -> Self {
        let word = value.to_bits();
        let exponent = (word >> 23 & 0xFF).cast_signed();
        let fraction = (word & 0x7F_FFFF).cast_signed();
        let (mantissa, exponent) = match exponent {
            0 => (fraction, -149),
            0xFF if fraction != 0 => (0, 0),
            _ => (fraction | 1 << 23, exponent - 150),
        };
        let down = 24_u32.saturating_sub(bits);
        let mut mantissa = (mantissa + ((1 << down) >> 1)) >> down;
        let mut shift = -exponent - down.cast_signed();
        if shift < 0 {
            mantissa = if mantissa == 0 { 0 } else { 1 << bits.min(24) };
            shift = 0;
        }
        let over = shift.saturating_sub(most.cast_signed());
        if over > 0 {
            mantissa = match over {
                1..=25 => (mantissa + ((1 << over) >> 1)) >> over,
                _ => 0,
            };
            shift = most.cast_signed();
        }
        Self {
            mantissa: if word >> 31 == 1 { -mantissa } else { mantissa },
            shift: shift.cast_unsigned(),
        }
    }
}

/// By what int8 weights learn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descent {
    pub(crate) rate: f32,
    rng: XorShift32,
}

impl Descent {
    /// Weights stay, and random numbers begin at `seed`.
    pub(crate) fn at_rest(seed: u32) -> Self {
        Self {
            rate: 0.0,
            rng: XorShift32::new(seed),
        }
    }

    /// W\[j\] ← sat(W\[j\] − step · (x\[j\] − zero)), rounded at random: one draw for each weight where x is not `zero`, none
    /// where `step` is 0.
    #[inline(never)]
    pub(crate) fn descend_outer(&mut self, weights: &mut [i8], x: &[i8], zero: i32, step: f32) {
        // 22 bits times a difference of int8 and 30 random bits fit a word.
        let Fraction { mantissa, shift } = Fraction::new(step, 22, 30);
        if mantissa == 0 {
            return;
        }
        let mask = (1_u32 << shift) - 1;
        let mut rng = self.rng;
        for (weight, &x) in weights.iter_mut().zip(x) {
            let x = i32::from(x) - zero;
            if x != 0 {
                let draw = (rng.draw() & mask).cast_signed();
                let step = mantissa.wrapping_mul(x).wrapping_add(draw) >> shift;
                // Mostly it is.
                if step != 0 {
                    *weight = (i32::from(*weight) - step).clamp(-WEIGHT, WEIGHT) as i8;
                }
            }
        }
        self.rng = rng;
    }

    /// W ← sat(W − step · sum), rounded at random: one draw for each sum that is not 0, none where `step` is 0.
    #[inline(never)]
    pub(crate) fn descend<'w>(
        &mut self,
        weights: impl Iterator<Item = &'w mut i8>,
        sums: &[i32],
        step: f32,
    ) {
        let step = Fraction::new(step, 24, 62);
        if step.mantissa == 0 {
            return;
        }
        for (weight, &sum) in weights.zip(sums) {
            if sum != 0 {
                let most = i64::from(2 * WEIGHT);
                let step = self.rounded(sum.into(), step).clamp(-most, most);
                let value = i32::from(*weight) - step as i32;
                *weight = value.clamp(-WEIGHT, WEIGHT) as i8;
            }
        }
    }

    /// B ← sat(B − step · sum), as weights.
    #[inline(never)]
    pub(crate) fn descend_bias(&mut self, bias: &mut i32, sum: i64, step: f32) {
        let step = Fraction::new(step, 24, 62);
        if step.mantissa == 0 || sum == 0 {
            return;
        }
        let sum = sum.clamp(i32::MIN.into(), i32::MAX.into());
        let step = self.rounded(sum, step).clamp(-2 * BIAS, 2 * BIAS);
        *bias = (i64::from(*bias) - step).clamp(-BIAS, BIAS) as i32;
    }

    /// sum · step, rounded up or down with the odds of the remainder; `sum` has 32 bits.
    #[inline(always)]
    fn rounded(&mut self, sum: i64, step: Fraction) -> i64 {
        let draw = i64::from(self.rng.draw());
        let draw = match step.shift.checked_sub(32) {
            Some(more) => draw << more,
            None => draw & ((1 << step.shift) - 1),
        };
        // 56 bits and 62.
        (sum.wrapping_mul(step.mantissa.into()) + draw) >> step.shift
    }
}

/// to\[i\] += (from\[i\] − zero) · factor for as many as `to` has.
#[inline(always)]
pub(crate) fn add_differences(to: &mut [i32], from: &[i8], zero: i32, factor: i32) {
    let rows = ScaledRows {
        rows: 1,
        run: to.len(),
        to_step: 0,
        from_step: 0,
    };
    add_scaled_rows_i8(&rows, to, from, zero, factor);
}
