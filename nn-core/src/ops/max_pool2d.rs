//! Max pooling: the largest value of each window. int8: input and output quantized alike.
//!
//! A training step keeps which tap won (the first of equals) and sends the gradient there. Taps are numbered
//! row · kernel width + column, and kept packed.

use bytemuck::TransparentWrapper;

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::kernels::{Windows, part};
use crate::memory::{Memory, Span, numbers, numbers_mut};
pub use crate::ops::argmax::argmax_bytes;
use crate::ops::argmax::{Packer, Unpacker, argmax_bits};
use crate::ops::window::{Pool2d, PoolStep};
use crate::ops::{
    Check, Facts, Needs, NodeFault, OpSet, Operator, Output, backward_by_dtype, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::DType;
use crate::train::int8::{Gradient, Mantissas, Sums};

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
            saved: argmax_bytes(check.y.elements(), self.0.taps() as usize),
            sums: self.0.overlaps(),
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.x.dtype)?;
        Some((forward, Sizes::Pool(PoolStep::new(&self.0, check.x.shape)?)))
    }
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 && K::TRAIN => Some(run_i8_and_winners),
        DType::I8 if K::I8 => Some(run_i8),
        dtype => by_scalar!(K, dtype, run),
    }
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_dtype!(K, dtype, run_backward, run_backward_i8)
}

fn run<T: bytemuck::Pod + PartialOrd>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    let ([x], [y, argmax]) = memory.borrow([frame.x()], [frame.y(), frame.saved])?;
    pool.max::<T>(numbers(x)?, numbers_mut(y)?, argmax);
    Some(())
}

