//! Global pooling: of each channel the mean, or the largest, over all axes but the last. `[…, channels]` gives
//! `[channels]`.
//!
//! int8 after TensorFlow Lite: MEAN, whose output has a quantization of its own, y = clamp(zero_y + rescale(Σ x −
//! n·zero_x)) with the factor scale_x / scale_y / n; and REDUCE_MAX, input and output quantized alike.
//! A maximum's gradient goes to the first of the largest, a mean's to each, divided by n.

use bytemuck::TransparentWrapper;

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::fixed_point::{Rescale, saturate_i8};
use crate::memory::{Memory, numbers};
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, backward_by_dtype, backward_by_scalar,
    broadcast, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::{DType, Shape};
use crate::train::int8::{Clamp, Gradient, Mantissas};

pub(super) const MEAN_FACTS: Facts = Facts {
    needs_x: false,
    needs_x_in_int8: true,
    ..Facts::PLAIN
};
pub(super) const MAX_FACTS: Facts = Facts::PLAIN;

/// The mean. int8 carries its rescaling.
#[derive(TransparentWrapper)]
#[repr(transparent)]
pub(super) struct GlobalAvgPool(Option<Rescale>);

/// The maximum.
pub(super) struct GlobalMaxPool;

/// All that an int8 mean takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeanStep {
    /// scale_x / scale_y / n.
    pub rescale: Rescale,
    /// The zero points of x and y.
    pub zeros: [i8; 2],
}

crate::stored::stored!(MeanStep {
    rescale: Rescale,
    zeros: [i8; 2]
});

fn shapes(check: &Check) -> Result<(), NodeFault> {
    check.arity(1)?;
    let channels = check.x.shape.dims().last();
    let channels = channels.ok_or(NodeFault::Shape(check.x_id))?;
    check.y_shape(Shape::vector(*channels))
}

impl<K: OpSet> Operator<K> for GlobalAvgPool {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        shapes(check)?;
        let dtype = check.same_dtype()?;
        let valid = match self.0 {
            Some(rescale) => dtype == DType::I8 && rescale.is_valid(),
            None => dtype != DType::I8,
        };
        valid.then_some(()).ok_or(NodeFault::Quant)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        match (check.x.dtype, self.0) {
            (DType::I8, Some(rescale)) => {
                // Checked when the model was loaded.
                let zeros = [check.x, check.y].map(|tensor| tensor.zero_point() as i8);
                Some((
                    mean_code::<K>(DType::I8)?,
                    Sizes::MeanI8(MeanStep { rescale, zeros }),
                ))
            }
            (dtype, _) => Some((mean_code::<K>(dtype)?, Sizes::None)),
        }
    }
}

impl<K: OpSet> Operator<K> for GlobalMaxPool {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        shapes(check)?;
        check.same_dtype()?;
        check.same_quant()
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = max_code::<K>(check.x.dtype)?;
        Some((forward, Sizes::None))
    }
}

/// The function that runs the mean forward in numbers of this type.
pub(super) const fn mean_code<K: OpSet>(dtype: DType) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 => Some(run_mean_i8),
        dtype => by_scalar!(K, dtype, run_mean),
    }
}

/// The function that runs the mean backward in numbers of this type.
pub(super) const fn mean_backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_dtype!(K, dtype, run_mean_backward, run_mean_backward_i8)
}

/// The function that runs the maximum forward in numbers of this type.
pub(super) const fn max_code<K: OpSet>(dtype: DType) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 => Some(run_max::<i8>),
        dtype => by_scalar!(K, dtype, run_max),
    }
}

/// The function that runs the maximum backward in numbers of this type.
pub(super) const fn max_backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_scalar!(K, dtype, run_max_backward)
}

fn run_mean<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    frame.map(memory, |x, y| mean::<S>(x, y))
}

fn run_mean_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::MeanI8(step) = frame.step.sizes else {
        return None;
    };
    frame.map(memory, |x, y| mean_i8(x, &step, y))
}

fn run_max<T: bytemuck::Pod + PartialOrd>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    frame.map(memory, |x, y| max::<T>(x, y))
}

fn run_mean_backward<S: Scalar>(
    _: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    back.input_gradient(0, memory, mean_backward::<S>)
}

fn run_mean_backward_i8(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let slot = back.slot(0);
    if slot.below.is_none() {
        return Some(());
    }
    let ([x, delta], [below]) = memory.borrow([frame.x(), back.delta()], [slot.at])?;
    let x: &[i8] = numbers(x)?;
    let channels = frame.y().len as usize;
    let delta = Gradient::of(delta, channels)?;
    // The mantissas are δ's: their scale alone is divided.
    let scale = delta.scale / rows(x.len(), channels) as f32;
    let below = Mantissas::begin(below, x.len(), scale)?;
    mean_backward_i8(below, (slot.clamp(), x), delta.mantissas);
    Some(())
}

fn run_max_backward<S: Scalar>(
    _: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    back.input_gradient(0, memory, max_backward::<S>)
}

/// How many vectors of `channels` numbers.
fn rows(len: usize, channels: usize) -> u32 {
    // A count of numbers in memory: a tensor has less than 2^31.
    len.checked_div(channels).unwrap_or(0) as u32
}

