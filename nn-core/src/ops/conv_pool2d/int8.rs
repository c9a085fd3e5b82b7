//! In int8: forward as a convolution and a max pooling apart, to the bit; backward through the windows' winners.

use super::PooledStep;
use super::backward::Winners;
use crate::engine::{BackFrame, Frame, Learning, Sizes};
use crate::kernels::{ROWS_I8, Requant, dot_rows_i8, part};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::conv2d::{ConvStep, Places, divided, int8_bias, run_backward_at};

pub(super) fn run(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::ConvPoolI8 { step, .. } = &frame.step.sizes else {
        return None;
    };
    let mut layer = prepare(frame, memory);
    step.forward_i8(layer.as_mut()?);
    Some(())
}

/// A function of its own: what it needs of the stack is free again when the layer runs.
#[inline(never)]
fn prepare<'m>(frame: &Frame, memory: &'m mut Memory) -> Option<Layer<'m>> {
    let Sizes::ConvPoolI8 {
        step,
        x_zero,
        y_zero,
        range,
        ..
    } = &frame.step.sizes
    else {
        return None;
    };
    let parameters = [frame.parameter(0), frame.parameter(1), frame.constant(0)];
    let [weight, bias, table] = parameters;
    let writes = [frame.y(), frame.scratch(), frame.saved];
    let ([x, weight, bias, table], [y, row, argmax]) =
        memory.borrow([frame.x(), weight, bias, table], writes)?;
    let (patch, row) = row.split_at_mut_checked(step.patch())?;
    let from = From {
        x: numbers(x)?,
        weight: numbers(weight)?,
        zero: i32::from(*x_zero),
        requant: Requant::new(numbers(table)?, numbers(bias)?, i32::from(*y_zero), *range),
    };
    Some(Layer {
        from,
        patch: numbers_mut(patch.get_mut(..step.conv.filter())?)?,
        // A buffer is rounded up.
        row: numbers_mut(row.get_mut(..step.row())?)?,
        y: numbers_mut(y)?,
        argmax,
    })
}

/// What a layer reads.
struct From<'l> {
    /// All frames.
    x: &'l [i8],
    weight: &'l [i8],
    zero: i32,
    requant: Requant<'l>,
}

/// What a layer runs on.
struct Layer<'l> {
    from: From<'l>,
    /// What an output pixel sees.
    patch: &'l mut [i8],
    /// A row of the convolution.
    row: &'l mut [i8],
    y: &'l mut [i8],
    /// Where it is not empty, it receives the winning taps.
    argmax: &'l mut [u8],
}

pub(super) fn run_backward(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::ConvPoolI8 {
        step,
        x_zero,
        scales,
        ..
    } = &frame.step.sizes
    else {
        return None;
    };
    let about = (&step.conv, *x_zero, *scales);
    let places = |saved| Won {
        winners: Winners::new(saved, step),
        pool: step.pool.map(usize::from),
        output: step.output(),
    };
    run_backward_at(frame, back, about, places, learning, memory)?;
    int8_bias(frame, back, *scales, learning, memory)
}

/// The pixels that won.
struct Won<'b> {
    winners: Winners<'b>,
    pool: [usize; 2],
    output: [usize; 2],
}

impl Places for Won<'_> {
    #[inline(always)]
    fn place(&self, index: usize, cell: usize) -> ([usize; 2], usize) {
        let [height, width] = self.output;
        let (line, column) = divided(cell, width);
        let (frame, row) = divided(line, height);
        let [tap_row, tap_column] = self.winners.tap(index);
        let [down, along] = self.pool;
        ([row * down + tap_row, column * along + tap_column], frame)
    }
}

