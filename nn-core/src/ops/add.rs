//! Sum of two tensors: y = act(x0 + x1), the second repeated along the leading axes of the first (see `broadcast`).
//!
//! int8 after TensorFlow Lite's reference integer kernel for ADD: each input's steps are shifted left by 20 and
//! rescaled to half of the wider input's step, the sum is rescaled to the output's steps:
//! y = clamp(zero_y + rescale_y(rescale_0((x0 − zero_0)·2²⁰) + rescale_1((x1 − zero_1)·2²⁰))).
//! The gradient at x0 is δ; that at x1 is Σ δ over the rows in order from 0.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes, hand_down};
#[cfg(not(mote_helium))]
use crate::fixed_point::Reduction;
use crate::fixed_point::Rescale;
use crate::kernels;
#[cfg(not(mote_helium))]
use crate::kernels::{Sums, packed::channel::clamp};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, Output, backward_by_scalar, broadcast,
    by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::DType;

/// Parameters of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Add {
    /// int8: how the inputs and their sum are rescaled.
    pub requant: Option<AddRequant>,
    /// What is applied to the output.
    pub activation: Activation,
}

/// The factors of an int8 sum. With m twice the larger of the inputs' scales:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddRequant {
    /// scale_0 / m; its shift is at most 0.
    pub x0: Rescale,
    /// scale_1 / m; its shift is at most 0.
    pub x1: Rescale,
    /// m / (2²⁰ · scale_y); its shift is at most 0.
    pub y: Rescale,
}

/// Bits by which the inputs of an int8 sum are shifted left.
pub const LEFT_SHIFT: u32 = kernels::LEFT_SHIFT;

/// All that an int8 sum takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddStep {
    multipliers: [i32; 3],
    shifts: [i8; 3],
    zeros: [i8; 3],
    range: [i8; 2],
}

crate::stored::stored!(AddStep {
    multipliers: [i32; 3],
    shifts: [i8; 3],
    zeros: [i8; 3],
    range: [i8; 2]
});

impl AddStep {
    /// `zeros` are the zero points of x0, x1 and y; `range` is that of the output.
    pub fn new(requant: &AddRequant, zeros: [i8; 3], range: [i8; 2]) -> Self {
        let AddRequant { x0, x1, y } = *requant;
        Self {
            multipliers: [x0.multiplier, x1.multiplier, y.multiplier],
            shifts: [x0.shift, x1.shift, y.shift],
            zeros,
            range,
        }
    }

    /// One number.
    #[inline(always)]
    fn apply(&self, x0: i8, x1: i8) -> i8 {
        let [m0, m1, m] = self.multipliers;
        let [s0, s1, s] = self.shifts;
        let [zero_0, zero_1, zero] = self.zeros.map(i32::from);
        let scaled = |x: i8, zero: i32, multiplier: i32, shift: i8| {
            // Nine bits and 20.
            Rescale { multiplier, shift }.apply((i32::from(x) - zero) << LEFT_SHIFT)
        };
        let sum = scaled(x0, zero_0, m0, s0).wrapping_add(scaled(x1, zero_1, m1, s1));
        let rescale = Rescale {
            multiplier: m,
            shift: s,
        };
        within(rescale.apply(sum).wrapping_add(zero), self.range)
    }
}

#[cfg(not(mote_helium))]
impl AddStep {
    /// For four numbers at a time, where no factor is above 1.
    #[inline(always)]
    fn sums(&self) -> Option<Sums> {
        let [x0, x1, sum] = [0, 1, 2].map(|index: usize| {
            let multiplier = self.multipliers.get(index).copied()?;
            let shift = self.shifts.get(index).copied()?;
            Reduction::new(Rescale { multiplier, shift })
        });
        let [zero_0, zero_1, zero] = self.zeros.map(i32::from);
        Some(Sums {
            zero_0: -zero_0 << Sums::SHIFT,
            x0: x0?,
            zero_1: -zero_1 << Sums::SHIFT,
            x1: x1?,
            sum: sum?,
            zero,
        })
    }
}

#[cfg(mote_helium)]
impl AddStep {
    /// For vectors, where no factor is above 1.
    fn pairs(&self) -> Option<kernels::helium::each::Pairs> {
        let [m0, m1, m] = self.multipliers;
        let [s0, s1, s] = self.shifts;
        let factors = [(m0, s0), (m1, s1), (m, s)];
        let factors = factors.map(|(multiplier, shift)| Rescale { multiplier, shift });
        let pairs = kernels::helium::each::Pairs::new(factors, self.zeros, self.range);
        self.shifts.iter().all(|shift| *shift <= 0).then_some(pairs)
    }
}

