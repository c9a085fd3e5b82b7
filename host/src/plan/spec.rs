//! `--train SPEC`: what learns, and how, in a few words.
//!
//! ```text
//! all   last:2   layers:dense_1,dense_2   biases   channels:conv2d_1:0-7   top:conv2d_1:4
//! optimizer=adam   momentum=0.9   nesterov=true   accumulate=8   clip_norm=1
//! ```

mod parse;

use nn_core::model::Model;
use nn_core::ops::{Activation, Op};
use nn_core::tensor::TensorId;
use nn_core::train::{
    Clip, Head, Loss, Method, Optimizer, Part, Rounding, TrainRule, TrainSpec, Trainable,
};

/// What `--train` asks for, to be laid over the plan that a blob has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpecRequest {
    /// What learns; as the blob says when nothing is given.
    trained: Vec<Trained>,
    /// Options in the order given.
    options: Vec<Choice>,
}

/// What learns.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trained {
    /// Each layer with real weights; where none has, with plain ones in int8.
    All,
    /// The last so many of them.
    Last(u8),
    /// The biases of each.
    Biases,
    /// The layer of this name.
    Layer(String),
    /// Output channels of a layer.
    Channels {
        layer: String,
        first: u16,
        last: u16,
    },
    /// So many output channels of a layer, those with the largest gradients.
    Top { layer: String, count: u16 },
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Choice {
    LearningRate(f32),
    Momentum(f32),
    Nesterov(bool),
    WeightDecay(f32),
    L1(f32),
    Rounding(Rounding),
    Optimizer(Name),
    Accumulate(u16),
    ClipValue(f32),
    ClipNorm(f32),
}

/// An optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Sgd,
    Adam,
    AdamW,
    RmsProp,
}

/// Why a `--train` cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A word that is no part of it.
    #[error("--train: `{found}`: wanted {WANTED}")]
    Word {
        /// The word.
        found: String,
    },
    /// An option whose value is not in its range.
    #[error("--train: {option}: wanted {wanted}, found `{found}`")]
    Value {
        /// The option.
        option: &'static str,
        /// Its range.
        wanted: &'static str,
        /// What was given.
        found: String,
    },
    /// A layer that the model does not have, or whose weights cannot learn.
    #[error("--train: layer `{found}`: wanted one whose weights can learn: {wanted}")]
    Layer {
        /// The name given.
        found: String,
        /// Those that there are.
        wanted: String,
    },
    /// A model without weights that can learn.
    #[error(
        "--train: no layer has weights that can learn: packed ones cannot; take the format i8-train, head, f32 or q16"
    )]
    NothingLearns,
    /// More rules than a plan holds.
    #[error(
        "--train: {found} layers and channels named one by one: a plan holds 8; use last:K or all"
    )]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Options that do not go together.
    #[error("--train: {0}")]
    Plan(String),
}

const WANTED: &str = "what learns (all, last:K, layers:NAME,NAME, biases, channels:NAME:FIRST-LAST, top:NAME:COUNT) \
     and options (optimizer=sgd|adam|adamw|rmsprop, momentum=0.9, nesterov=true, learning_rate=0.01, \
     weight_decay=0.001, l1=0.001, rounding=stochastic|nearest, accumulate=8, clip_value=1, clip_norm=1)";

impl Choice {
    fn apply(self, spec: TrainSpec) -> TrainSpec {
        let mut spec = spec;
        match self {
            Self::LearningRate(rate) => spec.learning_rate = rate,
            Self::Momentum(share) => spec = spec.with_momentum(share),
            Self::Nesterov(ahead) => {
                if let Method::Sgd { nesterov, .. } = &mut spec.optimizer.method {
                    *nesterov = ahead;
                }
            }
            Self::WeightDecay(decay) => spec.optimizer.weight_decay = decay,
            Self::L1(l1) => spec.optimizer.l1 = l1,
            Self::Rounding(rounding) => spec.optimizer.rounding = rounding,
            Self::Optimizer(name) => {
                let method = match name {
                    Name::Sgd => Optimizer::SGD,
                    Name::Adam => Optimizer::ADAM,
                    Name::AdamW => Optimizer::adam_w(0.01),
                    Name::RmsProp => Optimizer::RMS_PROP,
                };
                spec.optimizer.method = method.method;
            }
            Self::Accumulate(samples) => spec.accumulate = samples,
            Self::ClipValue(limit) => spec.clip = Clip::Value(limit),
            Self::ClipNorm(limit) => spec.clip = Clip::Norm(limit),
        }
        spec
    }
}