impl PooledStep {
    /// Forward of each frame, row by row.
    #[inline(always)]
    fn forward_i8(&self, layer: &mut Layer<'_>) {
        let Layer {
            from,
            patch,
            row: values,
            y,
            argmax,
        } = layer;
        let [height, width] = self.output();
        let down = usize::from(self.pool[0]);
        let line = (width * usize::from(self.conv.outputs)).max(1);
        let (x_len, _) = self.conv.lengths();
        let (mut first, mut at, mut row) = (0, 0, 0);
        for line in y.chunks_exact_mut(line) {
            for tap_row in 0..down {
                self.conv.gathered_row_i8(row, at, from, patch, values);
                self.keep_larger(values, tap_row, line, first, argmax);
                row += 1;
            }
            first += line.len();
            if row >= height * down {
                // The next frame.
                (row, at) = (0, at + x_len);
            }
        }
    }
}

impl ConvStep {
    /// Output row `row` of the frame that begins at `frame_at`: the inputs that the filters of a group meet at a pixel are
    /// gathered, zero points for what lies outside.
    #[inline(never)]
    fn gathered_row_i8(
        &self,
        row: usize,
        frame_at: usize,
        from: &From<'_>,
        patch: &mut [i8],
        y: &mut [i8],
    ) {
        let (_, group_outputs) = self.group();
        for (column, pixel) in y.chunks_exact_mut(self.outputs.max(1).into()).enumerate() {
            for (group, out) in pixel.chunks_exact_mut(group_outputs.max(1)).enumerate() {
                self.gather_group(row, column, group, (from, frame_at), patch);
                let first = group * group_outputs;
                for (block, out) in out.chunks_mut(ROWS_I8).enumerate() {
                    self.meet_patch(first + block * ROWS_I8, patch, from, out);
                }
            }
        }
    }

    #[inline(never)]
    fn gather_group(
        &self,
        row: usize,
        column: usize,
        group: usize,
        (from, frame_at): (&From<'_>, usize),
        patch: &mut [i8],
    ) {
        let (rows, columns) = (self.window.rows.taps(row), self.window.columns.taps(column));
        let (inputs, (group_inputs, _)) = (usize::from(self.inputs), self.group());
        let kernel = [self.window.rows.kernel, self.window.columns.kernel].map(usize::from);
        if [rows.len, columns.len] != kernel {
            // Checked when the model was loaded to be an int8.
            patch.fill(from.zero as i8);
        }
        // All inputs of a row of taps are one run where nothing lies between them.
        let (runs, run) = match self.is_gapless() {
            true => (1, columns.len * inputs),
            false => (columns.len, group_inputs),
        };
        let x_step = self.window.columns.dilation() * inputs;
        let line_step = self.window.rows.dilation() * self.width() * inputs;
        let x_at = (rows.input * self.width() + columns.input) * inputs + group * group_inputs;
        let mut line_at = frame_at + x_at;
        let lines = patch.chunks_exact_mut((self.kernel_width() * group_inputs).max(1));
        for line in lines.skip(rows.tap).take(rows.len) {
            let places = line.get_mut(columns.tap * group_inputs..);
            let mut places = places.unwrap_or(&mut []).iter_mut();
            for index in 0..runs {
                let x = part(from.x, line_at + index * x_step, run);
                for (x, place) in x.iter().zip(places.by_ref()) {
                    *place = *x;
                }
            }
            line_at += line_step;
        }
    }

    /// The outputs of the channels from `first` on, of one group.
    #[inline(never)]
    fn meet_patch(&self, first: usize, patch: &[i8], from: &From<'_>, out: &mut [i8]) {
        let mut sums = from.requant.biases(first);
        if self.is_depthwise() {
            let outputs = usize::from(self.outputs).max(1);
            for (x, weights) in patch.iter().zip(from.weight.chunks_exact(outputs)) {
                let x = i32::from(*x) - from.zero;
                for (sum, weight) in sums.iter_mut().zip(part(weights, first, out.len())) {
                    *sum = sum.wrapping_add(x.wrapping_mul((*weight).into()));
                }
            }
        } else {
            let filter = patch.len();
            let filters = core::array::from_fn(|row| {
                // Past the group's last channel there is none.
                let len = if row < out.len() { filter } else { 0 };
                part(from.weight, (first + row) * filter, len)
            });
            dot_rows_i8(patch, filters, from.zero, &mut sums);
        }
        from.requant.finish(first, &sums, out);
    }
}
