//! Backward and update in int8, one output channel after the other.

use super::super::ConvStep;
use crate::engine::{BackFrame, Frame, Learning, Sizes};
use crate::kernels::{ScaledRows, add_scaled_rows_i8};
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::dense::{Prepared, prepare};
use crate::train::int8::{
    Descent, Gradient, Scales, Shares, Weights, shift_of_sum, shifted_mantissa,
};

/// Where the δ of an output channel lie: those of a whole map, or of the winners of a pooling's windows.
pub(crate) trait Places {
    /// Row and column, in the convolution's output, of number `index` of δ, which is that of cell `cell` of all frames;
    /// and the frame.
    fn place(&self, index: usize, cell: usize) -> ([usize; 2], usize);
}

/// Each pixel has a δ.
pub(crate) struct Whole {
    columns: usize,
    pixels: usize,
}

impl Places for Whole {
    #[inline(always)]
    fn place(&self, _: usize, cell: usize) -> ([usize; 2], usize) {
        let (frame, pixel) = divided(cell, self.pixels);
        let (row, column) = divided(pixel, self.columns);
        ([row, column], frame)
    }
}

/// Quotient and remainder; a divisor of 0 counts as 1.
#[inline(always)]
pub(crate) fn divided(number: usize, divisor: usize) -> (usize, usize) {
    let divisor = divisor.max(1);
    (number / divisor, number % divisor)
}

pub(crate) fn run_backward(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::ConvI8 {
        conv,
        x_zero,
        scales,
        ..
    } = &frame.step.sizes
    else {
        return None;
    };
    let places = Whole {
        columns: conv.window.columns.output.into(),
        pixels: conv.window.outputs(),
    };
    let about = (conv, *x_zero, *scales);
    run_backward_at(frame, back, about, |_| places, learning, memory)?;
    bias(frame, back, *scales, learning, memory)
}

/// Backward of the weights, and of the input. `about` is the convolution, the input's zero point, and the scales of input
/// and output; `places` is told what the forward step saved.
#[inline(always)]
pub(crate) fn run_backward_at<'m, P: Places>(
    frame: &Frame,
    back: &BackFrame,
    (conv, x_zero, scales): (&ConvStep, i8, [f32; 2]),
    places: impl FnOnce(&'m [u8]) -> P,
    learning: &mut Learning,
    memory: &'m mut Memory,
) -> Option<()> {
    let mut prepared = prepare(frame, back, (x_zero, scales), memory);
    let prepared = prepared.as_mut()?;
    let places = places(prepared.saved);
    let lesson = &prepared.lesson;
    let (_, group_outputs) = conv.group();
    let taps = usize::from(conv.window.rows.kernel) * conv.kernel_width();
    let outputs = usize::from(conv.outputs);
    let shares = Shares::new(lesson.scales, &lesson.delta, outputs, taps * group_outputs);
    conv.backward_i8(prepared, &places, &shares, learning.int8())?;
    if let Some(sums) = &mut prepared.sums {
        let scale = shares.scale(prepared.lesson.delta.scale);
        sums.finish(scale, Some((back.slot(0).clamp(), prepared.lesson.x)));
    }
    Some(())
}

/// The bias, parameter 1, learns from the sums of δ, where it learns at all.
#[inline(never)]
pub(crate) fn bias(
    frame: &Frame,
    back: &BackFrame,
    scales: [f32; 2],
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    if !back.back.learns(1) {
        return Some(());
    }
    let reads: [Span; 2] = [back.delta(), frame.constant(0)];
    let ([delta, table], [bias]) = memory.borrow(reads, [frame.parameter(1)])?;
    let bias: &mut [i32] = numbers_mut(bias)?;
    let delta = Gradient::of(delta, frame.y().len as usize)?;
    let scales = Scales::new(numbers(table)?, scales);
    let descent = learning.int8();
    let outputs = bias.len().max(1);
    for (output, bias) in bias.iter_mut().enumerate() {
        let of_output = delta.mantissas.iter().skip(output).step_by(outputs);
        let sum = of_output.map(|mantissa| i64::from(*mantissa)).sum();
        let [_, step] = scales.steps(output, descent.rate, delta.scale);
        descent.descend_bias(bias, sum, step);
    }
    Some(())
}

/// An output channel, and what is summed for it.
struct Channel<'b> {
    /// The inputs of all frames.
    x: &'b [i8],
    zero: i32,
    /// The gradient of its weights.
    gradient: &'b mut [i32],
    /// The weights of all channels.
    weights: &'b [i8],
    /// The gradient at the input; empty where none is wanted.
    sums: &'b mut [i32],
    output: usize,
}

/// How an output channel's weights lie: the first, and from each to the next.
#[derive(Clone, Copy)]
struct Filter {
    at: usize,
    step: usize,
}

impl ConvStep {
    fn filter_of(&self, output: usize) -> Filter {
        if self.is_depthwise() {
            let step = usize::from(self.outputs);
            return Filter { at: output, step };
        }
        let at = output * self.filter();
        Filter { at, step: 1 }
    }

