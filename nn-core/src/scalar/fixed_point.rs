//! Fixed point: 32-bit and 16-bit numbers with any count of fractional bits.
//!
//! Products are exact in 64 bits; sums of products saturate there; one rounding, to nearest with halves up, makes a
//! number of a sum. Functions are computed in 64-bit integers.

use fixed::types::extra::{LeEqU16, LeEqU32, Unsigned};
use fixed::{FixedI16, FixedI32};

use super::{Scalar, XorShift32};

/// A factor in fixed point: `mantissa` · 2^−`exponent`, the mantissa odd (or 0) and of at most 15 bits.
///
/// A power of two has the mantissa 1. The relative error of any other factor is at most 2^−15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedRate {
    mantissa: i32,
    exponent: i32,
}

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
        // 8 bits of exponent.
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
        exponent -= zeros as i32;
        Self {
            mantissa: if factor < 0.0 { -mantissa } else { mantissa },
            exponent,
        }
    }

    /// The factor as it counts.
    pub fn to_f32(self) -> f32 {
        let mut value = self.mantissa as f32;
        for _ in 0..self.exponent.unsigned_abs() {
            value *= if self.exponent > 0 { 0.5 } else { 2.0 };
        }
        value
    }
}

/// `value` · 2^−`shift` for any shift, to nearest with halves up, saturated.
fn shift_nearest(value: i128, shift: i32) -> i64 {
    let shifted = if shift <= 0 {
        value.checked_shl(shift.unsigned_abs().min(63)).unwrap_or(0)
    } else if shift > 120 {
        0
    } else {
        (value + (1i128 << (shift - 1))) >> shift
    };
    shifted.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// `value` · 2^−`shift` rounded up with the odds of the remainder. Of the remainder the top 32 bits count.
#[inline]
fn shift_stochastic(value: i128, shift: i32, rng: &mut XorShift32) -> i64 {
    let draw = rng.draw();
    let shifted = if shift <= 0 {
        value.checked_shl(shift.unsigned_abs().min(63)).unwrap_or(0)
    } else if shift > 120 {
        0
    } else if shift > 32 {
        ((value >> (shift - 32)) + i128::from(draw)) >> 32
    } else {
        (value + (i128::from(draw) & ((1i128 << shift) - 1))) >> shift
    };
    shifted.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

macro_rules! fixed_scalar {
    ($fixed:ident, $bits:ty, $bound:ident) => {
        impl<Frac: $bound + Unsigned + 'static> Scalar for $fixed<Frac> {
            /// Twice the fractional bits.
            type Acc = i64;
            type Rate = FixedRate;
            const ZERO: Self = Self::from_bits(0);
            const ONE: Self = Self::from_bits(if Self::FRAC_NBITS + 1 < <$bits>::BITS {
                1 << Self::FRAC_NBITS
            } else {
                <$bits>::MAX
            });
            const MIN: Self = Self::from_bits(<$bits>::MIN);
            const LEAST: Self = Self::from_bits(1);
            const ZERO_ACC: i64 = 0;

            fn from_f32(x: f32) -> Self {
                if x.is_nan() {
                    return Self::ZERO;
                }
                Self::saturating_from_num(x)
            }

            fn to_f32(self) -> f32 {
                self.to_num::<f32>()
            }

            fn is_finite(self) -> bool {
                true
            }

            #[inline(always)]
            fn widen(self) -> i64 {
                i64::from(self.to_bits()) << Self::FRAC_NBITS
            }

            #[inline(always)]
            fn mul_acc(acc: i64, a: Self, b: Self) -> i64 {
                acc.saturating_add(i64::from(a.to_bits()) * i64::from(b.to_bits()))
            }

            #[inline(always)]
            fn add_acc(acc: i64, value: Self) -> i64 {
                acc.saturating_add(value.widen())
            }

            #[inline]
            fn add_scaled(acc: i64, value: Self, rate: FixedRate) -> i64 {
                let product = i128::from(value.to_bits()) * i128::from(rate.mantissa);
                let shift = rate.exponent - Self::FRAC_NBITS as i32;
                acc.saturating_add(shift_nearest(product, shift))
            }

            fn acc_to_f32(acc: i64) -> f32 {
                // 2^−(2 · fractional bits), at least 2^−64: a normal number, and an exact product.
                acc as f32 * f32::from_bits((127 - 2 * Self::FRAC_NBITS) << 23)
            }

            #[inline(always)]
            fn sum_acc(a: i64, b: i64) -> i64 {
                a.saturating_add(b)
            }

            #[inline(always)]
            fn narrow(acc: i64) -> Self {
                let half = if Self::FRAC_NBITS == 0 {
                    0
                } else {
                    1i64 << (Self::FRAC_NBITS.max(1) - 1)
                };
                saturate(acc.saturating_add(half) >> Self::FRAC_NBITS)
            }

            #[inline]
            fn narrow_stochastic(acc: i64, rng: &mut XorShift32) -> Self {
                let mask = (1i64 << Self::FRAC_NBITS) - 1;
                saturate(acc.saturating_add(i64::from(rng.draw()) & mask) >> Self::FRAC_NBITS)
            }

            fn mean(acc: i64, count: u32) -> Self {
                let divisor = i128::from(count.max(1)) << Self::FRAC_NBITS;
                // To nearest, halves up, as `narrow`.
                let doubled = 2 * i128::from(acc) + divisor;
                saturate(doubled.div_euclid(2 * divisor) as i64)
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.saturating_add(other)
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self.saturating_sub(other)
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                <Self as Scalar>::narrow(<Self as Scalar>::mul_acc(0, self, other))
            }

            fn div(self, other: Self) -> Self {
                let (a, b) = (i64::from(self.to_bits()), i64::from(other.to_bits()));
                if b == 0 {
                    return match a {
                        0 => Self::ZERO,
                        1.. => Self::from_bits(<$bits>::MAX),
                        _ => Self::from_bits(<$bits>::MIN),
                    };
                }
                // To nearest, halves up: ⌊(2a + b) / 2b⌋ with b made positive.
                let (a, b) = if b < 0 { (-a, -b) } else { (a, b) };
                let doubled = ((i128::from(a) << Self::FRAC_NBITS) * 2) + i128::from(b);
                let quotient = doubled.div_euclid(2 * i128::from(b));
                saturate(quotient.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
            }

            fn exp(self) -> Self {
                Self::from_f32(Scalar::exp(self.to_f32()))
            }

            fn ln(self) -> Self {
                if self <= Self::ZERO {
                    return <Self as Scalar>::MIN;
                }
                Self::from_f32(Scalar::ln(self.to_f32()))
            }

            fn sqrt(self) -> Self {
                if self <= Self::ZERO {
                    return Self::ZERO;
                }
                Self::from_f32(Scalar::sqrt(self.to_f32()))
            }

            fn rsqrt(self) -> Self {
                if self <= Self::ZERO {
                    return Self::from_bits(<$bits>::MAX);
                }
                Self::from_f32(Scalar::rsqrt(self.to_f32()))
            }

            fn sigmoid(self) -> Self {
                Self::from_f32(Scalar::sigmoid(self.to_f32()))
            }

            fn tanh(self) -> Self {
                Self::from_f32(Scalar::tanh(self.to_f32()))
            }

            fn softmax(values: &mut [Self]) {
                let max = values.iter().copied().max().unwrap_or(Self::ZERO);
                let mut sum = 0i64;
                for value in values.iter_mut() {
                    *value = Scalar::exp(Scalar::sub(*value, max));
                    sum = sum.saturating_add(i64::from(value.to_bits()));
                }
                let sum = sum.max(1);
                for value in values {
                    let doubled = ((i64::from(value.to_bits()) << Self::FRAC_NBITS) * 2) + sum;
                    *value = saturate(doubled.checked_div(2 * sum).unwrap_or(0));
                }
            }

            fn log_softmax(values: &mut [Self]) {
                let max = values.iter().copied().max().unwrap_or(Self::ZERO);
                let mut sum = Self::ZERO;
                for value in values.iter_mut() {
                    *value = Scalar::sub(*value, max);
                    sum = Scalar::add(sum, Scalar::exp(*value));
                }
                let ln = Scalar::ln(sum);
                for value in values {
                    *value = Scalar::sub(*value, ln);
                }
            }

            fn rate(factor: f32) -> FixedRate {
                FixedRate::new(factor)
            }

            fn scale(self, rate: FixedRate) -> Self {
                let product = i128::from(self.to_bits()) * i128::from(rate.mantissa);
                saturate(shift_nearest(product, rate.exponent))
            }

            #[inline]
            fn descend(self, rate: FixedRate, gradient: i64, rng: &mut XorShift32) -> Self {
                let product = i128::from(gradient) * i128::from(rate.mantissa);
                let shift = rate.exponent + Self::FRAC_NBITS as i32;
                let step = shift_stochastic(product, shift, rng);
                saturate(i64::from(self.to_bits()).saturating_sub(step))
            }

            #[inline]
            fn descend_product(
                self,
                rate: FixedRate,
                x: Self,
                delta: Self,
                rng: &mut XorShift32,
            ) -> Self {
                let gradient = i64::from(x.to_bits()) * i64::from(delta.to_bits());
                self.descend(rate, gradient, rng)
            }
        }

        impl<Frac: $bound> Saturate for $fixed<Frac> {
            #[inline(always)]
            fn saturate(value: i64) -> Self {
                let clamped = value.clamp(i64::from(<$bits>::MIN), i64::from(<$bits>::MAX));
                // Clamped just above.
                Self::from_bits(clamped as $bits)
            }
        }
    };
}

trait Saturate {
    fn saturate(value: i64) -> Self;
}

#[inline(always)]
fn saturate<T: Saturate>(value: i64) -> T {
    T::saturate(value)
}

fixed_scalar!(FixedI32, i32, LeEqU32);
fixed_scalar!(FixedI16, i16, LeEqU16);

#[cfg(test)]
mod tests {
    use super::super::Q16;
    use super::*;

    #[test]
    fn a_scaled_sum_keeps_what_the_format_drops() {
        // The least Q16 times 0.5 + 2^−15: 32,769 of 2^−32, where `scale` would round it up to a whole step.
        let rate = FixedRate::new(0.5 + 1.0 / 32768.0);
        let acc = Q16::add_scaled(5, Q16::LEAST, rate);
        assert_eq!(acc, 5 + (1 << 15) + 2);
        assert_eq!(
            Q16::acc_to_f32(acc),
            (5 + (1 << 15) + 2) as f32 / (1u64 << 32) as f32
        );
        assert_eq!(Q16::acc_to_f32(Q16::from_num(-2.5).widen()), -2.5);
        assert_eq!(Q16::add_scaled(i64::MAX, Q16::MAX, rate), i64::MAX);
    }
}
