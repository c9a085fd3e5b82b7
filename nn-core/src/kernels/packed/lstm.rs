//! An int8 LSTM over packed weights: the four gates of a unit are the channels of a block.
//!
//! The arithmetic is that of [`LstmI8`](crate::ops::recurrent::int8::LstmI8). Of each unit, one after the other, there
//! are for x, and then for h:
//!
//! - four words, what the sums begin with: with b the gate's bias less its zero point's part, b_i, 256·b_f + b_i, b_g,
//!   256·b_o + b_g
//! - of each four taps four words, the pairs (i, f) and (g, o) of two taps, then of the other two: of x the taps 0, 2 and
//!   1, 3, as SXTB16 leaves four bytes; of h 0, 1 and 2, 3. Taps are padded with zeros to fours, and at least two
//!
//! The input of a step is one vector of 16-bit numbers, x as far as its words go, then h.
//!
//! The table has for each product (x with i, f, g, o, then h) a shift l, the multiplier m, 2^(s−1), −1 and s; where s is
//! 0, as for a factor of ½ or more, the third and the fourth are 0. From X = 2^(1 + left)·Σ, which is S₀ << l for i and g
//! and (raw − S₀) >> l for f and o,
//!
//! z = sat16((⌊(X·m + 2³¹) / 2³²⌋ + 2^(s−1) + (X < 0 ? −1 : 0)) >> s)
//!
//! Then it has, for a cell in steps of 2^e: 2^(29 + e) + 1, 30 + e, 3·2^(28 + e), the clip (0 for none), and of the output
//! m, 2^(s−1) + zero_h·2^s, s.

#[cfg(not(mote_armv7em))]
mod portable;

#[cfg(not(mote_armv7em))]
use portable::step;

#[cfg(mote_armv7em)]
use super::tile::lstm_step as step;
use super::widen::{permuted, permuted_tap};
use super::{PackError, pair, word};

/// Gates of a unit, in the order i, f, g, o.
const GATES: usize = 4;
/// Numbers of a product in the table.
const FACTOR: usize = 5;
/// Where the numbers of the cell and of the output begin.
const CELL: usize = 2 * GATES * FACTOR;
/// Numbers in the table.
pub const TABLE: usize = CELL + 7;
/// The table.
pub type Table = [i32; TABLE];

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

/// Taps with their padding.
const fn padded(taps: usize) -> usize {
    let fours = taps.div_ceil(4);
    if fours < 2 {
        8
    } else {
        fours.saturating_mul(4)
    }
}

/// Words of weights and of scratch for so many inputs and units. Besides, a layer keeps its cell, `[units]`.
pub const fn sizes(inputs: usize, units: usize) -> [usize; 2] {
    let taps = padded(inputs).saturating_add(padded(units));
    let weights = taps.saturating_add(2 * GATES).saturating_mul(units);
    // Two vectors of halves.
    [weights, taps]
}

/// Packs a layer of so many inputs and units.
///
/// # Errors
/// What does not fit: channels are counted as rows of W.
pub fn pack(
    plain: &Plain<'_>,
    inputs: usize,
    units: usize,
    (words, table): (&mut [i32], &mut Table),
) -> Result<(), PackError> {
    let rows = GATES.saturating_mul(units);
    let [words_len, _] = sizes(inputs, units);
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
        weight: plain.kernel,
        bias: plain.bias,
        taps: inputs,
        zero: x_zero,
        lefts: lefts(plain.requant, 0),
        order: permuted_tap,
    };
    let h = Product {
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
            .split_at_mut_checked(GATES + padded(inputs))
            .ok_or(PackError::Shape)?;
        x.pack(unit, units, first)?;
        h.pack(unit, units, second)?;
    }
    Ok(())
}

/// The products of W with x, or of U with h.
struct Product<'p> {
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
        let [i, f, g, o] = biases;
        let (start, taps) = words
            .split_first_chunk_mut::<GATES>()
            .ok_or(PackError::Shape)?;
        let both = |low: i32, high: i32| high.wrapping_mul(256).wrapping_add(low);
        *start = [i, both(i, f), g, both(g, o)];
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

/// Of each gate's product with x (0) or h (1), by how many bits its sum is shifted left.
fn lefts(requant: &[i32], which: usize) -> [u32; GATES] {
    core::array::from_fn(|gate| {
        let shift = requant.get(4 * gate + 2 * which + 1).copied().unwrap_or(0);
        shift.max(0).unsigned_abs()
    })
}

/// The table of a layer with these factors, and this zero point of h.
fn table_of(requant: &[i32], zero: i8) -> Result<Table, PackError> {
    let &[ref factors @ .., m, shift, exponent, clip] = requant else {
        return Err(PackError::Shape);
    };
    if factors.len() != 4 * GATES {
        return Err(PackError::Shape);
    }
    let mut table = [0; TABLE];
    let (products, rest) = table.split_at_mut_checked(CELL).ok_or(PackError::Shape)?;
    let products = products.as_chunks_mut::<FACTOR>().0;
    for which in 0..2 {
        let places = products.iter_mut().skip(which * GATES).take(GATES);
        for (gate, place) in places.enumerate() {
            let fault = PackError::Factor { channel: gate };
            let factor = factors.get(4 * gate + 2 * which..).unwrap_or(&[]);
            let Some(&[m, shift]) = factor.first_chunk() else {
                return Err(PackError::Shape);
            };
            *place = product(gate, m, shift).ok_or(fault)?;
        }
    }
    let numbers = cell(exponent, clip).zip(output(m, shift, zero));
    let (cell, output) = numbers.ok_or(PackError::Factor { channel: 0 })?;
    for (to, from) in rest.iter_mut().zip(cell.into_iter().chain(output)) {
        *to = from;
    }
    Ok(table)
}

