//! Leaky ReLU whose slopes learn: y = x where x > 0, else slope · x; one slope for each number along the last axes,
//! or one for all.
//!
//! int8 after TensorFlow Lite's PRELU: with x and the slope counted from their zero points,
//! y = clamp(zero_y + rescale(x)) where x ≥ 0 (factor scale_x / scale_y), else clamp(zero_y + rescale(x · slope))
//! (factor scale_x · scale_slope / scale_y).
//! The slope's gradient is Σ δ · x over the numbers that are not above 0, in order from 0.
//! Source: K. He et al., "Delving Deep into Rectifiers", 2015; PyTorch's `PReLU`.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Learns, Operands, Sizes};
use crate::fixed_point::{Rescale, saturate_i8};
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::dense::Weights;
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, Output, backward_by_scalar, broadcast,
    by_scalar,
};
use crate::scalar::Scalar;
use crate::tensor::{DType, Quant, TensorId};

/// Parameters of a learnt leaky ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prelu {
    /// The slopes, of a shape that is the end of the input's, or `[1]`; int8 with one scale.
    pub slope: TensorId,
    /// int8: the two factors.
    pub requant: Option<PreluRequant>,
}

/// The factors of an int8 PReLU, or of an int8 leaky ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreluRequant {
    /// scale_x / scale_y.
    pub positive: Rescale,
    /// scale_x · scale_slope / scale_y; of a leaky ReLU scale_x · slope / scale_y.
    pub negative: Rescale,
}

crate::stored::stored!(PreluRequant {
    positive: Rescale,
    negative: Rescale
});

/// All that an int8 PReLU takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreluStep {
    /// The factors.
    pub requant: PreluRequant,
    /// The zero points of x, the slope and y.
    pub zeros: [i8; 3],
}

crate::stored::stored!(PreluStep {
    requant: PreluRequant,
    zeros: [i8; 3]
});

impl Prelu {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            parameters: [Some(self.slope), None, None, None],
            output: Output::InPlace,
            ..Facts::PLAIN
        }
    }
}

