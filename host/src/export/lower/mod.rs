//! From layers to a blob's graph: in f32, Q16, int8, or in int8 with a head of f32 or Q16.

mod float;
mod int8;
mod recurrent;
mod walk;

use nn_core::kernels::packed::Layout;
use nn_core::ops;
use nn_core::train::{Clip, Head, Loss, Method, Optimizer, Part, Rounding, TrainSpec, Trainable};

use super::{AlignedBytes, ExportError, Network, Ranges};
use crate::recipe::{
    self, Activation, DeviceOptimizer, DeviceRounding, DeviceTraining, Format, Recipe,
    TrainableLayers,
};
use walk::{Graph, Lowering};

/// A network's blob.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// The blob.
    pub bytes: AlignedBytes,
    /// For each node, the layer whose output it gives.
    pub(super) outputs: Vec<usize>,
}

/// For whose kernels int8 weights are laid out. The outputs are the same.
///
/// For a Cortex-M int8 dense layers and convolutions are packed, with 2x2 max poolings in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// Workstations: the plain layout.
    #[default]
    Host,
    /// Cortex-M4.
    M4,
    /// Cortex-M7, as M4.
    M7,
    /// Cortex-M3.
    M3,
    /// Cortex-M0 and M0+, as M3.
    M0,
}

impl Target {
    /// What names of blobs that are laid out for it end in.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Host => "",
            Self::M4 => "-m4",
            Self::M7 => "-m7",
            Self::M3 => "-m3",
            Self::M0 => "-m0",
        }
    }

    /// The packed layout that it has kernels for.
    fn layout(self) -> Option<Layout> {
        match self {
            Self::Host => None,
            Self::M4 | Self::M7 => Some(Layout::Armv7em),
            Self::M3 | Self::M0 => Some(Layout::Armv7m),
        }
    }
}

/// Room that int8 leaves for what is learnt: how many times what training made the ranges are.
///
/// The default suits fine-tuning: of the digits' CNN on three shifts it comes nearest to f32 (`docs/numerics.md`). A network
/// that learns from random weights wants more of both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Those of the weights.
    pub weights: f32,
    /// Those of the activations.
    pub ranges: f32,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            weights: 1.5,
            ranges: 1.0,
        }
    }
}

/// In which numbers the layers compute.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbers<'r> {
    /// All in f32.
    F32,
    /// Some in int8, and what lies above them in f32.
    Int8 {
        /// The ranges that scales come from.
        ranges: &'r Ranges,
        /// For each layer, whether it computes in f32.
        float: &'r [bool],
        /// How many times its weights a channel's range is.
        room: f32,
    },
}

/// Which activations a dense layer or convolution applies to its own output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fusion {
    /// All that are functions of one number.
    Float,
    /// ReLU and ReLU6.
    Int8,
}

impl Fusion {
    fn of(self, activation: Activation) -> Option<ops::Activation> {
        let activation = float::function(activation)?;
        let fits = match self {
            Self::Float => true,
            Self::Int8 => {
                matches!(activation, ops::Activation::Relu | ops::Activation::Relu6)
            }
        };
        fits.then_some(activation)
    }
}

impl Network {
    /// The blob of `recipe` in `format`, named `<recipe>-<format>`.
    ///
    /// All but the int8 blob carry the recipe's training plan, where it has one.
    ///
    /// # Errors
    /// What int8, Q16 or the blob format cannot hold; `head` without a training plan.
    pub fn lower(
        &self,
        recipe: &Recipe,
        ranges: &Ranges,
        format: Format,
    ) -> Result<Lowered, ExportError> {
        self.lower_for(recipe, ranges, format, Target::Host, Room::default())
    }

