//! Concatenation of two to four tensors along one axis.
//!
//! It moves numbers only. int8: all inputs and the output are quantized alike, as TensorFlow Lite's int8 kernel for
//! CONCATENATION demands; where they are not, [`Requantize`](super::Requantize) goes before.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::{DType, MAX_RANK, Shape};

/// Parameters of a concatenation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concat {
    /// Along which axis, from 0.
    pub axis: u8,
}

pub(super) const FACTS: Facts = Facts {
    needs_x: false,
    ..Facts::PLAIN
};

impl Concat {
    /// The output's shape; `None` where the inputs' do not go together.
    pub fn output_shape(&self, inputs: &[Shape]) -> Option<Shape> {
        let (first, rest) = inputs.split_first()?;
        let axis = usize::from(self.axis);
        let mut dims = [1usize; MAX_RANK];
        for (to, from) in dims.iter_mut().zip(first.dims()) {
            *to = *from as usize;
        }
        for other in rest {
            if other.rank() != first.rank() {
                return None;
            }
            for (index, (dim, other)) in dims.iter_mut().zip(other.dims()).enumerate() {
                if index == axis {
                    *dim = dim.checked_add(*other as usize)?;
                } else if *dim != *other as usize {
                    return None;
                }
            }
        }
        (axis < first.rank()).then_some(())?;
        Shape::new(dims.get(..first.rank())?)
    }

    /// How many runs each tensor is cut into: the product of the dimensions before the axis.
    fn runs(&self, shape: &Shape) -> u32 {
        let before = shape.dims().iter().take(usize::from(self.axis));
        before.fold(1u32, |product, dim| product.saturating_mul(*dim))
    }
}

impl<K: OpSet> Operator<K> for Concat {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        let (wanted, found) = (2, check.inputs());
        if found < wanted {
            return Err(NodeFault::Arity { wanted, found });
        }
        let dtype = check.same_dtype()?;
        let mut shapes = [check.x.shape; crate::model::MAX_NODE_INPUTS];
        for (index, shape) in shapes.iter_mut().enumerate().take(found) {
            let (_, tensor) = check.operand(index, dtype)?;
            if tensor.quant != check.y.quant && dtype == DType::I8 {
                return Err(NodeFault::Quant);
            }
            *shape = tensor.shape;
        }
        let shape = self.output_shape(shapes.get(..found).unwrap_or(&[]));
        check.y_shape(shape.ok_or(NodeFault::Shape(check.y_id))?)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.x.dtype)?;
        Some((forward, Sizes::Rows(self.runs(&check.x.shape))))
    }
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    match dtype {
        DType::I8 if K::I8 => Some(run::<i8>),
        dtype => by_scalar!(K, dtype, run),
    }
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_scalar!(K, dtype, run_backward)
}

fn run<T: bytemuck::Pod>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Rows(runs) = frame.step.sizes else {
        return None;
    };
    let mut at = 0;
    for index in 0..usize::from(frame.step.inputs) {
        let ([x], [y]) = memory.borrow([frame.input(index)], [frame.y()])?;
        at += forward::<T>(numbers(x)?, runs, at, numbers_mut(y)?);
    }
    Some(())
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Rows(runs) = frame.step.sizes else {
        return None;
    };
    let mut at = 0;
    for index in 0..usize::from(frame.step.inputs) {
        let run = run_length(frame.input(index).len as usize / size_of::<S>(), runs);
        let slot = back.slot(index);
        if let Some(below) = slot.below {
            let ([delta], [x]) = memory.borrow([back.delta()], [slot.at])?;
            backward::<S>(numbers_mut(x)?, below, runs, at, numbers(delta)?);
        }
        at += run;
    }
    Some(())
}

/// The length of each of `runs` equal parts.
fn run_length(len: usize, runs: u32) -> usize {
    len.checked_div(runs as usize).unwrap_or(0)
}

/// Writes `x`, cut into `runs`, into `y`, cut likewise, each run at `at`; gives the length of a run of `x`.
pub fn forward<T: Copy>(x: &[T], runs: u32, at: usize, y: &mut [T]) -> usize {
    let (from, to) = (run_length(x.len(), runs), run_length(y.len(), runs));
    for (x, y) in x
        .chunks_exact(from.max(1))
        .zip(y.chunks_exact_mut(to.max(1)))
    {
        // Of the same length, so that words are copied.
        if let Some(y) = y.get_mut(at..).and_then(|y| y.get_mut(..x.len())) {
            y.copy_from_slice(x);
        }
    }
    from
}

/// One input is overwritten by its part of the gradient, times the derivative of `below`.
pub(crate) fn backward<S: Scalar>(
    x: &mut [S],
    below: Activation,
    runs: u32,
    at: usize,
    delta: &[S],
) {
    let (to, from) = (run_length(x.len(), runs), run_length(delta.len(), runs));
    let deltas = delta.chunks_exact(from.max(1));
    for (x, delta) in x.chunks_exact_mut(to.max(1)).zip(deltas) {
        for (x, delta) in x.iter_mut().zip(delta.iter().skip(at)) {
            *x = below.derivative(*delta, *x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_side_by_side_and_apart_again() {
        let (a, b) = ([1.0f32, 2.0, 3.0, 4.0], [5.0f32, 6.0]);
        let mut y = [0.0; 6];
        let at = forward(&a, 2, 0, &mut y);
        forward(&b, 2, at, &mut y);
        assert_eq!(y, [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
        let (mut da, mut db) = ([0.0; 4], [0.0; 2]);
        backward(&mut da, Activation::None, 2, 0, &y);
        backward(&mut db, Activation::None, 2, at, &y);
        assert_eq!((da, db), (a, b));
    }

    #[test]
    fn shapes() {
        let shape = |dims: &[usize]| Shape::new(dims).unwrap();
        let parts = [shape(&[2, 3, 4]), shape(&[2, 5, 4])];
        assert_eq!(
            Concat { axis: 1 }.output_shape(&parts),
            Some(shape(&[2, 8, 4]))
        );
        assert_eq!(Concat { axis: 0 }.output_shape(&parts), None);
        assert_eq!(Concat { axis: 3 }.output_shape(&parts), None);
        let ranks = [shape(&[2, 3]), shape(&[2])];
        assert_eq!(Concat { axis: 0 }.output_shape(&ranks), None);
    }
}
