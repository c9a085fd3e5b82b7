//! Activations: functions of each number, fused into a layer or an operator of their own.
//!
//! | | y | dy/dx, told from y |
//! |---|---|---|
//! | ReLU | max(x, 0) | \[y > 0\] |
//! | ReLU6 | min(max(x, 0), 6) | \[0 < y < 6\] |
//! | leaky ReLU | x where x > 0, else slope · x | 1 where y > 0, else slope |
//! | sigmoid | 1 / (1 + e^−x) | y (1 − y) |
//! | hard sigmoid | min(max(x / 6 + 1/2, 0), 1) | 1/6 where 0 < y < 1, else 0 |
//! | tanh | tanh x | 1 − y² |
//! | step | 1 where x ≥ 0, else 0 | 0 |
//!
//! Source: PyTorch's `ReLU`, `ReLU6`, `LeakyReLU`, `Sigmoid`, `Hardsigmoid`, `Tanh`.

use bytemuck::TransparentWrapper;
use serde::{Deserialize, Serialize};

use crate::engine::{Backward, Forward, Frame, Sizes, hand_down};
use crate::fixed_point::saturate_i8;
use crate::memory::Memory;
use crate::ops::{Check, NodeFault, OpSet, Operator, backward_by_scalar, by_scalar};
use crate::scalar::{Scalar, round};
use crate::stored::{Reader, Writer};
use crate::tensor::DType;

/// A function of each number. The order of the variants is part of the blob format.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
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
    /// y = min(max(x, 0), 6).
    Relu6,
    /// y = x where x > 0, else slope · x; the slope is from 0 to 1. Not fused in int8.
    LeakyRelu(f32),
    /// y = min(max(x / 6 + 1/2, 0), 1); not for int8.
    HardSigmoid,
    /// y = 1 where x ≥ 0, else 0: a threshold, whose gradient is 0. Not for int8.
    Step,
}

const SIXTH: f32 = 1.0 / 6.0;

impl Activation {
    pub(crate) const fn read(from: &mut Reader) -> Self {
        match from.u8() {
            1 => Self::Relu,
            2 => Self::Sigmoid,
            3 => Self::Tanh,
            4 => Self::Relu6,
            5 => Self::LeakyRelu(from.f32()),
            6 => Self::HardSigmoid,
            7 => Self::Step,
            _ => Self::None,
        }
    }

    pub(crate) fn write(self, to: &mut Writer) {
        to.u8(match self {
            Self::None => 0,
            Self::Relu => 1,
            Self::Sigmoid => 2,
            Self::Tanh => 3,
            Self::Relu6 => 4,
            Self::LeakyRelu(_) => 5,
            Self::HardSigmoid => 6,
            Self::Step => 7,
        });
        if let Self::LeakyRelu(slope) = self {
            to.f32(slope);
        }
    }

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
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => tanh(x),
            other => other.apply_rare(x),
        }
    }

    /// The activations that are not worth their place in every inner loop.
    #[inline(never)]
    fn apply_rare<S: Scalar>(self, x: S) -> S {
        match self {
            Self::Relu6 => held(x, S::from_f32(6.0)),
            Self::LeakyRelu(slope) => {
                if x > S::ZERO {
                    x
                } else {
                    x.scale(S::rate(slope))
                }
            }
            Self::HardSigmoid => held(x.scale(S::rate(SIXTH)).add(S::from_f32(0.5)), S::ONE),
            Self::Step => {
                if x >= S::ZERO {
                    S::ONE
                } else {
                    S::ZERO
                }
            }
            _ => x,
        }
    }

    /// The activation of each value, in place.
    pub(crate) fn apply_all<S: Scalar>(self, values: &mut [S]) {
        match self {
            Self::None => {}
            Self::Relu => S::relu(values),
            other => {
                for value in values {
                    *value = other.apply(*value);
                }
            }
        }
    }

    /// `gradient` times dy/dx, told from the output `y` alone.
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
            other => other.derivative_rare(gradient, y),
        }
    }

    #[inline(never)]
    fn derivative_rare<S: Scalar>(self, gradient: S, y: S) -> S {
        match self {
            Self::Relu6 if y > S::ZERO && y < S::from_f32(6.0) => gradient,
            Self::LeakyRelu(_) if y > S::ZERO => gradient,
            Self::LeakyRelu(slope) => gradient.scale(S::rate(slope)),
            Self::HardSigmoid if y > S::ZERO && y < S::ONE => gradient.scale(S::rate(SIXTH)),
            Self::None => gradient,
            _ => S::ZERO,
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "linear",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Relu6 => "relu6",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Step => "step",
        }
    }

    /// Whether its parameter, where it has one, is in range.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::LeakyRelu(slope) => (0.0..=1.0).contains(&slope),
            _ => true,
        }
    }

    /// The range of an int8 output of this scale and zero point, as TensorFlow Lite's
    /// `CalculateActivationRangeQuantized`.
    pub(crate) fn range_i8(self, scale: f32, zero_point: i8) -> [i8; 2] {
        match self {
            Self::Relu => [zero_point, i8::MAX],
            Self::Relu6 => {
                // `as` saturates.
                let six = (round(6.0 / scale) as i32).saturating_add(i32::from(zero_point));
                [zero_point, saturate_i8(six)]
            }
            _ => [i8::MIN, i8::MAX],
        }
    }

    /// Whether an int8 layer can have it fused.
    pub(crate) fn is_fused_i8(self) -> bool {
        matches!(self, Self::None | Self::Relu | Self::Relu6)
    }
}