    /// The blob for the kernels of a target, with this room where int8 learns; else as [`lower`](Self::lower).
    ///
    /// # Errors
    /// As [`lower`](Self::lower).
    pub fn lower_for(
        &self,
        recipe: &Recipe,
        ranges: &Ranges,
        format: Format,
        target: Target,
        room: Room,
    ) -> Result<Lowered, ExportError> {
        let name = format!("{}-{format}{}", self.name, target.suffix());
        // All in int8 without a plan: nothing learns, and all is packed.
        let train = recipe.export.train.as_ref();
        let train = train.filter(|_| format != Format::I8);
        let learning: Vec<&str> =
            train.map_or(Vec::new(), |train| train.layers.select(recipe.layers()));
        let above;
        let widened = ranges.widened(room.ranges);
        let numbers = match format {
            Format::F32 | Format::Q16 => Numbers::F32,
            Format::I8 | Format::I8Train => {
                above = vec![false; self.layers.len()];
                let float = &above[..];
                let (ranges, room) = match format {
                    Format::I8Train => (&widened, room.weights),
                    _ => (ranges, 1.0),
                };
                Numbers::Int8 {
                    ranges,
                    float,
                    room,
                }
            }
            Format::Head | Format::HeadQ16 => {
                above = self.above(&learning);
                let float = &above[..];
                if !float.contains(&true) {
                    return Err(ExportError::NoTrainPlan { format });
                }
                let room = 1.0;
                Numbers::Int8 {
                    ranges,
                    float,
                    room,
                }
            }
        };
        let mut graph = Lowering::new(self, numbers, Fusion::Float, &name)?.run(&learning)?;
        if matches!(format, Format::Q16 | Format::HeadQ16) {
            graph.builder = graph.builder.to_q16().exact()?;
        }
        if format == Format::I8Train {
            if train.is_none() {
                return Err(ExportError::NoTrainPlan { format });
            }
            graph = graph.with_real_outputs()?;
        }
        if let Some(layout) = target.layout() {
            graph = graph.into_packed(layout)?;
        }
        let spec = train.map(|train| spec(recipe, train, &graph)).transpose()?;
        graph.finish(spec)
    }

    /// The blob in f32 to measure ranges with: fused as int8 fuses, so that each output that int8 stores is seen.
    pub(super) fn lower_to_calibrate(&self) -> Result<Lowered, ExportError> {
        let lowering = Lowering::new(self, Numbers::F32, Fusion::Int8, "calibration")?;
        lowering.run(&[])?.finish(None)
    }
}

/// The training plan of a graph.
fn spec(recipe: &Recipe, train: &DeviceTraining, graph: &Graph) -> Result<TrainSpec, ExportError> {
    let trainable = match &train.layers {
        TrainableLayers::All if graph.last(usize::MAX) => Trainable::All,
        TrainableLayers::Last(count) => match u8::try_from(*count) {
            Ok(narrow) if graph.last(*count) => Trainable::Last(narrow),
            _ => Trainable::Nodes(graph.mask()?),
        },
        _ => Trainable::Nodes(graph.mask()?),
    };
    let heads = (0..).zip(&recipe.train.heads).map(|(output, head)| {
        // A recipe has at most four heads.
        let loss = loss(train.loss.unwrap_or(head.loss));
        let weight = if recipe.train.heads.len() > 1 {
            head.weight
        } else {
            1.0
        };
        Head::new(loss).at(output).with_weight(weight as f32)
    });
    // Nothing below a head in int8 learns: it has nothing to teach.
    let heads: Vec<Head> = heads
        .filter(|head| head.weight > 0.0 && graph.is_real(head.output))
        .collect();
    let loss = heads.first().map_or(Loss::CrossEntropy, |head| head.loss);
    let mut optimizer = match train.optimizer {
        DeviceOptimizer::Sgd => Optimizer::new(Method::Sgd {
            momentum: train.momentum,
            nesterov: train.nesterov,
        }),
        DeviceOptimizer::Adam => Optimizer::ADAM,
        DeviceOptimizer::AdamW => Optimizer::adam_w(0.0),
        DeviceOptimizer::RmsProp => Optimizer::RMS_PROP,
    };
    optimizer.weight_decay = train.weight_decay;
    optimizer.rounding = match train.rounding {
        DeviceRounding::Stochastic => Rounding::Stochastic,
        DeviceRounding::Nearest => Rounding::Nearest,
    };
    let mut spec = TrainSpec::new(trainable, loss, optimizer, train.learning_rate)
        .with_accumulation(train.accumulate);
    if train.clip > 0.0 {
        spec = spec.with_clip(Clip::Value(train.clip));
    }
    if train.biases_only {
        spec = spec.with_part(Part::Bias);
    }
    Ok(spec.with_heads(&heads).unwrap_or(spec))
}

/// A recipe's loss as devices have it.
fn loss(loss: recipe::Loss) -> Loss {
    match loss {
        recipe::Loss::CrossEntropy => Loss::CrossEntropy,
        recipe::Loss::BinaryCrossEntropy => Loss::BinaryCrossEntropy,
        recipe::Loss::Mse => Loss::MeanSquaredError,
        recipe::Loss::Mae => Loss::MeanAbsoluteError,
        recipe::Loss::Huber => Loss::Huber { delta: 1.0 },
    }
}
