//! Embedding: each index becomes a row of a table. `[steps]` indices and a table `[entries, features]` give
//! `[steps, features]`; one index `[1]` may give `[features]`.
//!
//! Indices are int32, or real numbers of which the integral part counts. An index outside of the table gives zeros
//! (int8: the zero point), as a padding does. int8 is TensorFlow Lite's EMBEDDING_LOOKUP: table and output quantized
//! alike. A dense layer without bias after a one-hot vector is the same, and does the work of all entries.
//!
//! Backward: a row learns from Σ δ over the steps that read it, in order from 0. Rows that no step read have the
//! gradient 0: plain descent leaves them alone, momentum and penalties move them. Indices have no gradient.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Sizes};
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::dense::Weights;
use crate::ops::{Check, Facts, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar};
use crate::scalar::{Q16, Scalar};
use crate::tensor::{DType, Quant, Shape, TensorId};
use crate::train::Update;

/// Parameters of an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedding {
    /// `[entries, features]`, of the output's type.
    pub table: TensorId,
}

impl Embedding {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            parameters: [Some(self.table), None, None, None],
            ..Facts::PLAIN
        }
    }
}

impl<K: OpSet> Operator<K> for Embedding {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        if !matches!(check.x.dtype, DType::I32 | DType::F32 | DType::Q16) {
            check.x_dtype(DType::I32)?;
        }
        let &[steps] = check.x.shape.dims() else {
            return Err(NodeFault::Shape(check.x_id));
        };
        let table = check.weight(self.table, check.y.dtype)?;
        if table.dtype == DType::I8 {
            let one_scale = matches!(table.quant, Quant::PerTensor { .. });
            if !one_scale || table.quant != check.y.quant {
                return Err(NodeFault::Quant);
            }
        } else if table.dtype == DType::I32 {
            check.y_dtype(DType::F32)?;
        }
        let &[_, features] = table.shape.dims() else {
            return Err(NodeFault::Shape(self.table));
        };
        if steps == 1 && check.y.shape == Shape::vector(features) {
            return Ok(());
        }
        let wanted = Shape::new(&[steps as usize, features as usize]);
        check.y_shape(wanted.ok_or(NodeFault::Shape(check.y_id))?)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.y.dtype)?;
        let sizes = Sizes::Embedding {
            steps: check.x.shape.dims().first().copied()?,
            index: check.x.dtype,
            // Checked when the model was loaded.
            zero: check.y.zero_point() as i8,
        };
        Some((forward, sizes))
    }
}

