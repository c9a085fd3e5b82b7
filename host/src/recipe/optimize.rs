//! How a recipe trains: loss, optimizer, penalty.

use serde::Deserialize;

use super::error::{Misfit, within};

/// What training makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// `−ln p`, with `p` the probability that softmax gives the right class.
    CrossEntropy,
    /// `−t ln p − (1 − t) ln(1 − p)` of each output by itself, with `p` from a sigmoid; their mean.
    BinaryCrossEntropy,
    /// The mean of the squared differences.
    Mse,
    /// The mean of the differences, without their signs.
    Mae,
    /// Half the square up to a difference of 1, straight beyond it; the mean.
    Huber,
}

impl Loss {
    /// What recipes call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross_entropy",
            Self::BinaryCrossEntropy => "binary_cross_entropy",
            Self::Mse => "mse",
            Self::Mae => "mae",
            Self::Huber => "huber",
        }
    }
}

/// How gradients change weights. Moments are kept in the checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum OptimizerKind {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Kingma and Ba 2015; weight decay is added to the gradient.
    Adam(Adam),
    /// Loshchilov and Hutter 2019: Adam with decoupled weight decay.
    AdamW(Adam),
    /// Duchi, Hazan and Singer 2011: the step falls with the sum of squared gradients.
    AdaGrad(AdaGrad),
    /// Hinton 2012: the step falls with the mean of squared gradients.
    RmsProp(RmsProp),
    /// Zeiler 2012: as RMSprop, in units of the steps taken before.
    AdaDelta(AdaDelta),
}

/// Fields of `sgd`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// The step along the gradient, before the schedule.
    pub learning_rate: f64,
    /// Share of the last step that is taken again.
    #[serde(default)]
    pub momentum: f64,
    /// Looks ahead along the momentum (Sutskever et al. 2013).
    #[serde(default)]
    pub nesterov: bool,
    /// Share of the weight added to its gradient.
    #[serde(default)]
    pub weight_decay: f64,
}

/// Fields of `adam` and `adamw`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// The step, before the schedule.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// Added to the root of the mean square.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Share of the weight that each step takes away.
    #[serde(default)]
    pub weight_decay: f64,
}

/// Fields of `adagrad`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaGrad {
    /// The step, before the schedule.
    pub learning_rate: f64,
    /// Added to the root of the sum of squares.
    #[serde(default = "epsilon_of_sums")]
    pub epsilon: f64,
    /// Share of the weight added to its gradient.
    #[serde(default)]
    pub weight_decay: f64,
}

/// Fields of `rmsprop`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsProp {
    /// The step, before the schedule.
    pub learning_rate: f64,
    /// Share of the mean square that stays.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// Added to the root of the mean square.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Share of the last step that is taken again.
    #[serde(default)]
    pub momentum: f64,
    /// Share of the weight added to its gradient.
    #[serde(default)]
    pub weight_decay: f64,
}

/// Fields of `adadelta`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaDelta {
    /// What the step is multiplied by, before the schedule; Zeiler has 1.
    #[serde(default = "one")]
    pub learning_rate: f64,
    /// Share of the mean squares that stays.
    #[serde(default = "rho")]
    pub rho: f64,
    /// Added to both mean squares.
    #[serde(default = "epsilon_of_steps")]
    pub epsilon: f64,
    /// Share of the weight added to its gradient.
    #[serde(default)]
    pub weight_decay: f64,
}

/// The field `penalty` of `[train]`: what is added to the loss for large weights. The loss that is reported is without.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Penalty {
    /// Times the sum of magnitudes.
    #[serde(default)]
    pub l1: f64,
    /// Times the sum of squares.
    #[serde(default)]
    pub l2: f64,
    /// Whether it takes what has one dimension too: biases, gains, slopes.
    #[serde(default)]
    pub biases: bool,
}

impl Penalty {
    pub(super) fn check(&self) -> Result<(), Misfit> {
        let range = 0.0..f64::INFINITY;
        let wanted = "a number of at least 0";
        within("penalty.l1", self.l1, range.clone(), wanted)?;
        within("penalty.l2", self.l2, range, wanted)
    }
}

fn alpha() -> f64 {
    0.99
}

fn rho() -> f64 {
    0.9
}

fn one() -> f64 {
    1.0
}

fn epsilon_of_sums() -> f64 {
    1e-10
}

fn epsilon_of_steps() -> f64 {
    1e-6
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.999
}

fn epsilon() -> f64 {
    1e-8
}

impl OptimizerKind {
    pub(super) const TYPES: &'static str = "sgd, adam, adamw, adagrad, rmsprop, adadelta";

    pub(super) fn read(name: &str, fields: toml::Table) -> Option<Result<Self, toml::de::Error>> {
        Some(match name {
            "sgd" => fields.try_into().map(Self::Sgd),
            "adam" => fields.try_into().map(Self::Adam),
            "adamw" => fields.try_into().map(Self::AdamW),
            "adagrad" => fields.try_into().map(Self::AdaGrad),
            "rmsprop" => fields.try_into().map(Self::RmsProp),
            "adadelta" => fields.try_into().map(Self::AdaDelta),
            _ => return None,
        })
    }

    /// The learning rate that the schedule multiplies.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate,
            Self::Adam(adam) | Self::AdamW(adam) => adam.learning_rate,
            Self::AdaGrad(fields) => fields.learning_rate,
            Self::RmsProp(fields) => fields.learning_rate,
            Self::AdaDelta(fields) => fields.learning_rate,
        }
    }

    pub(super) fn check(&self) -> Result<(), Misfit> {
        let positive = f64::MIN_POSITIVE..=f64::MAX;
        within(
            "learning_rate",
            self.learning_rate(),
            positive.clone(),
            "a number above 0",
        )?;
        let share = |name, value| within(name, value, 0.0..1.0, "a number from 0 to below 1");
        let epsilon = |value| within("epsilon", value, positive.clone(), "a number above 0");
        let decay = match self {
            Self::Sgd(sgd) => {
                share("momentum", sgd.momentum)?;
                if sgd.nesterov && sgd.momentum == 0.0 {
                    return Err(Misfit::field(
                        "nesterov",
                        "momentum above 0 with it",
                        "momentum 0",
                    ));
                }
                sgd.weight_decay
            }
            Self::Adam(adam) | Self::AdamW(adam) => {
                share("beta1", adam.beta1)?;
                share("beta2", adam.beta2)?;
                epsilon(adam.epsilon)?;
                adam.weight_decay
            }
            Self::AdaGrad(fields) => {
                epsilon(fields.epsilon)?;
                fields.weight_decay
            }
            Self::RmsProp(fields) => {
                share("alpha", fields.alpha)?;
                share("momentum", fields.momentum)?;
                epsilon(fields.epsilon)?;
                fields.weight_decay
            }
            Self::AdaDelta(fields) => {
                share("rho", fields.rho)?;
                epsilon(fields.epsilon)?;
                fields.weight_decay
            }
        };
        share("weight_decay", decay)
    }
}
