//! A convolution over packed weights, of one group or depthwise, without dilation, with the largest of each 2x2 outputs if wanted.
//!
//! The rows that an output row sees are widened to 16 bits, padding included, and lie in scratch until the next
//! output row has moved on: no input is copied twice. Of each row there is, for each pair of channels, a line of words,
//! a word for each column; of each four channels 0 and 2, and 1 and 3, are pairs. With one input channel a word holds two
//! columns instead. The padding behind a line is that before the next one, as far as both go.
//!
//! Weights: for each block of four output channels (padded with zeros) the two taps of a row, of a pair of channels, of
//! a column, in two words. With one input channel: of a row, of a pair of columns.
//! Depthwise, words of two 16-bit weights: for each block of channels 0 and 2, then of 1 and 3, the taps in their order;
//! layout 2 runs them in another way (`channels`), and those of one cell (`cells`).

#[cfg(not(mote_armv7em))]
mod cells;
#[cfg(not(mote_armv7em))]
mod channels;
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

/// What of a shape decides which loops run it. The caller of a layer whose form is known when it is built has no other
/// loops linked in.
pub(crate) mod form {
    /// Not known.
    pub(crate) const ANY: u8 = 0;
    /// A kernel of one cell.
    pub(crate) const POINTWISE: u8 = 1;
    /// Each output channel sees one input channel.
    pub(crate) const DEPTHWISE: u8 = 2;
    /// Any other.
    pub(crate) const LINES: u8 = 3;
    /// As [`LINES`], with as many output channels as whole blocks have.
    pub(crate) const WHOLE_LINES: u8 = 4;
}

/// y of one map. `scratch` has the words that [`Shape::sizes`] tells of.
pub fn forward(layer: &Layer, x: &[i8], scratch: &mut [i32], y: &mut [i8]) {
    run::<{ form::ANY }>(layer, Some(x), scratch, y);
}

/// y over x, from its start, where [`Shape::fits_in_place`].
pub fn forward_in_place(layer: &Layer, map: &mut [i8], scratch: &mut [i32]) {
    run::<{ form::ANY }>(layer, None, scratch, map);
}

