//! Average pooling: the mean of each window, padding not counted.
//!
//! int8 after TensorFlow Lite's AVERAGE_POOL_2D: the sum divided by the count, halves away from zero; input and output
//! quantized alike.

use bytemuck::TransparentWrapper;

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::fixed_point::saturate_i8;
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::window::{Pool2d, PoolStep};
use crate::ops::{Activation, Check, Facts, NodeFault, OpSet, Operator, by_scalar};
use crate::scalar::Scalar;
use crate::tensor::DType;

pub(super) const FACTS: Facts = Facts {
    needs_x: false,
    ..Facts::PLAIN
};

/// The operator.
#[derive(TransparentWrapper)]
#[repr(transparent)]
pub(super) struct AvgPool2d(Pool2d);

impl<K: OpSet> Operator<K> for AvgPool2d {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        self.0.check(check)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = match check.x.dtype {
            DType::I8 if K::I8 => run_i8 as Forward,
            dtype => by_scalar!(K, dtype, run)?,
        };
        Some((forward, Sizes::Pool(PoolStep::new(&self.0, check.x.shape)?)))
    }

    fn gradient(&self, check: &Check) -> Option<Backward> {
        by_scalar!(K, check.x.dtype, run_backward)
    }
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    let ([x], [y]) = memory.borrow([frame.x()], [frame.y()])?;
    pool.average::<S>(numbers(x)?, numbers_mut(y)?);
    Some(())
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    let ([x], [y]) = memory.borrow([frame.x()], [frame.y()])?;
    pool.average_i8(numbers(x)?, numbers_mut(y)?);
    Some(())
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let (Sizes::Pool(pool), Some(below)) = (frame.step.sizes, back.slot(0).below) else {
        return Some(());
    };
    let ([delta], [x]) = memory.borrow([back.delta()], [back.slot(0).at])?;
    pool.average_backward::<S>(numbers_mut(x)?, below, numbers(delta)?);
    Some(())
}

impl PoolStep {
    /// The mean of each window: the sum in the order of rows and columns, divided once.
    pub(crate) fn average<S: Scalar>(&self, x: &[S], y: &mut [S]) {
        self.each_window(x, y, S::ZERO_ACC, S::add_acc, |sum, count| {
            S::mean(sum, count)
        });
    }

    /// int8.
    pub(crate) fn average_i8(&self, x: &[i8], y: &mut [i8]) {
        self.each_window(
            x,
            y,
            0i32,
            |sum, cell| sum + i32::from(cell),
            |sum, count| {
                // At most 256 cells.
                let count = count.max(1) as i32;
                let half = if sum > 0 { count / 2 } else { -(count / 2) };
                saturate_i8((sum + half).checked_div(count).unwrap_or(0))
            },
        );
    }

    fn each_window<T: Copy, Acc: Copy>(
        &self,
        x: &[T],
        y: &mut [T],
        zero: Acc,
        add: impl Fn(Acc, T) -> Acc,
        finish: impl Fn(Acc, u32) -> T,
    ) {
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let mut pixels = y.chunks_exact_mut(channels);
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                for (channel, out) in pixel.iter_mut().enumerate() {
                    let mut sum = zero;
                    for tap_row in 0..rows.len {
                        let at = (rows.input + tap_row) * width + columns.input;
                        let cells = x.get(at * channels + channel..).unwrap_or(&[]);
                        for cell in cells.iter().step_by(channels).take(columns.len) {
                            sum = add(sum, *cell);
                        }
                    }
                    // At most 256 cells.
                    *out = finish(sum, (rows.len * columns.len) as u32);
                }
            }
        }
    }

    /// Backward, in place: each input cell is overwritten by Σ δ / count over the windows that hold it
    /// (rows and columns in order), times the derivative of `below`.
    pub(crate) fn average_backward<S: Scalar>(&self, x: &mut [S], below: Activation, delta: &[S]) {
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input).max(1);
        let out_width = usize::from(self.window.columns.output);
        for (index, cell) in x.iter_mut().enumerate() {
            let (pixel, channel) = (index / channels, index % channels);
            let mut gradient = S::ZERO;
            for row in self.window.rows.outputs(pixel / width) {
                let rows = self.window.rows.taps(row).len;
                for column in self.window.columns.outputs(pixel % width) {
                    let count = rows * self.window.columns.taps(column).len;
                    let at = (row * out_width + column) * channels + channel;
                    // Exact: at most 256 cells.
                    let delta = delta.get(at).copied().unwrap_or(S::ZERO);
                    gradient = gradient.add(S::mean(delta.widen(), count as u32));
                }
            }
            *cell = below.derivative(gradient, *cell);
        }
    }
}