/// Index numbers in one of their types.
#[derive(Debug, Clone, Copy)]
pub enum Indices<'x> {
    /// int32.
    I32(&'x [i32]),
    /// The integral part counts.
    F32(&'x [f32]),
    /// The integral part counts.
    Q16(&'x [Q16]),
}

impl<'x> Indices<'x> {
    fn new(bytes: &'x [u8], dtype: DType) -> Option<Self> {
        Some(match dtype {
            DType::F32 => Self::F32(numbers(bytes)?),
            DType::Q16 => Self::Q16(numbers(bytes)?),
            _ => Self::I32(numbers(bytes)?),
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::I32(indices) => indices.len(),
            Self::F32(indices) => indices.len(),
            Self::Q16(indices) => indices.len(),
        }
    }

    /// The index of `step`; what is none is −1.
    fn get(&self, step: usize) -> i32 {
        let index = match self {
            Self::I32(indices) => indices.get(step).copied(),
            // `as` saturates and truncates; what is not a number is no index.
            Self::F32(indices) => indices
                .get(step)
                .map(|index| if *index >= 0.0 { *index as i32 } else { -1 }),
            Self::Q16(indices) => indices.get(step).map(|index| index.to_num::<i32>()),
        };
        index.unwrap_or(-1)
    }
}

fn run_with<T: bytemuck::Pod>(
    frame: &Frame,
    memory: &mut Memory,
    zero: impl FnOnce(i8) -> T,
) -> Option<()> {
    let Sizes::Embedding {
        steps,
        index,
        zero: point,
    } = frame.step.sizes
    else {
        return None;
    };
    let ([x, table], [y]) = memory.borrow([frame.x(), frame.parameter(0)], [frame.y()])?;
    let y: &mut [T] = numbers_mut(y)?;
    let features = y.len().checked_div(steps as usize)?;
    forward(
        Indices::new(x, index)?,
        numbers(table)?,
        features,
        zero(point),
        y,
    );
    Some(())
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
    backward_by_scalar!(K, dtype, run_backward)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    run_with(frame, memory, |_| S::ZERO)
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    run_with(frame, memory, |zero| zero)
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Embedding { steps, index, .. } = frame.step.sizes else {
        return None;
    };
    let slot = back.slot(0);
    let reads = [back.delta(), back.values(frame, 0)];
    let mut operands = learning.borrow::<S>(frame, back, 0, memory, &reads, &[]);
    let operands = operands.as_mut()?;
    let [delta, x, _] = operands.reads;
    if let Weights::Learning(table) = &mut operands.weights {
        let delta: &[S] = numbers(delta)?;
        let features = delta.len().checked_div(steps as usize)?;
        backward(Indices::new(x, index)?, table, features, delta);
    }
    if slot.below.is_some() {
        let ([], [x]) = memory.borrow([Span::NOTHING; 0], [slot.at])?;
        x.fill(0);
    }
    Some(())
}

/// A row of `table` for each index. Any type: int8 too.
pub fn forward<T: Copy>(indices: Indices, table: &[T], features: usize, zero: T, y: &mut [T]) {
    for (step, y) in y.chunks_exact_mut(features.max(1)).enumerate() {
        let index = usize::try_from(indices.get(step)).ok();
        let at = index.and_then(|index| index.checked_mul(features));
        let row = at.and_then(|at| table.get(at..)?.get(..features));
        match row {
            Some(row) => y.copy_from_slice(row),
            None => y.fill(zero),
        }
    }
}

/// The rows of the table learn.
pub(crate) fn backward<S: Scalar>(
    indices: Indices,
    table: &mut Update<'_, S>,
    features: usize,
    delta: &[S],
) {
    const BLOCK: usize = 8;
    let entries = table.len().checked_div(features).unwrap_or(0);
    for entry in 0..entries {
        // A table has less than 2^31 numbers.
        let is_read = |step: usize| indices.get(step) == entry as i32;
        if table.is_plain() && !(0..indices.len()).any(is_read) {
            continue;
        }
        for first in (0..features).step_by(BLOCK) {
            let mut sums = [S::ZERO_ACC; BLOCK];
            for (step, delta) in delta.chunks_exact(features).enumerate() {
                if is_read(step) {
                    for (sum, delta) in sums.iter_mut().zip(delta.get(first..).unwrap_or(&[])) {
                        *sum = S::add_acc(*sum, *delta);
                    }
                }
            }
            let len = (features - first).min(BLOCK);
            table.step(entry * features + first, sums.get(..len).unwrap_or(&[]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::Rounder;
    use crate::train::Rule;

    #[test]
    fn rows_by_index() {
        let table = [1, 2, 3, 4, 5, 6];
        let mut y = [0; 10];
        forward(Indices::I32(&[2, 0, 3, -1, 2]), &table, 2, 7, &mut y);
        assert_eq!(y, [5, 6, 1, 2, 7, 7, 7, 7, 5, 6]);
        let mut y = [0; 8];
        let indices = [2.9, -0.5, f32::NAN, f32::INFINITY];
        forward(Indices::F32(&indices), &table, 2, 7, &mut y);
        assert_eq!(y, [5, 6, 7, 7, 7, 7, 7, 7]);
    }

    #[test]
    fn a_row_that_is_read_twice_learns_from_the_sum() {
        let mut table = [1.0f32; 6];
        let mut rule = Rule::plain(0.5, Rounder::stochastic(1));
        let mut update = Update::new(&mut table, &mut [], &mut rule);
        let delta = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        backward(Indices::I32(&[2, 0, 2]), &mut update, 2, &delta);
        assert_eq!(table, [-1.0, -3.0, 1.0, 1.0, 1.0 - 8.5, -16.0]);
    }
}
