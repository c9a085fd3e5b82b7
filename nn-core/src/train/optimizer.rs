//! Optimizers: how a gradient becomes a step. Data of the blob; the arithmetic is in `update.rs`.
//!
//! g is the gradient, w the weight, r the learning rate. First, for each method, g ← g + weight_decay · w + l1 · sign w
//! (a decoupled weight decay is not added to g: w ← w − r · weight_decay · w first). Then
//!
//! | method | state | step | PyTorch (`torch.optim`) |
//! |---|---|---|---|
//! | SGD | v with momentum | v ← momentum · v + g; w ← w − r · v, Nesterov: w − r · (g + momentum · v); without momentum w − r · g | `SGD`, dampening 0 |
//! | Adam | m, v | m ← m + (1 − β₁)(g − m); v ← β₂ v + (1 − β₂) g²; w ← w − r/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε) | `Adam`, decoupled: `AdamW` |
//! | RMSprop | v | v ← α v + (1 − α) g²; w ← w − r · g / (√v + ε) | `RMSprop`, not centred, no momentum |

use serde::{Deserialize, Serialize};

use crate::train::{Sgd, SpecError};

/// How a gradient becomes a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Coded", into = "Coded")]
pub struct Optimizer {
    /// The rule.
    pub method: Method,
    /// L2 penalty, at least 0.
    pub weight_decay: f32,
    /// L1 penalty, at least 0.
    pub l1: f32,
    /// Whether the penalties take biases too, as PyTorch's do.
    pub decay_bias: bool,
    /// How fixed point rounds what it stores; f32 is what it is.
    pub rounding: Rounding,
}

/// How fixed point rounds what it stores: weights, velocities, sums of gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// Up or down at random, up with the odds of the remainder: what is far below the format's step counts on the
    /// average.
    #[default]
    Stochastic,
    /// To nearest, halves up, without random numbers: faster, but a step below half of the format's is lost.
    Nearest,
}

/// An [`Optimizer`] as it lies in a blob.
#[derive(Serialize, Deserialize)]
struct Coded {
    method: Method,
    weight_decay: f32,
    l1: f32,
    /// Bit 0: the penalties take biases. Bit 1: rounding to nearest.
    flags: u8,
}

impl From<Optimizer> for Coded {
    fn from(optimizer: Optimizer) -> Self {
        let nearest = optimizer.rounding == Rounding::Nearest;
        Self {
            method: optimizer.method,
            weight_decay: optimizer.weight_decay,
            l1: optimizer.l1,
            flags: u8::from(optimizer.decay_bias) | u8::from(nearest) << 1,
        }
    }
}

impl TryFrom<Coded> for Optimizer {
    type Error = &'static str;

    fn try_from(coded: Coded) -> Result<Self, Self::Error> {
        if coded.flags > 3 {
            return Err("an optimizer has two flags");
        }
        Ok(Self {
            method: coded.method,
            weight_decay: coded.weight_decay,
            l1: coded.l1,
            decay_bias: coded.flags & 1 == 1,
            rounding: match coded.flags >> 1 {
                0 => Rounding::Stochastic,
                _ => Rounding::Nearest,
            },
        })
    }
}

/// The rule of an [`Optimizer`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Method {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the velocity that stays, 0 to below 1.
        momentum: f32,
        /// Whether the step looks ahead along the velocity.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015), and AdamW (Loshchilov and Hutter 2019).
    Adam {
        /// Share of the first moment that stays, 0 to below 1.
        beta1: f32,
        /// Share of the second moment that stays, 0 to below 1.
        beta2: f32,
        /// Added to the root, above 0.
        epsilon: f32,
        /// Whether the weight decay acts on the weight itself, not through the moments.
        decoupled: bool,
    },
    /// RMSprop (Hinton 2012).
    RmsProp {
        /// Share of the mean square that stays, 0 to below 1.
        alpha: f32,
        /// Added to the root, above 0.
        epsilon: f32,
    },
}

/// How gradients are kept from growing too large.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Clip {
    /// Not at all.
    #[default]
    None,
    /// Each within ± this.
    Value(f32),
    /// All together to this 2-norm: they are scaled by min(1, limit / (norm + 10⁻⁶)), as PyTorch's `clip_grad_norm_`
    /// does. The gradients must be known before any is used, so this costs a copy of the weights.
    Norm(f32),
}

