//! How a recipe trains: loss, optimizer, learning-rate schedule.

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
    pub(super) const TYPES: &'static str = "sgd, adam, adamw";

    pub(super) fn read(name: &str, fields: toml::Table) -> Option<Result<Self, toml::de::Error>> {
        Some(match name {
            "sgd" => fields.try_into().map(Self::Sgd),
            "adam" => fields.try_into().map(Self::Adam),
            "adamw" => fields.try_into().map(Self::AdamW),
            _ => return None,
        })
    }

    /// The learning rate that the schedule multiplies.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate,
            Self::Adam(adam) | Self::AdamW(adam) => adam.learning_rate,
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
        let decay = match self {
            Self::Sgd(sgd) => {
                within(
                    "momentum",
                    sgd.momentum,
                    0.0..1.0,
                    "a number from 0 to below 1",
                )?;
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
                within("beta1", adam.beta1, 0.0..1.0, "a number from 0 to below 1")?;
                within("beta2", adam.beta2, 0.0..1.0, "a number from 0 to below 1")?;
                within("epsilon", adam.epsilon, positive, "a number above 0")?;
                adam.weight_decay
            }
        };
        within(
            "weight_decay",
            decay,
            0.0..1.0,
            "a number from 0 to below 1",
        )
    }
}

/// How the learning rate changes as training goes on.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Schedule {
    /// It does not.
    #[default]
    Constant,
    /// Falls along half a cosine.
    Cosine(Cosine),
    /// Rises along half a cosine, then falls along another (Smith and Topin 2018).
    OneCycle(OneCycle),
    /// Falls by a factor every few epochs.
    Step(Step),
}

/// Fields of `cosine`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Share of the learning rate left at the end.
    #[serde(default)]
    pub final_factor: f64,
}

/// Fields of `one_cycle`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// Share of the steps in which the rate rises.
    #[serde(default = "warm_up")]
    pub warm_up: f64,
    /// Share of the learning rate at the start.
    #[serde(default = "start_factor")]
    pub start_factor: f64,
    /// Share of the learning rate left at the end.
    #[serde(default = "final_factor")]
    pub final_factor: f64,
}

/// Fields of `step`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Epochs from one fall to the next.
    pub every: super::Size,
    /// What the rate is multiplied with.
    pub factor: f64,
}

fn warm_up() -> f64 {
    0.3
}

fn start_factor() -> f64 {
    0.04
}

fn final_factor() -> f64 {
    1e-4
}

impl Schedule {
    pub(super) const TYPES: &'static str = "constant, cosine, one_cycle, step";

    pub(super) fn read(name: &str, fields: toml::Table) -> Option<Result<Self, toml::de::Error>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bare {}
        Some(match name {
            "constant" => fields.try_into().map(|Bare {}| Self::Constant),
            "cosine" => fields.try_into().map(Self::Cosine),
            "one_cycle" => fields.try_into().map(Self::OneCycle),
            "step" => fields.try_into().map(Self::Step),
            _ => return None,
        })
    }

    pub(super) fn check(&self) -> Result<(), Misfit> {
        let share = "a number from 0 to 1";
        match self {
            Self::Constant => Ok(()),
            Self::Cosine(cosine) => within("final_factor", cosine.final_factor, 0.0..=1.0, share),
            Self::OneCycle(cycle) => {
                within("warm_up", cycle.warm_up, 0.0..=1.0, share)?;
                within("start_factor", cycle.start_factor, 0.0..=1.0, share)?;
                within("final_factor", cycle.final_factor, 0.0..=1.0, share)
            }
            Self::Step(step) => within(
                "factor",
                step.factor,
                f64::MIN_POSITIVE..=1.0,
                "a number above 0, up to 1",
            ),
        }
    }

    /// What multiplies the learning rate in step `step` (from 0) of `steps`, of which
    /// `steps_per_epoch` make an epoch.
    pub fn factor(&self, step: u64, steps: u64, steps_per_epoch: u64) -> f64 {
        let descend = |from: f64, to: f64, share: f64| {
            to + (from - to) * (1.0 + (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos()) / 2.0
        };
        let done = step as f64 / steps.saturating_sub(1).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Cosine(cosine) => descend(1.0, cosine.final_factor, done),
            Self::OneCycle(cycle) if done < cycle.warm_up => {
                descend(cycle.start_factor, 1.0, done / cycle.warm_up)
            }
            Self::OneCycle(cycle) => {
                let share = (done - cycle.warm_up) / (1.0 - cycle.warm_up).max(f64::MIN_POSITIVE);
                descend(1.0, cycle.final_factor, share)
            }
            Self::Step(fall) => {
                let falls = step / steps_per_epoch.max(1) / fall.every.get() as u64;
                fall.factor.powi(i32::try_from(falls).unwrap_or(i32::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        // A cosine and a few products: within some ulp.
        assert!((found - wanted).abs() < 1e-12, "{found} is not {wanted}");
    }

    #[test]
    fn one_cycle_rises_then_falls() {
        let cycle = Schedule::OneCycle(OneCycle {
            warm_up: 0.25,
            start_factor: 0.1,
            final_factor: 0.01,
        });
        let factor = |step| cycle.factor(step, 101, 10);
        close(factor(0), 0.1);
        close(factor(25), 1.0);
        close(factor(100), 0.01);
        close(
            factor(62),
            0.01 + 0.99 * (1.0 + (std::f64::consts::PI * 37.0 / 75.0).cos()) / 2.0,
        );
        assert!((1..=25).all(|step| factor(step) > factor(step - 1)));
        assert!((26..=100).all(|step| factor(step) < factor(step - 1)));
    }

    #[test]
    fn cosine_and_step_fall() {
        let cosine = Schedule::Cosine(Cosine { final_factor: 0.0 });
        close(cosine.factor(0, 11, 1), 1.0);
        close(cosine.factor(5, 11, 1), 0.5);
        close(cosine.factor(10, 11, 1), 0.0);
        let fields = toml::toml! { every = 2
        factor = 0.1 };
        let step = Schedule::read("step", fields).unwrap().unwrap();
        let factors: Vec<f64> = [0, 19, 20, 40]
            .iter()
            .map(|&at| step.factor(at, 60, 10))
            .collect();
        for (found, wanted) in factors.into_iter().zip([1.0, 1.0, 0.1, 0.01]) {
            close(found, wanted);
        }
        close(Schedule::Constant.factor(7, 10, 1), 1.0);
    }
}