/// `value` within a range of int8.
#[inline(always)]
pub(crate) fn within(value: i32, [low, high]: [i8; 2]) -> i8 {
    // Within int8 after this.
    value.max(i32::from(low)).min(i32::from(high)) as i8
}

impl Add {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            activation: self.activation,
            output: Output::InPlace,
            needs_x: false,
            ..Facts::PLAIN
        }
    }
}

impl<K: OpSet> Operator<K> for Add {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        let dtype = broadcast::check(check, self.activation)?;
        let valid = match self.requant {
            Some(AddRequant { x0, x1, y }) => {
                let each = [x0, x1, y];
                let mut each = each.iter();
                dtype == DType::I8 && each.all(|factor| factor.is_valid() && factor.shift <= 0)
            }
            None => dtype != DType::I8,
        };
        valid.then_some(()).ok_or(NodeFault::Quant)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        match (check.x.dtype, &self.requant) {
            (DType::I8, Some(requant)) => {
                let (_, x1) = check.input(1).ok()?;
                // Checked when the model was loaded.
                let zeros = [check.x, x1, check.y].map(|tensor| tensor.zero_point() as i8);
                let step = AddStep::new(requant, zeros, check.range_i8(self.activation));
                Some((code::<K>(DType::I8)?, Sizes::AddI8(step)))
            }
            (dtype, _) => Some((code::<K>(dtype)?, Sizes::Function(self.activation))),
        }
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
    let Sizes::Function(activation) = frame.step.sizes else {
        return None;
    };
    frame.join_in_place(memory, |y, x1| forward::<S>(y, x1, activation))
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::AddI8(step) = frame.step.sizes else {
        return None;
    };
    frame.join_in_place(memory, |y, x1| forward_i8(y, x1, &step))
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let slot = back.slot(1);
    if let Some(below) = slot.below {
        let ([delta], [x1]) = memory.borrow([back.delta()], [slot.at])?;
        backward_second::<S>(numbers_mut(x1)?, below, numbers(delta)?);
    }
    hand_down::<S>(frame, back, learning, memory)
}

/// y = act(x0 + x1), in place: `y` holds x0.
pub fn forward<S: Scalar>(y: &mut [S], x1: &[S], activation: Activation) {
    broadcast::each(y, x1, S::add);
    activation.apply_all(y);
}

/// int8, in place: `y` holds x0.
pub fn forward_i8(y: &mut [i8], x1: &[i8], step: &AddStep) {
    let one = |x0, x1| step.apply(x0, x1);
    #[cfg(mote_helium)]
    match step.pairs() {
        Some(pairs) => pairs.add(y, x1),
        None => broadcast::each(y, x1, one),
    }
    #[cfg(not(mote_helium))]
    match step.sums() {
        Some(sums) => {
            let fours = |y: &mut [[i8; 4]], x1: &[[i8; 4]]| {
                sums.fours(y, x1);
                clamp(y.as_flattened_mut(), step.range);
            };
            broadcast::each_four(y, x1, fours, one);
        }
        None => broadcast::each(y, x1, one),
    }
}

/// The second operand is overwritten by its gradient Σ δ, times the derivative of `below`.
pub(crate) fn backward_second<S: Scalar>(x1: &mut [S], below: Activation, delta: &[S]) {
    let columns = x1.len();
    for (column, x1) in x1.iter_mut().enumerate() {
        let sum = broadcast::column_sum(delta, column, columns);
        *x1 = below.derivative(S::narrow(sum), *x1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_added_to_each_row() {
        let mut y = [1.0f32, 2.0, -3.0, 4.0];
        forward(&mut y, &[10.0, -2.0], Activation::Relu);
        assert_eq!(y, [11.0, 0.0, 7.0, 2.0]);
        let mut x1 = [0.5f32, -0.5];
        backward_second(&mut x1, Activation::Relu, &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(x1, [4.0, 0.0]);
    }

    #[test]
    fn int8_by_hand() {
        // Scales 1, 1/2 and 1: m = 2, factors 1/2, 1/4 and 2^−19.
        let factor = |shift| Rescale {
            multiplier: 1 << 30,
            shift,
        };
        let requant = AddRequant {
            x0: factor(0),
            x1: factor(-1),
            y: factor(-18),
        };
        let step = AddStep::new(&requant, [1, -2, 3], [3, 127]);
        let mut y = [11, -20, 127, 5];
        forward_i8(&mut y, &[8, 7], &step);
        // 10 + 5 + 3; −21 + 4.5 below the zero point; 126 + 5 + 3 saturates; 4 + 4.5 to 9 (halves up), + 3.
        assert_eq!(y, [18, 3, 127, 12]);
    }
}
