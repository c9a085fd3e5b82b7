//! The gradient at an int8 tensor: as it is read, written, and summed.

use core::cell::Cell;

use super::two_to;
use crate::memory::{numbers, numbers_mut};
use crate::ops::Activation;
use crate::scalar::{Scalar, round};

/// Bytes before the mantissas: the scale.
const HEADER: usize = size_of::<f32>();
/// Magnitude of a mantissa: 15 bits.
pub(super) const MOST: i32 = i16::MAX as i32;

/// Bytes of the gradient at an int8 tensor of so many numbers; with `sums` while it is summed in 32 bits.
pub(crate) const fn gradient_bytes(count: usize, sums: bool) -> usize {
    let size = if sums {
        size_of::<i32>()
    } else {
        size_of::<i16>()
    };
    count.saturating_mul(size).saturating_add(HEADER)
}

/// The gradient at an int8 tensor, to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gradient<'b> {
    pub(crate) scale: f32,
    pub(crate) mantissas: &'b [i16],
}

impl<'b> Gradient<'b> {
    /// Of a tensor of so many numbers.
    #[inline(never)]
    pub(crate) fn of(bytes: &'b [u8], count: usize) -> Option<Self> {
        let (scale, mantissas) = bytes.split_first_chunk()?;
        let mantissas: &[i16] = numbers(mantissas.get(..count.checked_mul(size_of::<i16>())?)?)?;
        let scale = f32::from_le_bytes(*scale);
        Some(Self { scale, mantissas })
    }
}

/// Mantissas to be written.
pub(crate) struct Mantissas;

impl Mantissas {
    /// Of a tensor of so many numbers, from 0, behind their scale.
    #[inline(never)]
    pub(crate) fn begin(bytes: &mut [u8], count: usize, scale: f32) -> Option<&mut [i16]> {
        let (header, mantissas) = bytes.split_first_chunk_mut::<HEADER>()?;
        *header = scale.to_le_bytes();
        let mantissas = mantissas.get_mut(..count.checked_mul(size_of::<i16>())?)?;
        mantissas.fill(0);
        numbers_mut(mantissas)
    }
}

/// Writes the gradient at an int8 tensor, x, from one of real numbers: the scale is the power of two by which the largest
/// takes 15 bits; 0 where `clamp` lets nothing pass.
#[inline(never)]
pub(crate) fn quantize<S: Scalar>(
    delta: &[S],
    (clamp, x): (Clamp, &[i8]),
    bytes: &mut [u8],
) -> Option<()> {
    let magnitudes = delta.iter().map(|delta| delta.to_f32().abs());
    let largest = magnitudes.fold(
        0.0_f32,
        |most, delta| if delta > most { delta } else { most },
    );
    // Below 2^(exponent + 1); at least 2^-110, so that its reciprocal is a number.
    let exponent = ((largest.to_bits() >> 23).cast_signed() - 127).max(-110);
    let (scale, inverse) = (two_to(exponent - 14), two_to(14 - exponent));
    let (header, mantissas) = bytes.split_first_chunk_mut::<HEADER>()?;
    *header = scale.to_le_bytes();
    let mantissas: &mut [i16] = numbers_mut(mantissas)?;
    for ((mantissa, delta), x) in mantissas.iter_mut().zip(delta).zip(x) {
        // `as` saturates, and turns what is not a number into 0.
        let value = (round(delta.to_f32() * inverse) as i32).clamp(-MOST, MOST);
        *mantissa = if clamp.passes(*x, value) {
            value as i16
        } else {
            0
        };
    }
    Some(())
}

/// Where an int8 output ends: beyond, there is no derivative.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clamp {
    pub(crate) range: [i8; 2],
    /// Whether the lower end is an activation's: no gradient passes there. At an end that is but the format's, those pass
    /// that lead back inside.
    pub(crate) is_closed: bool,
}

impl Clamp {
    /// What made a tensor of this range.
    pub(crate) fn new(below: Activation, range: [i8; 2]) -> Self {
        Self {
            range,
            is_closed: below != Activation::None,
        }
    }

    /// Whether a gradient passes where the output is y. A gradient above 0 lowers it.
    #[inline(always)]
    pub(crate) fn passes(self, y: i8, gradient: i32) -> bool {
        let [low, high] = self.range;
        if y <= low {
            !self.is_closed && gradient < 0
        } else {
            y < high || gradient > 0
        }
    }
}