impl Optimizer {
    /// Plain stochastic gradient descent.
    pub const SGD: Self = Self::new(Method::Sgd {
        momentum: 0.0,
        nesterov: false,
    });
    /// Adam with β 0.9 and 0.999, ε 10⁻⁸.
    pub const ADAM: Self = Self::new(Method::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decoupled: false,
    });
    /// RMSprop with α 0.99, ε 10⁻⁸.
    pub const RMS_PROP: Self = Self::new(Method::RmsProp {
        alpha: 0.99,
        epsilon: 1e-8,
    });

    /// A method without penalties.
    pub const fn new(method: Method) -> Self {
        Self {
            method,
            weight_decay: 0.0,
            l1: 0.0,
            decay_bias: true,
            rounding: Rounding::Stochastic,
        }
    }

    /// AdamW with β 0.9 and 0.999, ε 10⁻⁸.
    pub const fn adam_w(weight_decay: f32) -> Self {
        Self {
            weight_decay,
            ..Self::new(Method::Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                decoupled: true,
            })
        }
    }

    /// How many numbers are kept for each weight that learns, besides itself: 0 for plain SGD, 1 with a momentum or
    /// for RMSprop, 2 for Adam. Accumulation takes one more: see [`TrainSpec::copies`](super::spec::TrainSpec::copies).
    pub fn copies(&self) -> usize {
        match self.method {
            Method::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Method::Adam { .. } => 2,
            Method::RmsProp { .. } => 1,
        }
    }

    /// Whether its state is f32 whatever the weights are: such weights must have 4 bytes each.
    pub const fn keeps_f32(&self) -> bool {
        matches!(self.method, Method::Adam { .. } | Method::RmsProp { .. })
    }

    /// What it has beyond plain stochastic gradient descent.
    pub(crate) fn beyond_plain(&self) -> Option<&'static str> {
        match self.method {
            Method::Adam { .. } => Some("Adam"),
            Method::RmsProp { .. } => Some("RMSprop"),
            Method::Sgd { momentum, .. } if momentum != 0.0 => Some("a momentum"),
            _ if self.weight_decay != 0.0 => Some("a weight decay"),
            _ if self.l1 != 0.0 => Some("an L1 penalty"),
            _ if self.rounding == Rounding::Nearest => Some("rounding to nearest"),
            Method::Sgd { .. } => None,
        }
    }

    /// Whether each field is in its range.
    pub fn check(&self) -> Result<(), SpecError> {
        let share = |name: &'static str, value: f32| {
            let fits = (0.0..1.0).contains(&value);
            SpecError::unless(fits, name, "at least 0 and below 1", value)
        };
        let epsilon = |value: f32| {
            let fits = value > 0.0 && value.is_finite();
            SpecError::unless(fits, "epsilon", "finite and above 0", value)
        };
        SpecError::penalty("weight_decay", self.weight_decay)?;
        SpecError::penalty("l1", self.l1)?;
        match self.method {
            Method::Sgd { momentum, nesterov } => {
                share("momentum", momentum)?;
                let fits = !nesterov || momentum > 0.0;
                SpecError::unless(fits, "momentum", "above 0 with Nesterov's step", momentum)
            }
            Method::Adam {
                beta1,
                beta2,
                epsilon: e,
                ..
            } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                epsilon(e)
            }
            Method::RmsProp { alpha, epsilon: e } => {
                share("alpha", alpha)?;
                epsilon(e)
            }
        }
    }
}

impl From<Sgd> for Optimizer {
    /// Its momentum and weight decay.
    fn from(sgd: Sgd) -> Self {
        Self {
            weight_decay: sgd.weight_decay,
            ..Self::new(Method::Sgd {
                momentum: sgd.momentum,
                nesterov: false,
            })
        }
    }
}

impl Clip {
    /// Whether the limit is in its range.
    pub fn check(&self) -> Result<(), SpecError> {
        match *self {
            Self::None => Ok(()),
            Self::Value(limit) | Self::Norm(limit) => {
                let fits = limit > 0.0 && limit.is_finite();
                SpecError::unless(fits, "clip", "finite and above 0", limit)
            }
        }
    }
}
