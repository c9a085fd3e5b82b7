//! How a recipe's learning rate changes as training goes on.

use serde::Deserialize;

use super::error::{Misfit, within};

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
    /// Falls as 1 / (1 + decay · step).
    InverseTime(InverseTime),
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

/// Fields of `inverse_time`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InverseTime {
    /// What is added to the divisor in each step.
    pub decay: f64,
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
    pub(super) const TYPES: &'static str = "constant, cosine, inverse_time, one_cycle, step";

    pub(super) fn read(name: &str, fields: toml::Table) -> Option<Result<Self, toml::de::Error>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bare {}
        Some(match name {
            "constant" => fields.try_into().map(|Bare {}| Self::Constant),
            "cosine" => fields.try_into().map(Self::Cosine),
            "inverse_time" => fields.try_into().map(Self::InverseTime),
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
            Self::InverseTime(fall) => within(
                "decay",
                fall.decay,
                0.0..f64::INFINITY,
                "a number, at least 0",
            ),
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
            Self::InverseTime(fall) => 1.0 / (1.0 + fall.decay * step as f64),
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
    fn inverse_time_falls_step_by_step() {
        let fall = Schedule::InverseTime(InverseTime { decay: 0.5 });
        let factors = [0, 1, 2, 6].map(|step| fall.factor(step, 100, 10));
        assert_eq!(factors, [1.0, 1.0 / 1.5, 0.5, 0.25]);
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
