//! Functions in fixed point: exp, ln, square roots, sigmoid, tanh, division, by 32-bit multiplications.
//!
//! Numbers come as the bits of a value with `frac` fractional bits, 0 to 32; results are in the same format, as an
//! `i64` that the caller saturates. Each result is rounded once, to nearest with halves up. In between, values carry
//! 31 or more significant bits, and what is dropped is dropped downward.
//!
//! | function | computed as |
//! |---|---|
//! | e^x | y = x · log₂e = n + i/32 + r, 0 ≤ r < 1/32: 2^n · `POWERS[i]` · (1 + r·p(r)), p of degree 3 |
//! | ln x | x = 2^e · m, `POWERS[i]` ≤ m: (32e + i) · ln 2 / 32 + ln(m · 2^(−i/32)), the last by a polynomial of degree 4 |
//! | 1/√x | a table of 24 bytes, two steps of Newton's method in 32 bits, one in 64 |
//! | √x | x · (1/√x), corrected by its square: exact before the rounding |
//! | 1/d | a 16-bit quotient and one step of Newton's method, corrected by its product: exact before the rounding |
//! | sigmoid x | 1 / (1 + e^−\|x\|), for x < 0 one minus that |
//! | tanh x | 2 / (1 + e^−2\|x\|) − 1 with the sign of x |
//!
//! The polynomials interpolate at Chebyshev's nodes. `docs/numerics.md` states the errors, `tests/functions.rs` walks
//! all inputs.

/// 2^(i/32), 31 fractional bits.
const POWERS: [u32; 32] = [
    2_147_483_648,
    2_194_507_417,
    2_242_560_872,
    2_291_666_561,
    2_341_847_524,
    2_393_127_307,
    2_445_529_972,
    2_499_080_105,
    2_553_802_834,
    2_609_723_834,
    2_666_869_345,
    2_725_266_179,
    2_784_941_738,
    2_845_924_021,
    2_908_241_642,
    2_971_923_842,
    3_037_000_500,
    3_103_502_151,
    3_171_459_999,
    3_240_905_930,
    3_311_872_529,
    3_384_393_094,
    3_458_501_653,
    3_534_232_978,
    3_611_622_603,
    3_690_706_840,
    3_771_522_796,
    3_854_108_391,
    3_938_502_376,
    4_024_744_348,
    4_112_874_773,
    4_202_935_003,
];

/// log₂e = `LOG2_E.0` · 2^−30 + `LOG2_E.1` · 2^−60.
const LOG2_E: (i64, i64) = (1_549_082_004, 730_005_015);

/// (2^(v/32) − 1) · 32 / v over v in \[0, 1\], ascending powers, 32 fractional bits.
const EXP: [u32; 4] = [2_977_044_472, 32_242_657, 232_794, 1_272];

/// (1 − ln(1 + v/32) · 32 / v) / v over v in \[0, 0.702\], ascending powers with alternating signs, 32 fractional bits.
const LN: [u32; 3] = [67_108_855, 1_397_881, 31_924];

/// ln 2 / 32, 46 fractional bits.
const LN2_OVER_32: i64 = 1_524_246_769_572;

/// 1/√x for x from 1 to 4 in steps of an eighth, 8 fractional bits; off by at most 3.2 %.
const RSQRT: [u8; 24] = [
    248, 235, 224, 214, 205, 197, 190, 184, 178, 173, 168, 164, 160, 156, 153, 149, 146, 143, 141,
    138, 136, 133, 131, 129,
];

