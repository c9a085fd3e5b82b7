//! Integer arithmetic of the TensorFlow Lite int8 reference kernels.
//!
//! A real factor m is held as a `multiplier` in [2³⁰, 2³¹) (or 0) and a `shift`: m = multiplier · 2^(shift − 31).
//! Source: TensorFlow Lite `kernels/internal/common.h` (the variant that rounds twice) and gemmlowp
//! `fixedpoint/fixedpoint.h`; formulas after "gemmlowp: the low-precision paradigm" and Jacob et al. 2018.
//!
//! All sums wrap, so that no input can panic; a blob that the exporter wrote never gets near.

mod gates;

#[cfg(any(mote_armv7em, mote_armv7m, mote_armv6m))]
pub(crate) use gates::LINES;
pub use gates::{logistic_i16, tanh_i16};

use serde::{Deserialize, Serialize};

/// (a · b) / 2³¹, rounded to nearest with halves up, saturated at the one product that overflows.
#[inline(always)]
pub fn doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    // The quotient fits 32 bits: |a·b| < 2⁶² here.
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// [`doubling_high_mul`] of numbers that are not both the lowest.
#[inline(always)]
pub(crate) fn high_mul(a: i32, b: i32) -> i32 {
    // The quotient fits 32 bits: |a·b| < 2⁶².
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// sum + (a · b) / 2³², rounded to nearest with halves up: SMMLAR, SMMULR. [`high_mul`] where one factor is doubled.
#[inline(always)]
pub(crate) fn upper_mul_add(sum: i32, a: i32, b: i32) -> i32 {
    // |a·b| ≤ 2⁶², and the upper half of that has 32 bits.
    let upper = ((i64::from(a) * i64::from(b) + (1 << 31)) >> 32) as i32;
    sum.wrapping_add(upper)
}

/// x / 2^exponent, rounded to nearest with halves away from zero; `exponent` up to 62.
#[inline(always)]
pub fn rounding_shift_right(x: i32, exponent: u32) -> i32 {
    match exponent {
        0 => x,
        1..=31 => {
            // Below zero one less, so that a half goes down; the lowest number is no half. One bit more than wanted,
            // which rounds.
            let halves = x.saturating_add(x >> 31) >> (exponent - 1);
            (halves >> 1) + (halves & 1)
        }
        // Half of −1 or less only for the lowest number, 2³² for the divisor.
        32 if x == i32::MIN => -1,
        _ => 0,
    }
}

/// x / 2^exponent of x ≥ 0, rounded to nearest with halves up; `exponent` at least 1.
#[inline(always)]
pub(crate) fn shift_positive(x: i32, exponent: u32) -> i32 {
    if exponent > 31 {
        return 0;
    }
    // Below 2³¹ + 2³⁰, then below 2³¹.
    (x.cast_unsigned()
        .wrapping_add(1 << (exponent.wrapping_sub(1) & 31))
        >> (exponent & 31))
        .cast_signed()
}

/// x · multiplier · 2^(shift − 31), rounded as the reference rounds (twice where `shift` is negative); `multiplier` is at
/// least 0.
#[inline(always)]
pub fn rescale(x: i32, multiplier: i32, shift: i32) -> i32 {
    if shift > 0 {
        high_mul(x.wrapping_shl(shift as u32), multiplier)
    } else {
        rounding_shift_right(high_mul(x, multiplier), shift.unsigned_abs())
    }
}

/// A factor that an int8 operator carries, as [`rescale`] takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescale {
    /// At least 0.
    pub multiplier: i32,
    /// −31 to 30.
    pub shift: i8,
}

crate::stored::stored!(Rescale {
    multiplier: i32,
    shift: i8
});

impl Rescale {
    /// x · multiplier · 2^(shift − 31).
    #[inline(always)]
    pub fn apply(self, x: i32) -> i32 {
        rescale(x, self.multiplier, i32::from(self.shift))
    }