    /// For each output channel, over its δ that are not 0 in order: the taps' inputs less the zero point times δ to the
    /// gradient of their weights, and their weights times δ to the gradient at the input; then the weights learn.
    #[inline(always)]
    fn backward_i8<P: Places>(
        &self,
        prepared: &mut Prepared<'_>,
        places: &P,
        shares: &Shares<'_>,
        descent: &mut Descent,
    ) -> Option<()> {
        let outputs = usize::from(self.outputs).max(1);
        for output in 0..outputs {
            let lesson = &prepared.lesson;
            let of_output = lesson.delta.mantissas.iter().skip(output).step_by(outputs);
            let magnitudes = of_output.clone().map(|m| i64::from(m.unsigned_abs())).sum();
            if magnitudes == 0 {
                continue;
            }
            let shift = shift_of_sum(magnitudes);
            let share = shares.of(output);
            let mut channel = Channel {
                x: lesson.x,
                zero: lesson.zero,
                // A buffer is rounded up.
                gradient: prepared.gradient.get_mut(..self.filter())?,
                weights: prepared.weights.values(),
                sums: match &mut prepared.sums {
                    Some(sums) => &mut *sums.sums,
                    None => &mut [],
                },
                output,
            };
            channel.gradient.fill(0);
            for (cell, &mantissa) in of_output.enumerate() {
                if mantissa != 0 {
                    let (pixel, frame) = places.place(cell * outputs + output, cell);
                    let factors = [shifted_mantissa(mantissa, shift), share.of(mantissa)];
                    self.add_i8(pixel, frame, factors, &mut channel);
                }
            }
            self.descend_i8(output, shift, prepared, descent);
        }
        Some(())
    }

    /// The weights of an output channel learn from their gradient, which counts 2^shift.
    #[inline(never)]
    fn descend_i8(
        &self,
        output: usize,
        shift: u32,
        prepared: &mut Prepared<'_>,
        descent: &mut Descent,
    ) {
        let Weights::Learning(weights) = &mut prepared.weights else {
            return;
        };
        let Filter { at, step } = self.filter_of(output);
        let weights = weights.get_mut(at..).unwrap_or(&mut []);
        let gradient = prepared.gradient.get(..self.filter()).unwrap_or(&[]);
        let lesson = &prepared.lesson;
        let scale = lesson.delta.scale * (1_u64 << shift) as f32;
        let [rate, _] = lesson.scales.steps(output, descent.rate, scale);
        descent.descend(weights.iter_mut().step_by(step.max(1)), gradient, rate);
    }

    /// Adds what one number of the convolution's output gives: all inputs of a row of taps at once where nothing lies
    /// between them.
    #[inline(never)]
    fn add_i8(
        &self,
        [row, column]: [usize; 2],
        frame: usize,
        [factor, share]: [i32; 2],
        channel: &mut Channel<'_>,
    ) {
        let output = channel.output;
        let (rows, columns) = (self.window.rows.taps(row), self.window.columns.taps(column));
        let (inputs, (group_inputs, group_outputs)) = (usize::from(self.inputs), self.group());
        let first = match self.groups {
            1 => 0,
            _ => output.checked_div(group_outputs).unwrap_or(0) * group_inputs,
        };
        let Filter { at, step } = self.filter_of(output);
        let (down, along) = (self.window.rows.dilation(), self.window.columns.dilation());
        let x_step = down * self.width() * inputs;
        let w_step = self.kernel_width() * group_inputs;
        let x_at = (rows.input * self.width() + columns.input) * inputs + first;
        let mut x_row = frame * self.lengths().0 + x_at;
        let mut w_row = rows.tap * w_step + columns.tap * group_inputs;
        // All rows of taps at once where nothing lies between the inputs of one, else one after the other.
        let (times, mut rows_of) = match self.is_gapless() {
            true => {
                let rows_of = ScaledRows {
                    rows: rows.len,
                    run: columns.len * inputs,
                    to_step: w_step,
                    from_step: x_step,
                };
                (1, rows_of)
            }
            false => {
                let rows_of = ScaledRows {
                    rows: columns.len,
                    run: group_inputs,
                    to_step: group_inputs,
                    from_step: along * inputs,
                };
                (rows.len, rows_of)
            }
        };
        for _ in 0..times {
            let gradient = channel.gradient.get_mut(w_row..).unwrap_or(&mut []);
            let x = channel.x.get(x_row..).unwrap_or(&[]);
            add_scaled_rows_i8(&rows_of, gradient, x, channel.zero, factor);
            if let Some(sums @ [_, ..]) = channel.sums.get_mut(x_row..) {
                let weights = channel.weights.get(at + w_row * step..).unwrap_or(&[]);
                rows_of.turn();
                // A run of a depthwise channel is one weight.
                rows_of.from_step *= step;
                add_scaled_rows_i8(&rows_of, sums, weights, 0, share);
                rows_of.from_step /= step.max(1);
                rows_of.turn();
            }
            x_row += x_step;
            w_row += w_step;
        }
    }
}
