//! Average pooling: the mean of each window, padding not counted, or counted as zeros.
//!
//! int8 after TensorFlow Lite's AVERAGE_POOL_2D: the sum divided by the count, halves away from zero; input and output
//! quantized alike; padding not counted. Backward Σ δ / count, in whole numbers (`docs/numerics.md`).

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::fixed_point::saturate_i8;
use crate::kernels::{BLOCK, part};
use crate::memory::{Memory, numbers};
use crate::ops::window::{Pool2d, PoolStep};
use crate::ops::{
    Activation, Check, Facts, Needs, NodeFault, OpSet, Operator, backward_by_dtype, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::DType;
use crate::train::int8::{Gradient, Sums, Weighted};

pub(super) const FACTS: Facts = Facts {
    needs_x: false,
    needs_x_in_int8: true,
    ..Facts::PLAIN
};

/// Parameters of an average pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvgPool2d {
    /// Its window.
    pub window: Pool2d,
    /// Whether padding counts as zeros: PyTorch's `count_include_pad`. Not in int8.
    pub count_padding: bool,
}

impl From<Pool2d> for AvgPool2d {
    /// The mean of the cells inside: TensorFlow's rule.
    fn from(window: Pool2d) -> Self {
        Self {
            window,
            count_padding: false,
        }
    }
}

impl AvgPool2d {
    fn step(&self, check: &Check) -> Option<PoolStep> {
        Some(PoolStep {
            count_padding: self.count_padding,
            ..PoolStep::new(&self.window, check.x.shape)?
        })
    }
}

impl<K: OpSet> Operator<K> for AvgPool2d {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        if self.count_padding && check.x.dtype == DType::I8 {
            return Err(NodeFault::Geometry);
        }
        self.window.check(check)
    }

    fn needs(&self, _: &Check) -> Needs {
        Needs {
            sums: true,
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.x.dtype)?;
        Some((forward, Sizes::Pool(self.step(check)?)))
    }
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 => Some(run_i8),
        dtype => by_scalar!(K, dtype, run),
    }
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_dtype!(K, dtype, run_backward, run_backward_i8)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    frame.map(memory, |x, y| pool.average::<S>(x, y))
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    frame.map(memory, |x, y| pool.average_i8(x, y))
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
    back.input_gradient(0, memory, |x, below, delta| {
        pool.average_backward::<S>(x, below, delta);
    })
}