/// The upper half of the product.
#[inline(always)]
fn high(a: u32, b: u32) -> u32 {
    // The upper 32 bits of 64.
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

/// `value` · 2^−`shift` to nearest, halves up; 0 beyond 64.
#[inline(always)]
fn shift_nearest(value: u64, shift: u32) -> u64 {
    match shift.checked_sub(1) {
        Some(shift) => (value.unbounded_shr(shift) + 1) >> 1,
        None => value,
    }
}

/// e^x as a mantissa in [1, 2), 63 fractional bits, and an exponent of 2; |x| ≤ 2³².
#[inline]
fn exp_parts(x: i64, frac: u32) -> (u64, i32) {
    // x · log₂e, frac + 30 fractional bits: |x · LOG2_E.0| < 2⁶³.
    let y = x
        .wrapping_mul(LOG2_E.0)
        .wrapping_add(x.wrapping_mul(LOG2_E.1) >> 30);
    // At most 2³² · log₂e · 2^−frac in size; beyond 32 bits of exponent only sign and size class matter.
    let exponent = (y >> (frac + 30)).clamp(-128, 128) as i32;
    // The fraction alone, all 64 bits of it; the sign's bits are shifted out.
    let fraction = (y as u64) << (34 - frac);
    // Five bits.
    let power = POWERS.get((fraction >> 59) as usize).copied().unwrap_or(0);
    // The next 32 bits: v / 32.
    let v = (fraction >> 27) as u32;
    let [c1, c2, c3, c4] = EXP;
    let sum = c1 + high(c2 + high(c3 + high(c4, v), v), v);
    let rise = u64::from(power) * u64::from(high(sum, v));
    ((u64::from(power) << 32) + (rise >> 5), exponent)
}

/// e^x.
pub(super) fn exp(x: i32, frac: u32) -> i64 {
    let (mantissa, exponent) = exp_parts(i64::from(x), frac);
    // FRAC is at most 32.
    let shift = 63 - frac as i32 - exponent;
    if shift < 32 {
        // 2³¹ or more.
        return i64::MAX;
    }
    // Less than 2³³.
    shift_nearest(mantissa, shift.unsigned_abs()) as i64
}

/// e^−x, 31 fractional bits: 2³¹ at 0.
#[inline]
pub(super) fn exp_negative(x: u32, frac: u32) -> u32 {
    let (mantissa, exponent) = exp_parts(-i64::from(x), frac);
    // At most 2³¹: the exponent is 0 at 0 only, and the mantissa is 1 there.
    shift_nearest(mantissa, (32 - exponent).unsigned_abs()) as u32
}

/// ln(mantissa · 2^exponent), the mantissa in [1, 2) with 31 fractional bits; 46 fractional bits.
#[inline]
fn ln_parts(mantissa: u32, exponent: i32) -> i64 {
    let mut i = 0;
    for step in [16, 8, 4, 2, 1] {
        if POWERS.get(i + step).is_some_and(|&power| power <= mantissa) {
            i += step;
        }
    }
    // mantissa · 2^(−i/32) in [1, 1.022), 63 fractional bits; 2^(−i/32) = 2^((32−i)/32) / 2.
    let reduced = match POWERS.get(32 - i) {
        Some(&power) => u64::from(mantissa) * u64::from(power),
        None => u64::from(mantissa) << 32,
    };
    // What is above 1, times 32, 32 fractional bits: below 0.702. A power rounded down may leave it below 1.
    let v = (reduced.saturating_sub(1 << 63) >> 26) as u32;
    let [c2, c3, c4] = LN;
    let bend = high(high(c2 - high(c3 - high(c4, v), v), v), v);
    // i < 32.
    let thirty_seconds = i64::from(exponent) * 32 + i as i64;
    thirty_seconds * LN2_OVER_32 + (i64::from(v - bend) << 9)
}

/// A value with 46 fractional bits, rounded to `frac` of them.
#[inline]
fn round_46(value: i64, frac: u32) -> i64 {
    (value + (1 << (45 - frac))) >> (46 - frac)
}

/// ln x; x > 0.
pub(super) fn ln(x: u32, frac: u32) -> i64 {
    let zeros = x.leading_zeros().min(31);
    // Both at most 32.
    let exponent = 31 - zeros as i32 - frac as i32;
    round_46(ln_parts(x << zeros, exponent), frac)
}

/// ln of a sum of [`exp_negative`]s, which is at least 1.
pub(super) fn ln_sum(sum: u64, frac: u32) -> i64 {
    let zeros = sum.leading_zeros().min(32);
    // The upper 32 bits, the first of them 1.
    let mantissa = ((sum << zeros) >> 32) as u32;
    round_46(ln_parts(mantissa, 32 - zeros as i32), frac)
}

/// x as m · 2^−shift, m in \[2³⁰, 2³²), where frac − shift is even; 0 < x < 2³¹.
#[inline]
fn even_mantissa(x: u32, frac: u32) -> (u32, u32) {
    let zeros = x.leading_zeros().min(31);
    let shift = if (zeros ^ frac) & 1 == 0 {
        zeros
    } else {
        // x < 2³¹ has a leading zero.
        zeros.saturating_sub(1)
    };
    (x << shift, shift)
}

/// 1/√m with 48 fractional bits, for m in [1, 4) with 30.
#[inline]
fn rsqrt_mantissa(m: u32) -> u64 {
    // The first five bits are 8 to 31.
    let at = ((m >> 27) as usize).saturating_sub(8);
    let mut r = u32::from(RSQRT.get(at).copied().unwrap_or(u8::MAX)) << 24;
    for _ in 0..2 {
        // r · (3 − m·r²) / 2; m·r² in 30 fractional bits lies near 1.
        let factor = (3u32 << 30).wrapping_sub(high(m, high(r, r)));
        let next = (u64::from(r) * u64::from(factor)) >> 31;
        // At most 1; 1 itself has no room.
        r = next.min(u64::from(u32::MAX)) as u32;
    }
    // Once more, exactly: 1 − m·r² with 62 fractional bits, at most 2^−17 in size.
    let square = u64::from(r) * u64::from(r);
    // Halves of 64 bits.
    let low = (u64::from(m) * (square & 0xFFFF_FFFF)) >> 32;
    let product = u64::from(m) * (square >> 32) + low;
    // Both below 2⁶³.
    let rest = (1i64 << 62) - product as i64;
    let correction = (i64::from(r) * (rest >> 14)) >> 33;
    (u64::from(r) << 16).wrapping_add_signed(correction)
}

/// 1/√x; 0 < x < 2³¹.
pub(super) fn rsqrt(x: u32, frac: u32) -> i64 {
    let (m, shift) = even_mantissa(x, frac);
    // √x = √m · 2^half; each term is at most 32.
    let half = (30 - shift as i32 - frac as i32) / 2;
    let down = 48 - frac as i32 + half;
    // At most 2⁴⁸.
    shift_nearest(rsqrt_mantissa(m), down.unsigned_abs()) as i64
}

/// √x; 0 < x < 2³¹.
pub(super) fn sqrt(x: u32, frac: u32) -> i64 {
    let (m, shift) = even_mantissa(x, frac);
    // 1/√m with 32 fractional bits; 1 itself has no room.
    let r = (rsqrt_mantissa(m) >> 16).min(u64::from(u32::MAX)) as u32;
    // √m with 31 fractional bits, then in units of the result: frac − shift is at most 32.
    let down = 16 - (frac as i32 - shift as i32) / 2;
    let mut root = (u64::from(high(m, r)) << 1) >> down.unsigned_abs();
    let square = u64::from(x) << frac;
    // Off by a few at most.
    while root * root > square {
        root -= 1;
    }
    while (root + 1) * (root + 1) <= square {
        root += 1;
    }
    // √square > root + ½ where square > root² + root.
    if square - root * root > root {
        root += 1;
    }
    // Less than 2³².
    root as i64
}

/// ⌊2⁶³ / d⌋ for d with its first bit set: 1/d with 32 fractional bits, for d with 31.
#[inline]
pub(super) fn reciprocal(d: u32) -> u64 {
    // 2⁴⁸ / d to 15 bits.
    let rounded = ((u64::from(d) + (1 << 15)) >> 16) as u32;
    let seed = u64::from(u32::MAX / rounded.max(1));
    // Newton's x + x · (1 − d·x), 1 − d·x with 48 fractional bits; never above the quotient.
    let rest = (1i64 << 48) - (seed * u64::from(d)) as i64;
    let mut quotient = (seed << 15).wrapping_add_signed((seed as i64 * rest) >> 33);
    let mut remainder = (1u64 << 63).wrapping_sub(quotient.wrapping_mul(u64::from(d)));
    while remainder >= u64::from(d) {
        remainder -= u64::from(d);
        quotient += 1;
    }
    quotient
}

/// 1 / (1 + e^−x) for x ≥ 0, 32 fractional bits.
#[inline]
fn logistic(x: u32, frac: u32) -> u64 {
    // At 0 the sum 2 has no room: one unit less.
    reciprocal((1u32 << 31).saturating_add(exp_negative(x, frac)))
}

/// 1 / (1 + e^−x).
pub(super) fn sigmoid(x: i32, frac: u32) -> i64 {
    // At most 2³².
    let positive = shift_nearest(logistic(x.unsigned_abs(), frac), 32 - frac) as i64;
    if x < 0 {
        (1i64 << frac) - positive
    } else {
        positive
    }
}

/// Hyperbolic tangent.
pub(super) fn tanh(x: i32, frac: u32) -> i64 {
    let logistic = logistic(x.unsigned_abs().saturating_mul(2), frac);
    // The logistic is ½ or more, with 32 fractional bits.
    let positive = shift_nearest((2 * logistic).wrapping_sub(1 << 32), 32 - frac) as i64;
    if x < 0 { -positive } else { positive }
}

/// What each [`exp_negative`] is multiplied by, and shifted by, for its share of `sum`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    factor: u64,
    shift: u32,
}

