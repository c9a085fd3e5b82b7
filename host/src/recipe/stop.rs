//! When a recipe's training ends early.

use serde::Deserialize;

use super::Size;
use super::error::{Misfit, within};

/// The field `stop` of `[train]`: training ends where nothing has become better for some epochs.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// What is watched, after each epoch.
    #[serde(default)]
    pub monitor: Monitor,
    /// Epochs without an improvement before training ends.
    pub patience: Size,
    /// What is less than this is no improvement.
    #[serde(default)]
    pub min_delta: f64,
    /// Whether the weights of the best epoch are those that stay, however training ends.
    #[serde(default = "yes")]
    pub restore_best: bool,
}

fn yes() -> bool {
    true
}

/// What of an epoch is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// The loss on the samples held out.
    #[default]
    ValLoss,
    /// The accuracy on the samples held out.
    ValAccuracy,
    /// The loss while learning.
    TrainLoss,
    /// The accuracy while learning.
    TrainAccuracy,
}

impl Monitor {
    /// What recipes call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ValLoss => "val_loss",
            Self::ValAccuracy => "val_accuracy",
            Self::TrainLoss => "train_loss",
            Self::TrainAccuracy => "train_accuracy",
        }
    }

    /// Whether it is measured on the samples held out.
    fn is_held_out(self) -> bool {
        matches!(self, Self::ValLoss | Self::ValAccuracy)
    }

    /// Whether more of it is better.
    fn rises(self) -> bool {
        matches!(self, Self::ValAccuracy | Self::TrainAccuracy)
    }
}

impl Stop {
    /// `validation` is the share of the samples that is held out.
    pub(super) fn check(&self, validation: f64) -> Result<(), Misfit> {
        if self.monitor.is_held_out() && validation == 0.0 {
            let wanted = format!(
                "validation above 0 in [data], or train_loss or train_accuracy: {} is measured on what is held out",
                self.monitor.name()
            );
            return Err(Misfit::field("stop.monitor", wanted, "validation 0"));
        }
        let range = 0.0..f64::INFINITY;
        within(
            "stop.min_delta",
            self.min_delta,
            range,
            "a number of at least 0",
        )
    }

    /// Whether `value` is an improvement on `best`. What is not a number never is.
    pub fn improves(&self, value: f64, best: f64) -> bool {
        match self.monitor.rises() {
            true => value > best + self.min_delta,
            false => value < best - self.min_delta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_improvement_is_more_than_min_delta() {
        let stop: Stop = toml::from_str("patience = 1\nmin_delta = 0.25").unwrap();
        assert!(stop.restore_best);
        let loss = stop;
        assert!(loss.improves(0.7, 1.0) && !loss.improves(0.75, 1.0));
        assert!(!loss.improves(f64::NAN, 1.0));
        let accuracy = Stop {
            monitor: Monitor::TrainAccuracy,
            ..stop
        };
        assert!(accuracy.improves(0.8, 0.5) && !accuracy.improves(0.75, 0.5));
    }
}