/// `x` within 0 and `high`; a NaN becomes 0.
fn held<S: Scalar>(x: S, high: S) -> S {
    if x >= high {
        high
    } else if x > S::ZERO {
        x
    } else {
        S::ZERO
    }
}

/// An activation as an operator of its own, in real numbers.
#[derive(TransparentWrapper)]
#[repr(transparent)]
pub(super) struct Elementwise(Activation);

impl<K: OpSet> Operator<K> for Elementwise {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.real_dtype()?;
        check.y_shape(check.x.shape)?;
        self.0.is_valid().then_some(()).ok_or(NodeFault::Activation)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        Some((code::<K>(check.x.dtype)?, Sizes::Function(self.0)))
    }
}

/// The function that runs it forward in numbers of this type.
pub(super) const fn code<K: OpSet>(dtype: DType) -> Option<Forward> {
    by_scalar!(K, dtype, run)
}

/// The function that runs it backward in numbers of this type.
pub(super) const fn backward_code<K: OpSet>(dtype: DType) -> Option<Backward> {
    backward_by_scalar!(K, dtype, hand_down)
}

fn run<S: Scalar>(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::Function(activation) = frame.step.sizes else {
        return None;
    };
    frame.map_in_place(memory, |values| activation.apply_all::<S>(values))
}

/// In a function of its own: in the frames of all loops that apply an activation it would take much stack.
#[inline(never)]
fn sigmoid<S: Scalar>(x: S) -> S {
    x.sigmoid()
}

/// As [`sigmoid`].
#[inline(never)]
fn tanh<S: Scalar>(x: S) -> S {
    x.tanh()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::{BOUNDS, Q16};

    const ALL: [Activation; 8] = [
        Activation::None,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu6,
        Activation::LeakyRelu(0.125),
        Activation::HardSigmoid,
        Activation::Step,
    ];

    fn exact(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::None => x,
            Activation::Relu => x.max(0.0),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu(slope) => x.max(0.0) + f64::from(slope) * x.min(0.0),
            Activation::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Activation::Step => f64::from(u8::from(x >= 0.0)),
        }
    }

    /// f32: the bound of the function in use, and a rounding of x, up to 10. Q16: two units in the last place, and the
    /// rate's 15 bits.
    #[test]
    fn values_and_slopes_in_both_formats() {
        for activation in ALL {
            for step in -80..=80 {
                // Between the corners, which lie at multiples of 1/8.
                let x = f64::from(step) / 8.0 + 0.05;
                let wanted = exact(activation, x);
                let slope = (exact(activation, x + 1e-6) - exact(activation, x - 1e-6)) / 2e-6;
                let y: f32 = activation.apply(x as f32);
                let bound = match activation {
                    Activation::Sigmoid => BOUNDS.sigmoid.relative,
                    Activation::Tanh => BOUNDS.tanh.relative,
                    _ => 0.0,
                };
                let tolerance = bound + 10.0 * 2f64.powi(-24);
                assert!(
                    (f64::from(y) - wanted).abs() < tolerance,
                    "{activation:?} {x}"
                );
                let d: f32 = activation.derivative(1.5, y);
                // 1.5 · (1 − y²) moves three times as y does; the differences are off by 10⁻⁹.
                let tolerance = 3.0 * tolerance + 2f64.powi(-22);
                assert!(
                    (f64::from(d) - 1.5 * slope).abs() < tolerance,
                    "{activation:?} {x}"
                );
                let y: Q16 = activation.apply(Scalar::from_f32(x as f32));
                let tolerance = 2.5 / 65536.0 + x.abs() * 2f64.powi(-15);
                assert!(
                    (f64::from(y) - wanted).abs() < tolerance,
                    "{activation:?} {x}"
                );
                let d: Q16 = activation.derivative(Scalar::from_f32(1.5), y);
                let tolerance = 8.0 / 65536.0;
                assert!(
                    (f64::from(d) - 1.5 * slope).abs() < tolerance,
                    "{activation:?} {x}"
                );
            }
        }
    }

    #[test]
    fn a_nan_becomes_0_where_there_is_a_floor() {
        for activation in [Activation::Relu, Activation::Relu6, Activation::HardSigmoid] {
            assert_eq!(activation.apply(f32::NAN).to_bits(), 0, "{activation:?}");
        }
    }
}
