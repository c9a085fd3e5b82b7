//! Outputs of a network, each with its loss.
//!
//! `loss = "cross_entropy"` in `[train]` is short for one head at the last layer. Several are written out:
//!
//! ```toml
//! [[train.head]]
//! layer = "class"
//! loss = "cross_entropy"
//! [[train.head]]
//! layer = "picture"
//! loss = "mse"
//! target = "image"
//! weight = 0.5
//! ```

use serde::Deserialize;
use toml::Spanned;

use super::activation::Activation;
use super::error::{Misfit, Source};
use super::graph::{ResolvedLayer, described, find};
use super::{Loss, RecipeError, Samples, shape};

/// What an output should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// The sample's class: 1 there, 0 elsewhere.
    #[default]
    Class,
    /// The sample itself.
    Image,
    /// Numbers: of a series, the price of the day after its window; of a table, the columns of its outputs.
    Value,
}

/// An output, and what training wants of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The layer that gives it.
    pub layer: usize,
    /// What training makes small.
    pub loss: Loss,
    /// What it is multiplied by in the sum of all heads' losses.
    pub weight: f64,
    /// What it should be.
    pub target: Aim,
    /// For [`Aim::Value`], the numbers that it gives, by their places among those that a sample wants.
    pub outputs: Vec<usize>,
}

/// A head, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHead {
    layer: String,
    loss: Loss,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default)]
    target: Aim,
    #[serde(default)]
    outputs: Vec<String>,
}

fn one() -> f64 {
    1.0
}

/// The heads, of one loss or of several.
pub(super) fn read(
    source: &Source<'_>,
    start: usize,
    loss: Option<Loss>,
    raw: Vec<Spanned<RawHead>>,
    layers: &[ResolvedLayer],
    set: &Samples,
) -> Result<Vec<Head>, RecipeError> {
    let misfit = |misfit| source.misfit(start, "[train]", misfit);
    let Some(last) = layers.len().checked_sub(1) else {
        return Err(misfit(Misfit::new("at least one [[layer]]", "none")));
    };
    if raw.is_empty() {
        let wanted = "a loss, or heads with theirs ([[train.head]])";
        let loss = loss.ok_or_else(|| misfit(Misfit::field("loss", wanted, "none")))?;
        let values = set.classes == 0;
        let head = Head {
            layer: last,
            loss,
            weight: 1.0,
            target: if values { Aim::Value } else { Aim::Class },
            outputs: if values {
                set.all_outputs()
            } else {
                Vec::new()
            },
        };
        head.check(layers, set).map_err(misfit)?;
        return Ok(vec![head]);
    }
    if loss.is_some() {
        let wanted = "a loss at each head only";
        return Err(misfit(Misfit::field(
            "loss",
            wanted,
            "one beside [[train.head]]",
        )));
    }
    if raw.len() > 4 {
        let found = format!("{} of them", raw.len());
        return Err(misfit(Misfit::field("head", "up to 4 heads", found)));
    }
    let mut heads: Vec<Head> = Vec::new();
    for raw in raw {
        let start = raw.span().start;
        let raw = raw.into_inner();
        let misfit = |misfit| source.misfit(start, "[[train.head]]", misfit);
        let head = Head {
            layer: find("layer", &raw.layer, layers).map_err(misfit)?,
            loss: raw.loss,
            weight: raw.weight,
            target: raw.target,
            outputs: set.outputs(raw.target, &raw.outputs).map_err(misfit)?,
        };
        let twice = |output: &usize| heads.iter().any(|other| other.outputs.contains(output));
        if let Some(&output) = head.outputs.iter().find(|output| twice(output)) {
            let found = format!("`{}` a second time", set.outputs[output]);
            return Err(misfit(Misfit::field(
                "outputs",
                "each number at one head",
                found,
            )));
        }
        if heads.iter().any(|other| other.layer == head.layer) {
            let found = format!("`{}` a second time", raw.layer);
            return Err(misfit(Misfit::field("layer", "a layer of its own", found)));
        }
        if heads.is_empty() && (head.target == Aim::Class) != (set.classes > 0) {
            let wanted = match set.classes {
                0 => "`value` at the first head: there are no classes",
                _ => "`class` at the first head: accuracy is measured there",
            };
            let found = format!("`{}`", head.target.name());
            return Err(misfit(Misfit::field("target", wanted, found)));
        }
        super::within(
            "weight",
            head.weight,
            0.0..f64::INFINITY,
            "a number, at least 0",
        )
        .and_then(|()| head.check(layers, set))
        .map_err(misfit)?;
        heads.push(head);
    }
    Ok(heads)
}

