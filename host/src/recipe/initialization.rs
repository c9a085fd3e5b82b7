//! What weights begin as.

use serde::Deserialize;
use toml::Spanned;

use super::error::{Misfit, Source, within};
use super::fields::Bare;
use super::parameters::Parameter;
use super::{RecipeError, tagged};

/// The field `init` of `[train]` or of a layer: what weights begin as; then biases begin as 0, but of `pytorch`.
#[derive(Debug, Clone, PartialEq)]
pub enum Initialization {
    /// By chance, around a mean.
    Normal(Normal),
    /// By chance, evenly between two numbers.
    Uniform(Uniform),
    /// With the variance 2 / (inputs + outputs) (Glorot and Bengio 2010).
    Glorot(Distribution),
    /// With the variance 2 / inputs (He et al. 2015).
    He(Distribution),
    /// As PyTorch's dense layers and convolutions: weights and biases evenly within ±1 / √inputs. Recurrent layers and
    /// embeddings are as ever.
    PyTorch,
    /// All 0.
    Zeros,
    /// As the recipe says, number by number: of one layer.
    Given(Given),
}

/// Fields of `normal`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// The mean.
    #[serde(default)]
    pub mean: f64,
    /// The standard deviation.
    #[serde(default = "small")]
    pub deviation: f64,
}

/// Fields of `values`: as many numbers as there are, in PyTorch's order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// The weights.
    pub weight: Vec<f64>,
    /// The biases; 0 where they are not given.
    #[serde(default)]
    pub bias: Vec<f64>,
}

impl Given {
    /// The numbers for a tensor of that name, where it is one of the two.
    pub fn of(&self, tensor: &str) -> Option<&[f64]> {
        match tensor {
            "weight" => Some(&self.weight),
            "bias" => Some(&self.bias),
            _ => None,
        }
    }

    /// Whether these are the numbers of a layer with such tensors.
    pub(super) fn check(&self, tensors: &[Parameter]) -> Result<(), Misfit> {
        for tensor in tensors {
            let count: usize = tensor.shape.iter().product();
            let Some(given) = self.of(tensor.name) else {
                let wanted = "a convolution or a dense layer, of weight and bias, for `values`";
                return Err(Misfit::field("init", wanted, tensor.name));
            };
            let none = tensor.name == "bias" && given.is_empty();
            if given.len() != count && !none {
                let wanted = format!("{count} numbers of {}, {:?}", tensor.name, tensor.shape);
                return Err(Misfit::field("init", wanted, given.len()));
            }
        }
        let has_bias = tensors.iter().any(|tensor| tensor.name == "bias");
        match has_bias || self.bias.is_empty() {
            true => Ok(()),
            false => Err(Misfit::field(
                "init",
                "no bias: the layer has none",
                self.bias.len(),
            )),
        }
    }
}

/// Fields of `uniform`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// The least number.
    #[serde(default = "minus_small")]
    pub low: f64,
    /// What all are below.
    #[serde(default = "small")]
    pub high: f64,
}

/// How numbers of a given variance lie around 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Evenly.
    #[default]
    Uniform,
    /// In Gauss's curve, which is not cut.
    Normal,
}

/// Fields of `glorot` and `he`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scaled {
    #[serde(default)]
    distribution: Distribution,
}

/// Of means, deviations and bounds.
const LARGEST: f64 = 1e9;

fn small() -> f64 {
    0.05
}

fn minus_small() -> f64 {
    -small()
}

impl Initialization {
    const TYPES: &'static str = "normal, uniform, glorot, he, pytorch, zeros, values";

    /// Of `init = "he"`, or of `init = { type = "he", … }`, which begins at `start`.
    pub(super) fn parse(
        source: &Source<'_>,
        start: usize,
        place: &str,
        value: toml::Value,
    ) -> Result<Self, RecipeError> {
        let place = format!("{place}: init");
        let table = match value {
            toml::Value::Table(table) => table,
            name => toml::Table::from_iter([("type".to_owned(), name)]),
        };
        let table = Spanned::new(start..start, table);
        let init = tagged(source, table, &place, Self::TYPES, Self::read)?;
        init.check()
            .map_err(|misfit| source.misfit(start, &place, misfit))?;
        Ok(init)
    }

    fn read(name: &str, fields: toml::Table) -> Option<Result<Self, toml::de::Error>> {
        Some(match name {
            "normal" => fields.try_into().map(Self::Normal),
            "uniform" => fields.try_into().map(Self::Uniform),
            "glorot" => fields
                .try_into()
                .map(|s: Scaled| Self::Glorot(s.distribution)),
            "he" => fields.try_into().map(|s: Scaled| Self::He(s.distribution)),
            "pytorch" => fields.try_into().map(|Bare {}| Self::PyTorch),
            "zeros" => fields.try_into().map(|Bare {}| Self::Zeros),
            "values" => fields.try_into().map(Self::Given),
            _ => return None,
        })
    }

    fn check(&self) -> Result<(), Misfit> {
        let number =
            |field, value| within(field, value, -LARGEST..=LARGEST, "a number within ±1e9");
        match self {
            Self::Normal(normal) => {
                number("mean", normal.mean)?;
                let wanted = "a number from 0 to 1e9";
                within("deviation", normal.deviation, 0.0..=LARGEST, wanted)
            }
            Self::Uniform(uniform) => {
                number("low", uniform.low)?;
                let wanted = format!("a number from low, {}, to 1e9", uniform.low);
                within("high", uniform.high, uniform.low..=LARGEST, &wanted)
            }
            Self::Given(given) => {
                let mut all = given.weight.iter().chain(&given.bias);
                all.try_for_each(|&value| number("values", value))
            }
            Self::Glorot(_) | Self::He(_) | Self::PyTorch | Self::Zeros => Ok(()),
        }
    }
}
