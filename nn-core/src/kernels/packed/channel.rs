//! From a sum to an int8 output, with all that is known beforehand folded into four numbers for each channel.
//!
//! The reference forms h = ⌊(x·m + 2³⁰) / 2³¹⌋ of x = Σ w·(a − zero_a) + bias, then h / 2^s to nearest with halves away
//! from zero, then adds zero_y. With the table's bias₂ = 2·(bias − zero_a·Σ w) and offset = 2^(s−1) + zero_y·2^s that is
//!
//! y = (offset + ⌊(x₂·m + 2³¹) / 2³²⌋ + (x₂ < 0 ? −1 : 0)) >> s, x₂ = bias₂ + 2·Σ w·a
//!
//! SMMLAR forms the first two terms at once. The reference looks at the sign of h, not of x₂: they differ only where
//! h = 0, and there 2^(s−1) − 1 and 2^(s−1) give the same. So s is at least 1.

use super::PackError;
#[cfg(not(any(mote_armv7em, mote_armv6m)))]
use crate::fixed_point::saturate_i8;

/// Numbers of a channel in the table: bias₂, multiplier, offset, shift.
pub const LEN: usize = 4;

/// How a channel's sums become outputs.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    /// int32.
    pub bias: i32,
    /// Of the rescaling: in \[2³⁰, 2³¹), or 0.
    pub multiplier: i32,
    /// Of the rescaling: below 0.
    pub shift: i32,
}

/// The table's numbers of a channel with these weights. `zeros` are the zero points of input and output.
pub fn pack(
    channel: usize,
    plain: Plain,
    weights: impl Iterator<Item = i8>,
    [x_zero, y_zero]: [i8; 2],
) -> Result<[i32; LEN], PackError> {
    let (sum, magnitude) = weights.fold((0i64, 0i64), |(sum, magnitude), weight| {
        let weight = i64::from(weight);
        (sum + weight, magnitude + weight.abs())
    });
    // A sum of a pair's upper channel has 24 bits.
    if 128 * magnitude >= 1 << 23 {
        return Err(PackError::Sum { channel });
    }
    let bias = i64::from(plain.bias) - i64::from(x_zero) * sum;
    let largest = 2 * (bias.abs() + 128 * magnitude);
    if !(-31..=-1).contains(&plain.shift) {
        return Err(PackError::Factor { channel });
    }
    let shift = plain.shift.unsigned_abs();
    let offset = (1i64 << (shift - 1)) + (i64::from(y_zero) << shift);
    // Neither x₂ nor what is shifted leaves 32 bits.
    let limit = i64::from(i32::MAX);
    if largest > limit {
        return Err(PackError::Sum { channel });
    }
    let offset_fits = offset.abs() + largest / 2 + 2 <= limit;
    match (i32::try_from(2 * bias), i32::try_from(offset)) {
        (Ok(bias), Ok(offset)) if offset_fits && plain.multiplier >= 0 => {
            Ok([bias, plain.multiplier, offset, plain.shift.wrapping_neg()])
        }
        _ => Err(PackError::Factor { channel }),
    }
}

/// Whether a table holds numbers that [`pack`] writes.
pub fn is_valid(table: &[i32]) -> bool {
    let (channels, rest) = table.as_chunks::<LEN>();
    rest.is_empty()
        && channels
            .iter()
            .all(|[_, multiplier, _, shift]| *multiplier >= 0 && (1..=31).contains(shift))
}

/// offset + the upper half of x · multiplier, rounded to nearest with halves up.
#[cfg(not(any(mote_armv7em, mote_armv6m)))]
#[inline(always)]
pub(super) fn high_mul_add(x: i32, multiplier: i32, offset: i32) -> i32 {
    high_mul(x, multiplier).wrapping_add(offset)
}

/// The upper half of x · multiplier, rounded to nearest with halves up.
#[cfg(not(any(mote_armv7em, mote_armv6m)))]
#[inline(always)]
fn high_mul(x: i32, multiplier: i32) -> i32 {
    // |x · multiplier| ≤ 2⁶², and the upper half of that has 32 bits.
    ((i64::from(x) * i64::from(multiplier) + (1 << 31)) >> 32) as i32
}

/// The same from products of halves, as Cortex-M0 forms it: 20 instructions. The multiplier is not below 0.
#[cfg(test)]
fn high_mul_of_halves(x: i32, multiplier: i32) -> i32 {
    let (x_high, x_low) = (x >> 16, x & 0xFFFF);
    let (m_high, m_low) = (multiplier >> 16, multiplier & 0xFFFF);
    // Of 32 bits without a sign.
    let low = (x_low.wrapping_mul(m_low).cast_unsigned() >> 16).cast_signed();
    // Neither leaves 32 bits; their sum would.
    let first = x_high.wrapping_mul(m_low).wrapping_add(low);
    let second = x_low.wrapping_mul(m_high);
    let carried = (first & 0xFFFF) + (second & 0xFFFF) + (1 << 15);
    let middle = (first >> 16) + (second >> 16) + (carried >> 16);
    x_high.wrapping_mul(m_high).wrapping_add(middle)
}