/// The numbers of the cell.
fn cell(exponent: i32, clip: i32) -> Option<[i32; 4]> {
    let in_range = (-28..=-9).contains(&exponent) && (0..=32_767).contains(&clip);
    in_range.then(|| {
        let numbers = [(1 << (29 + exponent)) + 1, 30 + exponent];
        [numbers[0], numbers[1], 3 << (28 + exponent), clip]
    })
}

/// The numbers of the output.
fn output(m: i32, shift: i32, zero: i8) -> Option<[i32; 3]> {
    let right = shift.unsigned_abs();
    if !(-31..=-1).contains(&shift) || m < 0 {
        return None;
    }
    // A product of two numbers of 16 bits has 30; half of it and the offset have 31.
    let offset = (1i64 << (right - 1)) + (i64::from(zero) << right);
    let offset = i32::try_from(offset).ok()?;
    let fits = offset.unsigned_abs() <= (1 << 30) - 3;
    fits.then_some([m, offset, -shift])
}

/// The numbers of a gate's product.
fn product(gate: usize, m: i32, shift: i32) -> Option<[i32; FACTOR]> {
    let left = shift.max(0);
    let right = shift.min(0).unsigned_abs();
    // The offset has 30 bits, and so has half of X.
    if m < 0 || left > 7 || right > 30 {
        return None;
    }
    let turn = if gate.is_multiple_of(2) {
        left + 1
    } else {
        7 - left
    };
    Some(match right {
        0 => [turn, m, 0, 0, 0],
        // Of 1 to 30.
        s => [turn, m, 1 << (s - 1), -1, s as i32],
    })
}

/// Whether a table holds numbers that [`pack`] writes.
pub fn is_valid(table: &[i32]) -> bool {
    let (products, rest) = table.split_at_checked(CELL).unwrap_or_default();
    let products = products.as_chunks::<FACTOR>().0.iter().enumerate();
    let mut products = products;
    let whole = products.all(|(index, found)| {
        let gate = index % GATES;
        let [turn, m, _, _, s] = *found;
        let left = if gate.is_multiple_of(2) {
            turn.wrapping_sub(1)
        } else {
            7i32.wrapping_sub(turn)
        };
        let single = left >= 0 && s >= 0 && (left == 0 || s == 0);
        single && product(gate, m, left.wrapping_sub(s)) == Some(*found)
    });
    let rest = rest.first_chunk::<7>().filter(|_| table.len() == TABLE);
    let Some(&[forward, right, scale, clip, m, offset, s]) = rest else {
        return false;
    };
    let same_cell = cell(right.wrapping_sub(30), clip) == Some([forward, right, scale, clip]);
    let zero = offset.checked_shr(s.unsigned_abs()).unwrap_or(0);
    let zero = i8::try_from(zero).unwrap_or(0);
    whole && same_cell && output(m, s.wrapping_neg(), zero) == Some([m, offset, s])
}

/// A layer.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'w> {
    /// The words of [`pack`].
    pub weights: &'w [i32],
    /// The table of [`pack`].
    pub table: &'w Table,
    /// Numbers of x.
    pub inputs: usize,
    /// Numbers of h.
    pub units: usize,
}

impl Layer<'_> {
    /// Words of x and of h in the input of a step.
    pub(super) fn words(&self) -> [usize; 2] {
        [self.inputs, self.units].map(|taps| padded(taps) / 2)
    }
}

/// A layer under way.
#[derive(Debug)]
pub struct Lstm<'r> {
    layer: Layer<'r>,
    /// x and h of this step, and of the next.
    now: &'r mut [i32],
    next: &'r mut [i32],
    cell: &'r mut [i16],
}

impl<'r> Lstm<'r> {
    /// A layer with h = `zero`. `scratch` has the words that [`sizes`] tells of, `cell` one number a unit.
    pub fn new(
        layer: Layer<'r>,
        zero: i8,
        scratch: &'r mut [i32],
        cell: &'r mut [i16],
    ) -> Option<Self> {
        let [words, taps] = sizes(layer.inputs, layer.units);
        if layer.weights.len() != words || cell.len() != layer.units || layer.units == 0 {
            return None;
        }
        let (now, next) = scratch.get_mut(..taps)?.split_at_mut_checked(taps / 2)?;
        let zero = i16::from(zero);
        now.fill(word(zero, zero));
        next.fill(0);
        Some(Self {
            layer,
            now,
            next,
            cell,
        })
    }

    /// Takes h and c a step on.
    pub fn step(&mut self, x: &[i8]) {
        permuted(x, self.now);
        let [words, _] = self.layer.words();
        if x.len() == self.layer.inputs
            && let Some(hidden) = self.next.get_mut(words..)
        {
            let hidden = bytemuck::cast_slice_mut(hidden);
            step(&self.layer, self.now, self.cell, hidden);
        }
        core::mem::swap(&mut self.now, &mut self.next);
    }

    /// h, as 16-bit numbers.
    pub fn hidden(&mut self) -> &mut [i16] {
        let [words, _] = self.layer.words();
        let hidden = self.now.get_mut(words..).unwrap_or(&mut []);
        let hidden: &mut [i16] = bytemuck::cast_slice_mut(hidden);
        hidden.get_mut(..self.layer.units).unwrap_or(&mut [])
    }
}
