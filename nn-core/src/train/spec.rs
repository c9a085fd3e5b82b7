//! What learns, towards what, and how: data in the blob, not code.

use serde::{Deserialize, Serialize};

use crate::tensor::TensorId;
use crate::train::plan::Rates;
use crate::train::{
    Clip, List, Loss, Method, Optimizer, PlanView, Rounding, Schedule, Sgd, SpecError,
};

/// The most rules of a plan.
pub const MAX_RULES: usize = 8;
/// The most losses of a plan.
pub const MAX_HEADS: usize = 4;

/// A training plan.
///
/// ```
/// use nn_core::train::{Loss, TrainSpec, Trainable};
/// let spec = TrainSpec::sgd(Trainable::Last(1), Loss::CrossEntropy, 0.01).with_momentum(0.9);
/// assert_eq!(spec.check(), Ok(()));
/// assert_eq!(spec.copies(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// What learns: whatever at least one of them names.
    pub rules: List<TrainRule, MAX_RULES>,
    /// What is minimised: the sum of the heads' losses.
    pub heads: List<Head, MAX_HEADS>,
    /// How a gradient becomes a step.
    pub optimizer: Optimizer,
    /// The base learning rate, at least 0.
    pub learning_rate: f32,
    /// How the rate changes.
    pub schedule: Schedule,
    /// How gradients are kept from growing too large.
    pub clip: Clip,
    /// Samples whose gradients are averaged for one step of the optimizer; with 1 each weight learns in place, while
    /// its gradient is formed.
    pub accumulate: u16,
    /// Where random numbers start: stochastic rounding, dropout.
    pub seed: u32,
}

/// Some weights that learn.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainRule {
    /// Of which nodes.
    pub nodes: Trainable,
    /// Which of theirs.
    pub part: Part,
}

/// Nodes that learn, of those that have weights to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Trainable {
    /// Each.
    #[default]
    All,
    /// The last so many of them.
    Last(u8),
    /// Those of the first 64 nodes of the graph whose bit is set.
    Nodes(u64),
    /// This node of the graph.
    Node(u16),
}

/// Weights of a node that learn.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Part {
    /// Each.
    #[default]
    All,
    /// Its biases.
    Bias,
    /// All but its biases.
    Weight,
    /// The weights and biases of some output channels: channel `first` + i where bit i of `mask` is set. A recurrent
    /// layer's channels are its units, each with all its gates.
    Channels {
        /// The channel of bit 0.
        first: u16,
        /// Bits of 64 channels; not 0.
        mask: u64,
    },
    /// The weights and biases of so many output channels, those with the largest running norm of δ: chosen anew for
    /// each step, see [`update_norms`](crate::train::update_norms) and [`select_top`](crate::train::select_top).
    TopChannels {
        /// How many, at least 1.
        count: u16,
        /// Share of the running norm that stays, 0 to below 1.
        decay: f32,
    },
}

/// A loss at an output of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Which of the graph's outputs.
    pub output: u8,
    /// What is minimised there.
    pub loss: Loss,
    /// What it counts beside the other heads, above 0.
    pub weight: f32,
    /// An f32 tensor with a factor for each class (number of the output's last dimension).
    pub class_weights: Option<TensorId>,
}

impl Default for Head {
    fn default() -> Self {
        Self::new(Loss::MeanSquaredError)
    }
}

impl Head {
    /// A loss at the graph's first output.
    pub const fn new(loss: Loss) -> Self {
        Self {
            output: 0,
            loss,
            weight: 1.0,
            class_weights: None,
        }
    }

    /// The same at another output.
    pub const fn at(self, output: u8) -> Self {
        Self { output, ..self }
    }

    /// The same with another weight.
    pub const fn with_weight(self, weight: f32) -> Self {
        Self { weight, ..self }
    }

    /// The same with class weights.
    pub const fn with_class_weights(self, tensor: TensorId) -> Self {
        Self {
            class_weights: Some(tensor),
            ..self
        }
    }
}

impl From<Trainable> for TrainRule {
    fn from(nodes: Trainable) -> Self {
        Self {
            nodes,
            part: Part::All,
        }
    }
}

impl TrainSpec {
    /// A plan with one rule and one head at the first output.
    pub fn new(nodes: Trainable, loss: Loss, optimizer: Optimizer, learning_rate: f32) -> Self {
        Self {
            rules: List::one(nodes.into()),
            heads: List::one(Head::new(loss)),
            optimizer,
            learning_rate,
            schedule: Schedule::CONSTANT,
            clip: Clip::None,
            accumulate: 1,
            seed: 1,
        }
    }

    /// A plan with plain stochastic gradient descent.
    pub fn sgd(nodes: Trainable, loss: Loss, learning_rate: f32) -> Self {
        Self::new(nodes, loss, Optimizer::SGD, learning_rate)
    }

