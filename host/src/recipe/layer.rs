//! Layers: their fields, their shape rules, what they hold.
//!
//! Shapes are of one sample, without the batch: `[height, width, channels]` or `[features]`.

use serde::Deserialize;

use super::error::{Misfit, within};
use super::{Pair, Size};

/// What a layer computes.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKind {
    /// Two-dimensional convolution, with bias.
    Conv2d(Conv2d),
    /// The largest value of each window.
    MaxPool2d(Pool2d),
    /// The mean of each window; padding does not count.
    AvgPool2d(Pool2d),
    /// `[height, width, channels]` to one dimension, in that order.
    Flatten,
    /// Fully connected, with bias.
    Dense(Dense),
    /// An activation by itself.
    Activation(Activation),
    /// In training, silences each value with probability `rate` and scales the others by
    /// `1 / (1 − rate)`; otherwise nothing.
    Dropout(Dropout),
}

/// Fields of `conv2d`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Channels of the output.
    pub filters: Size,
    /// Height and width of the window.
    pub kernel: Pair,
    /// Rows and columns from one window to the next.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `max_pool2d` and `avg_pool2d`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool2d {
    /// Height and width of the window.
    pub size: Pair,
    /// Rows and columns from one window to the next; `size` when not given.
    #[serde(default)]
    stride: Option<Pair>,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
}

impl Pool2d {
    /// Rows and columns from one window to the next.
    pub fn stride(&self) -> Pair {
        self.stride.unwrap_or(self.size)
    }
}

/// Fields of `dense`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Features of the output.
    pub units: Size,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `dropout`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The probability of each value to be silenced, from 0 to below 1.
    pub rate: f64,
}

/// A layer without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {}

/// What happens at the edges of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Windows lie wholly inside: `(input − kernel) / stride + 1` of them, rounded down.
    #[default]
    Valid,
    /// `input / stride` windows, rounded up, as TensorFlow pads: an odd one out goes after.
    Same,
}