fn run_backward_i8(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    let slot = back.slot(0);
    if slot.below.is_none() {
        return Some(());
    }
    let ([x, delta], [below]) = memory.borrow([frame.x(), back.delta()], [slot.at])?;
    let x: &[i8] = numbers(x)?;
    let delta = Gradient::of(delta, frame.y().len as usize)?;
    let mut sums = Sums::begin(below, x.len())?;
    let scale = pool.average_backward_i8(sums.sums, delta.mantissas);
    sums.finish(delta.scale * scale, Some((slot.clamp(), x)));
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
            // At most 2^16 cells: see `Pool2d::check`.
            |sum: i32, cell| sum.wrapping_add(i32::from(cell)),
            |sum, count| {
                let count = count.max(1) as i32;
                let half = if sum > 0 { count / 2 } else { -(count / 2) };
                saturate_i8(sum.wrapping_add(half).checked_div(count).unwrap_or(0))
            },
        );
    }

    /// By how much the sum of a window of which so many cells lie inside is divided.
    #[inline(always)]
    fn count(&self, inside: usize) -> u32 {
        // At most 2^16 cells: see `Pool2d::check`.
        if self.count_padding {
            self.taps() as u32
        } else {
            inside as u32
        }
    }

    fn each_window<T: Copy, Acc: Copy>(
        &self,
        x: &[T],
        y: &mut [T],
        zero: Acc,
        add: impl Fn(Acc, T) -> Acc,
        finish: impl Fn(Acc, u32) -> T,
    ) {
        let (x_len, y_len) = self.lengths();
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        for (x, y) in x.chunks_exact(x_len).zip(y.chunks_exact_mut(y_len)) {
            let mut pixels = y.chunks_exact_mut(channels);
            for row in 0..usize::from(self.window.rows.output) {
                let rows = self.window.rows.taps(row);
                for column in 0..usize::from(self.window.columns.output) {
                    let columns = self.window.columns.taps(column);
                    let count = self.count(rows.len * columns.len);
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
                        *out = finish(sum, count);
                    }
                }
            }
        }
    }

    /// Backward, in place: each input cell is overwritten by Σ δ / count over the windows that hold it (rows and
    /// columns in order, from 0, each quotient rounded), times the derivative of `below`.
    pub(crate) fn average_backward<S: Scalar>(&self, x: &mut [S], below: Activation, delta: &[S]) {
        let (x_len, y_len) = self.lengths();
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input).max(1);
        for (x, delta) in x.chunks_exact_mut(x_len).zip(delta.chunks_exact(y_len)) {
            for (x_row, row) in x.chunks_exact_mut(width * channels).enumerate() {
                for (x_column, pixel) in row.chunks_exact_mut(channels).enumerate() {
                    for (block, cells) in pixel.chunks_mut(BLOCK).enumerate() {
                        let first = block * BLOCK;
                        let sums = self.gradient_at::<S>(x_row, x_column, first, delta);
                        for (cell, &sum) in cells.iter_mut().zip(&sums) {
                            *cell = below.derivative(S::narrow(sum), *cell);
                        }
                    }
                }
            }
        }
    }

    /// Backward in int8: adds to each sum the mantissas of the windows that hold it, divided by their counts; gives what a
    /// sum counts.
    #[inline(never)]
    pub(crate) fn average_backward_i8(&self, sums: &mut [i32], delta: &[i16]) -> f32 {
        let (x_len, y_len) = self.lengths();
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let window = &self.window;
        let weighted = Weighted::new(
            // At most 2^16 cells: see `Pool2d::check`.
            (window.rows.fewest() * window.columns.fewest()) as u32,
            window.rows.most_outputs() * window.columns.most_outputs(),
        );
        for (sums, delta) in sums.chunks_exact_mut(x_len).zip(delta.chunks_exact(y_len)) {
            let mut pixels = delta.chunks_exact(channels);
            for row in 0..usize::from(window.rows.output) {
                let rows = window.rows.taps(row);
                for column in 0..usize::from(window.columns.output) {
                    let columns = window.columns.taps(column);
                    let weight = weighted.weight(self.count(rows.len * columns.len));
                    let pixel = pixels.next().unwrap_or(&[]);
                    for tap_row in 0..rows.len {
                        let at = (rows.input + tap_row) * width + columns.input;
                        let cells = sums.get_mut(at * channels..).unwrap_or(&mut []);
                        for cell in cells.chunks_exact_mut(channels).take(columns.len) {
                            for (sum, delta) in cell.iter_mut().zip(pixel) {
                                // As many as there is room for.
                                *sum = sum.wrapping_add(weighted.share(*delta, weight));
                            }
                        }
                    }
                }
            }
        }
        weighted.scale()
    }

    /// The gradients of one input cell in a block of channels.
    fn gradient_at<S: Scalar>(
        &self,
        x_row: usize,
        x_column: usize,
        first: usize,
        delta: &[S],
    ) -> [S::Acc; BLOCK] {
        let channels = usize::from(self.channels);
        let out_width = usize::from(self.window.columns.output);
        let mut sums = [S::ZERO_ACC; BLOCK];
        for row in self.window.rows.outputs(x_row) {
            let rows = self.window.rows.taps(row).len;
            for column in self.window.columns.outputs(x_column) {
                let count = self.count(rows * self.window.columns.taps(column).len);
                let at = (row * out_width + column) * channels + first;
                let len = (channels - first).min(BLOCK);
                for (sum, delta) in sums.iter_mut().zip(part(delta, at, len)) {
                    *sum = S::add_acc(*sum, S::mean(delta.widen(), count));
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::ops::draw::{Draw, Geometry, wide};
    use crate::scalar::Q16;

    fn cases(count: u32) -> impl Iterator<Item = (Draw, Geometry, usize, PoolStep)> {
        (0..count).map(|seed| {
            let mut draw = Draw::new(seed);
            let geometry = Geometry::draw(&mut draw, 2 + seed as usize % 3, false);
            let channels = draw.size(1, 10);
            let pool = Pool2d {
                kernel: geometry.kernel.map(|k| k as u16),
                stride: geometry.stride.map(|s| s as u16),
                padding: geometry.padding.map(|p| p as u8),
            };
            let step = PoolStep {
                count_padding: draw.size(0, 1) == 1,
                ..PoolStep::new(&pool, geometry.x_shape(channels)).unwrap()
            };
            (draw, geometry, channels, step)
        })
    }

    /// The places that each output sums, in order, and what their sum is divided by.
    fn windows(
        geometry: &Geometry,
        channels: usize,
        count_padding: bool,
    ) -> Vec<(Vec<usize>, u32)> {
        let outputs = (0..geometry.pixels()).flat_map(|p| (0..channels).map(move |c| (p, c)));
        let window = |(pixel, channel)| {
            let cells = (0..geometry.taps()).filter_map(|tap| geometry.cell(pixel, tap));
            let cells: Vec<usize> = cells.map(|cell| cell * channels + channel).collect();
            let count = if count_padding {
                geometry.taps()
            } else {
                cells.len()
            };
            (cells, count as u32)
        };
        outputs.map(window).collect()
    }

    #[test]
    fn f32_means_and_gradients_are_the_documented_sums_to_the_bit() {
        for (mut draw, geometry, channels, step) in cases(300) {
            let x = draw.values::<f32>(geometry.cells() * channels);
            let delta = draw.values::<f32>(geometry.pixels() * channels);
            let mut y = vec![f32::NAN; delta.len()];
            step.average(&x, &mut y);
            let mut delta_x = vec![0.0f32; x.len()];
            let windows = windows(&geometry, channels, step.count_padding);
            for ((y, delta), (cells, count)) in y.iter().zip(&delta).zip(windows) {
                let sum = cells.iter().fold(0.0f32, |sum, cell| sum + x[*cell]);
                assert_eq!(*y, sum / count as f32, "{geometry:?}");
                for cell in cells {
                    delta_x[cell] += delta / count as f32;
                }
            }
            let mut found = x.clone();
            step.average_backward(&mut found, Activation::Tanh, &delta);
            let due = |(x, gradient): (&f32, f32)| Activation::Tanh.derivative(gradient, *x);
            let wanted: Vec<f32> = x.iter().zip(delta_x).map(due).collect();
            assert_eq!(found, wanted, "{geometry:?}");
        }
    }

    /// Each mean is rounded once; a gradient has one rounding for each window that holds the cell.
    #[test]
    fn q16_means_and_gradients_round_as_often_as_documented() {
        const HALF: f64 = 0.5 / 65536.0;
        for (mut draw, geometry, channels, step) in cases(200) {
            let x = draw.values::<Q16>(geometry.cells() * channels);
            let delta = draw.values::<Q16>(geometry.pixels() * channels);
            let mut y = vec![Q16::ONE; delta.len()];
            step.average(&x, &mut y);
            let mut found = x.clone();
            step.average_backward(&mut found, Activation::None, &delta);
            let (x, delta) = (wide(&x), wide(&delta));
            let mut delta_x = vec![(0.0, 0.0); x.len()];
            let windows = windows(&geometry, channels, step.count_padding);
            for ((y, delta), (cells, count)) in y.iter().zip(&delta).zip(windows) {
                let sum: f64 = cells.iter().map(|cell| x[*cell]).sum();
                let error = y.to_num::<f64>() - sum / f64::from(count);
                // f64 rounds the quotient.
                assert!(error.abs() <= HALF + 1e-12, "{geometry:?}");
                for cell in cells {
                    delta_x[cell].0 += delta / f64::from(count);
                    delta_x[cell].1 += HALF;
                }
            }
            for (found, (wanted, bound)) in found.iter().zip(delta_x) {
                let error = found.to_num::<f64>() - wanted;
                assert!(error.abs() <= bound + 1e-12, "{geometry:?}");
            }
        }
    }

    #[test]
    fn int8_rounds_halves_away_from_zero() {
        for (mut draw, geometry, channels, step) in cases(200) {
            let step = PoolStep {
                count_padding: false,
                ..step
            };
            let x = draw.bytes(geometry.cells() * channels);
            let mut y = vec![0; geometry.pixels() * channels];
            step.average_i8(&x, &mut y);
            for (y, (cells, count)) in y.iter().zip(windows(&geometry, channels, false)) {
                let sum: i64 = cells.iter().map(|cell| i64::from(x[*cell])).sum();
                let mean = (sum as f64 / f64::from(count)).round();
                assert_eq!(f64::from(*y), mean, "{geometry:?}");
            }
        }
    }

    /// Within the rounding of 15 bits of each share, and of the sum's.
    #[test]
    fn int8_gradients_are_those_of_f32() {
        for (mut draw, geometry, channels, step) in cases(300) {
            let step = PoolStep {
                count_padding: false,
                ..step
            };
            let delta: Vec<i16> = draw
                .values::<f32>(geometry.pixels() * channels)
                .iter()
                .map(|delta| (delta * 32_767.0) as i16)
                .collect();
            let real: Vec<f32> = delta.iter().map(|delta| f32::from(*delta)).collect();
            let mut wanted = vec![0.0; geometry.cells() * channels];
            step.average_backward::<f32>(&mut wanted, Activation::None, &real);
            let mut sums = vec![0; geometry.cells() * channels];
            let scale = step.average_backward_i8(&mut sums, &delta);
            let largest = wanted
                .iter()
                .fold(1.0_f32, |most, wanted| wanted.abs().max(most));
            for (sum, wanted) in sums.iter().zip(&wanted) {
                let error = (*sum as f32 * scale - wanted).abs();
                assert!(
                    error <= largest / 2000.0,
                    "{geometry:?}: {error} of {largest}"
                );
            }
        }
    }
}
