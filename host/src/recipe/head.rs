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
    /// The number that comes next: of a series, the price of the day after its window.
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
        let head = Head {
            layer: last,
            loss,
            weight: 1.0,
            target: if set.values { Aim::Value } else { Aim::Class },
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
        };
        if heads.iter().any(|other| other.layer == head.layer) {
            let found = format!("`{}` a second time", raw.layer);
            return Err(misfit(Misfit::field("layer", "a layer of its own", found)));
        }
        if heads.is_empty() && head.target == Aim::Image {
            let wanted =
                "`class` at the first head (of a series, `value`): accuracy is measured there";
            return Err(misfit(Misfit::field("target", wanted, "`image`")));
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

impl Head {
    /// Whether its layer ends as the loss and the target want.
    fn check(&self, layers: &[ResolvedLayer], set: &Samples) -> Result<(), Misfit> {
        let layer = &layers[self.layer];
        match self.target {
            Aim::Class if set.values => {
                let wanted = "`value`: a series has no classes";
                return Err(Misfit::field("target", wanted, "`class`"));
            }
            Aim::Value if !set.values => {
                let wanted = format!("`class` or `image`: a sample of {} has no value", set.name);
                return Err(Misfit::field("target", wanted, "`value`"));
            }
            Aim::Value if layer.output_shape != [1] => {
                return Err(Misfit::new("1 output, the next value", described(layer)));
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
                let target = match self.target {
                    Aim::Value => "value",
                    _ => "image",
                };
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
