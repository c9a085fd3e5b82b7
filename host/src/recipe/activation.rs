//! Activations: functions of what a layer gives.

use serde::Deserialize;

use super::fields::leaky_slope;

/// A function applied to each value (softmax and log-softmax: to all values along the last axis together).
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(from = "ActivationName")]
pub enum Activation {
    /// The value itself.
    #[default]
    None,
    /// `max(0, x)`.
    Relu,
    /// `min(max(0, x), 6)`.
    Relu6,
    /// `x` above 0, else so many times `x`; 0.01 as the activation of a layer.
    LeakyRelu(f32),
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// `min(max(x / 6 + 1/2, 0), 1)`.
    HardSigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 where `x ≥ 0`, else 0; nothing below it learns.
    Step,
    /// `exp(x_i) / Σ exp(x_j)`, over the last dimension.
    Softmax,
    /// The logarithm of the softmax.
    LogSoftmax,
}

/// The activations' names.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActivationName {
    None,
    Relu,
    Relu6,
    LeakyRelu,
    Sigmoid,
    HardSigmoid,
    Tanh,
    Step,
    Softmax,
    LogSoftmax,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::None => Self::None,
            ActivationName::Relu => Self::Relu,
            ActivationName::Relu6 => Self::Relu6,
            ActivationName::LeakyRelu => Self::LeakyRelu(leaky_slope()),
            ActivationName::Sigmoid => Self::Sigmoid,
            ActivationName::HardSigmoid => Self::HardSigmoid,
            ActivationName::Tanh => Self::Tanh,
            ActivationName::Step => Self::Step,
            ActivationName::Softmax => Self::Softmax,
            ActivationName::LogSoftmax => Self::LogSoftmax,
        }
    }
}

impl Activation {
    /// What recipes call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::Sigmoid => "sigmoid",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Tanh => "tanh",
            Self::Step => "step",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log_softmax",
        }
    }
}
