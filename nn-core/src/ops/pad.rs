//! Padding with zeros (int8: with the zero point, as TensorFlow Lite's PAD) before and after each axis.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::memory::Memory;
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::{DType, MAX_RANK, Shape};

/// Parameters of a padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pad {
    /// Cells before each axis; 0 past the input's rank.
    pub before: [u8; MAX_RANK],
    /// Cells after each axis; 0 past the input's rank.
    pub after: [u8; MAX_RANK],
}

/// A padding's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PadStep {
    /// The input's.
    dims: [u32; MAX_RANK],
    before: [u8; MAX_RANK],
    after: [u8; MAX_RANK],
    zero: i8,
}

crate::stored::stored!(PadStep {
    dims: [u32; 4],
    before: [u8; 4],
    after: [u8; 4],
    zero: i8
});

/// A padded number is none of the input's, but its gradient goes nowhere.
pub(super) const FACTS: Facts = Facts {
    needs_x: false,
    selects: true,
    ..Facts::PLAIN
};

impl Pad {
    /// The output's shape; `None` where it is too large, or where axes are padded that the input does not have.
    pub fn output_shape(&self, input: &Shape) -> Option<Shape> {
        let mut dims = [1usize; MAX_RANK];
        let padding = self.before.iter().zip(&self.after);
        let mut axes = input.dims().iter();
        for (dim, (before, after)) in dims.iter_mut().zip(padding) {
            let padding = usize::from(*before) + usize::from(*after);
            match axes.next() {
                Some(input) => *dim = (*input as usize).checked_add(padding)?,
                None if padding > 0 => return None,
                None => {}
            }
        }
        Shape::new(dims.get(..input.rank())?)
    }

    /// What the kernels take. `zero` is the int8 that stands for 0.
    pub fn step(&self, input: &Shape, zero: i8) -> PadStep {
        PadStep {
            dims: input.padded_dims(),
            before: self.before,
            after: self.after,
            zero,
        }
    }
}

impl<K: OpSet> Operator<K> for Pad {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.same_dtype()?;
        check.same_quant()?;
        let shape = self.output_shape(&check.x.shape);
        check.y_shape(shape.ok_or(NodeFault::Geometry)?)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let forward = code::<K>(check.x.dtype)?;
        // Checked when the model was loaded.
        let zero = check.x.zero_point() as i8;
        Some((forward, Sizes::Pad(self.step(&check.x.shape, zero))))
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
    backward_by_scalar!(K, dtype, run_backward)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pad(step) = frame.step.sizes else {
        return None;
    };
    frame.map(memory, |x, y| step.forward::<S>(x, S::ZERO, y))
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Pad(step) = frame.step.sizes else {
        return None;
    };
    frame.map(memory, |x, y| step.forward_i8(x, y))
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Pad(step) = frame.step.sizes else {
        return None;
    };
    back.input_gradient(0, memory, |x, below, delta| {
        step.backward::<S>(x, below, delta);
    })
}

impl PadStep {
    /// Calls `visit(start in x, start in y)` for each run along the last axis.
    fn runs(&self, mut visit: impl FnMut(usize, usize)) {
        let [planes, rows, columns, cells] = self.dims.map(|dim| dim as usize);
        let [p, r, c, b] = self.before.map(usize::from);
        let [_, more_rows, more_columns, more_cells] = self.after.map(usize::from);
        let width = b + cells + more_cells;
        let height = c + columns + more_columns;
        let depth = r + rows + more_rows;
        for plane in 0..planes {
            for row in 0..rows {
                for column in 0..columns {
                    let from = ((plane * rows + row) * columns + column) * cells;
                    let to = ((p + plane) * depth + r + row) * height + c + column;
                    visit(from, to * width + b);
                }
            }
        }
    }

    /// `x` into `y`, which is `zero` elsewhere.
    pub fn forward<T: Copy>(&self, x: &[T], zero: T, y: &mut [T]) {
        y.fill(zero);
        let [.., cells] = self.dims;
        self.runs(|from, to| {
            let x = x.iter().skip(from).take(cells as usize);
            for (x, y) in x.zip(y.iter_mut().skip(to)) {
                *y = *x;
            }
        });
    }

    /// int8: the zero point around `x`.
    pub fn forward_i8(&self, x: &[i8], y: &mut [i8]) {
        self.forward(x, self.zero, y);
    }

    /// The input is overwritten by its part of the gradient, times the derivative of `below`.
    pub(crate) fn backward<S: Scalar>(&self, x: &mut [S], below: Activation, delta: &[S]) {
        let [.., cells] = self.dims;
        self.runs(|from, to| {
            let x = x.iter_mut().skip(from).take(cells as usize);
            for (x, delta) in x.zip(delta.iter().skip(to)) {
                *x = below.derivative(*delta, *x);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_around_a_map_and_off_again() {
        let shape = Shape::new(&[2, 2, 1]).unwrap();
        let pad = Pad {
            before: [1, 0, 0, 0],
            after: [0, 2, 0, 0],
        };
        assert_eq!(pad.output_shape(&shape), Shape::new(&[3, 4, 1]));
        let step = pad.step(&shape, -7);
        let mut y = [0; 12];
        step.forward_i8(&[1, 2, 3, 4], &mut y);
        assert_eq!(y, [-7, -7, -7, -7, 1, 2, -7, -7, 3, 4, -7, -7]);
        let mut x = [1.0f32, 1.0, 0.0, 1.0];
        step.backward(&mut x, Activation::Relu, &y.map(f32::from));
        assert_eq!(x, [1.0, 2.0, 0.0, 4.0]);
    }

    #[test]
    fn axes_that_are_not_there_cannot_be_padded() {
        let pad = Pad {
            after: [0, 1, 0, 0],
            ..Pad::default()
        };
        assert_eq!(pad.output_shape(&Shape::vector(3)), None);
    }
}
