//! Fixed point: 32-bit and 16-bit numbers with any count of fractional bits.
//!
//! Products are exact in 64 bits; sums of products saturate there; one rounding, to nearest with halves up, makes a
//! number of a sum. Functions are computed in integers of at most 64 bits.

use fixed::types::extra::{LeEqU16, LeEqU32, Unsigned};
use fixed::{FixedI16, FixedI32};

#[cfg(mote_armv7em)]
use crate::kernels::{self, Products};

use super::rate::FixedRate;
use super::{Rounder, Scalar, functions};

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
                // Scaled exactly; past f32's range it becomes infinite and saturates.
                let scale = (1u64 << Self::FRAC_NBITS) as f32;
                // The cast saturates, and makes 0 of what is not a number.
                Self::from_bits(libm::rintf(x * scale) as $bits)
            }

            fn to_f32(self) -> f32 {
                // One rounding, to nearest with ties to even; the scale is exact.
                let scale = 1.0 / (1u64 << Self::FRAC_NBITS) as f32;
                self.to_bits() as f32 * scale
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
                acc.saturating_add(rate.scale(value.to_bits().into(), Self::FRAC_NBITS))
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
            fn narrow_by(acc: i64, rounder: &mut Rounder) -> Self {
                let mask = (1i64 << Self::FRAC_NBITS) - 1;
                // Of formats without fractional bits a draw is taken, and nothing used of it.
                let addend = i64::from(rounder.addend(Self::FRAC_NBITS.max(1))) & mask;
                saturate(acc.saturating_add(addend) >> Self::FRAC_NBITS)
            }

            fn mean(acc: i64, count: u32) -> Self {
                saturate(functions::mean(acc, count, Self::FRAC_NBITS))
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
                // 16 bits widen to 32.
                let (a, b) = (i32::from(self.to_bits()), i32::from(other.to_bits()));
                saturate(match (a, b) {
                    (0, 0) => 0,
                    (1.., 0) => i64::MAX,
                    (_, 0) => i64::MIN,
                    _ => functions::divide(a, b, Self::FRAC_NBITS),
                })
            }

            fn exp(self) -> Self {
                saturate(functions::exp(self.to_bits().into(), Self::FRAC_NBITS))
            }

            fn ln(self) -> Self {
                match positive(self.to_bits().into()) {
                    Some(x) => saturate(functions::ln(x, Self::FRAC_NBITS)),
                    None => <Self as Scalar>::MIN,
                }
            }

            fn sqrt(self) -> Self {
                match positive(self.to_bits().into()) {
                    Some(x) => saturate(functions::sqrt(x, Self::FRAC_NBITS)),
                    None => Self::ZERO,
                }
            }

            fn rsqrt(self) -> Self {
                match positive(self.to_bits().into()) {
                    Some(x) => saturate(functions::rsqrt(x, Self::FRAC_NBITS)),
                    None => Self::from_bits(<$bits>::MAX),
                }
            }

            fn sigmoid(self) -> Self {
                saturate(functions::sigmoid(self.to_bits().into(), Self::FRAC_NBITS))
            }

            fn tanh(self) -> Self {
                saturate(functions::tanh(self.to_bits().into(), Self::FRAC_NBITS))
            }

            fn softmax(values: &mut [Self]) {
                let max = largest(values.iter().map(|value| value.to_bits().into()));
                let term = |value: Self| {
                    functions::exp_negative(below(max, value.to_bits().into()), Self::FRAC_NBITS)
                };
                let sum = values.iter().map(|value| u64::from(term(*value))).sum();
                let share = functions::Share::of(sum, Self::FRAC_NBITS);
                for value in values {
                    *value = saturate(share.take(term(*value)));
                }
            }

            fn log_softmax(values: &mut [Self]) {
                let max = largest(values.iter().map(|value| value.to_bits().into()));
                let below = |value: Self| below(max, value.to_bits().into());
                let sum = values.iter().map(|value| {
                    u64::from(functions::exp_negative(below(*value), Self::FRAC_NBITS))
                });
                let ln = functions::ln_sum(sum.sum(), Self::FRAC_NBITS);
                for value in values {
                    *value = saturate(-i64::from(below(*value)) - ln);
                }
            }

            fn rate(factor: f32) -> FixedRate {
                FixedRate::new(factor)
            }

            fn scale(self, rate: FixedRate) -> Self {
                saturate(rate.scale(self.to_bits().into(), 0))
            }

            #[inline]
            fn descend(self, rate: FixedRate, gradient: i64, rounder: &mut Rounder) -> Self {
                let step = rate.step(gradient, Self::FRAC_NBITS, rounder);
                saturate(i64::from(self.to_bits()).saturating_sub(step))
            }

            #[inline]
            fn descend_product(
                self,
                rate: FixedRate,
                x: Self,
                delta: Self,
                rounder: &mut Rounder,
            ) -> Self {
                let gradient = i64::from(x.to_bits()) * i64::from(delta.to_bits());
                self.descend(rate, gradient, rounder)
            }

            #[cfg(mote_armv7em)]
            fn add_products(products: &Products<'_, Self>, sums: &mut [i64]) {
                add_products(products, are_small(products), sums);
            }

            #[cfg(mote_armv7em)]
            fn sum_products(products: &Products<'_, Self>, bias: &[Self], out: &mut [Self]) {
                for (products, out) in products.pixels(out) {
                    let small = are_small(&products);
                    kernels::sum_products_by(&products, bias, out, |products, sums| {
                        add_products(products, small, sums);
                    });
                }
            }

            fn descend_row(
                weights: &mut [Self],
                rate: FixedRate,
                x: Self,
                delta: &[Self],
                rounder: &mut Rounder,
            ) {
                let mut local = *rounder;
                match rate.row(x.to_bits().into(), Self::FRAC_NBITS) {
                    Some(row) => {
                        #[cfg(mote_armv7em)]
                        let (weights, delta) = {
                            let at = row.descend(weights, delta, &mut local);
                            let weights = weights.get_mut(at..).unwrap_or(&mut []);
                            (weights, delta.get(at..).unwrap_or(&[]))
                        };
                        for (weight, delta) in weights.iter_mut().zip(delta) {
                            let step = row.step(delta.to_bits().into(), &mut local);
                            let bits = i32::from(weight.to_bits()).saturating_sub(step);
                            // Clamped to the format.
                            let bits = bits.clamp(<$bits>::MIN.into(), <$bits>::MAX.into());
                            *weight = Self::from_bits(bits as $bits);
                        }
                    }
                    None => {
                        for (weight, delta) in weights.iter_mut().zip(delta) {
                            *weight = weight.descend_product(rate, x, *delta, &mut local);
                        }
                    }
                }
                *rounder = local;
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

// Functions of their own: what they need of the stack is free again when the others run.

/// Whether no sum saturates, and numbers have 32 bits.
#[cfg(mote_armv7em)]
#[inline(never)]
fn are_small<S: Scalar>(products: &Products<'_, S>) -> bool {
    let bits = products.cast::<i32>();
    bits.is_some_and(|bits| kernels::fixed::are_small(&bits))
}

#[cfg(mote_armv7em)]
fn add_products<S: Scalar<Acc = i64>>(products: &Products<'_, S>, small: bool, sums: &mut [i64]) {
    let at = if small { add_small(products, sums) } else { 0 };
    if at < sums.len() {
        add_rest(products, at, sums);
    }
}

/// Gives the first output that is left.
#[cfg(mote_armv7em)]
#[inline(never)]
fn add_small<S: Scalar<Acc = i64>>(products: &Products<'_, S>, sums: &mut [i64]) -> usize {
    let bits = products.cast::<i32>();
    bits.map_or(0, |bits| kernels::fixed::add_products(&bits, sums))
}

#[cfg(mote_armv7em)]
#[inline(never)]
fn add_rest<S: Scalar<Acc = i64>>(products: &Products<'_, S>, at: usize, sums: &mut [i64]) {
    let rest = sums.get_mut(at..).unwrap_or(&mut []);
    kernels::add_products(&products.from(at), rest);
}

trait Saturate {
    fn saturate(value: i64) -> Self;
}

/// Bits above 0.
#[inline(always)]
fn positive(bits: i32) -> Option<u32> {
    u32::try_from(bits).ok().filter(|&x| x > 0)
}

fn largest(bits: impl Iterator<Item = i32>) -> i32 {
    bits.max().unwrap_or(0)
}

/// max − bits, which is not negative.
#[inline(always)]
fn below(max: i32, bits: i32) -> u32 {
    // The difference of two 32-bit numbers in order fits 32 bits without a sign.
    max.wrapping_sub(bits) as u32
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