/// The mean of each channel: 0 + x₁ + x₂ + … in order, divided once.
pub fn mean<S: Scalar>(x: &[S], y: &mut [S]) {
    let channels = y.len();
    let count = rows(x.len(), channels);
    for (channel, y) in y.iter_mut().enumerate() {
        *y = S::mean(broadcast::column_sum(x, channel, channels), count);
    }
}

/// The mean of each channel in int8.
pub fn mean_i8(x: &[i8], step: &MeanStep, y: &mut [i8]) {
    let channels = y.len();
    let [x_zero, y_zero] = step.zeros.map(i32::from);
    // Fits 31 bits; the product wraps as the reference's does.
    let offset = x_zero.wrapping_mul(rows(x.len(), channels) as i32);
    for (channel, y) in y.iter_mut().enumerate() {
        let cells = x.iter().skip(channel).step_by(channels.max(1));
        let sum = cells.fold(0i32, |sum, x| sum.wrapping_add(i32::from(*x)));
        let mean = step.rescale.apply(sum.wrapping_sub(offset));
        *y = saturate_i8(mean.wrapping_add(y_zero));
    }
}

/// The largest of each channel: the first, then each that is larger, in order. Any type: int8 too.
pub fn max<T: Copy + PartialOrd>(x: &[T], y: &mut [T]) {
    for (index, x) in x.chunks_exact(y.len().max(1)).enumerate() {
        for (y, x) in y.iter_mut().zip(x) {
            if index == 0 || *x > *y {
                *y = *x;
            }
        }
    }
}

/// Each input is overwritten by δ / n, times the derivative of `below`.
pub(crate) fn mean_backward<S: Scalar>(x: &mut [S], below: Activation, delta: &[S]) {
    let count = rows(x.len(), delta.len());
    for x in x.chunks_exact_mut(delta.len().max(1)) {
        for (x, delta) in x.iter_mut().zip(delta) {
            *x = below.derivative(S::mean(delta.widen(), count), *x);
        }
    }
}

/// Each mantissa is that of its channel, 0 where the gradient does not pass at x.
#[inline(never)]
fn mean_backward_i8(below: &mut [i16], (clamp, x): (Clamp, &[i8]), delta: &[i16]) {
    let channels = delta.len().max(1);
    for (below, x) in below.chunks_mut(channels).zip(x.chunks(channels)) {
        for ((below, x), delta) in below.iter_mut().zip(x).zip(delta) {
            if clamp.passes(*x, (*delta).into()) {
                *below = *delta;
            }
        }
    }
}

/// Each input is overwritten by δ where it is the first of the largest, else by 0, times the derivative of `below`.
pub(crate) fn max_backward<S: Scalar>(x: &mut [S], below: Activation, delta: &[S]) {
    let channels = delta.len().max(1);
    for (channel, delta) in delta.iter().enumerate() {
        let mut winner = 0;
        let mut best = x.get(channel).copied().unwrap_or(S::ZERO);
        for (row, x) in x.iter().skip(channel).step_by(channels).enumerate() {
            if *x > best {
                (winner, best) = (row, *x);
            }
        }
        let cells = x.iter_mut().skip(channel).step_by(channels);
        for (row, x) in cells.enumerate() {
            let gradient = if row == winner { *delta } else { S::ZERO };
            *x = below.derivative(gradient, *x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f32; 6] = [1.0, 5.0, 4.0, 5.0, 4.0, -1.0];

    #[test]
    fn channels_by_hand() {
        let mut y = [0.0; 2];
        mean(&X, &mut y);
        assert_eq!(y, [3.0, 3.0]);
        max(&X, &mut y);
        assert_eq!(y, [4.0, 5.0]);
        let mut x = X;
        mean_backward(&mut x, Activation::Relu, &[3.0, 6.0]);
        assert_eq!(x, [1.0, 2.0, 1.0, 2.0, 1.0, 0.0]);
        let mut x = X;
        max_backward(&mut x, Activation::Relu, &[3.0, 6.0]);
        // The first of equals.
        assert_eq!(x, [0.0, 6.0, 3.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn int8_by_hand() {
        // Factor 1/4: of three vectors, an output step of 4/3 input steps.
        let step = MeanStep {
            rescale: Rescale {
                multiplier: 1 << 30,
                shift: -1,
            },
            zeros: [1, -2],
        };
        let mut y = [0; 2];
        mean_i8(&[1, 5, 4, 5, 4, -128], &step, &mut y);
        // (9 − 3)/4 = 1.5 to 2; (−118 − 3)/4 = −30.25 to −30.
        assert_eq!(y, [0, -32]);
    }

    /// The mean's gradient is δ; it is its scale that is divided. None passes where a ReLU holds x at its zero point.
    #[test]
    fn an_int8_gradient_is_that_of_f32() {
        let (x, delta) = ([3i8, -5, 127, 0, -5, 9], [300i16, -200]);
        let clamp = Clamp::new(Activation::Relu, [-5, 127]);
        let mut below = [0i16; 6];
        mean_backward_i8(&mut below, (clamp, &x), &delta);
        // 127 may be lowered.
        assert_eq!(below, [300, 0, 300, -200, 0, -200]);
        let mut real = x.map(|x| f32::from(x) + 5.0);
        mean_backward(&mut real, Activation::Relu, &delta.map(f32::from));
        assert_eq!(below.map(|below| f32::from(below) / 3.0), real);
    }
}