impl SpecRequest {
    /// The training plan: the blob's own, or a plain one, with what was asked for laid over it.
    ///
    /// # Errors
    /// A layer that the model does not have, or that cannot learn; options that do not go together.
    pub fn apply(&self, model: &Model<'_>) -> Result<TrainSpec, SpecError> {
        if learnable(model).is_empty() {
            return Err(SpecError::NothingLearns);
        }
        let mut spec = model.train_spec().unwrap_or_else(|| plain(model));
        if !self.trained.is_empty() {
            let rules = self.trained.iter().map(|trained| trained.rule(model));
            let rules = rules.collect::<Result<Vec<TrainRule>, _>>()?;
            let found = rules.len();
            spec = spec
                .with_rules(&rules)
                .ok_or(SpecError::TooMany { found })?;
        }
        // The optimizer first: momentum is one of its fields.
        let is_method = |choice: &&Choice| matches!(choice, Choice::Optimizer(_));
        let (methods, others): (Vec<&Choice>, Vec<&Choice>) =
            self.options.iter().partition(is_method);
        for choice in methods.into_iter().chain(others) {
            spec = choice.apply(spec);
        }
        spec.check()
            .map_err(|error| SpecError::Plan(error.to_string()))?;
        Ok(spec)
    }
}

/// The plan of a model that has none: all learns, by cross-entropy where an output ends with a softmax, by binary
/// cross-entropy where it ends with a sigmoid.
fn plain(model: &Model<'_>) -> TrainSpec {
    let outputs = model.outputs();
    let heads = (0..).zip(outputs.as_slice());
    let heads: Vec<Head> = heads
        .map(|(output, id)| Head::new(loss_at(model, *id)).at(output))
        .collect();
    let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.01);
    spec.with_heads(&heads).unwrap_or(spec)
}

fn loss_at(model: &Model<'_>, output: TensorId) -> Loss {
    let mut nodes = model.nodes().iter();
    let ending = nodes.find(|node| node.output == output);
    match ending.map(|node| node.op) {
        Some(Op::Softmax(_) | Op::LogSoftmax(_)) => Loss::CrossEntropy,
        Some(Op::Sigmoid(_)) => Loss::BinaryCrossEntropy,
        Some(Op::Dense(dense)) if dense.activation == Activation::Sigmoid => {
            Loss::BinaryCrossEntropy
        }
        _ => Loss::MeanSquaredError,
    }
}

impl Trained {
    fn rule(&self, model: &Model<'_>) -> Result<TrainRule, SpecError> {
        Ok(match self {
            Self::All => Trainable::All.into(),
            Self::Last(count) => Trainable::Last(*count).into(),
            Self::Biases => TrainRule {
                nodes: Trainable::All,
                part: Part::Bias,
            },
            Self::Layer(name) => node(model, name)?.into(),
            Self::Channels { layer, first, last } => TrainRule {
                nodes: node(model, layer)?,
                part: Part::Channels {
                    first: *first,
                    mask: u64::MAX >> (63 - u32::from(last - first)),
                },
            },
            Self::Top { layer, count } => TrainRule {
                nodes: node(model, layer)?,
                part: Part::TopChannels {
                    count: *count,
                    decay: 0.9,
                },
            },
        })
    }
}

/// The node of that name that can learn.
fn node(model: &Model<'_>, name: &str) -> Result<Trainable, SpecError> {
    let nodes = model.nodes().iter();
    let index = nodes
        .zip(0..)
        .find(|(node, _)| node.name == name && learns(model, &node.op))
        .map(|(_, index)| index);
    index.map(Trainable::Node).ok_or_else(|| SpecError::Layer {
        found: name.to_owned(),
        wanted: learnable(model).join(", "),
    })
}

/// Whether an operator has weights that can learn.
fn learns(model: &Model<'_>, op: &Op) -> bool {
    model.is_trainable(op) || model.learns_in_int8(op)
}

/// The layers that can learn.
fn learnable(model: &Model<'_>) -> Vec<String> {
    let nodes = model.nodes().iter();
    let learnable = nodes.filter(|node| learns(model, &node.op));
    learnable.map(|node| node.name.to_owned()).collect()
}

/// The plan with each option that costs memory, or spares it, by the option's name.
pub(super) fn variants(spec: TrainSpec) -> Vec<(String, TrainSpec)> {
    let mut all = Vec::new();
    let mut with = |text: &str| {
        let request = text.parse::<SpecRequest>().unwrap_or_default();
        let options = request.options.iter();
        let varied = options.fold(spec, |spec, choice| choice.apply(spec));
        if varied != spec {
            all.push((text.to_owned(), varied));
        }
    };
    if spec.rates().momentum == 0.0 {
        with("optimizer=sgd momentum=0.9");
    }
    with("optimizer=sgd momentum=0");
    with("optimizer=rmsprop");
    with("optimizer=adam");
    with(if spec.accumulate > 1 {
        "accumulate=1"
    } else {
        "accumulate=8"
    });
    if spec.clip == Clip::None {
        with("clip_norm=1");
    }
    all
}
