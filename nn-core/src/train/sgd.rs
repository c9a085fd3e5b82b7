//! The rates of stochastic gradient descent, as one value.

use serde::{Deserialize, Serialize};

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
}
