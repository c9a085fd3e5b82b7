//! How an operator without weights reaches its numbers: from the inputs' to the output's, and from the output's gradient
//! back to an input's.

use bytemuck::Pod;

use crate::engine::{BackFrame, Frame};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::Activation;
use crate::scalar::Scalar;

impl Frame<'_> {
    /// `f(x, y)`, the output apart from the input.
    #[inline(always)]
    pub(crate) fn map<X: Pod, Y: Pod>(
        &self,
        memory: &mut Memory,
        f: impl FnOnce(&[X], &mut [Y]),
    ) -> Option<()> {
        let ([x], [y]) = memory.borrow([self.x()], [self.y()])?;
        f(numbers(x)?, numbers_mut(y)?);
        Some(())
    }

    /// `f(y)`, where y holds the input's numbers: for an operator that works in place.
    #[inline(always)]
    pub(crate) fn map_in_place<T: Pod>(
        &self,
        memory: &mut Memory,
        f: impl FnOnce(&mut [T]),
    ) -> Option<()> {
        memory.copy(self.x(), self.y())?;
        f(numbers_mut(memory.ram.get_mut(self.y().range())?)?);
        Some(())
    }

    /// `f(y, x1)`, where y holds the first input's numbers, and x1 is the second input: in place too.
    #[inline(always)]
    pub(crate) fn join_in_place<T: Pod>(
        &self,
        memory: &mut Memory,
        f: impl FnOnce(&mut [T], &[T]),
    ) -> Option<()> {
        memory.copy(self.x(), self.y())?;
        let ([x1], [y]) = memory.borrow([self.input(1)], [self.y()])?;
        f(numbers_mut(y)?, numbers(x1)?);
        Some(())
    }
}

impl BackFrame<'_> {
    /// `f(x, below, delta)` where the gradient at the input `index` is wanted: `f` overwrites x by it, times the
    /// derivative of `below`, which made x.
    #[inline(always)]
    pub(crate) fn input_gradient<S: Scalar>(
        &self,
        index: usize,
        memory: &mut Memory,
        f: impl FnOnce(&mut [S], Activation, &[S]),
    ) -> Option<()> {
        let slot = self.slot(index);
        if let Some(below) = slot.below {
            let ([delta], [x]) = memory.borrow([self.delta()], [slot.at])?;
            f(numbers_mut(x)?, below, numbers(delta)?);
        }
        Some(())
    }
}
