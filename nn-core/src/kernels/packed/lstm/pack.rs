//! Packs the weights of an LSTM.

use super::table::table_of;
use super::{GATES, Table, padded, sizes};
use crate::kernels::packed::widen::permuted_tap;
use crate::kernels::packed::{Layout, PackError, pair, word};

/// A plain layer: the parameters of [`WeightsI8`](crate::ops::recurrent::int8::WeightsI8).
#[derive(Debug, Clone, Copy)]
pub struct Plain<'p> {
    /// W, `[4 · units, inputs]`.
    pub kernel: &'p [i8],
    /// U, `[4 · units, units]`.
    pub recurrent: &'p [i8],
    /// b, `[4 · units]`, or nothing.
    pub bias: &'p [i32],
    /// b′, `[4 · units]`, or nothing.
    pub recurrent_bias: &'p [i32],
    /// The factors, 20 numbers.
    pub requant: &'p [i32],
    /// The zero points of x and of h.
    pub zeros: [i8; 2],
}

/// The gates whose channels are bytes 0 to 3 of a word of layout 2: where its sums are told apart, 2⁸ times channels 0
/// and 2 come out, and channels 1 and 3, as the table takes f and o, and i and g.
const QUAD: [usize; GATES] = [1, 0, 3, 2];

/// Packs a layer of so many inputs and units.
///
/// # Errors
/// What does not fit: channels are counted as rows of W.
pub fn pack(
    layout: Layout,
    plain: &Plain<'_>,
    inputs: usize,
    units: usize,
    (words, table): (&mut [i32], &mut Table),
) -> Result<(), PackError> {
    let rows = GATES.saturating_mul(units);
    let [words_len, _] = sizes(layout, inputs, units);
    let biased = |bias: &[i32]| bias.is_empty() || bias.len() == rows;
    let fits = plain.kernel.len() == rows.saturating_mul(inputs)
        && plain.recurrent.len() == rows.saturating_mul(units)
        && biased(plain.bias)
        && biased(plain.recurrent_bias)
        && words.len() == words_len;
    if !fits || inputs == 0 || units == 0 {
        return Err(PackError::Shape);
    }
    *table = table_of(plain.requant, plain.zeros[1])?;
    let [x_zero, h_zero] = plain.zeros;
    let x = Product {
        layout,
        weight: plain.kernel,
        bias: plain.bias,
        taps: inputs,
        zero: x_zero,
        lefts: lefts(plain.requant, 0),
        order: match layout {
            Layout::Armv7em => permuted_tap,
            Layout::Armv7m => |place| place,
        },
    };
    let h = Product {
        layout,
        weight: plain.recurrent,
        bias: plain.recurrent_bias,
        taps: units,
        zero: h_zero,
        lefts: lefts(plain.requant, 1),
        order: |place| place,
    };
    let per_unit = words.len() / units;
    for (unit, words) in words.chunks_exact_mut(per_unit.max(1)).enumerate() {
        let (first, second) = words
            .split_at_mut_checked(GATES + padded(layout, inputs))
            .ok_or(PackError::Shape)?;
        x.pack(unit, units, first)?;
        h.pack(unit, units, second)?;
    }
    Ok(())
}

/// The products of W with x, or of U with h.
struct Product<'p> {
    layout: Layout,
    weight: &'p [i8],
    bias: &'p [i32],
    taps: usize,
    zero: i8,
    /// Of each gate, by how many bits its sum is shifted left.
    lefts: [u32; GATES],
    /// The tap of a place.
    order: fn(usize) -> usize,
}

impl Product<'_> {
    /// The words of a unit.
    fn pack(&self, unit: usize, units: usize, words: &mut [i32]) -> Result<(), PackError> {
        let row = |gate: usize| gate * units + unit;
        let at = |gate: usize, tap: usize| match tap < self.taps {
            true => {
                let index = row(gate) * self.taps + tap;
                self.weight.get(index).copied().unwrap_or(0)
            }
            false => 0,
        };
        let mut biases = [0; GATES];
        for (gate, bias) in biases.iter_mut().enumerate() {
            let channel = row(gate);
            let (sum, magnitude) = (0..self.taps).fold((0i64, 0i64), |(sum, magnitude), tap| {
                let weight = i64::from(at(gate, tap));
                (sum + weight, magnitude + weight.abs())
            });
            let given = self.bias.get(channel).copied().unwrap_or(0);
            let folded = i64::from(given) - i64::from(self.zero) * sum;
            let largest = folded.abs() + 128 * magnitude;
            let left = self.lefts.get(gate).copied().unwrap_or(0);
            // An upper gate's sum has 24 bits, and X stays within 31.
            if largest >= 1 << 23 || largest << (left + 1) > i64::from(i32::MAX) {
                return Err(PackError::Sum { channel });
            }
            // Of 24 bits.
            *bias = folded as i32;
        }
        let (start, taps) = words
            .split_first_chunk_mut::<GATES>()
            .ok_or(PackError::Shape)?;
        match self.layout {
            Layout::Armv7em => {
                let [i, f, g, o] = biases;
                let both = |low: i32, high: i32| high.wrapping_mul(256).wrapping_add(low);
                *start = [i, both(i, f), g, both(g, o)];
                self.pack_pairs(at, row, taps)
            }
            Layout::Armv7m => {
                let bias = |byte: usize| biases.get(byte).copied().unwrap_or(0);
                let [a, b, c, d] = QUAD.map(bias);
                *start = [
                    quad([a, b, c, d]),
                    quad([d, c, b, a]),
                    quad([b, a, d, c]),
                    0,
                ];
                let gate = |byte: usize| QUAD.get(byte).copied().unwrap_or(0);
                for (place, words) in taps.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let weight = |byte, half| at(gate(byte), (self.order)(2 * place + half));
                    *words = self.layout.words(0, weight)?;
                }
                Ok(())
            }
        }
    }

    /// Of each four taps the pairs (i, f) and (g, o) of two, then of the other two.
    fn pack_pairs(
        &self,
        at: impl Fn(usize, usize) -> i8,
        row: impl Fn(usize) -> usize,
        taps: &mut [i32],
    ) -> Result<(), PackError> {
        for (step, words) in taps.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            for (index, out) in words.iter_mut().enumerate() {
                let gate = 2 * (index % 2);
                let place = 4 * step + 2 * (index / 2);
                let half = |place: usize| {
                    let tap = (self.order)(place);
                    let channel = row(gate);
                    pair(at(gate, tap), at(gate + 1, tap)).ok_or(PackError::Weight { channel })
                };
                *out = word(half(place)?, half(place + 1)?);
            }
        }
        Ok(())
    }
}

/// a + 2⁸·b + 2¹⁶·c + 2²⁴·d.
fn quad(parts: [i32; GATES]) -> i32 {
    let sum = |sum: i32, part: &i32| sum.wrapping_mul(256).wrapping_add(*part);
    parts.iter().rev().fold(0, sum)
}

/// Of each gate's product with x (0) or h (1), by how many bits its sum is shifted left.
fn lefts(requant: &[i32], which: usize) -> [u32; GATES] {
    core::array::from_fn(|gate| {
        let shift = requant.get(4 * gate + 2 * which + 1).copied().unwrap_or(0);
        shift.max(0).unsigned_abs()
    })
}
