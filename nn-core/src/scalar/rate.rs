//! Factors in fixed point, and how a product with one is rounded.

use super::Rounder;
#[cfg(mote_armv7em)]
use crate::kernels;

/// A factor in fixed point: `mantissa` · 2^−`exponent`, the mantissa odd (or 0) and of at most 15 bits.
///
/// A power of two has the mantissa 1. The relative error of any other factor is at most 2^−15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedRate {
    mantissa: i32,
    exponent: i32,
}

/// Gradients are held within ± this before a mantissa other than 1 multiplies them: the product fits 62 bits.
const GRADIENT_LIMIT: i64 = 1 << 47;

impl FixedRate {
    /// `factor` to 15 bits, to nearest; what is not a number counts as 0.
    pub fn new(factor: f32) -> Self {
        const NOTHING: FixedRate = FixedRate {
            mantissa: 0,
            exponent: 0,
        };
        if !factor.is_finite() || factor == 0.0 {
            return NOTHING;
        }
        let bits = factor.to_bits();
        // 8 bits of exponent, 23 of mantissa.
        let mut exponent = ((bits >> 23) & 0xFF) as i32;
        let mut mantissa = (bits & 0x7F_FFFF) as i32;
        if exponent == 0 {
            exponent = 1;
        } else {
            mantissa |= 1 << 23;
        }
        // factor = mantissa · 2^(exponent − 150); 24 bits down to 15.
        mantissa = (mantissa + (1 << 8)) >> 9;
        let mut exponent = 150 - 9 - exponent;
        if mantissa == 0 {
            return NOTHING;
        }
        let zeros = mantissa.trailing_zeros();
        mantissa >>= zeros;
        // At most 31.
        exponent -= zeros as i32;
        Self {
            mantissa: if factor < 0.0 { -mantissa } else { mantissa },
            exponent,
        }
    }

    /// The factor as it counts.
    pub fn to_f32(self) -> f32 {
        // 15 bits.
        let mut value = self.mantissa as f32;
        for _ in 0..self.exponent.unsigned_abs() {
            value *= if self.exponent > 0 { 0.5 } else { 2.0 };
        }
        value
    }

    /// value · factor · 2^`up`, to nearest with halves up, saturated.
    #[inline]
    pub(super) fn scale(self, value: i32, up: u32) -> i64 {
        // 31 and 15 bits.
        let product = i64::from(value) * i64::from(self.mantissa);
        // At most 32.
        match self.exponent - up as i32 {
            shift @ ..=0 => shift_left(product, shift.unsigned_abs()),
            shift @ 1..48 => (product + (1 << (shift - 1))) >> shift,
            // Less than a half in size.
            _ => 0,
        }
    }

    /// gradient · factor · 2^−`frac`, rounded to nearest, or down or up at random by one draw.
    ///
    /// At random, the remainder's upper 32 bits are the odds of rounding up.
    #[inline(always)]
    pub(super) fn step(self, gradient: i64, frac: u32, rounder: &mut Rounder) -> i64 {
        let product = if self.mantissa == 1 {
            gradient
        } else {
            gradient.clamp(-GRADIENT_LIMIT, GRADIENT_LIMIT) * i64::from(self.mantissa)
        };
        // At most 32.
        let shift = self.exponent + frac as i32;
        let bits = shift.clamp(1, 32);
        // Within 1 and 32. A draw is taken even where nothing is dropped.
        let addend = i64::from(rounder.addend(bits as u32));
        match shift {
            ..=0 => shift_left(product, shift.unsigned_abs()),
            1..=32 => product.saturating_add(addend) >> bits,
            _ => ((product >> (shift - 32).min(63)) + addend) >> 32,
        }
    }

    /// x · factor · 2^(32 − `frac`) where that is an integer of 32 bits, and the 2^(32 − shift) that what rounds is then
    /// multiplied by: the upper half of `factor · delta + addend · 2^up` is [`step`](Self::step) of the gradient
    /// x · delta, whatever delta is.
    pub(super) fn row(self, x: i32, frac: u32) -> Option<Row> {
        // At most 32.
        let shift = u32::try_from(self.exponent + frac as i32).ok()?;
        if !(1..=32).contains(&shift) {
            return None;
        }
        // No gradient of this row is past the limit.
        if self.mantissa != 1 && x.unsigned_abs() > 1 << 16 {
            return None;
        }
        let product = i64::from(x) * i64::from(self.mantissa);
        let sign = product >> (shift - 1);
        // |product| < 2^(shift − 1): 31 bits after the shift.
        (sign == 0 || sign == -1).then(|| Row {
            factor: (product << (32 - shift)) as i32,
            up: 32 - shift,
        })
    }
}

/// One row's factor: see [`FixedRate::row`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    factor: i32,
    up: u32,
}

impl Row {
    /// [`step`](Self::step) of many weights of 32 bits, each subtracted; gives how many.
    #[cfg(mote_armv7em)]
    pub(super) fn descend<T: bytemuck::Pod>(
        self,
        weights: &mut [T],
        delta: &[T],
        rounder: &mut Rounder,
    ) -> usize {
        if size_of::<T>() != size_of::<i32>() {
            return 0;
        }
        let weights = bytemuck::try_cast_slice_mut(weights).unwrap_or(&mut []);
        let delta = bytemuck::try_cast_slice(delta).unwrap_or(&[]);
        let Some(state) = rounder.state() else {
            return kernels::fixed::subtract_row_to_nearest(self.factor, delta, weights);
        };
        // At most 31.
        let factors = [self.factor, self.up as i32];
        let (state, count) = kernels::fixed::subtract_row(factors, state, delta, weights);
        // Never 0, as it was not.
        *rounder = Rounder::stochastic(state);
        count
    }

    #[inline(always)]
    pub(super) fn step(self, delta: i32, rounder: &mut Rounder) -> i32 {
        let odds = i64::from(rounder.addend(32 - self.up) << self.up);
        // The upper half of 64 bits: below 2³¹.
        ((i64::from(self.factor) * i64::from(delta) + odds) >> 32) as i32
    }
}

/// value · 2^count, saturated.
fn shift_left(value: i64, count: u32) -> i64 {
    if count < value.unsigned_abs().leading_zeros() {
        // A bit is left for the sign; 0 has 64 zeros.
        value.unbounded_shl(count)
    } else if value == 0 {
        0
    } else if value > 0 {
        i64::MAX
    } else {
        i64::MIN
    }
}
