//! Dropout: when training, each number becomes 0 with probability p, and the others are multiplied by 1 / (1 − p).
//!
//! Which ones is a function of the step's seed and the number's place, so that backward finds the same again and
//! nothing is kept. Otherwise the output is the input, and lies where it lies.
//! Source: N. Srivastava et al., "Dropout", 2014, in the inverted form of PyTorch's `Dropout`.

use serde::{Deserialize, Serialize};

use crate::engine::{BackFrame, Backward, Forward, Frame, Learning, Sizes};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::{
    Activation, Check, Facts, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar,
};
use crate::scalar::{Scalar, hash};
use crate::tensor::DType;

/// Parameters of a dropout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropout {
    /// The probability of becoming 0, in 65536ths.
    pub probability: u16,
}

crate::stored::stored!(Dropout { probability: u16 });

pub(super) const FACTS: Facts = Facts::elementwise(Activation::None);

impl<K: OpSet> Operator<K> for Dropout {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.real_dtype()?;
        check.y_shape(check.x.shape)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        Some((code::<K>(check.x.dtype)?, Sizes::Dropout(*self)))
    }
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
    let Sizes::Dropout(dropout) = frame.step.sizes else {
        return None;
    };
    frame.map_in_place(memory, |values: &mut [S]| {
        if let Some(seed) = frame.seed {
            dropout.apply(values, seed);
        }
    })
}

fn run_backward<S: Scalar>(
    frame: &Frame,
    back: &BackFrame,
    _: &mut Learning,
    memory: &mut Memory,
) -> Option<()> {
    let (Sizes::Dropout(dropout), Some(seed), Some(below)) =
        (frame.step.sizes, frame.seed, back.slot(0).below)
    else {
        return Some(());
    };
    let at = back.slot(0).at;
    if at == back.delta() {
        // They share a buffer where what made x has no derivative.
        let delta = memory.ram.get_mut(at.range())?;
        dropout.apply::<S>(numbers_mut(delta)?, seed);
    } else {
        let ([delta], [x]) = memory.borrow([back.delta()], [at])?;
        dropout.backward::<S>(numbers_mut(x)?, below, numbers(delta)?, seed);
    }
    Some(())
}

impl Dropout {
    /// Whether the number at `index` becomes 0.
    #[inline(always)]
    fn drops(self, seed: u32, index: usize) -> bool {
        // Places past 2^32 draw again what was drawn.
        hash(seed, index as u32) >> 16 < u32::from(self.probability)
    }

    /// 1 / (1 − p), rounded once in f32.
    fn rate<S: Scalar>(self) -> S::Rate {
        // Both are exact.
        let kept = 65536 - u32::from(self.probability);
        S::rate(65536.0 / kept as f32)
    }

    /// Each number 0, or multiplied by the rate.
    pub(crate) fn apply<S: Scalar>(self, values: &mut [S], seed: u32) {
        let rate = self.rate::<S>();
        for (index, value) in values.iter_mut().enumerate() {
            *value = if self.drops(seed, index) {
                S::ZERO
            } else {
                value.scale(rate)
            };
        }
    }

    /// Backward: x is overwritten by δ under the same mask, times the derivative of `below`.
    pub(crate) fn backward<S: Scalar>(
        self,
        x: &mut [S],
        below: Activation,
        delta: &[S],
        seed: u32,
    ) {
        let rate = self.rate::<S>();
        for (index, (x, delta)) in x.iter_mut().zip(delta).enumerate() {
            let gradient = if self.drops(seed, index) {
                S::ZERO
            } else {
                delta.scale(rate)
            };
            *x = below.derivative(gradient, *x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::Q16;

    #[test]
    fn as_many_are_dropped_as_the_probability_says_and_the_mean_stays() {
        for probability in [0, 1 << 14, 1 << 15, 3 << 14] {
            let dropout = Dropout { probability };
            let p = f64::from(probability) / 65536.0;
            let mut values = [1.0f32; 8192];
            dropout.apply(&mut values, 42);
            let dropped = values.iter().filter(|v| **v == 0.0).count() as f64;
            // Four standard deviations of a binomial count.
            let spread = 4.0 * (8192.0 * p * (1.0 - p)).sqrt();
            assert!((dropped - 8192.0 * p).abs() <= spread, "{p}: {dropped}");
            let kept = (1.0 / (1.0 - p)) as f32;
            assert!(values.iter().all(|v| *v == 0.0 || *v == kept));
            // Another seed, another mask.
            let mut others = [1.0f32; 8192];
            dropout.apply(&mut others, 43);
            assert_eq!(values == others, probability == 0);
        }
    }

    #[test]
    fn the_gradient_passes_where_the_number_passed() {
        let dropout = Dropout {
            probability: 20_000,
        };
        let mut y = [1.0f32; 100];
        dropout.apply(&mut y, 7);
        let mut x = [0.5f32; 100];
        dropout.backward(&mut x, Activation::Sigmoid, &[1.0; 100], 7);
        for (x, y) in x.iter().zip(y) {
            assert_eq!(*x, y * 0.25);
        }
        // Fixed point draws the same mask; its rate has 15 bits.
        let mut fixed = [Q16::ONE; 100];
        dropout.apply(&mut fixed, 7);
        for (fixed, y) in fixed.iter().zip(y) {
            assert!((fixed.to_num::<f32>() - y).abs() <= y * 2f32.powi(-15) + 1.0 / 65536.0);
        }
    }
}