/// The same as Cortex-M0 forms it for four pixels of a channel, the lower half of whose multiplier has a sign: see
/// `tile/armv6m/outputs.rs`.
#[cfg(test)]
fn high_mul_of_signed_halves(x: i32, multiplier: i32) -> i32 {
    let m_low = multiplier << 16 >> 16;
    let m_high = (multiplier.wrapping_sub(m_low).cast_unsigned() >> 16).cast_signed();
    let (x_high, x_low) = (x >> 16, x & 0xFFFF);
    let sum = x_high
        .wrapping_mul(m_low)
        .wrapping_add(x_low.wrapping_mul(m_high))
        .wrapping_add(x_low.wrapping_mul(m_low) >> 16)
        .wrapping_add((1 << 30) + (1 << 15));
    // What is added keeps the sum from falling below 0.
    let middle = (sum.cast_unsigned() >> 16).cast_signed() - (1 << 14);
    x_high.wrapping_mul(m_high).wrapping_add(middle)
}

/// The output for x₂.
#[cfg(not(any(mote_armv7em, mote_armv6m)))]
#[inline(always)]
pub(crate) fn requantize(x2: i32, [_, multiplier, offset, shift]: [i32; LEN]) -> i8 {
    let high = high_mul_add(x2, multiplier, offset).wrapping_add(x2 >> 31);
    // Of 1 to 31 where the table is valid.
    saturate_i8(high >> (shift & 31))
}

/// Holds outputs to a range that is narrower than int8: a ReLU's whose zero point is not the lowest number.
#[inline(never)]
pub(crate) fn clamp(y: &mut [i8], [min, max]: [i8; 2]) {
    if [min, max] != [i8::MIN, i8::MAX] {
        for y in y {
            *y = (*y).max(min).min(max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed_point::rescale;
    use crate::scalar::XorShift32;

    #[test]
    fn it_is_the_reference() {
        let mut rng = XorShift32::new(7);
        let mut compared = 0u32;
        for _ in 0..20_000 {
            let mut draw = || rng.draw();
            let multiplier = match draw() % 8 {
                0 => 1 << 30,
                1 => i32::MAX,
                2 => 0,
                _ => (draw() >> 2 | 1 << 30) as i32,
            };
            let plain = Plain {
                bias: (draw() as i32) >> (draw() % 24 + 3),
                multiplier,
                shift: -((draw() % 20) as i32 + 1),
            };
            let zeros = [draw() as i8, draw() as i8];
            let Ok(table) = pack(0, plain, core::iter::empty(), zeros) else {
                continue;
            };
            for _ in 0..100 {
                let x = match draw() % 4 {
                    0 => draw() as i32 % 3 - 1,
                    1 => ((draw() % 511) as i32 - 255) << (-plain.shift - 1),
                    2 => (draw() as i32) >> 9,
                    _ => (draw() as i32) >> (draw() % 22 + 9),
                };
                let (Some(sum), true) = (x.checked_sub(plain.bias), is_valid(&table)) else {
                    continue;
                };
                if i64::from(sum).abs() >= 1 << 23 {
                    continue;
                }
                compared += 1;
                let wanted = rescale(x, multiplier, plain.shift) + i32::from(zeros[1]);
                let found = requantize(table[0].wrapping_add(2 * sum), table);
                assert_eq!(found, saturate_i8(wanted), "{x} {plain:?} {zeros:?}");
            }
        }
        assert!(compared > 100_000, "{compared}");
    }

    #[test]
    fn upper_halves_of_products_come_from_products_of_halves() {
        let equal = |x: i32, m: i32| {
            let wanted = high_mul(x, m);
            assert_eq!(high_mul_of_halves(x, m), wanted, "{x} {m}");
            assert_eq!(high_mul_of_signed_halves(x, m), wanted, "{x} {m}");
        };
        // Where halves change their sign, and at the ends.
        let ends = [0, 1, 2, 0x7FFE, 0x7FFF, 0x8000, 0x8001, 0xFFFE, 0xFFFF];
        let words = || {
            let upper = ends.into_iter().map(|half| half << 16);
            upper.flat_map(move |upper: u32| ends.map(|lower| (upper | lower).cast_signed()))
        };
        for x in words() {
            for m in words().filter(|m| *m >= 0) {
                equal(x, m);
            }
        }
        let mut rng = XorShift32::new(8);
        for _ in 0..1_000_000 {
            equal(rng.draw().cast_signed(), (rng.draw() >> 1).cast_signed());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let plain = |bias, shift| Plain {
            bias,
            multiplier: 1 << 30,
            shift,
        };
        let weights = |n| core::iter::repeat_n(-127i8, n);
        assert!(pack(0, plain(0, -8), weights(516), [0, 0]).is_ok());
        let error = pack(0, plain(0, -8), weights(517), [0, 0]);
        assert_eq!(error, Err(PackError::Sum { channel: 0 }));
        let error = pack(3, plain(1 << 30, -8), weights(1), [0, 0]);
        assert_eq!(error, Err(PackError::Sum { channel: 3 }));
        for shift in [0, 1, -25, -31] {
            let error = pack(1, plain(0, shift), weights(1), [0, -128]);
            assert_eq!(error, Err(PackError::Factor { channel: 1 }), "{shift}");
        }
    }
}
