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

use core::cell::Cell;

use crate::kernels::{ScaledRows, add_scaled_rows_i8};
use crate::memory::{numbers, numbers_mut};
use crate::ops::Activation;
use crate::scalar::{Scalar, XorShift32, round};

/// Bytes before the mantissas: the scale.
const HEADER: usize = size_of::<f32>();
/// Magnitude of a mantissa: 15 bits.
const MOST: i32 = i16::MAX as i32;
/// Weights are held within ± this: the range of symmetric weights.
const WEIGHT: i32 = 127;
/// Biases are held within ± this, so that sums of products find room above them.
const BIAS: i64 = 1 << 30;

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
    fn passes(self, y: i8, gradient: i32) -> bool {
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

/// 2^exponent; the nearest normal number where there is none.
#[inline(always)]
fn two_to(exponent: i32) -> f32 {
    f32::from_bits((exponent.clamp(-126, 127) + 127).cast_unsigned() << 23)
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

/// What an int8 layer's rescaling tells of its scales: multiplier · 2^(shift − 31) = s_x · s_w / s_y for each output
/// channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scales<'r> {
    multipliers: &'r [i32],
    shifts: &'r [i32],
    /// s_x, s_y.
    pub(crate) scales: [f32; 2],
}

impl<'r> Scales<'r> {
    /// `table` holds the multipliers and then the shifts.
    pub(crate) fn new(table: &'r [i32], scales: [f32; 2]) -> Self {
        let (multipliers, shifts) = table.split_at_checked(table.len() / 2).unwrap_or_default();
        Self {
            multipliers,
            shifts,
            scales,
        }
    }

    #[inline(always)]
    fn at(&self, channel: usize) -> (i32, i32) {
        let multiplier = self.multipliers.get(channel).copied().unwrap_or(0);
        let shift = self.shifts.get(channel).copied().unwrap_or(0);
        (multiplier, shift.clamp(-31, 30))
    }

    /// s_x · s_w / s_y; 0 where the channel is dead.
    fn factor(&self, channel: usize) -> f32 {
        let (multiplier, shift) = self.at(channel);
        multiplier as f32 * two_to(shift - 31)
    }

    /// How much a weight of `channel` moves for each (X − zero) · mantissa: rate · scale · s_x / s_w; and its bias for each
    /// mantissa: rate · scale / (s_x · s_w).
    pub(crate) fn steps(&self, channel: usize, rate: f32, scale: f32) -> [f32; 2] {
        let factor = self.factor(channel);
        if factor <= 0.0 {
            return [0.0; 2];
        }
        let [x, y] = self.scales;
        let rate = rate * scale;
        [(rate * x) * (x / y) / factor, rate / y / factor]
    }

    /// The channel with the largest weights' scale has this shift.
    fn largest_shift(&self, channels: usize) -> i32 {
        let shifts = (0..channels).map(|channel| self.at(channel));
        let shifts = shifts.filter(|(multiplier, _)| *multiplier > 0);
        shifts.map(|(_, shift)| shift).max().unwrap_or(0)
    }
}

/// The factors by which mantissas count for the gradient at a layer's input: the scales of the channels' weights, of
/// 15 bits, and a shift that all share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares<'r> {
    scales: Scales<'r>,
    largest: i32,
    shift: u32,
}

impl<'r> Shares<'r> {
    /// For a gradient `[.., channels]`, of which each number at the input sums up to `count` products.
    #[inline(never)]
    pub(crate) fn new(
        scales: Scales<'r>,
        delta: &Gradient<'_>,
        channels: usize,
        count: usize,
    ) -> Self {
        let mut shares = Self {
            scales,
            largest: scales.largest_shift(channels),
            shift: 0,
        };
        let mut most = 0_i32;
        for channel in 0..channels {
            let of_channel = delta
                .mantissas
                .iter()
                .skip(channel)
                .step_by(channels.max(1));
            let largest = of_channel.fold(0, |most, mantissa| mantissa.unsigned_abs().max(most));
            // 15 bits times 15.
            most = most.max(i32::from(largest.cast_signed()).wrapping_mul(shares.weight(channel)));
        }
        // 127 · limit · count is less than 2^31.
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let limit = (i32::MAX.cast_unsigned() / 127 / count).clamp(1, MOST.cast_unsigned());
        while shares.shift < 31 && (most >> shares.shift).cast_unsigned() >= limit {
            shares.shift += 1;
        }
        shares
    }

    /// The scale of a channel's weights, of 15 bits where it is the largest.
    #[inline(always)]
    fn weight(&self, channel: usize) -> i32 {
        let (multiplier, shift) = self.scales.at(channel);
        let down = (self.largest - shift).clamp(0, 15) + 16;
        multiplier >> down
    }

    /// How mantissas of `channel` are shared out.
    #[inline(always)]
    pub(crate) fn of(&self, channel: usize) -> Share {
        Share {
            weight: self.weight(channel),
            shift: self.shift,
        }
    }

    /// What each sum of the input's gradient counts.
    pub(crate) fn scale(&self, delta: f32) -> f32 {
        let [x, y] = self.scales.scales;
        // At most 31 + 30 − 15.
        delta * (y / x) * two_to(self.shift.cast_signed() + self.largest - 15)
    }
}

/// How mantissas of a channel count for the gradient at the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    weight: i32,
    shift: u32,
}

impl Share {
    /// By what the channel's weights are multiplied.
    #[inline(always)]
    pub(crate) fn of(self, mantissa: i16) -> i32 {
        let product = i32::from(mantissa).wrapping_mul(self.weight);
        // 30 bits; to nearest, halves up.
        (product + ((1 << self.shift) >> 1)) >> self.shift
    }
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
