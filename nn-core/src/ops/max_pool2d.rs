//! Max pooling: the largest value of each window. int8: input and output quantized alike.
//!
//! A training step keeps which tap won (the first of equals) and sends the gradient there. Taps are numbered
//! row · kernel width + column; up to 4 of them take two bits an output, up to 16 four, up to 256 a byte, more two bytes.

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
            saved: argmax_bytes(check.y.elements(), self.0.taps() as usize),
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

/// Bits in which the number of one of `taps` taps is kept.
const fn argmax_bits(taps: usize) -> usize {
    match taps {
        0..=4 => 2,
        5..=16 => 4,
        17..=256 => 8,
        _ => 16,
    }
}

/// Bytes in which a training step keeps which of `taps` taps won, for each of `outputs` outputs.
pub fn argmax_bytes(outputs: usize, taps: usize) -> usize {
    outputs.saturating_mul(argmax_bits(taps)).div_ceil(8)
}

/// Writes numbers of 2, 4, 8 or 16 bits one after the other, the first in the lowest bits.
struct Packer<'p> {
    bytes: core::slice::IterMut<'p, u8>,
    bits: usize,
    byte: u32,
    filled: usize,
}

impl<'p> Packer<'p> {
    fn new(bytes: &'p mut [u8], bits: usize) -> Self {
        Self {
            bytes: bytes.iter_mut(),
            bits,
            byte: 0,
            filled: 0,
        }
    }

    #[inline(always)]
    fn push(&mut self, number: usize) {
        // At most 16 bits on top of at most 6.
        self.byte |= (number as u32) << self.filled;
        self.filled += self.bits;
        while self.filled >= 8 {
            self.put();
            self.filled -= 8;
        }
    }

    #[inline(always)]
    fn put(&mut self) {
        if let Some(byte) = self.bytes.next() {
            // The lowest eight bits.
            *byte = self.byte as u8;
        }
        self.byte >>= 8;
    }

    fn finish(mut self) {
        if self.filled > 0 {
            self.put();
        }
    }
}

/// Reads what a [`Packer`] wrote.
struct Unpacker<'p> {
    bytes: core::slice::Iter<'p, u8>,
    bits: usize,
    byte: u32,
    filled: usize,
}

impl<'p> Unpacker<'p> {
    fn new(bytes: &'p [u8], bits: usize) -> Self {
        Self {
            bytes: bytes.iter(),
            bits,
            byte: 0,
            filled: 0,
        }
    }

    #[inline(always)]
    fn pop(&mut self) -> usize {
        while self.filled < self.bits {
            let byte = self.bytes.next().copied().unwrap_or(0);
            self.byte |= u32::from(byte) << self.filled;
            self.filled += 8;
        }
        let number = self.byte & ((1 << self.bits) - 1);
        self.byte >>= self.bits;
        self.filled -= self.bits;
        number as usize
    }
}

impl PoolStep {
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
                        let cells = x.get(at * channels..).unwrap_or(&[]);
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
            self.scatter(delta_x, delta, &mut winners);
        }
    }

    fn scatter<S: Scalar>(&self, delta_x: &mut [S], delta: &[S], winners: &mut Unpacker) {
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
                        *cell = cell.add(*delta);
                    }
                }
            }
        }
    }
}