/// As [`forward`], or, without `x`, as [`forward_in_place`], for a layer of this [`form`].
#[inline(always)]
pub(crate) fn run<const FORM: u8>(
    layer: &Layer,
    x: Option<&[i8]>,
    scratch: &mut [i32],
    y: &mut [i8],
) {
    let [weights_len, table_len, scratch_len] = layer.shape.sizes(layer.layout);
    let short = layer.weights.len() < weights_len || layer.table.len() < table_len;
    let Some(scratch) = scratch.get_mut(..scratch_len).filter(|_| !short) else {
        return;
    };
    let map = Map { x, y: &mut *y };
    let form = match FORM {
        form::ANY => layer.shape.form(),
        form => form,
    };
    match form {
        #[cfg(not(mote_armv7em))]
        form::POINTWISE if layer.layout.is_armv7m() => layer.pointwise_fours(map, scratch),
        #[cfg(not(any(mote_armv7m, mote_armv6m)))]
        form::POINTWISE => layer.pointwise(map, scratch),
        #[cfg(not(mote_armv7em))]
        form::DEPTHWISE if layer.layout.is_armv7m() => layer.depthwise_fours(map, scratch),
        #[cfg(not(any(mote_armv7m, mote_armv6m)))]
        form::DEPTHWISE => layer.depthwise(map, scratch),
        form::WHOLE_LINES => layer.whole_lines(map, scratch),
        _ => layer.lines(map, scratch),
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
    #[inline(always)]
    fn rows(&self, map: Map, scratch: &mut [i32], kernels: &mut Kernels) {
        self.pairs(map, scratch, |x, inputs, pooled, out| {
            kernels.run(x, inputs, pooled, out);
        });
    }

    /// As [`rows`](Self::rows), where all blocks are whole.
    #[inline(always)]
    fn whole_rows(&self, map: Map, scratch: &mut [i32], kernel: &mut Kernel) {
        self.pairs(map, scratch, |x, inputs, pooled, y| {
            let (second, pool) = self.place(pooled, y.len());
            kernel.run(x, inputs, Output { y, second, pool });
        });
    }

    /// Calls `run` with the widened inputs of each two pixels of an output row, their sums in layout 2, whether the
    /// outputs are the second that go there, and where.
    #[inline(always)]
    fn pairs(
        &self,
        map: Map,
        scratch: &mut [i32],
        mut run: impl FnMut(&[i16], [i32; 2], bool, &mut [i8]),
    ) {
        let shape = &self.shape;
        let (lines, words, halves) = shape.line();
        let kernel_rows = usize::from(shape.kernel[0]);
        let [down, _] = shape.stride.map(usize::from);
        let distance = shape.distance();
        let row_words = lines * halves / 2;
        let kept = kernel_rows.saturating_sub(down);
        let gone = (kernel_rows - kept) * row_words;
        let rows = scratch.len().min(kernel_rows * row_words);
        let shared = shape.shared_padding();
        let behind = (rows + shared / 2).min(scratch.len());
        let (scratch, columns) = scratch.split_at_mut(behind);
        // The padding behind the last line.
        let zero = i16::from(self.x_zero);
        let last = scratch.get_mut(rows..).unwrap_or(&mut []);
        last.fill(word(zero, zero));
        // Of layout 2 only, which has no kernels here.
        let columns: &mut [i32] = if cfg!(mote_armv7em) { &mut [] } else { columns };
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
                let (scratch, _) = scratch.split_at_mut(rows);
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
            // Of padding, as the first ones.
            let own = columns.len().saturating_sub(shared / column);
            let (before, behind) = columns.split_at_mut(own);
            for (behind, before) in behind.iter_mut().zip(before) {
                *behind = *before;
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
                run(wide, inputs, pooled, pair);
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
    #[cfg(not(any(mote_armv7m, mote_armv6m)))]
    #[inline(never)]
    fn pointwise(&self, map: Map, scratch: &mut [i32]) {
        let x = map.x.unwrap_or(&[]);
        let shape = &self.shape;
        let [down, along] = shape.stride.map(usize::from);
        let (inputs, width) = (shape.inputs(), usize::from(shape.input[1]));
        let mut kernels = self.pair_kernels(2 * scratch.len());
        for row in 0..self.rows_to_sum() {
            let Some((pooled, out)) = self.output_row(map.y, row) else {
                return;
            };
            let x = part(x, row * down * width * inputs, width * inputs);
            let mut pixels = x.chunks_exact(inputs.max(1)).step_by(along.max(1));
            for pair in out.chunks_mut(self.pair_len()) {
                let first = pixels.next().unwrap_or(&[]);
                let second = pixels.next().unwrap_or(first);
                alternate(first, second, scratch);
                kernels.run(bytemuck::cast_slice(scratch), [0; 2], pooled, pair);
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

    /// The kernels of all blocks; `make` makes one from where its inputs lie and the number of its first block.
    fn kernels<'w>(
        &'w self,
        make: impl Fn(&Lines, usize, &Blocks<'w>) -> Option<Kernel<'w>>,
    ) -> Kernels<'w> {
        let tile = self.shape.tile();
        let tables = self.tables();
        let outputs = usize::from(self.shape.outputs);
        let (table, rest) = tables
            .split_at_checked(outputs / CHANNELS)
            .unwrap_or_default();
        let words = table.len() * self.shape.block();
        let (weights, last) = self.weights.split_at_checked(words).unwrap_or_default();
        let blocks = |weights, table| self.blocks(weights, table);
        Kernels {
            whole: make(&tile, 0, &blocks(weights, table)),
            rest: make(&tile, table.len(), &blocks(last, rest)),
            layer: self,
        }
    }

    // Functions of their own: kernels of another form take no stack, nor does what makes them when the layer runs.

    #[cfg(not(any(mote_armv7m, mote_armv6m)))]
    #[inline(never)]
    fn depthwise(&self, map: Map, scratch: &mut [i32]) {
        self.rows(map, scratch, &mut self.depthwise_kernels());
    }

    #[inline(never)]
    fn lines(&self, map: Map, scratch: &mut [i32]) {
        self.rows(map, scratch, &mut self.lines_kernels());
    }

    #[inline(never)]
    fn whole_lines(&self, map: Map, scratch: &mut [i32]) {
        if let Some(kernel) = &mut self.whole_kernel() {
            self.whole_rows(map, scratch, kernel);
        }
    }

    #[cfg(not(any(mote_armv7m, mote_armv6m)))]
    #[inline(never)]
    fn pair_kernels(&self, halves: usize) -> Kernels<'_> {
        self.kernels(|_, _, blocks| Kernel::pairs(halves, blocks))
    }

    #[cfg(not(any(mote_armv7m, mote_armv6m)))]
    #[inline(never)]
    fn depthwise_kernels(&self) -> Kernels<'_> {
        let (_, _, halves) = self.shape.line();
        self.kernels(|tile, first, blocks| Kernel::depthwise(tile, halves, first, blocks))
    }

    #[inline(never)]
    fn lines_kernels(&self) -> Kernels<'_> {
        self.kernels(|tile, _, blocks| Kernel::lines(tile, blocks))
    }

    #[inline(never)]
    fn whole_kernel(&self) -> Option<Kernel<'_>> {
        let blocks = self.blocks(self.weights, self.tables());
        Kernel::lines(&self.shape.tile(), &blocks)
    }

    /// The table, block by block.
    fn tables(&self) -> &[[[i32; LEN]; CHANNELS]] {
        self.table.as_chunks::<LEN>().0.as_chunks::<CHANNELS>().0
    }

    fn blocks<'w>(&self, weights: &'w [i32], table: &'w [[[i32; LEN]; CHANNELS]]) -> Blocks<'w> {
        Blocks {
            layout: self.layout,
            weights,
            table,
        }
    }

    /// Where the second of two pixels goes that have `len` numbers, and what is stored; `pooled`: of the second row
    /// that goes there.
    #[inline(always)]
    fn place(&self, pooled: bool, len: usize) -> (usize, Pool) {
        let outputs = usize::from(self.shape.outputs);
        // The second pixel is there but at the end of an odd row.
        let second = if len > outputs { outputs } else { 0 };
        let pool = match (self.shape.pool, pooled) {
            (false, _) => Pool::Both,
            (true, false) => Pool::Larger,
            (true, true) => Pool::Largest,
        };
        (second, pool)
    }
}

/// The kernels of all blocks.
struct Kernels<'w> {
    /// Of those with four output channels.
    whole: Option<Kernel<'w>>,
    /// Of the last one, where it has fewer.
    rest: Option<Kernel<'w>>,
    layer: &'w Layer<'w>,
}

impl Kernels<'_> {
    /// All channels of two pixels.
    #[inline(always)]
    fn run(&mut self, x: &[i16], inputs: [i32; 2], pooled: bool, out: &mut [i8]) {
        let (second, pool) = self.layer.place(pooled, out.len());
        if let Some(whole) = &mut self.whole {
            let y = &mut *out;
            whole.run(x, inputs, Output { y, second, pool });
        }
        if let Some(rest) = &mut self.rest {
            let outputs = usize::from(self.layer.shape.outputs);
            rest_of(rest, (x, inputs), pool, out, outputs);
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

/// The words of two pixels in turn.
#[cfg(not(any(mote_armv7m, mote_armv6m)))]
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