/// The gradient at an int8 tensor while it is summed.
#[derive(Debug)]
pub(crate) struct Sums<'b> {
    header: &'b mut i32,
    pub(crate) sums: &'b mut [i32],
}

impl<'b> Sums<'b> {
    /// Of a tensor of so many numbers, from 0.
    #[inline(never)]
    pub(crate) fn begin(bytes: &'b mut [u8], count: usize) -> Option<Self> {
        let words: &mut [i32] = numbers_mut(bytes.get_mut(..gradient_bytes(count, true))?)?;
        let (header, sums) = words.split_first_mut()?;
        sums.fill(0);
        Some(Self { header, sums })
    }

    /// Narrows the sums, each of which counts `scale`: 0 where `clamp` lets nothing pass at x, then shifted right, rounded
    /// to nearest, by as little as leaves 15 bits.
    #[inline(never)]
    pub(crate) fn finish(&mut self, scale: f32, clamp: Option<(Clamp, &[i8])>) {
        let sums = &mut *self.sums;
        if let Some((clamp, x)) = clamp {
            for (sum, x) in sums.iter_mut().zip(x) {
                if !clamp.passes(*x, *sum) {
                    *sum = 0;
                }
            }
        }
        let bits = sums.iter().fold(0, |bits, sum| bits | sum.unsigned_abs());
        let shift = 17_u32.saturating_sub(bits.leading_zeros());
        // At most 2^17.
        *self.header = (scale * two_to(shift as i32)).to_bits().cast_signed();
        let cells = Cell::from_mut(sums).as_slice_of_cells();
        // Two mantissas to a word, at or before the sums that they come from.
        for (word, pair) in cells.iter().zip(cells.chunks(2)) {
            let mut pair = pair.iter().map(|sum| shifted(sum.get(), shift));
            let (low, high) = (pair.next().unwrap_or(0), pair.next().unwrap_or(0));
            word.set(low & 0xFFFF | high << 16);
        }
    }
}

/// x / 2^shift to nearest, halves up, within the mantissas' range.
#[inline(always)]
fn shifted(x: i32, shift: u32) -> i32 {
    let x = match shift.checked_sub(1) {
        // Half of a number and 1 fit.
        Some(shift) => (x.wrapping_shr(shift) + 1) >> 1,
        None => x,
    };
    x.clamp(-MOST, MOST)
}

/// Mantissas divided by counts, to be summed: the product with 2ᵇ / count, shifted right by as little as leaves room for the
/// sum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weighted {
    bits: u32,
    shift: u32,
}

impl Weighted {
    /// Divided by `least` or more, up to `most` of them in a sum.
    pub(crate) fn new(least: u32, most: usize) -> Self {
        Self {
            // 15 bits of 1 / least. A count has up to 17.
            bits: 15 + least.max(1).ilog2().min(16),
            // 30 bits times a power of two.
            shift: most.clamp(1, 1 << 30).next_power_of_two().ilog2(),
        }
    }

    /// What a sum counts, in the scale of the mantissas.
    pub(crate) fn scale(self) -> f32 {
        two_to(self.shift.cast_signed() - self.bits.cast_signed())
    }

    /// 2ᵇ / count, to nearest: 16 bits.
    #[inline(always)]
    pub(crate) fn weight(self, count: u32) -> i32 {
        let count = count.max(1);
        let weight = ((1_u32 << self.bits) + count / 2) / count;
        weight.min(1 << 15).cast_signed()
    }

    /// A mantissa times a weight.
    #[inline(always)]
    pub(crate) fn share(self, mantissa: i16, weight: i32) -> i32 {
        let product = i32::from(mantissa).wrapping_mul(weight);
        // 30 bits; to nearest, halves up.
        (product + ((1 << self.shift) >> 1)) >> self.shift
    }
}

/// By how much mantissas are shifted right so that their magnitudes sum up to less than 2²³: times the difference of two
/// int8 they then fit a word.
pub(crate) fn shift_of_sum(magnitudes: i64) -> u32 {
    let bits = i64::BITS - magnitudes.leading_zeros();
    // Rounding adds half to each: one bit more where that could count.
    bits.saturating_sub(22)
}

/// A mantissa shifted right, rounded to nearest.
#[inline(always)]
pub(crate) fn shifted_mantissa(mantissa: i16, shift: u32) -> i32 {
    shifted(mantissa.into(), shift.min(31))
}
