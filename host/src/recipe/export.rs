//! What becomes of the trained network: formats, calibration, what learns on the device.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::error::{Misfit, within};
use super::{Loss, ResolvedLayer};

/// The section `[export]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The blobs to write.
    #[serde(default = "all_formats")]
    pub formats: Vec<Format>,
    /// Training samples that calibrate the ranges of int8 activations.
    #[serde(default = "calibration")]
    pub calibration: usize,
    /// What learns on the device; nothing when not given.
    #[serde(default)]
    pub train: Option<DeviceTraining>,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            formats: all_formats(),
            calibration: calibration(),
            train: None,
        }
    }
}

fn all_formats() -> Vec<Format> {
    vec![Format::F32, Format::I8, Format::Head]
}

fn calibration() -> usize {
    500
}

/// In which numbers a blob computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// All in f32.
    F32,
    /// All in int8.
    I8,
    /// What learns in f32, all before it in int8.
    Head,
    /// All in Q16: fixed point, 16 integer and 16 fractional bits.
    Q16,
    /// What learns in Q16, all before it in int8.
    #[serde(rename = "head-q16")]
    HeadQ16,
    /// All in int8, in which it learns, too; the last function in f32.
    #[serde(rename = "i8-train")]
    I8Train,
}

impl Format {
    /// What recipes call the formats.
    pub const NAMES: &'static str = "f32, i8, head, q16, head-q16, i8-train";

    /// Whether only what learns computes in real numbers.
    pub fn is_head(self) -> bool {
        matches!(self, Self::Head | Self::HeadQ16)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::I8 => "i8",
            Self::Head => "head",
            Self::Q16 => "q16",
            Self::HeadQ16 => "head-q16",
            Self::I8Train => "i8-train",
        })
    }
}

/// The section `[export.train]`: what learns on the device, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceTraining {
    /// The layers that learn.
    pub layers: TrainableLayers,
    /// The step along the gradient.
    #[serde(default = "learning_rate")]
    pub learning_rate: f32,
    /// Share of the last step that is taken again; above 0 costs a copy of what learns.
    #[serde(default)]
    pub momentum: f32,
    /// Share of the weight added to its gradient.
    #[serde(default)]
    pub weight_decay: f32,
    /// How a gradient becomes a step.
    #[serde(default)]
    pub optimizer: DeviceOptimizer,
    /// Looks ahead along the momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// How Q16 rounds what it stores.
    #[serde(default)]
    pub rounding: DeviceRounding,
    /// Samples whose gradients make one step; above 1 costs a copy of what learns.
    #[serde(default = "one_sample")]
    pub accumulate: u16,
    /// Whether only the biases of those layers learn.
    #[serde(default)]
    pub biases_only: bool,
    /// Each gradient is kept within ± this; 0 for as they are.
    #[serde(default)]
    pub clip: f32,
    /// What learning makes small; what training made small when not given.
    #[serde(default)]
    pub loss: Option<Loss>,
}

/// How a gradient becomes a step on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceOptimizer {
    /// Stochastic gradient descent.
    #[default]
    Sgd,
    /// Adam: two copies of what learns.
    Adam,
    /// Adam with decoupled weight decay: two copies of what learns.
    AdamW,
    /// RMSprop: one copy of what learns.
    RmsProp,
}

/// How fixed point rounds what it stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceRounding {
    /// Up or down at random, with the odds of the remainder.
    #[default]
    Stochastic,
    /// To nearest: without random numbers, but steps below half of the format's are lost.
    Nearest,
}

fn one_sample() -> u16 {
    1
}

fn learning_rate() -> f32 {
    0.01
}

/// Which layers learn on the device: `"all"`, `"last:K"`, or a list of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrainableLayers {
    /// Every layer with parameters.
    All,
    /// The last few layers with parameters.
    Last(usize),
    /// The layers of these names.
    Named(Vec<String>),
}

