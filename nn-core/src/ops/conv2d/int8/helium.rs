//! With MVE: the inputs of an output pixel are gathered, zero points for what lies outside, and meet eight output
//! channels at a time.

mod depthwise;

use core::ops::Range;

use super::{ConvStep, form};
use crate::kernels::helium::{CHANNELS, Chunk, Runs, Sums, sum};
use crate::kernels::{self, Requant};

/// Inputs of an output pixel that are gathered at a time: as many as the stack has room for.
const PATCH: usize = 200;
/// … where they come in pieces.
const PIECE: usize = 128;

/// Output channels that are computed together.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: usize,
    len: usize,
}

impl Part {
    /// The part at `first` of the channels up to `end`, of which a group has `own`: whole fours, the last of which may
    /// begin with some that have been computed before; one where a group has less than four.
    fn at(first: usize, end: usize, own: usize) -> Self {
        let len = end
            .saturating_sub(first)
            .next_multiple_of(4)
            .min(CHANNELS)
            .min(own & !3);
        Self {
            first: first.min(end.saturating_sub(len)),
            len: len.max(1),
        }
    }

    fn end(self) -> usize {
        self.first + self.len
    }
}

/// A layer's operands.
#[derive(Clone, Copy)]
pub(super) struct Operands<'w> {
    pub(super) x: &'w [i8],
    pub(super) zero: i32,
    pub(super) weight: &'w [i8],
    pub(super) requant: &'w Requant<'w>,
}

impl<'w> Operands<'w> {
    /// A chunk of the part's channels, whose sums have still to begin.
    #[inline(always)]
    fn chunk<'y, const N: usize>(&self, part: Part, y: &'y mut [i8]) -> Chunk<'y, N>
    where
        'w: 'y,
    {
        let factors = self.requant.factors(part.first, part.len);
        Chunk::new(factors, self.requant.limits(), y)
    }

    /// The sums of the part's channels, whose rows have `filter` weights, begin at the biases, less the zero point times
    /// the weights.
    #[inline(never)]
    fn begin(&self, Part { first, len }: Part, filter: usize, starts: &mut [i32]) {
        for (channel, start) in (first..).zip(starts).take(len) {
            let weights = kernels::part(self.weight, channel * filter, filter);
            let bias = self.requant.bias(channel);
            *start = bias.wrapping_sub(self.zero.wrapping_mul(sum(weights)));
        }
    }
}

impl ConvStep {
    /// The form: [`Self::whole_i8`] serves where a row of weights is one piece, and what it meets lies in runs.
    pub(in super::super) const fn form(&self) -> u8 {
        let (rows, columns) = (&self.window.rows, &self.window.columns);
        let taps = rows.kernel as usize * columns.kernel as usize;
        let is_run = self.groups == 1 && columns.is_gapless();
        if self.is_depthwise() {
            form::DEPTHWISE
        } else if is_run && self.outputs >= 4 && (taps == 1 || taps * self.inputs as usize <= PATCH)
        {
            form::WHOLE
        } else {
            form::PIECES
        }
    }

    /// int8 forward of one map.
    #[inline(never)]
    pub(super) fn whole_i8(&self, operands: &Operands<'_>, y: &mut [i8]) {
        let mut first = 0;
        while first < usize::from(self.outputs) {
            let part = Part::at(first, self.outputs.into(), self.outputs.into());
            self.whole_part(operands, part, y);
            first = part.end();
        }
    }

    #[inline(always)]
    fn whole_part(&self, operands: &Operands<'_>, part: Part, y: &mut [i8]) {
        let filter = self.filter();
        let mut chunk = operands.chunk(part, y);
        operands.begin(part, filter, chunk.starts());
        let weight = operands.weight.get(part.first * filter..).unwrap_or(&[]);
        chunk.meet(weight, filter, filter, part.len / 4);
        let mut out = part.first;
        for row in 0..usize::from(self.window.rows.output) {
            self.row(operands, row, &mut chunk, out);
            out += usize::from(self.window.columns.output) * usize::from(self.outputs);
        }
    }

