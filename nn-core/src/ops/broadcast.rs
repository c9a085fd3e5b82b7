//! Operators of two inputs: the second is repeated along the leading axes of the first.
//!
//! Without its leading ones the shape of x1 is the end of the shape of x0: the same shape, `[channels]` against
//! `[height, width, channels]`, or one number. So x1\[i mod n\] meets x0\[i\], n being the length of x1.

use crate::ops::{Activation, Check, NodeFault};
use crate::scalar::Scalar;
use crate::tensor::{DType, Shape};

/// Whether `x1` can be repeated along `x0`.
pub(crate) fn repeats(x0: &Shape, x1: &Shape) -> bool {
    let ones = x1.dims().iter().take_while(|dim| **dim == 1).count();
    x0.dims().ends_with(x1.dims().get(ones..).unwrap_or(&[]))
}

/// The rule of both operands, the output and a fused activation; gives the type.
pub(crate) fn check(check: &Check, activation: Activation) -> Result<DType, NodeFault> {
    check.arity(2)?;
    let dtype = check.same_dtype()?;
    let (id, x1) = check.operand(1, dtype)?;
    if !repeats(&check.x.shape, &x1.shape) {
        return Err(NodeFault::Shape(id));
    }
    check.y_shape(check.x.shape)?;
    let fits = activation.is_valid() && (dtype != DType::I8 || activation.is_fused_i8());
    fits.then_some(dtype).ok_or(NodeFault::Activation)
}

/// y\[i\] = function(y\[i\], x1\[i mod n\]): y holds x0.
#[inline(always)]
pub(crate) fn each<T: Copy>(y: &mut [T], x1: &[T], function: impl Fn(T, T) -> T) {
    for y in y.chunks_mut(x1.len().max(1)) {
        for (y, x1) in y.iter_mut().zip(x1) {
            *y = function(*y, *x1);
        }
    }
}

/// [`each`] in int8: `fours` does it for rows of four numbers at a time, of which the second may be one that meets all;
/// `one` for those that are left over.
#[cfg(not(mote_helium))]
#[inline(always)]
pub(crate) fn each_four(
    y: &mut [i8],
    x1: &[i8],
    fours: impl Fn(&mut [[i8; 4]], &[[i8; 4]]),
    one: impl Fn(i8, i8) -> i8,
) {
    let single = x1.first().map_or(0, |x1| *x1);
    let repeated = [[single; 4]];
    let row = if x1.len() == 1 { y.len() } else { x1.len() };
    for y in y.chunks_mut(row.max(1)) {
        let (quads, rest) = y.as_chunks_mut();
        if x1.len() == 1 {
            fours(quads, &repeated);
            each(rest, x1, &one);
        } else {
            let (quads_1, rest_1) = x1.as_chunks();
            fours(quads, quads_1);
            each(rest, rest_1, &one);
        }
    }
}

/// Σ over the rows of `values`, in order from 0, of the numbers at `column`; a row has `columns` numbers.
pub(crate) fn column_sum<S: Scalar>(values: &[S], column: usize, columns: usize) -> S::Acc {
    let mut sum = S::ZERO_ACC;
    for value in values.iter().skip(column).step_by(columns.max(1)) {
        sum = S::add_acc(sum, *value);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_shapes_repeat() {
        let repeats = |x0: &[usize], x1: &[usize]| {
            repeats(&Shape::new(x0).unwrap(), &Shape::new(x1).unwrap())
        };
        assert!(repeats(&[2, 3, 4], &[2, 3, 4]));
        assert!(repeats(&[2, 3, 4], &[4]));
        assert!(repeats(&[2, 3, 4], &[3, 4]));
        assert!(repeats(&[2, 3, 4], &[1, 1, 4]));
        assert!(repeats(&[2, 3, 4], &[1]));
        assert!(repeats(&[1, 4], &[1, 4]));
        assert!(!repeats(&[2, 3, 4], &[3]));
        assert!(!repeats(&[2, 3, 4], &[2, 1, 4]));
        assert!(!repeats(&[4], &[3, 4]));
    }
}
