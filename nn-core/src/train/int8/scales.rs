//! What the channels' scales make of a gradient: how far weights move, and how mantissas count for the layer's input.

use super::gradient::MOST;
use super::{Gradient, two_to};

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
