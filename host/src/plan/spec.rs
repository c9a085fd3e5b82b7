//! `--train SPEC`: what learns, and how, in a few words.
//!
//! ```text
//! all   last:2   layers:dense_1,dense_2   momentum=0.9
//! ```

use std::str::FromStr;

use nn_core::model::Model;
use nn_core::ops::Op;
use nn_core::train::{Loss, Sgd, TrainSpec, Trainable};

/// What `--train` asks for, to be laid over the plan that a blob has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpecRequest {
    /// What learns; as the blob says when not given.
    pub trained: Option<Trained>,
    /// Options in the order given.
    options: Vec<Choice>,
}

/// What learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trained {
    /// Each layer with real weights.
    All,
    /// The last so many of them.
    Last(u8),
    /// Those of these names.
    Layers(Vec<String>),
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Choice {
    LearningRate(f32),
    Momentum(f32),
    WeightDecay(f32),
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
    /// An option whose value is no number in its range.
    #[error("--train: {option}={found}: wanted {wanted}")]
    Value {
        /// The option.
        option: &'static str,
        /// Its range.
        wanted: &'static str,
        /// What was given.
        found: String,
    },
    /// A layer that the model does not have, or that has no real weights.
    #[error("--train: layer `{found}`: wanted one with f32 or Q16 weights: {wanted}")]
    Layer {
        /// The name given.
        found: String,
        /// Those that there are.
        wanted: String,
    },
    /// A layer beyond those that a plan can name.
    #[error(
        "--train: layer `{layer}` is node {node}: a plan that names layers reaches the first 64; use last:K or all"
    )]
    Beyond {
        /// The layer.
        layer: String,
        /// Its node.
        node: usize,
    },
}

const WANTED: &str = "all, last:K or layers:NAME,NAME for what learns, and options such as \
                      momentum=0.9, learning_rate=0.01, weight_decay=0.001";

impl FromStr for SpecRequest {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut request = Self::default();
        let words = text.split([',', ' ', '\t']);
        for word in words.filter(|word| !word.is_empty()) {
            let unknown = || SpecError::Word {
                found: word.to_owned(),
            };
            if let Some((option, value)) = word.split_once('=') {
                request
                    .options
                    .push(option_of(option, value).ok_or_else(unknown)??);
            } else if word == "all" {
                request.trained = Some(Trained::All);
            } else if let Some(count) = word.strip_prefix("last:") {
                let count = count.parse().ok().filter(|count| *count > 0);
                let wanted = "a whole number from 1 to 255";
                let count = count.ok_or_else(|| SpecError::Value {
                    option: "last",
                    wanted,
                    found: word.to_owned(),
                })?;
                request.trained = Some(Trained::Last(count));
            } else if let Some(name) = word.strip_prefix("layers:") {
                request.trained = Some(Trained::Layers(vec![name.to_owned()]));
            } else if let Some(Trained::Layers(names)) = &mut request.trained {
                names.push(word.to_owned());
            } else {
                return Err(unknown());
            }
        }
        Ok(request)
    }
}

/// An option; `None` where there is none of that name.
fn option_of(option: &str, value: &str) -> Option<Result<Choice, SpecError>> {
    let number = |option, wanted, fits: fn(f32) -> bool| {
        let number = value.parse().ok().filter(|number| fits(*number));
        number.ok_or_else(|| SpecError::Value {
            option,
            wanted,
            found: value.to_owned(),
        })
    };
    let rate = |x: f32| x.is_finite() && x >= 0.0;
    let wanted = "a finite number, at least 0";
    Some(match option {
        "learning_rate" => number("learning_rate", wanted, rate).map(Choice::LearningRate),
        "weight_decay" => number("weight_decay", wanted, rate).map(Choice::WeightDecay),
        "momentum" => {
            let wanted = "a number from 0 to below 1";
            number("momentum", wanted, |x| (0.0..1.0).contains(&x)).map(Choice::Momentum)
        }
        _ => return None,
    })
}

impl SpecRequest {
    /// The training plan: the blob's own, or a plain one, with what was asked for laid over it.
    ///
    /// # Errors
    /// A layer that the model does not have, or that cannot learn.
    pub fn apply(&self, model: &Model<'_>) -> Result<TrainSpec, SpecError> {
        let mut spec = model.train_spec().unwrap_or_else(|| plain(model));
        if let Some(trained) = &self.trained {
            spec.rules = nn_core::train::List::one(trained.resolve(model)?.into());
        }
        for choice in &self.options {
            match *choice {
                Choice::LearningRate(rate) => spec.learning_rate = rate,
                Choice::Momentum(share) => spec = spec.with_momentum(share),
                Choice::WeightDecay(decay) => spec.optimizer.weight_decay = decay,
            }
        }
        Ok(spec)
    }
}

/// The plan of a model that has none: all learns, by cross-entropy where it ends with a softmax.
fn plain(model: &Model<'_>) -> TrainSpec {
    let last = model.outputs().first();
    let mut nodes = model.nodes().iter();
    let softmax = nodes.any(|node| {
        Some(node.output) == last && matches!(node.op, Op::Softmax(_) | Op::LogSoftmax)
    });
    TrainSpec::with_rates(
        Trainable::All,
        if softmax {
            Loss::CrossEntropy
        } else {
            Loss::MeanSquaredError
        },
        Sgd {
            learning_rate: 0.01,
            momentum: 0.0,
            weight_decay: 0.0,
        },
    )
}

impl Trained {
    fn resolve(&self, model: &Model<'_>) -> Result<Trainable, SpecError> {
        let names = match self {
            Self::All => return Ok(Trainable::All),
            Self::Last(count) => return Ok(Trainable::Last(*count)),
            Self::Layers(names) => names,
        };
        let mut mask = 0u64;
        for name in names {
            let nodes = model.nodes().iter().enumerate();
            let mut named = nodes.filter(|(_, node)| node.name == name);
            let found = named.find(|(_, node)| learns(model, &node.op));
            let (node, _) = found.ok_or_else(|| SpecError::Layer {
                found: name.clone(),
                wanted: learnable(model).join(", "),
            })?;
            let bit = u32::try_from(node)
                .ok()
                .and_then(|node| 1u64.checked_shl(node));
            mask |= bit.ok_or_else(|| SpecError::Beyond {
                layer: name.clone(),
                node,
            })?;
        }
        Ok(Trainable::Nodes(mask))
    }
}

/// Whether an operator has weights of real numbers.
fn learns(model: &Model<'_>, op: &Op) -> bool {
    use nn_core::tensor::DType;
    op.parameters().any(|id| {
        let dtype = model.tensor(id).map(|tensor| tensor.dtype);
        matches!(dtype, Some(DType::F32 | DType::Q16))
    })
}

/// The layers that can learn.
fn learnable(model: &Model<'_>) -> Vec<String> {
    let nodes = model.nodes().iter();
    let learnable = nodes.filter(|node| learns(model, &node.op));
    learnable.map(|node| node.name.to_owned()).collect()
}

/// The plan with each option that costs memory, by the option's name.
pub(super) fn variants(spec: TrainSpec) -> Vec<(String, TrainSpec)> {
    let with = |momentum: f32| spec.with_momentum(momentum);
    let momentum = if spec.rates().momentum == 0.0 {
        0.9
    } else {
        0.0
    };
    vec![(format!("momentum={momentum}"), with(momentum))]
}
