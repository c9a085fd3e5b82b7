//! Backward and update in int8.

use super::length;
use crate::engine::{BackFrame, Frame, Learning, Sizes};
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::conv2d::int8_bias;
use crate::train::int8::{
    Descent, Gradient, Scales, Shares, Sums, Weights, add_differences, shift_of_sum,
    shifted_mantissa,
};

/// What a layer learns from.
pub(crate) struct Lesson<'b> {
    pub(crate) x: &'b [i8],
    pub(crate) zero: i32,
    pub(crate) delta: Gradient<'b>,
    pub(crate) scales: Scales<'b>,
}

/// Where the parameter `index` of a step lies: to be read where it stays, to be written where it learns.
pub(crate) fn parameter(frame: &Frame, back: &BackFrame, index: usize) -> [Span; 2] {
    let span = frame.parameter(index);
    match back.back.learns(index) {
        true => [Span::NOTHING, span],
        false => [span, Span::NOTHING],
    }
}

/// A layer's backward step, borrowed.
pub(crate) struct Prepared<'m> {
    pub(crate) lesson: Lesson<'m>,
    pub(crate) weights: Weights<'m, i8>,
    /// The gradient at the input, where one is wanted.
    pub(crate) sums: Option<Sums<'m>>,
    /// The gradient of the weights of an output channel.
    pub(crate) gradient: &'m mut [i32],
    /// What the forward step saved.
    pub(crate) saved: &'m [u8],
}

/// A function of its own: what it needs of the stack is free again when the layer runs.
#[inline(never)]
pub(crate) fn prepare<'m>(
    frame: &Frame,
    back: &BackFrame,
    (x_zero, scales): (i8, [f32; 2]),
    memory: &'m mut Memory,
) -> Option<Prepared<'m>> {
    let [frozen, learnt] = parameter(frame, back, 0);
    let constants = [frame.constant(0), frozen, back.saved()];
    let [table, frozen, saved] = constants;
    let reads = [frame.x(), back.delta(), table, frozen, saved];
    let slot = back.slot(0);
    let ([x, delta, table, frozen, saved], [learnt, below, scratch]) =
        memory.borrow(reads, [learnt, slot.at, back.scratch()])?;
    let x: &[i8] = numbers(x)?;
    Some(Prepared {
        weights: match back.back.learns(0) {
            true => Weights::Learning(numbers_mut(learnt)?),
            false => Weights::Frozen(numbers(frozen)?),
        },
        lesson: Lesson {
            x,
            zero: x_zero.into(),
            delta: Gradient::of(delta, frame.y().len as usize)?,
            scales: Scales::new(numbers(table)?, scales),
        },
        sums: match slot.below {
            Some(_) => Some(Sums::begin(below, x.len())?),
            None => None,
        },
        gradient: numbers_mut(scratch)?,
        saved,
    })
}

pub(super) fn run_backward(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::DenseI8 { scales, .. } = frame.step.sizes else {
        return None;
    };
    run_backward_weight(frame, back, learning, memory)?;
    int8_bias(frame, back, scales, learning, memory)
}

#[inline(never)]
fn run_backward_weight(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::DenseI8 {
        rows,
        x_zero,
        scales,
        ..
    } = frame.step.sizes
    else {
        return None;
    };
    let mut prepared = prepare(frame, back, (x_zero, scales), memory);
    let Prepared {
        lesson,
        weights,
        sums,
        gradient,
        ..
    } = prepared.as_mut()?;
    let outputs = length(lesson.delta.mantissas, rows);
    let shares = Shares::new(lesson.scales, &lesson.delta, outputs, outputs);
    let to = sums.as_mut().map_or(&mut [][..], |sums| &mut *sums.sums);
    let descent = learning.int8();
    if rows == 1 {
        backward(lesson, &shares, weights, to, descent);
    } else {
        backward_rows(lesson, rows, &shares, weights, to, gradient, descent);
    }
    if let Some(sums) = sums {
        let scale = shares.scale(lesson.delta.scale);
        sums.finish(scale, Some((back.slot(0).clamp(), lesson.x)));
    }
    Some(())
}

/// Backward and update in one pass over the outputs whose δ is not 0: δx\[j\] += W\[o, j\] · δ\[o\], with the weights from
/// before; then W\[o, ..\] learns.
#[inline(never)]
fn backward(
    lesson: &Lesson<'_>,
    shares: &Shares<'_>,
    weights: &mut Weights<'_, i8>,
    sums: &mut [i32],
    descent: &mut Descent,
) {
    let inputs = lesson.x.len().max(1);
    for (output, &mantissa) in lesson.delta.mantissas.iter().enumerate() {
        if mantissa == 0 {
            continue;
        }
        let at = output * inputs;
        let row = weights.values().get(at..).unwrap_or(&[]);
        add_differences(sums, row, 0, shares.of(output).of(mantissa));
        if let Weights::Learning(weights) = weights {
            let row = weights.get_mut(at..).unwrap_or(&mut []);
            let [step, _] = lesson
                .scales
                .steps(output, descent.rate, lesson.delta.scale);
            let step = step * f32::from(mantissa);
            descent.descend_outer(row, lesson.x, lesson.zero, step);
        }
    }
}

/// Backward of a layer that is applied to several vectors: for each output, over the vectors, δx and the gradient of its
/// weights; then these learn.
#[inline(never)]
fn backward_rows(
    lesson: &Lesson<'_>,
    rows: u32,
    shares: &Shares<'_>,
    weights: &mut Weights<'_, i8>,
    sums: &mut [i32],
    gradient: &mut [i32],
    descent: &mut Descent,
) {
    let inputs = length(lesson.x, rows);
    let outputs = length(lesson.delta.mantissas, rows);
    // A buffer is rounded up.
    let gradient = gradient.get_mut(..inputs).unwrap_or(&mut []);
    for output in 0..outputs {
        let of_output = lesson.delta.mantissas.iter().skip(output).step_by(outputs);
        let magnitudes = of_output.clone().map(|m| i64::from(m.unsigned_abs())).sum();
        if magnitudes == 0 {
            continue;
        }
        let shift = shift_of_sum(magnitudes);
        let share = shares.of(output);
        let at = output * inputs;
        gradient.fill(0);
        let mut vectors = sums.chunks_exact_mut(inputs);
        for (x, &mantissa) in lesson.x.chunks_exact(inputs).zip(of_output) {
            let vector = vectors.next().unwrap_or(&mut []);
            let row = weights.values().get(at..).unwrap_or(&[]);
            add_differences(vector, row, 0, share.of(mantissa));
            add_differences(gradient, x, lesson.zero, shifted_mantissa(mantissa, shift));
        }
        if let Weights::Learning(weights) = weights {
            let row = weights.get_mut(at..).unwrap_or(&mut []);
            let scale = lesson.delta.scale * (1_u64 << shift) as f32;
            let [step, _] = lesson.scales.steps(output, descent.rate, scale);
            descent.descend(row.iter_mut(), gradient, step);
        }
    }
}
