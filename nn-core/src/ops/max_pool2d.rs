//! Max pooling: the largest value of each window. int8: input and output quantized alike.
//!
//! A training step keeps which tap won (the first of equals) and sends the gradient there.

use bytemuck::TransparentWrapper;

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::window::{Pool2d, PoolStep};
use crate::ops::{Check, Facts, Needs, NodeFault, OpSet, Operator, Output, by_scalar};
use crate::scalar::Scalar;
use crate::tensor::DType;

pub(super) const FACTS: Facts = Facts {
    output: Output::Apart,
    needs_x: false,
    selects: true,
    ..Facts::PLAIN
};

/// The operator.
#[derive(TransparentWrapper)]
#[repr(transparent)]
pub(super) struct MaxPool2d(Pool2d);

impl<K: OpSet> Operator<K> for MaxPool2d {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        self.0.check(check)
    }

    fn needs(&self, check: &Check) -> Needs {
        Needs {
            saved: check.y.elements(),
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward: Forward = match check.x.dtype {
            DType::I8 if K::I8 => run::<i8>,
            dtype => by_scalar!(K, dtype, run)?,
        };
        Some((forward, Sizes::Pool(PoolStep::new(&self.0, check.x.shape)?)))
    }

    fn gradient(&self, check: &Check) -> Option<Backward> {
        by_scalar!(K, check.x.dtype, run_backward)
    }
}

fn run<T: bytemuck::Pod + PartialOrd>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    let ([x], [y, argmax]) = memory.borrow([frame.x()], [frame.y(), frame.saved])?;
    pool.max::<T>(numbers(x)?, numbers_mut(y)?, argmax);
    Some(())
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    let reads: [Span; 2] = [back.delta(), back.saved()];
    let ([delta, argmax], [delta_x]) = memory.borrow(reads, [back.slot(0).at])?;
    pool.max_backward::<S>(numbers_mut(delta_x)?, numbers(delta)?, argmax);
    Some(())
}

impl PoolStep {
    /// The largest value of each window; `argmax`, where it is not empty, receives the winning tap,
    /// row · kernel width + column.
    pub(crate) fn max<T: Copy + PartialOrd>(&self, x: &[T], y: &mut [T], argmax: &mut [u8]) {
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let kernel_width = usize::from(self.window.columns.kernel);
        let mut pixels = y.chunks_exact_mut(channels);
        let mut winners = argmax.chunks_exact_mut(channels);
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                let winner = winners.next().unwrap_or(&mut []);
                for tap_row in 0..rows.len {
                    for tap_column in 0..columns.len {
                        let at = (rows.input + tap_row) * width + columns.input + tap_column;
                        let cells = x.get(at * channels..).unwrap_or(&[]);
                        if tap_row + tap_column == 0 {
                            for (best, cell) in pixel.iter_mut().zip(cells) {
                                *best = *cell;
                            }
                            // At most 256 taps: see `Pool2d::check`.
                            winner.fill((rows.tap * kernel_width + columns.tap) as u8);
                            continue;
                        }
                        let tap = (rows.tap + tap_row) * kernel_width + columns.tap + tap_column;
                        if winner.is_empty() {
                            for (best, cell) in pixel.iter_mut().zip(cells) {
                                if *cell > *best {
                                    *best = *cell;
                                }
                            }
                        } else {
                            for ((best, cell), winner) in
                                pixel.iter_mut().zip(cells).zip(winner.iter_mut())
                            {
                                if *cell > *best {
                                    *best = *cell;
                                    *winner = tap as u8;
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Backward: `delta_x` is the gradient of each input cell, `delta` of each output.
    pub(crate) fn max_backward<S: Scalar>(&self, delta_x: &mut [S], delta: &[S], argmax: &[u8]) {
        delta_x.fill(S::ZERO);
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let kernel_width = usize::from(self.window.columns.kernel).max(1);
        let mut pixels = delta
            .chunks_exact(channels)
            .zip(argmax.chunks_exact(channels));
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some((delta, winners)) = pixels.next() else {
                    return;
                };
                for (channel, (delta, winner)) in delta.iter().zip(winners).enumerate() {
                    let winner = usize::from(*winner);
                    let x_row = (rows.input + winner / kernel_width).wrapping_sub(rows.tap);
                    let x_column =
                        (columns.input + winner % kernel_width).wrapping_sub(columns.tap);
                    let at = x_row
                        .wrapping_mul(width)
                        .wrapping_add(x_column)
                        .wrapping_mul(channels)
                        .wrapping_add(channel);
                    if let Some(cell) = delta_x.get_mut(at) {
                        *cell = cell.add(*delta);
                    }
                }
            }
        }
    }
}
