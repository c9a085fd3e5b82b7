//! Transposition: axis i of the output is axis `axes[i]` of the input. It moves numbers only; int8 as TensorFlow
//! Lite's TRANSPOSE.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::memory::Memory;
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::{DType, MAX_RANK, Shape};

/// Parameters of a transposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transpose {
    /// Each of 0 to 3 once; those past the input's rank stay at their places.
    pub axes: [u8; MAX_RANK],
}

/// A transposition's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransposeStep {
    /// The input's.
    dims: [u32; MAX_RANK],
    axes: [u8; MAX_RANK],
}

crate::stored::stored!(TransposeStep {
    dims: [u32; 4],
    axes: [u8; 4]
});

pub(super) const FACTS: Facts = Facts {
    needs_x: false,
    selects: true,
    ..Facts::PLAIN
};

impl Transpose {
    /// The output's shape; `None` where `axes` are no permutation of the input's.
    pub fn output_shape(&self, input: &Shape) -> Option<Shape> {
        let from = input.padded_dims();
        let (mut dims, mut seen) = ([1usize; MAX_RANK], [false; MAX_RANK]);
        for (index, (dim, axis)) in dims.iter_mut().zip(self.axes).enumerate() {
            let axis = usize::from(axis);
            *dim = *from.get(axis)? as usize;
            let seen = seen.get_mut(axis)?;
            let stays = index < input.rank() || axis == index;
            if *seen || !stays {
                return None;
            }
            *seen = true;
        }
        Shape::new(dims.get(..input.rank())?)
    }

    /// What the kernels take.
    pub fn step(&self, input: &Shape) -> TransposeStep {
        TransposeStep {
            dims: input.padded_dims(),
            axes: self.axes,
        }
    }
}

impl<K: OpSet> Operator<K> for Transpose {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.same_dtype()?;
        check.same_quant()?;
        let shape = self.output_shape(&check.x.shape);
        check.y_shape(shape.ok_or(NodeFault::Geometry)?)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.x.dtype)?;
        Some((forward, Sizes::Transpose(self.step(&check.x.shape))))
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
    let Sizes::Transpose(step) = frame.step.sizes else {
        return None;
    };
    frame.map(memory, |x, y| step.forward::<T>(x, y))
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Transpose(step) = frame.step.sizes else {
        return None;
    };
    back.input_gradient(0, memory, |x, below, delta| {
        step.backward::<S>(x, below, delta);
    })
}

impl TransposeStep {
    /// Calls `visit(place in x)` for each number of y in order.
    fn places(&self, mut visit: impl FnMut(usize)) {
        let [_, b, c, d] = self.dims.map(|dim| dim as usize);
        let strides = [b * c * d, c * d, d, 1];
        let of = |axis: u8| {
            let axis = usize::from(axis);
            let dim = self.dims.get(axis).copied().unwrap_or(1);
            (dim as usize, strides.get(axis).copied().unwrap_or(0))
        };
        let [(n0, s0), (n1, s1), (n2, s2), (n3, s3)] = self.axes.map(of);
        for i in 0..n0 {
            for j in 0..n1 {
                for k in 0..n2 {
                    for l in 0..n3 {
                        visit(i * s0 + j * s1 + k * s2 + l * s3);
                    }
                }
            }
        }
    }

    /// `x` into `y`, transposed. Any type: int8 too.
    pub fn forward<T: Copy>(&self, x: &[T], y: &mut [T]) {
        let mut y = y.iter_mut();
        self.places(|place| {
            if let (Some(y), Some(x)) = (y.next(), x.get(place)) {
                *y = *x;
            }
        });
    }

    /// The input is overwritten by its gradient, times the derivative of `below`.
    pub(crate) fn backward<S: Scalar>(&self, x: &mut [S], below: Activation, delta: &[S]) {
        let mut delta = delta.iter();
        self.places(|place| {
            if let (Some(x), Some(delta)) = (x.get_mut(place), delta.next()) {
                *x = below.derivative(*delta, *x);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let shape = Shape::new(&[2, 3, 4]).unwrap();
        let transpose = Transpose { axes: [2, 0, 1, 3] };
        assert_eq!(transpose.output_shape(&shape), Shape::new(&[4, 2, 3]));
        let x: [f32; 24] = core::array::from_fn(|i| i as f32);
        let mut y = [0.0; 24];
        let step = transpose.step(&shape);
        step.forward(&x, &mut y);
        // y[i, j, k] = x[j, k, i].
        assert_eq!(y[..8], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0, 5.0]);
        let mut back = [1.0; 24];
        step.backward(&mut back, Activation::None, &y);
        assert_eq!(back, x);
    }

    #[test]
    fn what_is_no_permutation() {
        let shape = Shape::new(&[2, 3]).unwrap();
        for axes in [[0, 0, 2, 3], [0, 1, 3, 2], [4, 1, 2, 3], [2, 1, 0, 3]] {
            assert_eq!(Transpose { axes }.output_shape(&shape), None, "{axes:?}");
        }
    }
}
