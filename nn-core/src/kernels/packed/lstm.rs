//! An int8 LSTM over packed weights: the four gates of a unit are the channels of a block.
//!
//! The arithmetic is that of [`LstmI8`](crate::ops::recurrent::int8::LstmI8). Of each unit, one after the other, there
//! are for x, and then for h, four words, what the sums begin with, and then the taps. With b the gate's bias less its
//! zero point's part:
//!
//! - layout 1: b_i, 256·b_f + b_i, b_g, 256·b_o + b_g; of each four taps four words, the pairs (i, f) and (g, o) of two
//!   taps, then of the other two: of x the taps 0, 2 and 1, 3, as SXTB16 leaves four bytes; of h 0, 1 and 2, 3. Taps are
//!   padded with zeros to fours, and at least two
//! - layout 2, four channels in a word, f, i, o, g: the three sums of the biases, a zero; then a word for each tap. Taps
//!   are padded with a zero to twos
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

mod pack;
#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
mod portable;
mod table;

pub use pack::{Plain, pack};
#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
use portable::step;
pub use table::is_valid;

#[cfg(any(mote_armv7em, mote_armv7m, mote_armv6m))]
use super::tile::lstm_step as step;
use super::widen::{in_order, permuted};
use super::{Layout, PackError, word};

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

/// Taps with their padding.
const fn padded(layout: Layout, taps: usize) -> usize {
    if layout.is_armv7m() {
        return taps.div_ceil(2).saturating_mul(2);
    }
    let fours = taps.div_ceil(4);
    if fours < 2 {
        8
    } else {
        fours.saturating_mul(4)
    }
}

/// Words of weights and of scratch for so many inputs and units. Besides, a layer keeps its cell, `[units]`.
pub const fn sizes(layout: Layout, inputs: usize, units: usize) -> [usize; 2] {
    let taps = padded(layout, inputs).saturating_add(padded(layout, units));
    let weights = taps.saturating_add(2 * GATES).saturating_mul(units);
    // Two vectors of halves.
    [weights, taps]
}

/// A layer.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'w> {
    /// For whose kernels it is packed.
    pub layout: Layout,
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
        [self.inputs, self.units].map(|taps| padded(self.layout, taps) / 2)
    }

    /// Whether a step finds all that it reads and writes: the vector of x and h, the cell, and room for the next h.
    #[cfg(any(mote_armv7em, mote_armv7m, mote_armv6m))]
    pub(super) fn fits(&self, inputs: &[i32], cell: &[i16], hidden: &[i16]) -> bool {
        let [weights, taps] = sizes(self.layout, self.inputs, self.units);
        self.units > 0
            && self.weights.len() == weights
            && inputs.len() == taps / 2
            && cell.len() == self.units
            && hidden.len() >= self.units
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
        let [words, taps] = sizes(layer.layout, layer.inputs, layer.units);
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
        if self.layer.layout.is_armv7m() {
            in_order(x, bytemuck::cast_slice_mut(self.now));
        } else {
            permuted(x, self.now);
        }
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