    /// Whether both numbers are in range.
    pub(crate) fn is_valid(self) -> bool {
        self.multiplier >= 0 && (-31..=30).contains(&self.shift)
    }
}

/// A factor of at most 1, as [`Rescale`], ready for many numbers: no branch depends on its shift.
#[cfg(not(mote_helium))]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Reduction {
    multiplier: i32,
    /// Half of what is shifted out.
    half: i32,
    /// All bits, where anything is shifted out.
    sign: i32,
    shift: u32,
}

#[cfg(not(mote_helium))]
impl Reduction {
    /// `None` where the factor is above 1.
    #[inline(always)]
    pub(crate) fn new(factor: Rescale) -> Option<Self> {
        let shift = u32::from(factor.shift.unsigned_abs());
        (factor.shift <= 0 && shift < 32).then(|| Self {
            multiplier: factor.multiplier,
            half: 1i32.checked_shl(shift.wrapping_sub(1)).unwrap_or(0),
            sign: if shift > 0 { -1 } else { 0 },
            shift,
        })
    }

    /// [`Rescale::apply`] of half of `doubled`, which is even.
    ///
    /// The sign is that of the product, which differs from that of its upper half only where the latter is 0; there half
    /// of what is shifted out, and one less, both give 0.
    #[inline(always)]
    pub(crate) fn apply(self, doubled: i32) -> i32 {
        let upper = upper_mul_add(self.half, doubled, self.multiplier);
        upper.wrapping_add(doubled >> 31 & self.sign) >> (self.shift & 31)
    }
}

/// `value` within −128..=127, as an `i8`.
#[inline(always)]
pub fn saturate_i8(value: i32) -> i8 {
    value.clamp(-128, 127) as i8
}

/// How an int8 softmax, sigmoid or tanh turns its input's steps into fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRescale {
    /// In [2³⁰, 2³¹).
    pub multiplier: i32,
    /// 0 to 30.
    pub shift: i8,
    /// Inputs further than this many steps from the zero point (softmax: below the maximum) saturate.
    pub radius: i32,
}

crate::stored::stored!(InputRescale {
    multiplier: i32,
    shift: i8,
    radius: i32
});

#[cfg(not(mote_helium))]
impl InputRescale {
    /// `function` of an int8 input in fixed point, as an int8; an input past the radius saturates.
    pub(crate) fn map(&self, x: i8, zero_point: i32, function: impl Fn(i32) -> i32) -> i8 {
        let centred = i32::from(x).wrapping_sub(zero_point);
        if centred <= -self.radius {
            i8::MIN
        } else if centred >= self.radius {
            i8::MAX
        } else {
            let fixed = rescale(centred, self.multiplier, i32::from(self.shift));
            saturate_i8(function(fixed))
        }
    }
}