    /// A plan with the rates of `sgd`.
    pub fn with_rates(nodes: Trainable, loss: Loss, sgd: Sgd) -> Self {
        Self::new(nodes, loss, sgd.into(), sgd.learning_rate)
    }

    /// A plan with Adam.
    pub fn adam(nodes: Trainable, loss: Loss, learning_rate: f32) -> Self {
        Self::new(nodes, loss, Optimizer::ADAM, learning_rate)
    }

    /// The same with momentum; no change where the method has none.
    pub fn with_momentum(mut self, share: f32) -> Self {
        if let Method::Sgd { momentum, .. } = &mut self.optimizer.method {
            *momentum = share;
        }
        self
    }

    /// The same with momentum and Nesterov's step; no change where the method has none.
    pub fn with_nesterov(mut self, share: f32) -> Self {
        if let Method::Sgd { momentum, nesterov } = &mut self.optimizer.method {
            (*momentum, *nesterov) = (share, true);
        }
        self
    }

    /// The same with an L2 penalty (decoupled, if the method's is).
    pub fn with_weight_decay(mut self, weight_decay: f32) -> Self {
        self.optimizer.weight_decay = weight_decay;
        self
    }

    /// The same with an L1 penalty.
    pub fn with_l1(mut self, l1: f32) -> Self {
        self.optimizer.l1 = l1;
        self
    }

    /// The same with penalties that leave biases alone.
    pub fn without_bias_decay(mut self) -> Self {
        self.optimizer.decay_bias = false;
        self
    }

    /// The same with what fixed point stores rounded so.
    pub fn with_rounding(mut self, rounding: Rounding) -> Self {
        self.optimizer.rounding = rounding;
        self
    }

    /// The same on another schedule.
    pub fn with_schedule(mut self, schedule: impl Into<Schedule>) -> Self {
        self.schedule = schedule.into();
        self
    }

    /// The same with clipped gradients.
    pub fn with_clip(mut self, clip: Clip) -> Self {
        self.clip = clip;
        self
    }

    /// The same with a step of the optimizer after every so many samples.
    pub fn with_accumulation(mut self, samples: u16) -> Self {
        self.accumulate = samples;
        self
    }

    /// The same from another seed.
    pub fn with_seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// The same with other rules; `None` where there are more than [`MAX_RULES`].
    pub fn with_rules(self, rules: &[TrainRule]) -> Option<Self> {
        let rules = List::new(rules)?;
        Some(Self { rules, ..self })
    }

    /// The same with other heads; `None` where there are more than [`MAX_HEADS`].
    pub fn with_heads(self, heads: &[Head]) -> Option<Self> {
        let heads = List::new(heads)?;
        Some(Self { heads, ..self })
    }

    /// The same with one rule for `part` of the nodes that the first rule names.
    pub fn with_part(mut self, part: Part) -> Self {
        let nodes = self.nodes();
        self.rules = List::one(TrainRule { nodes, part });
        self
    }

    /// The nodes of the first rule.
    pub fn nodes(&self) -> Trainable {
        self.rules.iter().next().map_or(Trainable::All, |r| r.nodes)
    }

    /// The loss of the first head.
    pub fn loss(&self) -> Loss {
        let head = self.heads.iter().next();
        head.map_or(Loss::MeanSquaredError, |head| head.loss)
    }

    /// The rates of stochastic gradient descent; a momentum of 0 for another optimizer.
    pub fn rates(&self) -> Sgd {
        Sgd {
            learning_rate: self.learning_rate,
            momentum: match self.optimizer.method {
                Method::Sgd { momentum, .. } => momentum,
                _ => 0.0,
            },
            weight_decay: self.optimizer.weight_decay,
        }
    }

    /// All but the rules and the heads.
    pub(crate) fn rates_of(&self) -> Rates {
        Rates {
            optimizer: self.optimizer,
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            clip: self.clip,
            accumulate: self.accumulate,
            seed: self.seed,
        }
    }

    /// Whether gradients are summed first, and the optimizer steps later.
    pub fn accumulates(&self) -> bool {
        self.rates_of().accumulates()
    }

    /// How many numbers are kept for each weight that learns, besides itself: the optimizer's, and the gradient's sum
    /// where it [accumulates](Self::accumulates). The sum is the first.
    pub fn copies(&self) -> usize {
        self.rates_of().copies()
    }

    /// Whether each field is in its range. What depends on the model (whether a rule names anything, whether a head's
    /// output exists and has the ending that its loss needs) is checked with it.
    pub fn check(&self) -> Result<(), SpecError> {
        PlanView::of(self).check()
    }
}
