//! A convolution over packed weights, of one group or depthwise, without dilation, with the largest of each 2x2 outputs if wanted.
//!
//! The rows that an output row sees are widened to 16 bits, padding included, and lie in scratch until the next
//! output row has moved on: no input is copied twice. Of each row there is, for each pair of channels, a line of words,
//! a word for each column; of each four channels 0 and 2, and 1 and 3, are pairs. With one input channel a word holds two
//! columns instead.
//!
//! Weights: for each block of four output channels (padded with zeros) the two taps of a row, of a pair of channels, of
//! a column, in two words. With one input channel: of a row, of a pair of columns.
//! Depthwise, words of two 16-bit weights: for each block of channels 0 and 2, then of 1 and 3, the taps in their order.

mod pack;
mod shape;

pub use pack::pack;
pub use shape::Shape;

use super::channel::{self, LEN};
use super::tile::{Blocks, CHANNELS, Kernel, Lines, Output, Pool};
use super::widen::{halves, in_order, move_up, quads};
use super::{Layout, word};
use crate::kernels::part;

/// What a run reads besides the input.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'w> {
    /// For whose kernels it is packed.
    pub layout: Layout,
    /// Sizes.
    pub shape: Shape,
    /// As [`pack`] writes them.
    pub weights: &'w [i32],
    /// As [`pack`] writes it.
    pub table: &'w [i32],
    /// The input's zero point.
    pub x_zero: i8,
    /// To which outputs are held.
    pub range: [i8; 2],
}

/// y of one map. `scratch` has the words that [`Shape::sizes`] tells of.
pub fn forward(layer: &Layer, x: &[i8], scratch: &mut [i32], y: &mut [i8]) {
    run(layer, Map { x: Some(x), y }, scratch);
}

/// y over x, from its start, where [`Shape::fits_in_place`].
pub fn forward_in_place(layer: &Layer, map: &mut [i8], scratch: &mut [i32]) {
    run(layer, Map { x: None, y: map }, scratch);
}

fn run(layer: &Layer, map: Map, scratch: &mut [i32]) {
    let [weights_len, table_len, scratch_len] = layer.shape.sizes(layer.layout);
    let short = layer.weights.len() < weights_len || layer.table.len() < table_len;
    let Some(scratch) = scratch.get_mut(..scratch_len).filter(|_| !short) else {
        return;
    };
    let Map { x, y } = map;
    let map = Map { x, y: &mut *y };
    if layer.shape.is_pointwise() {
        layer.pointwise(map, scratch);
    } else {
        layer.rows(map, scratch);
    }
    let (_, len) = layer.shape.lengths();
    channel::clamp(y.get_mut(..len).unwrap_or(&mut []), layer.range);
}

/// Input and output.
struct Map<'m> {
    /// None where it lies where the output goes.
    x: Option<&'m [i8]>,
    y: &'m mut [i8],
}

impl Map<'_> {
    fn x(&self) -> &[i8] {
        self.x.unwrap_or(self.y)
    }
}