    /// The outputs of the chunk's channels in a row of pixels, from `out` of y on.
    #[inline(never)] // Stack.
    fn row(
        &self,
        operands: &Operands<'_>,
        row: usize,
        chunk: &mut Chunk<'_, PATCH>,
        mut out: usize,
    ) {
        let columns = &self.window.columns;
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let x_step = columns.stride() * inputs;
        let inside = columns.whole();
        let taps = self.window.rows.taps(row);
        let mut runs = Runs {
            count: taps.len,
            len: 0,
            x_step: self.window.rows.dilation() * self.width() * inputs,
            step: self.kernel_width() * inputs,
        };
        let is_part = taps.len < usize::from(self.window.rows.kernel);
        let from = taps.input * self.width() * inputs;
        let x = operands.x.get(from..).unwrap_or(&[]);
        let mut column = 0;
        while column < usize::from(columns.output) {
            let cells = columns.taps(column);
            let x = x.get(cells.input * inputs..).unwrap_or(&[]);
            runs.len = cells.len * inputs;
            let is_inside = inside.contains(&column);
            if is_part || !is_inside {
                // A zero point of an int8 tensor. The pixels of a row leave the same places as they are.
                chunk.fill(operands.zero as i8);
            }
            let pixels = if is_inside { inside.len() } else { 1 };
            let to = (pixels, out, outputs);
            if is_inside && self.window.rows.kernel == 1 {
                // What is one run need not be gathered.
                chunk.finish_row((x, x_step), to);
            } else {
                let at = taps.tap * runs.step + cells.tap * inputs;
                chunk.finish_gathered((x, x_step), (runs, at), to);
            }
            column += pixels;
            out += pixels * outputs;
        }
    }

    /// int8 forward of one map, where a row of weights is longer than a patch, where taps lie apart, in groups, or of less
    /// than four channels.
    #[inline(never)]
    pub(super) fn pieces_i8(&self, operands: &Operands<'_>, y: &mut [i8]) {
        let (_, group_outputs) = self.group();
        for group in 0..usize::from(self.groups) {
            let end = (group + 1) * group_outputs;
            let mut first = group * group_outputs;
            while first < end {
                let part = Part::at(first, end, group_outputs);
                self.part_in_pieces(operands, part, group, y);
                first = part.end();
            }
        }
    }

    #[inline(always)]
    fn part_in_pieces(&self, operands: &Operands<'_>, part: Part, group: usize, y: &mut [i8]) {
        let filter = self.filter();
        let (blocks, pitch) = match part.len {
            1 => (1, 0),
            len => (len / 4, filter),
        };
        let mut chunk = operands.chunk::<PIECE>(part, y);
        operands.begin(part, filter, chunk.starts());
        let mut sums: Sums = [[0; 4]; CHANNELS / 4];
        let (group_inputs, _) = self.group();
        let x = operands.x.get(group * group_inputs..).unwrap_or(&[]);
        let weight = operands.weight.get(part.first * filter..).unwrap_or(&[]);
        let rescaling = operands.requant.rescaling(part.first, part.len);
        let mut out = part.first;
        for row in 0..usize::from(self.window.rows.output) {
            for column in 0..usize::from(self.window.columns.output) {
                let mut from = 0;
                while from < filter {
                    let end = (from + PIECE).min(filter);
                    // A zero point of an int8 tensor.
                    chunk.fill(operands.zero as i8);
                    self.gather(x, [row, column], from..end, chunk.patch());
                    let weight = weight.get(from..).unwrap_or(&[]);
                    chunk.meet(weight, pitch, end - from, blocks);
                    chunk.sum(&mut sums, from == 0);
                    from = end;
                }
                rescaling.finish(sums.as_flattened(), chunk.outputs(out));
                out += usize::from(self.outputs);
            }
        }
    }

    /// The `numbers` of those that a row of weights meets in an output pixel.
    #[inline(never)]
    fn gather(&self, x: &[i8], [row, column]: [usize; 2], numbers: Range<usize>, patch: &mut [i8]) {
        let rows = self.window.rows.taps(row);
        let columns = self.window.columns.taps(column);
        let (down, along) = (self.window.rows.dilation(), self.window.columns.dilation());
        let inputs = usize::from(self.inputs);
        let (group, _) = self.group();
        // One run for each row of taps, or for each tap.
        let (runs, len) = if self.is_gapless() {
            (1, columns.len * group)
        } else {
            (columns.len, group)
        };
        for tap in 0..rows.len {
            let x_row = (rows.input + tap * down) * self.width() + columns.input;
            let row = (rows.tap + tap) * self.kernel_width() + columns.tap;
            for run in 0..runs {
                let from = (x_row + run * along) * inputs;
                let at = (row + run) * group;
                let skipped = numbers.start.saturating_sub(at);
                let end = (at + len).min(numbers.end);
                let Some(len) = end.checked_sub(at + skipped).filter(|len| *len > 0) else {
                    continue;
                };
                let to = (at + skipped).saturating_sub(numbers.start);
                let one = Runs {
                    count: 1,
                    len,
                    x_step: 0,
                    step: 0,
                };
                one.copy(
                    x.get(from + skipped..).unwrap_or(&[]),
                    patch.get_mut(to..).unwrap_or(&mut []),
                );
            }
        }
    }
}
