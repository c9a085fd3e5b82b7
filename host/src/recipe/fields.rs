//! The fields of the layers' types.

use serde::Deserialize;

use super::activation::Activation;
use super::window::Padding;
use super::{Pair, Size};

/// Fields of `conv2d`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Channels of the output.
    pub filters: Size,
    /// Height and width of the window.
    pub kernel: Pair,
    /// Rows and columns from one window to the next.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// Rows and columns from one tap of the window to the next.
    #[serde(default = "Pair::one")]
    pub dilation: Pair,
    /// Into so many groups channels are cut, each of which is convolved by itself.
    #[serde(default = "Size::one")]
    pub groups: Size,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `depthwise_conv2d`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseConv2d {
    /// Channels of the output for each channel of the input.
    #[serde(default = "Size::one")]
    pub multiplier: Size,
    /// Height and width of the window.
    pub kernel: Pair,
    /// Rows and columns from one window to the next.
    #[serde(default = "Pair::one")]
    pub stride: Pair,
    /// Rows and columns from one tap of the window to the next.
    #[serde(default = "Pair::one")]
    pub dilation: Pair,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `conv1d`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv1d {
    /// Features of the output.
    pub filters: Size,
    /// Steps of the window.
    pub kernel: Size,
    /// Steps from one window to the next.
    #[serde(default = "Size::one")]
    pub stride: Size,
    /// Steps from one tap of the window to the next.
    #[serde(default = "Size::one")]
    pub dilation: Size,
    /// Into so many groups features are cut, each of which is convolved by itself.
    #[serde(default = "Size::one")]
    pub groups: Size,
    /// What happens at the ends.
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

/// Fields of `reshape`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The dimensions of the output.
    pub shape: Vec<Size>,
}

/// Fields of `transpose`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transpose {
    /// For each axis of the output, the axis of the input that it is, from 0.
    pub axes: Vec<usize>,
}

/// Fields of `pad`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Zeros before and after along each axis of the input.
    pub amounts: Vec<[usize; 2]>,
}

/// Fields of `concat`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concat {
    /// The axis, from 0; the last when not given.
    #[serde(default)]
    pub axis: Option<usize>,
}

/// Fields of `add` and `mul`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

/// Fields of `repeat`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How many times.
    pub steps: Size,
}

/// Fields of `dense`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Features of the output.
    pub units: Size,
    /// Whether it adds a bias.
    #[serde(default = "yes")]
    pub bias: bool,
    /// Applied to the output.
    #[serde(default)]
    pub activation: Activation,
}

fn yes() -> bool {
    true
}

/// Fields of `leaky_relu`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaky {
    /// Of what is below 0, from 0 to 1.
    #[serde(default = "leaky_slope")]
    pub(super) slope: f32,
}

/// Fields of `rrelu`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rrelu {
    /// The least slope of what is below 0.
    #[serde(default = "rrelu_lower")]
    pub lower: f32,
    /// The largest.
    #[serde(default = "rrelu_upper")]
    pub upper: f32,
}

/// Fields of `dropout`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The probability of each value to be silenced, from 0 to below 1.
    pub rate: f64,
}

/// Fields of `batch_norm`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Added to the variance.
    #[serde(default = "norm_epsilon")]
    pub epsilon: f64,
    /// Share of the running statistics that each batch replaces.
    #[serde(default = "norm_momentum")]
    pub momentum: f64,
}

/// Fields of `embedding`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// How many numbers there are, from 0.
    pub vocabulary: Size,
    /// Features of each.
    pub units: Size,
}

/// Fields of `one_hot`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneHot {
    /// How many numbers there are, from 0.
    pub classes: Size,
}

/// Fields of `rnn`, `lstm` and `gru`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrent {
    /// Numbers of the state.
    pub units: Size,
    /// What it gives.
    #[serde(default, rename = "return")]
    pub gives: Gives,
    /// Whether a second layer reads from the end to the beginning; both outputs lie side by side.
    #[serde(default)]
    pub bidirectional: bool,
    /// Whether on the device a run begins in the state in which the last one ended.
    #[serde(default)]
    pub stateful: bool,
    /// On the device, how many steps a gradient goes back; 0 for all.
    #[serde(default)]
    pub truncate: u16,
    /// `rnn` only: tanh or relu.
    #[serde(default)]
    pub activation: Option<Activation>,
}

/// What a recurrent layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gives {
    /// The state after the last step.
    #[default]
    Last,
    /// The state after each step.
    Sequence,
}

pub(super) fn leaky_slope() -> f32 {
    0.01
}

fn rrelu_lower() -> f32 {
    1.0 / 8.0
}

fn rrelu_upper() -> f32 {
    1.0 / 3.0
}

fn norm_epsilon() -> f64 {
    1e-5
}

fn norm_momentum() -> f64 {
    0.1
}

/// A layer without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bare {}