impl Layer<'_> {
    /// Through rows of widened inputs.
    #[inline(never)]
    fn rows(&self, map: Map, scratch: &mut [i32]) {
        let shape = &self.shape;
        let (lines, words, halves) = shape.line();
        let kernel_rows = usize::from(shape.kernel[0]);
        let [down, along] = shape.stride.map(usize::from);
        let distance = if shape.is_single() { along } else { 2 * along };
        let row_words = lines * halves / 2;
        // Numbers of 16 bits, or of what lies in memory.
        let (pitch, count) = match shape.depthwise {
            true => (2 * row_words, kernel_rows),
            false => (halves, kernel_rows * lines),
        };
        let tile = Lines {
            pitch: pitch as u32,
            words: words as u32,
            count: count as u32,
            distance: distance as u32,
        };
        let mut kernels = self.kernels(|first, blocks| match shape.depthwise {
            true => Kernel::depthwise(&tile, halves, first, blocks),
            false => Kernel::lines(&tile, blocks),
        });
        let kept = kernel_rows.saturating_sub(down);
        let gone = (kernel_rows - kept) * row_words;
        let rows = scratch.len().min(kernel_rows * row_words);
        let (scratch, columns) = scratch.split_at_mut(rows);
        columns.fill(0);
        // Inputs that a column's sum is of, and columns of a pixel.
        let (column, len) = if shape.is_single() {
            (1, 2 * words)
        } else {
            (2, words)
        };
        for row in 0..self.rows_to_sum() {
            let first = row * down;
            let mut fresh = 0;
            if row > 0 {
                for row in scratch
                    .chunks_exact(row_words.max(1))
                    .take(kernel_rows - kept)
                {
                    shape.sum_columns(row, columns, i32::wrapping_sub);
                }
                move_up(scratch, gone);
                fresh = kept;
            }
            let places = scratch.chunks_exact_mut(row_words.max(1)).enumerate();
            for (index, place) in places.skip(fresh) {
                self.widen_row(map.x(), first + index, place);
                shape.sum_columns(place, columns, i32::wrapping_add);
            }
            let Some((pooled, out)) = self.output_row(map.y, row) else {
                return;
            };
            let mut wide: &[i16] = bytemuck::cast_slice(scratch);
            let mut columns = &*columns;
            for pair in out.chunks_mut(self.pair_len()) {
                let inputs = [0, distance / column].map(|at| {
                    let columns = part(columns, at, len).iter();
                    columns.fold(0i32, |sum, column| sum.wrapping_add(*column))
                });
                kernels.run(wide, inputs, pooled, pair);
                wide = wide.get(2 * distance..).unwrap_or(&[]);
                columns = columns.get(2 * distance / column..).unwrap_or(&[]);
            }
        }
    }

    /// Row `row` of the padded input, widened.
    #[inline(never)]
    fn widen_row(&self, x: &[i8], row: usize, place: &mut [i32]) {
        let shape = &self.shape;
        let zero = i16::from(self.x_zero);
        let zeros = word(zero, zero);
        let [top, left] = shape.before.map(usize::from);
        let [height, width] = shape.input.map(usize::from);
        let inputs = shape.inputs();
        let Some(row) = row.checked_sub(top).filter(|row| *row < height) else {
            place.fill(zeros);
            return;
        };
        let x = part(x, row * width * inputs, width * inputs);
        if shape.is_single() {
            place.fill(zeros);
            let halves: &mut [i16] = bytemuck::cast_slice_mut(place);
            in_order(x, halves.get_mut(left..).unwrap_or(&mut []));
            return;
        }
        let (_, _, halves_of_line) = shape.line();
        let mut planes = place.chunks_exact_mut((halves_of_line / 2).max(1));
        let mut next = || {
            let plane = planes.next().unwrap_or_default();
            let (before, inside) = plane.split_at_mut_checked(left).unwrap_or_default();
            before.fill(zeros);
            if let Some((_, after)) = inside.split_at_mut_checked(width) {
                after.fill(zeros);
            }
            inside
        };
        for first in (0..inputs).step_by(4) {
            let (even, odd) = (next(), next());
            if inputs.is_multiple_of(4) {
                let x = x.get(first..).unwrap_or(&[]);
                quads(x, inputs, width, even, odd);
                continue;
            }
            let pixels = x.chunks_exact(inputs);
            for (index, (pixel, even)) in pixels.zip(even.iter_mut()).enumerate() {
                let [low, high] = quad(pixel, first, shape.depthwise);
                *even = low;
                if let Some(odd) = odd.get_mut(index) {
                    *odd = high;
                }
            }
        }
    }

    /// A kernel of one cell: the words of two pixels alternate in scratch.
    #[inline(never)]
    fn pointwise(&self, map: Map, scratch: &mut [i32]) {
        let x = map.x.unwrap_or(&[]);
        let shape = &self.shape;
        let [down, along] = shape.stride.map(usize::from);
        let (inputs, width) = (shape.inputs(), usize::from(shape.input[1]));
        let mut kernels = self.kernels(|_, blocks| Kernel::pairs(2 * scratch.len(), blocks));
        for row in 0..self.rows_to_sum() {
            let Some((pooled, out)) = self.output_row(map.y, row) else {
                return;
            };
            let x = part(x, row * down * width * inputs, width * inputs);
            let mut pixels = x.chunks_exact(inputs.max(1)).step_by(along.max(1));
            for pair in out.chunks_mut(self.pair_len()) {
                let first = pixels.next().unwrap_or(&[]);
                let second = pixels.next().unwrap_or(first);
                let inputs = if self.layout.is_armv7m() {
                    one_by_one([first, second], scratch)
                } else {
                    alternate(first, second, scratch);
                    [0; 2]
                };
                kernels.run(bytemuck::cast_slice(scratch), inputs, pooled, pair);
            }
        }
    }

    /// Rows of the convolution that make the output.
    fn rows_to_sum(&self) -> usize {
        let [rows, _] = self.shape.stored();
        if self.shape.pool { 2 * rows } else { rows }
    }

    /// Where row `row` of the convolution goes, and whether it is the second that goes there.
    fn output_row<'y>(&self, y: &'y mut [i8], row: usize) -> Option<(bool, &'y mut [i8])> {
        let [_, columns] = self.shape.stored();
        let len = columns * usize::from(self.shape.outputs);
        let (index, second) = match self.shape.pool {
            true => (row / 2, row % 2 == 1),
            false => (row, false),
        };
        let out = y.get_mut(index * len..)?.get_mut(..len)?;
        Some((second, out))
    }

    /// Numbers that two pixels give.
    fn pair_len(&self) -> usize {
        let outputs = usize::from(self.shape.outputs).max(1);
        if self.shape.pool {
            outputs
        } else {
            2 * outputs
        }
    }

    /// The kernels of all blocks; `make` makes one from the number of its first block.
    fn kernels<'w>(
        &'w self,
        make: impl Fn(usize, &Blocks<'w>) -> Option<Kernel<'w>>,
    ) -> Kernels<'w> {
        let tables = self.table.as_chunks::<LEN>().0.as_chunks::<CHANNELS>().0;
        let outputs = usize::from(self.shape.outputs);
        let (table, rest) = tables
            .split_at_checked(outputs / CHANNELS)
            .unwrap_or_default();
        let words = table.len() * self.shape.block();
        let (weights, last) = self.weights.split_at_checked(words).unwrap_or_default();
        let blocks = |weights, table| Blocks {
            layout: self.layout,
            weights,
            table,
        };
        Kernels {
            whole: make(0, &blocks(weights, table)),
            rest: make(table.len(), &blocks(last, rest)),
            outputs,
            pool: self.shape.pool,
        }
    }
}