impl Aim {
    fn name(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Image => "image",
            Self::Value => "value",
        }
    }
}

impl Samples {
    fn all_outputs(&self) -> Vec<usize> {
        (0..self.outputs.len()).collect()
    }

    /// The places of the numbers that a head gives: those named, or all.
    fn outputs(&self, target: Aim, names: &[String]) -> Result<Vec<usize>, Misfit> {
        if target != Aim::Value && !names.is_empty() {
            let wanted = "none but at a head whose target is `value`";
            return Err(Misfit::field("outputs", wanted, names.join(", ")));
        }
        if target == Aim::Value && names.is_empty() {
            return Ok(self.all_outputs());
        }
        let places = names.iter().map(|name| {
            let place = self.outputs.iter().position(|output| output == name);
            place.ok_or_else(|| {
                let wanted = format!("outputs of {}: {}", self.name, self.outputs.join(", "));
                Misfit::field("outputs", wanted, format!("`{name}`"))
            })
        });
        places.collect()
    }
}

impl Head {
    /// Whether its layer ends as the loss and the target want.
    fn check(&self, layers: &[ResolvedLayer], set: &Samples) -> Result<(), Misfit> {
        let layer = &layers[self.layer];
        match self.target {
            Aim::Class if set.classes == 0 => {
                let wanted = format!("`value`: {} has no classes here", set.name);
                return Err(Misfit::field("target", wanted, "`class`"));
            }
            Aim::Value if self.outputs.is_empty() => {
                let wanted = format!("`class` or `image`: a sample of {} has no value", set.name);
                return Err(Misfit::field("target", wanted, "`value`"));
            }
            Aim::Value if layer.output_shape != [self.outputs.len()] => {
                let names = self
                    .outputs
                    .iter()
                    .map(|&output| set.outputs[output].as_str());
                let names: Vec<&str> = names.collect();
                let names = names.join(", ");
                let wanted = match self.outputs.len() {
                    1 => format!("1 output: {names}"),
                    count => format!("{count} outputs: {names}"),
                };
                return Err(Misfit::new(wanted, described(layer)));
            }
            // One output tells two classes apart.
            Aim::Class if set.classes == 2 && layer.output_shape == [1] => {
                let ending = layer.kind.activation();
                let wanted = "a sigmoid at the end of the one output that tells two classes apart";
                let misfit = || Misfit::new(wanted, described(layer));
                (ending == Activation::Sigmoid)
                    .then_some(())
                    .ok_or_else(misfit)?;
            }
            Aim::Class if layer.output_shape != [set.classes] => {
                let wanted = format!(
                    "{} outputs, one for each class of {}",
                    set.classes, set.name
                );
                return Err(Misfit::new(wanted, described(layer)));
            }
            Aim::Image
                if layer.output_shape.iter().product::<usize>()
                    != set.shape.iter().product::<usize>() =>
            {
                let wanted = format!("as many outputs as a sample of {}", shape(&set.shape));
                return Err(Misfit::new(wanted, described(layer)));
            }
            _ => {}
        }
        let activation = layer.kind.activation();
        let found = format!("layer `{}`", layer.name);
        match self.loss {
            Loss::CrossEntropy if self.target != Aim::Class => {
                let target = self.target.name();
                let wanted = format!("a loss of each value by itself for the target `{target}`");
                Err(Misfit::field("loss", wanted, "`cross_entropy`"))
            }
            Loss::CrossEntropy
                if !matches!(activation, Activation::Softmax | Activation::LogSoftmax) =>
            {
                let wanted = "a softmax (or log_softmax) at the end, which cross_entropy needs";
                Err(Misfit::field("loss", wanted, found))
            }
            Loss::BinaryCrossEntropy if activation != Activation::Sigmoid => {
                let wanted = "a sigmoid at the end, which binary_cross_entropy needs";
                Err(Misfit::field("loss", wanted, found))
            }
            _ => Ok(()),
        }
    }
}