/// Keeps winners where a backward step wants them: an image that learns nothing does without.
fn run_i8_and_winners(frame: &Frame, memory: &mut Memory) -> Option<()> {
    match frame.saved.is_empty() {
        true => run_i8(frame, memory),
        false => run::<i8>(frame, memory),
    }
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    let ([x], [y]) = memory.borrow([frame.x()], [frame.y()])?;
    pool.max_i8(numbers(x)?, numbers_mut(y)?);
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

/// Where windows overlap gradients are summed in 32 bits, else each is that of one output.
fn run_backward_i8(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Pool(pool) = frame.step.sizes else {
        return None;
    };
    if back.slot(0).below.is_none() {
        return Some(());
    }
    let reads: [Span; 2] = [back.delta(), back.saved()];
    let ([delta, argmax], [below]) = memory.borrow(reads, [back.slot(0).at])?;
    let delta = Gradient::of(delta, frame.y().len as usize)?;
    let (x_len, y_len) = pool.lengths();
    let frames = delta.mantissas.chunks_exact(y_len);
    let count = frame.x().len as usize;
    let mut winners = Unpacker::new(argmax, argmax_bits(pool.taps()));
    if pool.overlaps() {
        let mut sums = Sums::begin(below, count)?;
        for (below, delta) in sums.sums.chunks_exact_mut(x_len).zip(frames) {
            let add = |sum: &mut i32, delta: &i16| *sum = sum.saturating_add((*delta).into());
            pool.scatter(below, delta, &mut winners, add);
        }
        sums.finish(delta.scale, None);
    } else {
        let below = Mantissas::begin(below, count, delta.scale)?;
        for (below, delta) in below.chunks_exact_mut(x_len).zip(frames) {
            pool.scatter(below, delta, &mut winners, |to, delta: &i16| *to = *delta);
        }
    }
    Some(())
}

impl PoolStep {
    /// Whether an input may lie in several windows.
    fn overlaps(&self) -> bool {
        let (rows, columns) = (&self.window.rows, &self.window.columns);
        rows.stride() < usize::from(rows.kernel) || columns.stride() < usize::from(columns.kernel)
    }

    /// The largest value of each window; `argmax`, where it is not empty, receives the winning taps.
    pub(crate) fn max<T: Copy + PartialOrd>(&self, x: &[T], y: &mut [T], argmax: &mut [u8]) {
        let (x_len, y_len) = self.lengths();
        let frames = x.chunks_exact(x_len).zip(y.chunks_exact_mut(y_len));
        if argmax.is_empty() {
            for (x, y) in frames {
                self.max_of_map(x, y);
            }
        } else {
            let mut winners = Packer::new(argmax, argmax_bits(self.taps()));
            for (x, y) in frames {
                self.max_and_winners(x, y, &mut winners);
            }
            winners.finish();
        }
    }

    /// The largest value of each window, in int8.
    pub(crate) fn max_i8(&self, x: &[i8], y: &mut [i8]) {
        let (x_len, y_len) = self.lengths();
        let (rows, columns) = (&self.window.rows, &self.window.columns);
        let channels = usize::from(self.channels);
        let pitch = usize::from(columns.input) * channels;
        let whole = columns.whole();
        let y_pitch = (usize::from(columns.output) * channels).max(1);
        for (x, y) in x.chunks_exact(x_len).zip(y.chunks_exact_mut(y_len)) {
            for (row, y) in y.chunks_exact_mut(y_pitch).enumerate() {
                let rows = rows.taps(row);
                let mut column = 0;
                while column < usize::from(columns.output) {
                    // Windows that lie inside as one, those that reach over a border one by one.
                    let next = if whole.contains(&column) {
                        whole.end
                    } else {
                        column + 1
                    };
                    let taps = columns.taps(column);
                    let windows = Windows {
                        x: x.get(rows.input * pitch + taps.input * channels..)
                            .unwrap_or(&[]),
                        channels,
                        rows: rows.len,
                        columns: taps.len,
                        pitch,
                        step: columns.stride() * channels,
                    };
                    windows.largest(
                        y.get_mut(column * channels..next * channels)
                            .unwrap_or(&mut []),
                    );
                    column = next;
                }
            }
        }
    }

    fn max_of_map<T: Copy + PartialOrd>(&self, x: &[T], y: &mut [T]) {
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let mut pixels = y.chunks_exact_mut(channels);
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                for tap_row in 0..rows.len {
                    for tap_column in 0..columns.len {
                        let at = (rows.input + tap_row) * width + columns.input + tap_column;
                        let cells = part(x, at * channels, channels);
                        let first = tap_row + tap_column == 0;
                        for (best, cell) in pixel.iter_mut().zip(cells) {
                            if first || *cell > *best {
                                *best = *cell;
                            }
                        }
                    }
                }
            }
        }
    }

    fn max_and_winners<T: Copy + PartialOrd>(&self, x: &[T], y: &mut [T], winners: &mut Packer) {
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let kernel_width = usize::from(self.window.columns.kernel);
        let mut pixels = y.chunks_exact_mut(channels);
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(pixel) = pixels.next() else { return };
                for (channel, out) in pixel.iter_mut().enumerate() {
                    let mut best: Option<(T, usize)> = None;
                    for tap_row in 0..rows.len {
                        let at = (rows.input + tap_row) * width + columns.input;
                        let tap = (rows.tap + tap_row) * kernel_width + columns.tap;
                        let cells = x.get(at * channels + channel..).unwrap_or(&[]);
                        let cells = cells.iter().step_by(channels).take(columns.len);
                        for (index, cell) in cells.enumerate() {
                            match best {
                                Some((value, _)) if *cell > value => {
                                    best = Some((*cell, tap + index));
                                }
                                None => best = Some((*cell, tap + index)),
                                _ => {}
                            }
                        }
                    }
                    // Every window holds a cell.
                    let Some((value, winner)) = best else { return };
                    *out = value;
                    winners.push(winner);
                }
            }
        }
    }

    /// Backward: `delta_x` becomes the gradient of each input cell, `delta` is that of each output.
    ///
    /// From 0, for each output in order: + δ at the tap that won. Fixed point saturates each sum, which is exact where
    /// windows do not overlap.
    pub(crate) fn max_backward<S: Scalar>(&self, delta_x: &mut [S], delta: &[S], argmax: &[u8]) {
        delta_x.fill(S::ZERO);
        let (x_len, y_len) = self.lengths();
        let mut winners = Unpacker::new(argmax, argmax_bits(self.taps()));
        let frames = delta_x.chunks_exact_mut(x_len);
        for (delta_x, delta) in frames.zip(delta.chunks_exact(y_len)) {
            self.scatter(delta_x, delta, &mut winners, |cell, delta| {
                *cell = cell.add(*delta);
            });
        }
    }

    #[inline(always)]
    fn scatter<T, D>(
        &self,
        delta_x: &mut [T],
        delta: &[D],
        winners: &mut Unpacker,
        add: impl Fn(&mut T, &D),
    ) {
        let channels = usize::from(self.channels).max(1);
        let width = usize::from(self.window.columns.input);
        let kernel_width = usize::from(self.window.columns.kernel).max(1);
        let mut pixels = delta.chunks_exact(channels);
        for row in 0..usize::from(self.window.rows.output) {
            let rows = self.window.rows.taps(row);
            for column in 0..usize::from(self.window.columns.output) {
                let columns = self.window.columns.taps(column);
                let Some(delta) = pixels.next() else { return };
                for (channel, delta) in delta.iter().enumerate() {
                    let winner = winners.pop();
                    let x_row = (rows.input + winner / kernel_width).wrapping_sub(rows.tap);
                    let x_column =
                        (columns.input + winner % kernel_width).wrapping_sub(columns.tap);
                    let at = x_row
                        .wrapping_mul(width)
                        .wrapping_add(x_column)
                        .wrapping_mul(channels)
                        .wrapping_add(channel);
                    if let Some(cell) = delta_x.get_mut(at) {
                        add(cell, delta);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::ops::draw::{Draw, Geometry};
    use crate::scalar::Q16;

    fn check<S: Scalar>() {
        for seed in 0..300 {
            let mut draw = Draw::new(seed);
            let mut geometry = Geometry::draw(&mut draw, 2 + seed as usize % 3, false);
            if seed.is_multiple_of(10) && geometry.rank > 2 {
                // Global, of more than 256 taps.
                geometry = Geometry {
                    frames: geometry.frames,
                    rank: geometry.rank,
                    input: [17, 18],
                    output: [1, 1],
                    kernel: [17, 18],
                    stride: [1, 1],
                    dilation: [1, 1],
                    padding: [0; 4],
                };
            }
            let channels = draw.size(1, 10);
            let pool = pool_of(&geometry);
            let input = geometry.x_shape(channels);
            assert_eq!(pool.output_shape(input), Some(geometry.y_shape(channels)));
            let step = PoolStep::new(&pool, input).unwrap();
            // Coarse, so that windows hold equals.
            let mut x = draw.values::<S>(geometry.cells() * channels);
            for x in &mut x {
                *x = S::from_f32((x.to_f32() * 4.0) as i32 as f32);
            }
            let delta = draw.values::<S>(geometry.pixels() * channels);
            let (mut wanted, mut delta_wanted) = (Vec::new(), vec![S::ZERO; x.len()]);
            for pixel in 0..geometry.pixels() {
                for channel in 0..channels {
                    let mut best: Option<usize> = None;
                    for tap in 0..geometry.taps() {
                        let cell = geometry.cell(pixel, tap);
                        let Some(at) = cell.map(|cell| cell * channels + channel) else {
                            continue;
                        };
                        if best.is_none_or(|best| x[at] > x[best]) {
                            best = Some(at);
                        }
                    }
                    let best = best.unwrap();
                    wanted.push(x[best]);
                    let delta = delta[pixel * channels + channel];
                    delta_wanted[best] = delta_wanted[best].add(delta);
                }
            }
            let mut y = vec![S::MIN; wanted.len()];
            step.max(&x, &mut y, &mut []);
            assert_eq!(y, wanted, "{geometry:?}");
            let mut argmax = vec![0xFF; argmax_bytes(y.len(), geometry.taps())];
            y.fill(S::MIN);
            step.max(&x, &mut y, &mut argmax);
            assert_eq!(y, wanted, "{geometry:?}");
            let mut delta_x = vec![S::MIN; x.len()];
            step.max_backward(&mut delta_x, &delta, &argmax);
            assert_eq!(delta_x, delta_wanted, "{geometry:?}");
        }
    }

    fn pool_of(geometry: &Geometry) -> Pool2d {
        Pool2d {
            kernel: geometry.kernel.map(|k| k as u16),
            stride: geometry.stride.map(|s| s as u16),
            padding: geometry.padding.map(|p| p as u8),
        }
    }

    /// Selecting rounds nothing, and gradients are added in the documented order: equal to the bit.
    #[test]
    fn the_first_of_the_largest_wins_and_gets_the_gradient() {
        check::<f32>();
        check::<Q16>();
    }

    #[test]
    fn a_nan_stays_only_where_it_comes_first() {
        let pool = Pool2d {
            kernel: [1, 2],
            stride: [1, 2],
            padding: [0; 4],
        };
        let step = PoolStep::new(&pool, crate::tensor::Shape::map(1, 4, 1)).unwrap();
        for train in [false, true] {
            let mut y = [0.0; 2];
            let argmax = &mut [0; 1][..if train { 1 } else { 0 }];
            step.max(&[f32::NAN, 1.0, 2.0, f32::NAN], &mut y, argmax);
            assert!(y[0].is_nan());
            assert_eq!(y[1], 2.0);
        }
    }
}