impl TrainableLayers {
    /// The names of the layers that learn, in the order of the network.
    pub fn select<'l>(&self, layers: &'l [ResolvedLayer]) -> Vec<&'l str> {
        let learnable: Vec<&str> = layers
            .iter()
            .filter(|layer| layer.parameters > 0)
            .map(|layer| layer.name.as_str())
            .collect();
        match self {
            Self::All => learnable,
            Self::Last(count) => learnable[learnable.len().saturating_sub(*count)..].to_vec(),
            Self::Named(names) => learnable
                .into_iter()
                .filter(|learnable| names.iter().any(|name| name == learnable))
                .collect(),
        }
    }
}

impl Export {
    pub(super) fn check(&self, layers: &[ResolvedLayer]) -> Result<(), Misfit> {
        if self.formats.is_empty() {
            return Err(Misfit::field(
                "formats",
                format!("at least one of {}", Format::NAMES),
                "none",
            ));
        }
        if self.calibration == 0 {
            return Err(Misfit::field("calibration", "at least 1 sample", 0));
        }
        let Some(train) = &self.train else {
            if let Some(head) = self.formats.iter().find(|format| format.is_head()) {
                let wanted = "a section [export.train] that says what learns in the head";
                return Err(Misfit::field(
                    "formats",
                    wanted,
                    format!("`{head}` without one"),
                ));
            }
            return Ok(());
        };
        let learnable = TrainableLayers::All.select(layers);
        match &train.layers {
            TrainableLayers::Last(count) if *count > learnable.len() => {
                let wanted = format!("at most last:{}", learnable.len());
                return Err(Misfit::field(
                    "train.layers",
                    wanted,
                    format!("last:{count}"),
                ));
            }
            TrainableLayers::Named(names) => {
                if let Some(name) = names
                    .iter()
                    .find(|name| !learnable.contains(&name.as_str()))
                {
                    let wanted = format!("layers with parameters: {}", learnable.join(", "));
                    return Err(Misfit::field("train.layers", wanted, format!("`{name}`")));
                }
            }
            _ => {}
        }
        let share = "a number from 0 to below 1";
        let positive = f64::MIN_POSITIVE..=f64::from(f32::MAX);
        let rate = f64::from(train.learning_rate);
        within("train.learning_rate", rate, positive, "a number above 0")?;
        within("train.momentum", f64::from(train.momentum), 0.0..1.0, share)?;
        let clip = f64::from(train.clip);
        within(
            "train.clip",
            clip,
            0.0..=1e6,
            "a number from 0 to 1,000,000",
        )?;
        if train.accumulate == 0 {
            return Err(Misfit::field("train.accumulate", "at least 1 sample", 0));
        }
        let sgd = train.optimizer == DeviceOptimizer::Sgd;
        if train.momentum > 0.0 && !sgd {
            let wanted = "0: only sgd has a momentum";
            return Err(Misfit::field("train.momentum", wanted, train.momentum));
        }
        if train.nesterov && train.momentum == 0.0 {
            let wanted = "a momentum above 0 for nesterov";
            return Err(Misfit::field("train.momentum", wanted, 0));
        }
        within(
            "train.weight_decay",
            f64::from(train.weight_decay),
            0.0..1.0,
            share,
        )
    }
}

impl<'de> Deserialize<'de> for TrainableLayers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = TrainableLayers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\", \"last:K\" (K at least 1) or a list of layer names")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TrainableLayers, E> {
                if text == "all" {
                    return Ok(TrainableLayers::All);
                }
                text.strip_prefix("last:")
                    .and_then(|count| count.parse().ok())
                    .filter(|&count| count > 0)
                    .map(TrainableLayers::Last)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<TrainableLayers, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                if names.is_empty() {
                    return Err(de::Error::invalid_length(0, &self));
                }
                Ok(TrainableLayers::Named(names))
            }
        }
        deserializer.deserialize_any(Choice)
    }
}