impl Share {
    /// Of a sum of at least 1, that is 2³¹.
    pub(super) fn of(sum: u64, frac: u32) -> Self {
        let zeros = sum.leading_zeros().min(32);
        // The upper 32 bits, the first of them 1.
        let divisor = ((sum << zeros) >> 32) as u32;
        Self {
            factor: reciprocal(divisor | 1 << 31),
            shift: 95 - zeros - frac,
        }
    }

    /// `term` / sum.
    #[inline]
    pub(super) fn take(self, term: u32) -> i64 {
        // term ≤ 2³¹, factor ≤ 2³².
        shift_nearest(u64::from(term) * self.factor, self.shift) as i64
    }
}

/// a / b, to nearest with halves up; b ≠ 0.
pub(super) fn divide(a: i32, b: i32, frac: u32) -> i64 {
    let numerator = u64::from(a.unsigned_abs()) << frac;
    let divisor = u64::from(b.unsigned_abs().max(1));
    let quotient = numerator / divisor;
    let remainder = numerator - quotient * divisor;
    // 33 bits say that it saturates.
    let quotient = quotient.min(1 << 33) as i64;
    if (a < 0) == (b < 0) {
        quotient + i64::from(2 * remainder >= divisor)
    } else {
        -quotient - i64::from(2 * remainder > divisor)
    }
}