/// Shift left that saturates.
#[inline]
pub(crate) fn saturating_shl(x: i32, exponent: u32) -> i32 {
    let wide = i64::from(x) << (exponent & 31);
    // Clamped to 32 bits first.
    wide.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Constants of the functions below, Q0.31 and Q2.29.
pub(crate) mod constant {
    /// e^(−2^k) for k = −2, −1, which have no double in 32 bits, …
    pub(crate) const EXP_ABOVE_HALF: [i32; 2] = [1_672_461_947, 1_302_514_674];
    /// … and for k = 0 … 4.
    pub(crate) const EXP_BELOW_HALF: [i32; 5] =
        [790_015_084, 290_630_308, 39_332_535, 720_401, 242];
    pub(crate) const EXP_MINUS_EIGHTH: i32 = 1_895_147_668;
    pub(crate) const ONE_THIRD: i32 = 715_827_883;
    /// Q2.29.
    pub(crate) const FORTY_EIGHT_OVER_17: i32 = 1_515_870_810;
    /// Q2.29.
    pub(crate) const MINUS_32_OVER_17: i32 = -1_010_580_540;
}
use constant::{
    EXP_ABOVE_HALF, EXP_BELOW_HALF, EXP_MINUS_EIGHTH, FORTY_EIGHT_OVER_17, MINUS_32_OVER_17,
    ONE_THIRD,
};

/// e^x for x ≤ 0. `x` has `INTEGER_BITS` integer bits (4 or 5); the result has none (Q0.31).
pub(crate) fn exp_on_negative<const INTEGER_BITS: u32>(x: i32) -> i32 {
    let quarter_bit = 29 - INTEGER_BITS;
    let one_quarter = 1 << quarter_bit;
    let minus_quarter = (x & (one_quarter - 1)).wrapping_sub(one_quarter);
    // From −1/4 up: nothing is shifted out.
    let mut result = exp_on_minus_quarter_to_zero(minus_quarter << INTEGER_BITS);
    let remainder = minus_quarter.wrapping_sub(x);
    for (bit, factor) in (quarter_bit..).zip(EXP_ABOVE_HALF) {
        if remainder & (1 << bit) != 0 {
            result = high_mul_from_half(result, doubled_from_half(factor));
        }
    }
    for (bit, factor) in (quarter_bit + 2..31).zip(EXP_BELOW_HALF) {
        if remainder & (1 << bit) != 0 {
            result = upper_mul_add(0, result, 2 * factor);
        }
    }
    if x == 0 { i32::MAX } else { result }
}

/// 2·(b − 2³¹) for b in [2³⁰, 2³¹), as [`high_mul_from_half`] takes it.
#[inline(always)]
pub(crate) const fn doubled_from_half(b: i32) -> i32 {
    // b − 2³¹ has 31 bits; the bit that is lost is that of 2³².
    b.wrapping_shl(1)
}

/// [`high_mul`] of a and b in [2³⁰, 2³¹), which has no double in 32 bits: a plus that of a and b − 2³¹.
#[inline(always)]
pub(crate) fn high_mul_from_half(a: i32, doubled: i32) -> i32 {
    upper_mul_add(a, a, doubled)
}

/// e^x for x in [−1/4, 0), Q0.31: Taylor's series of degree 4 around −1/8.
fn exp_on_minus_quarter_to_zero(a: i32) -> i32 {
    // Within ±2²⁸, so that x² is below 2²⁶, no sum here leaves 32 bits, and doubles have them, too.
    let x = a.wrapping_add(1 << 28);
    let x2 = upper_mul_add(0, x.wrapping_mul(2), x);
    let x3 = upper_mul_add(0, x2.wrapping_mul(2), x);
    let x4 = upper_mul_add(0, x2.wrapping_mul(2), x2);
    let x4_over_4 = shift_positive(x4, 2);
    let twice = upper_mul_add(x2, x4_over_4.wrapping_add(x3), 2 * ONE_THIRD);
    let high_terms = twice.wrapping_add(twice >> 31).wrapping_add(1) >> 1;
    let product = x.wrapping_add(high_terms).wrapping_mul(2);
    upper_mul_add(EXP_MINUS_EIGHTH, EXP_MINUS_EIGHTH, product)
}

/// (a + b) / 2, halves away from zero.
pub(crate) fn half_sum(a: i32, b: i32) -> i32 {
    let sum = i64::from(a) + i64::from(b);
    let sign = if sum >= 0 { 1 } else { -1 };
    // The mean of two 32-bit values fits 32 bits.
    ((sum + sign) / 2) as i32
}

/// Newton's division for 1 / d, where `half_denominator` is d/2 in [1/2, 1], Q0.31; the result is Q2.29.
fn reciprocal(half_denominator: i32) -> i32 {
    let mut x =
        FORTY_EIGHT_OVER_17.wrapping_add(doubling_high_mul(half_denominator, MINUS_32_OVER_17));
    for _ in 0..3 {
        let half_denominator_times_x = doubling_high_mul(half_denominator, x);
        let one_minus = (1i32 << 29).wrapping_sub(half_denominator_times_x);
        // A product of two Q2.29 is Q4.27; back to Q2.29.
        x = x.wrapping_add(saturating_shl(doubling_high_mul(x, one_minus), 2));
    }
    x
}

/// 1 / (1 + a) for a in [0, 1], Q0.31 to Q0.31.
pub(crate) fn one_over_one_plus(a: i32) -> i32 {
    saturating_shl(reciprocal(half_sum(a, i32::MAX)), 1)
}

/// (1 − a) / (1 + a) for a in [0, 1], Q0.31 to Q0.31.
#[cfg(not(mote_helium))]
pub(crate) fn one_minus_over_one_plus(a: i32) -> i32 {
    // x − 1 in Q2.29 is (2/(1+a) − 1), and 2/(1+a) is what `reciprocal` gives of (1+a)/2.
    saturating_shl(reciprocal(half_sum(a, i32::MAX)).wrapping_sub(1 << 29), 2)
}

/// Logistic function of a Q4.27, as Q0.31.
#[cfg(not(mote_helium))]
pub(crate) fn logistic(a: i32) -> i32 {
    if a == 0 {
        return i32::MAX / 2 + 1;
    }
    let magnitude = if a > 0 { a } else { a.wrapping_neg() };
    let positive = one_over_one_plus(exp_on_negative::<4>(magnitude.wrapping_neg()));
    if a > 0 {
        positive
    } else {
        i32::MAX.wrapping_sub(positive)
    }
}

/// Hyperbolic tangent of a Q4.27, as Q0.31.
#[cfg(not(mote_helium))]
pub(crate) fn tanh(a: i32) -> i32 {
    if a == 0 {
        return 0;
    }
    let magnitude = if a > 0 { a } else { a.wrapping_neg() };
    // e^(−2|a|): the exact doubling is one more integer bit for the same raw value.
    let positive = one_minus_over_one_plus(exp_on_negative::<5>(magnitude.wrapping_neg()));
    if a > 0 {
        positive
    } else {
        positive.wrapping_neg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::XorShift32;

    #[test]
    fn a_reduction_is_the_rescaling() {
        let mut rng = XorShift32::new(3);
        for _ in 0..200_000 {
            let factor = Rescale {
                multiplier: match rng.draw() % 4 {
                    0 => 0,
                    1 => i32::MAX,
                    _ => (rng.draw() >> 1) as i32,
                },
                shift: -((rng.draw() % 32) as i8),
            };
            // Half of 31 bits, so that the sum of its upper half and of half of what is shifted out has 31.
            let x = rng.draw() as i32 >> (2 + rng.draw() % 28);
            let reduction = Reduction::new(factor).unwrap();
            assert_eq!(reduction.apply(2 * x), factor.apply(x), "{x} {factor:?}");
        }
    }

    /// x / 2^e, halves away from zero, from the definition.
    fn divided(x: i32, e: u32) -> i64 {
        let (x, divisor) = (i128::from(x), 1i128 << e);
        let magnitude = (2 * x.abs() + divisor) / (2 * divisor);
        (magnitude * x.signum()) as i64
    }

    #[test]
    fn shifts_round_halves_away_from_zero() {
        let mut rng = XorShift32::new(3);
        let edges = [i32::MIN, i32::MIN + 1, -1, 0, 1, i32::MAX - 1, i32::MAX];
        for e in 0..=62 {
            let halves = (0..31).flat_map(|bit| [-1, 0, 1].map(|near| (1 << bit) + near));
            let halves = halves.flat_map(|x: i32| [x, x.wrapping_neg()]);
            let random = (0..2_000).map(|_| rng.draw().cast_signed());
            for x in edges.into_iter().chain(halves).chain(random) {
                let wanted = divided(x, e);
                assert_eq!(i64::from(rounding_shift_right(x, e)), wanted, "{x} / 2^{e}");
                if x >= 0 && e > 0 {
                    assert_eq!(i64::from(shift_positive(x, e)), wanted, "{x} / 2^{e}");
                }
            }
        }
    }
}
