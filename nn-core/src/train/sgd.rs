//! The rates of stochastic gradient descent, and the training plan of the first blobs: `spec.rs` takes its place.

use serde::{Deserialize, Serialize};

use crate::scalar::{Scalar, XorShift32};
use crate::train::{Clip, Loss, Optimizer, Pace, Rule};

/// The nodes that learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trainable {
    /// Each node with f32 weights.
    All,
    /// The last so many of them.
    Last(u8),
    /// Those of the first 64 nodes of the graph whose bit is set.
    Nodes(u64),
}

/// Stochastic gradient descent, as in PyTorch: g ← g + weight_decay · w; v ← momentum · v + g;
/// w ← w − learning_rate · v. Weight decay takes biases too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// Step size.
    pub learning_rate: f32,
    /// Share of the velocity that stays, 0 to below 1. Other than 0, it costs a second copy of what learns.
    pub momentum: f32,
    /// L2 penalty.
    pub weight_decay: f32,
}

impl Sgd {
    /// Whether each rate is finite and in its range.
    pub fn is_valid(&self) -> bool {
        let in_range = |rate: f32| rate >= 0.0 && rate.is_finite();
        in_range(self.learning_rate)
            && in_range(self.weight_decay)
            && in_range(self.momentum)
            && self.momentum < 1.0
    }

    /// The rates in the numbers of the weights.
    pub(crate) fn rule<S: Scalar>(&self) -> Rule<S> {
        Rule::new(
            &Optimizer::from(*self),
            Clip::None,
            false,
            Pace::first(self.learning_rate),
            XorShift32::new(1),
        )
    }
}

/// A training plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// What learns.
    pub trainable: Trainable,
    /// What is minimised.
    pub loss: Loss,
    /// How.
    pub sgd: Sgd,
}
