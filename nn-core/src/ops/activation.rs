//! Activations that a dense layer or a convolution applies to its own output.

use serde::{Deserialize, Serialize};

use crate::scalar::Scalar;

/// An activation fused into the operator that computes its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Activation {
    /// y = x.
    #[default]
    None,
    /// y = max(x, 0).
    Relu,
    /// y = 1 / (1 + e^−x); not for int8.
    Sigmoid,
    /// y = tanh x; not for int8.
    Tanh,
}

impl Activation {
    /// The activation of `x`.
    #[inline(always)]
    pub(crate) fn apply<S: Scalar>(self, x: S) -> S {
        match self {
            Self::None => x,
            // Written so that a NaN becomes 0 on every machine.
            Self::Relu => {
                if x > S::ZERO {
                    x
                } else {
                    S::ZERO
                }
            }
            Self::Sigmoid => x.sigmoid(),
            Self::Tanh => x.tanh(),
        }
    }

    /// `gradient` times dy/dx, told from the output `y` alone: ReLU [y > 0], sigmoid y(1 − y), tanh 1 − y².
    ///
    /// That is why a layer's delta can overwrite its activation: whoever overwrites y still sees it.
    #[inline(always)]
    pub(crate) fn derivative<S: Scalar>(self, gradient: S, y: S) -> S {
        match self {
            Self::None => gradient,
            Self::Relu => {
                if y > S::ZERO {
                    gradient
                } else {
                    S::ZERO
                }
            }
            Self::Sigmoid => gradient.mul(y.mul(S::ONE.sub(y))),
            Self::Tanh => gradient.mul(S::ONE.sub(y.mul(y))),
        }
    }

    /// The range of an int8 output with this `zero_point`.
    pub(crate) fn range_i8(self, zero_point: i32) -> (i32, i32) {
        match self {
            Self::Relu => (zero_point.clamp(-128, 127), 127),
            _ => (-128, 127),
        }
    }
}