impl<K: OpSet> Operator<K> for Prelu {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        let dtype = check.same_dtype()?;
        check.y_shape(check.x.shape)?;
        let slope = check.weight(self.slope, dtype)?;
        if !broadcast::repeats(&check.x.shape, &slope.shape) {
            return Err(NodeFault::Shape(self.slope));
        }
        let valid = match self.requant {
            Some(PreluRequant { positive, negative }) => {
                dtype == DType::I8
                    && matches!(slope.quant, Quant::PerTensor { .. })
                    && positive.is_valid()
                    && negative.is_valid()
            }
            None => dtype != DType::I8,
        };
        valid.then_some(()).ok_or(NodeFault::Quant)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        match (check.x.dtype, self.requant) {
            (DType::I8, Some(requant)) => {
                let slope = check.tensor(self.slope)?;
                // Checked when the model was loaded.
                let zeros = [check.x, slope, check.y].map(|tensor| tensor.zero_point() as i8);
                Some((
                    code::<K>(DType::I8)?,
                    Sizes::PreluI8(PreluStep { requant, zeros }),
                ))
            }
            (dtype, _) => Some((code::<K>(dtype)?, Sizes::None)),
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
    memory.copy(frame.x(), frame.y())?;
    let ([slope], [y]) = memory.borrow([frame.parameter(0)], [frame.y()])?;
    forward::<S>(numbers_mut(y)?, numbers(slope)?);
    Some(())
}

fn run_i8(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::PreluI8(step) = frame.step.sizes else {
        return None;
    };
    memory.copy(frame.x(), frame.y())?;
    let ([slope], [y]) = memory.borrow([frame.parameter(0)], [frame.y()])?;
    forward_i8(numbers_mut(y)?, numbers(slope)?, &step);
    Some(())
}

fn run_backward<S: Learns>(
    frame: &Frame,
    back: &BackFrame,
    learning: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let slot = back.slot(0);
    // Without a gradient below, x is read where it lies.
    let (x, place) = match slot.below {
        Some(_) => (Span::NOTHING, slot.at),
        None => (frame.x(), Span::NOTHING),
    };
    let mut operands = learning.borrow::<S>(frame, back, 0, memory, &[back.delta(), x], &[place]);
    let Operands {
        weights,
        reads: [delta, x, _],
        writes: [place, ..],
    } = operands.as_mut()?;
    let delta = numbers(delta)?;
    match (slot.below, weights) {
        (Some(below), slope) => backward(numbers_mut(place)?, below, slope, delta),
        (None, Weights::Learning(slope)) => backward_slope(numbers(x)?, slope, delta),
        _ => {}
    }
    Some(())
}

/// In place: `y` holds x.
pub fn forward<S: Scalar>(y: &mut [S], slope: &[S]) {
    broadcast::each(
        y,
        slope,
        |x, slope| if x > S::ZERO { x } else { x.mul(slope) },
    );
}

/// int8, in place: `y` holds x.
pub fn forward_i8(y: &mut [i8], slope: &[i8], step: &PreluStep) {
    let [x_zero, slope_zero, y_zero] = step.zeros.map(i32::from);
    broadcast::each(y, slope, |x, slope| {
        // Nine bits each.
        let (x, slope) = (i32::from(x) - x_zero, i32::from(slope) - slope_zero);
        let value = if x >= 0 {
            step.requant.positive.apply(x)
        } else {
            step.requant.negative.apply(x * slope)
        };
        saturate_i8(value.wrapping_add(y_zero))
    });
}

/// Backward and update: for each slope in turn x is overwritten by its gradient with the slope from before the
/// update, times the derivative of `below`; then the slope learns.
pub(crate) fn backward<S: Scalar>(
    x: &mut [S],
    below: Activation,
    slope: &mut Weights<'_, S>,
    delta: &[S],
) {
    let columns = match &*slope {
        Weights::Frozen(slope) => slope.len(),
        Weights::Learning(slope) => slope.len(),
    };
    for column in 0..columns {
        let value = match &*slope {
            Weights::Frozen(slope) => slope.get(column),
            Weights::Learning(slope) => slope.values(column, 1).first(),
        };
        let value = value.copied().unwrap_or(S::ZERO);
        let mut sum = S::ZERO_ACC;
        let cells = x.iter_mut().skip(column).step_by(columns);
        for (x, delta) in cells.zip(delta.iter().skip(column).step_by(columns)) {
            let gradient = if *x > S::ZERO {
                *delta
            } else {
                sum = S::mul_acc(sum, *delta, *x);
                delta.mul(value)
            };
            *x = below.derivative(gradient, *x);
        }
        if let Weights::Learning(slope) = slope {
            slope.step(column, &[sum]);
        }
    }
}

/// The slopes learn; no gradient is wanted below.
pub(crate) fn backward_slope<S: Scalar>(
    x: &[S],
    slope: &mut crate::train::Update<'_, S>,
    delta: &[S],
) {
    let columns = slope.len();
    for column in 0..columns {
        let mut sum = S::ZERO_ACC;
        let cells = x.iter().skip(column).step_by(columns);
        for (x, delta) in cells.zip(delta.iter().skip(column).step_by(columns)) {
            if *x <= S::ZERO {
                sum = S::mul_acc(sum, *delta, *x);
            }
        }
        slope.step(column, &[sum]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::Rounder;
    use crate::train::{Rule, Update};

    #[test]
    fn slopes_learn_from_what_is_not_above_0() {
        let x = [2.0f32, -4.0, -1.0, 8.0, -3.0, -2.0];
        let mut y = x;
        forward(&mut y, &[0.5, 0.25]);
        assert_eq!(y, [2.0, -1.0, -0.5, 8.0, -1.5, -0.5]);
        let delta = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut slope = [0.5f32, 0.25];
        let mut rule = Rule::plain(1.0, Rounder::stochastic(1));
        let mut gradient = x;
        let update = Update::new(&mut slope, &mut [], &mut rule);
        backward(
            &mut gradient,
            Activation::None,
            &mut Weights::Learning(update),
            &delta,
        );
        assert_eq!(gradient, [1.0, 0.5, 1.5, 4.0, 2.5, 1.5]);
        // −3 − 15, −8 − 12.
        assert_eq!(slope, [18.5, 20.25]);
        let mut alone = [0.5f32, 0.25];
        let mut update = Update::new(&mut alone, &mut [], &mut rule);
        backward_slope(&x, &mut update, &delta);
        assert_eq!(alone, slope);
    }

    #[test]
    fn int8_by_hand() {
        // Factors 1 and 1/64.
        let requant = PreluRequant {
            positive: Rescale {
                multiplier: 1 << 30,
                shift: 1,
            },
            negative: Rescale {
                multiplier: 1 << 30,
                shift: -5,
            },
        };
        let step = PreluStep {
            requant,
            zeros: [1, -2, 3],
        };
        let mut y = [127, -11, 1, 5];
        forward_i8(&mut y, &[30, 40], &step);
        // 126 + 3 saturates; −12·42/64 = −7.875 + 3; 0 + 3; 4 + 3.
        assert_eq!(y, [127, -5, 3, 7]);
    }
}