/// A function applied to each value (softmax: to all values together).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The value itself.
    #[default]
    None,
    /// `max(0, x)`.
    Relu,
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x_i) / Σ exp(x_j)`, over the last dimension.
    Softmax,
}

/// Where windows lie along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// How many there are.
    pub count: usize,
    /// Padding before the first value.
    pub before: usize,
    /// Padding after the last value.
    pub after: usize,
}

impl Padding {
    /// Windows of `kernel` values, `stride` apart, along an axis of `input` values; `None` when
    /// not one fits.
    ///
    /// `Same` is TensorFlow's rule: `max((⌈input / stride⌉ − 1) · stride + kernel − input, 0)`
    /// in all, half of it before, rounded down.
    pub fn windows(self, input: usize, kernel: usize, stride: usize) -> Option<Windows> {
        if input == 0 || kernel == 0 || stride == 0 {
            return None;
        }
        match self {
            Self::Valid => {
                let count = input.checked_sub(kernel)? / stride + 1;
                Some(Windows {
                    count,
                    before: 0,
                    after: 0,
                })
            }
            Self::Same => {
                let count = input.div_ceil(stride);
                let total = ((count - 1) * stride + kernel).saturating_sub(input);
                let before = total / 2;
                Some(Windows {
                    count,
                    before,
                    after: total - before,
                })
            }
        }
    }
}

impl LayerKind {
    /// What recipes may call a layer's type.
    pub const TYPES: &'static str =
        "conv2d, max_pool2d, avg_pool2d, flatten, dense, relu, sigmoid, tanh, softmax, dropout";

    /// What recipes call it, and what its default name begins with.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Conv2d(_) => "conv2d",
            Self::MaxPool2d(_) => "max_pool2d",
            Self::AvgPool2d(_) => "avg_pool2d",
            Self::Flatten => "flatten",
            Self::Dense(_) => "dense",
            Self::Activation(Activation::None) => "none",
            Self::Activation(Activation::Relu) => "relu",
            Self::Activation(Activation::Sigmoid) => "sigmoid",
            Self::Activation(Activation::Tanh) => "tanh",
            Self::Activation(Activation::Softmax) => "softmax",
            Self::Dropout(_) => "dropout",
        }
    }

    /// Reads the fields of a layer of type `name`; `None` when there is no such type.
    pub(super) fn read(name: &str, fields: toml::Table) -> Option<Result<Self, toml::de::Error>> {
        let bare = |kind| fields.clone().try_into().map(|Bare {}| kind);
        Some(match name {
            "conv2d" => fields.try_into().map(Self::Conv2d),
            "max_pool2d" => fields.try_into().map(Self::MaxPool2d),
            "avg_pool2d" => fields.try_into().map(Self::AvgPool2d),
            "dense" => fields.try_into().map(Self::Dense),
            "dropout" => fields.try_into().map(Self::Dropout),
            "flatten" => bare(Self::Flatten),
            "relu" => bare(Self::Activation(Activation::Relu)),
            "sigmoid" => bare(Self::Activation(Activation::Sigmoid)),
            "tanh" => bare(Self::Activation(Activation::Tanh)),
            "softmax" => bare(Self::Activation(Activation::Softmax)),
            _ => return None,
        })
    }

    /// The activation that the layer ends with.
    pub fn activation(&self) -> Activation {
        match self {
            Self::Conv2d(conv) => conv.activation,
            Self::Dense(dense) => dense.activation,
            Self::Activation(activation) => *activation,
            _ => Activation::None,
        }
    }

    /// Shape of the output and count of parameters, for an input of shape `input`.
    pub(super) fn resolve(&self, input: &[usize]) -> Result<(Vec<usize>, usize), Misfit> {
        let image = || match input {
            &[height, width, channels] => Ok([height, width, channels]),
            _ => Err(Misfit::new(
                "an image [height, width, channels]",
                shape(input),
            )),
        };
        let count =
            |padding: Padding, [height, width, _]: [usize; 3], kernel: Pair, stride: Pair| {
                let rows = padding.windows(height, kernel.height(), stride.height());
                let columns = padding.windows(width, kernel.width(), stride.width());
                rows.zip(columns)
                    .map(|(rows, columns)| [rows.count, columns.count])
                    .ok_or_else(|| {
                        let wanted = format!("an input of at least {kernel} (the window)");
                        Misfit::new(wanted, format!("{height} x {width}"))
                    })
            };
        match self {
            Self::Conv2d(conv) => {
                let image = image()?;
                let [rows, columns] = count(conv.padding, image, conv.kernel, conv.stride)?;
                let filters = conv.filters.get();
                let taps = conv.kernel.height() * conv.kernel.width() * image[2];
                Ok((vec![rows, columns, filters], filters * (taps + 1)))
            }
            Self::MaxPool2d(pool) | Self::AvgPool2d(pool) => {
                let image = image()?;
                let [rows, columns] = count(pool.padding, image, pool.size, pool.stride())?;
                Ok((vec![rows, columns, image[2]], 0))
            }
            Self::Flatten => Ok((vec![input.iter().product()], 0)),
            Self::Dense(dense) => match input {
                &[features] => {
                    let units = dense.units.get();
                    Ok((vec![units], units * (features + 1)))
                }
                _ => {
                    let wanted = "one dimension (put `type = \"flatten\"` before it)";
                    Err(Misfit::new(wanted, shape(input)))
                }
            },
            Self::Activation(_) => Ok((input.to_vec(), 0)),
            Self::Dropout(dropout) => {
                within("rate", dropout.rate, 0.0..1.0, "a number from 0 to below 1")?;
                Ok((input.to_vec(), 0))
            }
        }
    }
}

/// A shape for people: `28 x 28 x 1`.
pub fn shape(shape: &[usize]) -> String {
    shape
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(" x ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: TensorFlow's `tf.nn.conv2d` guide, "Notes on padding".
    #[test]
    fn same_pads_as_tensorflow_does() {
        let same = |input, kernel, stride| {
            let windows = Padding::Same.windows(input, kernel, stride).unwrap();
            (windows.count, windows.before, windows.after)
        };
        assert_eq!(same(28, 5, 1), (28, 2, 2));
        assert_eq!(same(28, 2, 2), (14, 0, 0));
        assert_eq!(same(7, 2, 2), (4, 0, 1));
        assert_eq!(same(28, 4, 1), (28, 1, 2));
        assert_eq!(same(5, 3, 2), (3, 1, 1));
        assert_eq!(same(6, 3, 2), (3, 0, 1));
        assert_eq!(same(5, 1, 3), (2, 0, 0));
    }

    #[test]
    fn valid_drops_what_does_not_fill_a_window() {
        let valid = |input, kernel, stride| Padding::Valid.windows(input, kernel, stride);
        assert_eq!(valid(28, 5, 1).unwrap().count, 24);
        assert_eq!(valid(7, 2, 2).unwrap().count, 3);
        assert_eq!(valid(4, 5, 1), None);
    }
}
