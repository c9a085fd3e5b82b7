//! Randomized leaky ReLU: y = x where x ≥ 0, else a · x; a is drawn for each number when training, evenly between
//! `lower` and `upper`, and is their mean otherwise.
//!
//! The slope of a number is a function of the step's seed and the number's place: backward draws it again.
//! Source: B. Xu et al., "Empirical Evaluation of Rectified Activations in Convolutional Network", 2015.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::memory::Memory;
use crate::ops::{Check, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar};
use crate::scalar::{Scalar, hash};
use crate::tensor::DType;

/// Parameters of a randomized leaky ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rrelu {
    /// The least slope, at least 0.
    pub lower: f32,
    /// The largest slope, at most 1.
    pub upper: f32,
}

impl<K: OpSet> Operator<K> for Rrelu {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.real_dtype()?;
        check.y_shape(check.x.shape)?;
        let valid = self.lower >= 0.0 && self.lower <= self.upper && self.upper <= 1.0;
        valid.then_some(()).ok_or(NodeFault::Activation)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let sizes = Sizes::Slopes {
            lower: self.lower,
            upper: self.upper,
        };
        Some((code::<K>(check.x.dtype)?, sizes))
    }
}

/// lower + (upper − lower) · u, u of 16 bits in [0, 1); the mean without a seed.
fn slope<S: Scalar>(lower: S, upper: S, seed: Option<u32>, index: usize) -> S {
    let width = upper.sub(lower);
    let share = match seed {
        // Places past 2^32 draw again what was drawn; 16 bits are exact in f32 and in Q16.
        Some(seed) => S::from_f32((hash(seed, index as u32) >> 16) as f32 / 65536.0),
        None => S::from_f32(0.5),
    };
    lower.add(width.mul(share))
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    by_scalar!(K, dtype, run)
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_scalar!(K, dtype, run_backward)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Slopes { lower, upper } = frame.step.sizes else {
        return None;
    };
    let (lower, upper) = (S::from_f32(lower), S::from_f32(upper));
    frame.map(memory, |x: &[S], y: &mut [S]| {
        for (index, (x, y)) in x.iter().zip(y).enumerate() {
            *y = if *x >= S::ZERO {
                *x
            } else {
                x.mul(slope(lower, upper, frame.seed, index))
            };
        }
    })
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let Sizes::Slopes { lower, upper } = frame.step.sizes else {
        return None;
    };
    let (lower, upper) = (S::from_f32(lower), S::from_f32(upper));
    back.input_gradient(0, memory, |x: &mut [S], below, delta| {
        for (index, (delta, x)) in delta.iter().zip(x).enumerate() {
            let gradient = if *x >= S::ZERO {
                *delta
            } else {
                delta.mul(slope(lower, upper, frame.seed, index))
            };
            *x = below.derivative(gradient, *x);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_lie_in_their_range_evenly_and_the_mean_is_the_middle() {
        let (lower, upper) = (0.125f32, 0.375);
        let drawn = (0..4096).map(|index| slope(lower, upper, Some(7), index));
        let mean = drawn.clone().sum::<f32>() / 4096.0;
        assert!(drawn.clone().all(|a| (lower..upper).contains(&a)));
        // Four standard errors of an even draw of 4096.
        assert!((mean - 0.25).abs() < 4.0 * 0.25 / 12f32.sqrt() / 64.0);
        assert_eq!(slope(lower, upper, None, 3), 0.25);
    }
}