/// `acc` / `count` where `acc` has twice `frac` fractional bits, to nearest with halves up; `count` of 0 counts as 1.
pub(super) fn mean(acc: i64, count: u32, frac: u32) -> i64 {
    let count = i64::from(count.max(1));
    // ⌊(acc + count · 2^(frac − 1)) / 2^frac / count⌋ without a sum that could overflow.
    let (whole, part) = (acc >> frac, acc & ((1 << frac) - 1));
    let (half, rest) = if frac == 0 {
        // 2 · whole + count would be halved: ⌊(whole + count / 2) / count⌋.
        (count >> 1, 0)
    } else {
        (count >> 1, (part + ((count & 1) << (frac - 1))) >> frac)
    };
    let sum = whole.saturating_add(half + rest);
    match (i32::try_from(sum), i32::try_from(count)) {
        // Cores without a 64-bit division are fast here.
        (Ok(sum), Ok(count)) => i64::from(sum.div_euclid(count.max(1))),
        _ => sum.div_euclid(count.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_what_they_say() {
        for (i, &power) in POWERS.iter().enumerate() {
            let exact = (2f64).powf(31.0 + i as f64 / 32.0);
            assert!((f64::from(power) - exact).abs() <= 0.5 + 1e-6, "{i}");
        }
        for (i, &r) in RSQRT.iter().enumerate() {
            for end in [i, i + 1] {
                let x = 1.0 + end as f64 / 8.0;
                let off = f64::from(r) / 256.0 * x.sqrt() - 1.0;
                assert!(off.abs() <= 0.032, "{i}: {off}");
            }
        }
        let log2_e = LOG2_E.0 as f64 / (2f64).powi(30) + LOG2_E.1 as f64 / (2f64).powi(60);
        assert_eq!(log2_e, core::f64::consts::LOG2_E);
        let ln2 = LN2_OVER_32 as f64 * 32.0 / (2f64).powi(46);
        assert!((ln2 - core::f64::consts::LN_2).abs() < 32.0 / (2f64).powi(47));
    }

    /// Where one piece of e^x ends, the next does not begin lower: that keeps exp, sigmoid and tanh monotone.
    #[test]
    fn pieces_of_exp_join_upward() {
        let v = u32::MAX;
        let [c1, c2, c3, c4] = EXP;
        let rise = high(c1 + high(c2 + high(c3 + high(c4, v), v), v), v);
        let next = POWERS.iter().skip(1).map(|&power| u64::from(power) << 32);
        for (&power, next) in POWERS.iter().zip(next) {
            let last = (u64::from(power) << 32) + ((u64::from(power) * u64::from(rise)) >> 5);
            // One unit of 31 fractional bits is as good as the table.
            assert!(last <= next + (1 << 32), "{power}");
        }
    }

    #[test]
    fn reciprocals_are_exact() {
        let mut d = 1u32 << 31;
        loop {
            assert_eq!(reciprocal(d), (1 << 63) / u64::from(d), "{d}");
            match d.checked_add(9_973) {
                Some(next) => d = next,
                None => break,
            }
        }
        assert_eq!(reciprocal(u32::MAX), (1 << 63) / u64::from(u32::MAX));
    }

    /// Against the definition in 128 bits.
    #[test]
    fn mean_and_divide_round_to_nearest_halves_up() {
        let exact = |acc: i128, divisor: i128| (2 * acc + divisor).div_euclid(2 * divisor);
        let accs = [
            0,
            1,
            -1,
            3,
            -3,
            32_768,
            -32_768,
            98_304,
            -98_304,
            1 << 40,
            -(1 << 40),
            i64::MAX,
            i64::MIN,
            i64::MAX - 1,
            i64::MIN + 1,
        ];
        let mut rng = super::super::XorShift32::new(9);
        let counts = [1, 2, 3, 7, 49, 1000, 65_535, u32::MAX - 1, u32::MAX];
        for frac in [0, 1, 8, 16, 24, 31, 32] {
            for count in counts {
                for acc in accs {
                    let wanted = exact(acc.into(), i128::from(count) << frac);
                    let limit = |v: i128| v.clamp(i32::MIN.into(), i32::MAX.into());
                    let found = mean(acc, count, frac);
                    assert_eq!(
                        limit(found.into()),
                        limit(wanted),
                        "{acc} / {count}, {frac} bits"
                    );
                }
            }
            for _ in 0..20_000 {
                // Bits drawn, of any size.
                let mut draw = || (rng.draw() as i32) >> (rng.draw() % 31);
                let (a, b) = (draw(), draw());
                if b == 0 {
                    continue;
                }
                let (a128, b128) = (i128::from(a) << frac, i128::from(b));
                let wanted = exact(a128 * b128.signum(), b128.abs());
                let limit = |v: i128| v.clamp(i32::MIN.into(), i32::MAX.into());
                assert_eq!(
                    limit(divide(a, b, frac).into()),
                    limit(wanted),
                    "{a} / {b}, {frac} bits"
                );
            }
        }
    }
}