/// The kernels of all blocks.
struct Kernels<'w> {
    /// Of those with four output channels.
    whole: Option<Kernel<'w>>,
    /// Of the last one, where it has fewer.
    rest: Option<Kernel<'w>>,
    outputs: usize,
    pool: bool,
}

impl Kernels<'_> {
    /// All channels of two pixels.
    #[inline(always)]
    fn run(&mut self, x: &[i16], inputs: [i32; 2], pooled: bool, out: &mut [i8]) {
        // The second pixel is there but at the end of an odd row.
        let second = if out.len() > self.outputs {
            self.outputs
        } else {
            0
        };
        let pool = match (self.pool, pooled) {
            (false, _) => Pool::Both,
            (true, false) => Pool::Larger,
            (true, true) => Pool::Largest,
        };
        if let Some(whole) = &mut self.whole {
            let y = &mut *out;
            whole.run(x, inputs, Output { y, second, pool });
        }
        if let Some(rest) = &mut self.rest {
            rest_of(rest, (x, inputs), pool, out, self.outputs);
        }
    }
}

/// The channels past the last whole block.
#[inline(never)]
fn rest_of(
    rest: &mut Kernel,
    (x, inputs): (&[i16], [i32; 2]),
    pool: Pool,
    out: &mut [i8],
    outputs: usize,
) {
    let at = outputs / CHANNELS * CHANNELS;
    let mut both = [0; 2 * CHANNELS];
    for (place, there) in both.iter_mut().zip(out.get(at..).unwrap_or(&[])) {
        *place = *there;
    }
    let (y, second) = (&mut both[..], CHANNELS);
    rest.run(x, inputs, Output { y, second, pool });
    let (pixels, both) = (
        out.chunks_mut(outputs.max(1)),
        both.as_chunks::<CHANNELS>().0,
    );
    for (pixel, outputs) in pixels.zip(both) {
        for (place, output) in pixel.iter_mut().skip(at).zip(outputs) {
            *place = *output;
        }
    }
}

/// Both words of the channels from `first`, as [`Shape::channel_of`] has them; depthwise, two that are left over are
/// not in one word.
#[inline(always)]
fn quad(pixel: &[i8], first: usize, depthwise: bool) -> [i32; 2] {
    match *pixel.get(first..).unwrap_or(&[]) {
        [a, b, c, d, ..] => halves([a, b, c, d]),
        [a, b, c] => halves([a, b, c, 0]),
        [a, b] if depthwise => halves([a, b, 0, 0]),
        [a, b] => halves([a, 0, b, 0]),
        [a] => halves([a, 0, 0, 0]),
        [] => [0, 0],
    }
}

/// The words of two pixels, one after the other, and the sums of their inputs.
#[inline]
fn one_by_one(pixels: [&[i8]; 2], out: &mut [i32]) -> [i32; 2] {
    let mut halves = out.chunks_mut((out.len() / 2).max(1));
    pixels.map(|pixel| {
        let words = halves.next().unwrap_or_default().chunks_mut(2);
        for (words, at) in words.zip((0..).step_by(4)) {
            for (out, word) in words.iter_mut().zip(quad(pixel, at, false)) {
                *out = word;
            }
        }
        let sum = |sum: i32, x: &i8| sum.wrapping_add(i32::from(*x));
        pixel.iter().fold(0, sum)
    })
}

/// The words of two pixels in turn.
#[inline]
fn alternate(first: &[i8], second: &[i8], out: &mut [i32]) {
    let at = (0..).step_by(4);
    for (out, at) in out.chunks_mut(4).zip(at) {
        let ([a, b], [c, d]) = (quad(first, at, false), quad(second, at, false));
        for (out, word) in out.iter_mut().zip([a, c, b, d]) {
            *out = word;
        }
    }
}
