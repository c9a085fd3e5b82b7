//! What can keep a model from being planned.

use core::fmt;

use crate::train::SpecError;

/// Why a model cannot be planned.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PlanError {
    /// The table has fewer entries than [`table_len`](crate::memory::table_len) says.
    Table {
        /// Entries needed.
        wanted: usize,
        /// Entries given.
        found: usize,
    },
    /// The buffers need more than 2³¹ bytes.
    TooLarge,
    /// The model has no training plan.
    NoTrainSpec,
    /// The training plan names no node whose weights can learn.
    NothingToTrain,
    /// No loss lies above this node, which the training plan names.
    Unreached {
        /// The node.
        node: usize,
    },
    /// This node lies between one that learns and a loss, and no gradient passes it.
    NotDifferentiable {
        /// The node.
        node: usize,
    },
    /// The loss at this output does not fit it: the output does not exist or is int8; cross-entropy needs a softmax or
    /// log-softmax that feeds nothing else, binary cross-entropy a sigmoid; class weights are an f32 vector of the
    /// output's last dimension, finite and not negative.
    Loss {
        /// Which of the graph's outputs.
        output: u8,
    },
    /// Weights in int8 learn by plain stochastic gradient descent, sample by sample, and the plan asks for more.
    Int8 {
        /// What it asks for.
        setting: &'static str,
    },
    /// The training plan has a field out of range.
    Spec(SpecError),
    /// Output channels are chosen of a node whose weights have no channel for each of its output's, or those of the
    /// largest gradients of one with more than 512, or of one in a plan that sums gradients before it steps.
    Channels {
        /// The node.
        node: usize,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { wanted, found } => {
                write!(f, "planner's table of {found} entries: {wanted} wanted")
            }
            Self::TooLarge => f.write_str("the buffers need more than 2^31 bytes"),
            Self::NoTrainSpec => f.write_str(
                "the model has no training plan: export it with `export.train` in its recipe",
            ),
            Self::NothingToTrain => {
                f.write_str("the training plan names no node whose weights can learn")
            }
            Self::Unreached { node } => write!(
                f,
                "node {node} is to learn, and no output with a loss depends on it"
            ),
            Self::NotDifferentiable { node } => write!(
                f,
                "node {node} lies between a layer that learns and the loss, and no gradient passes it"
            ),
            Self::Loss { output } => write!(
                f,
                "the loss at output {output} does not fit it: it must be f32 or Q16; cross-entropy needs a softmax or log-softmax that feeds nothing else, binary cross-entropy a sigmoid; class weights are an f32 vector of its last dimension, finite and not negative"
            ),
            Self::Int8 { setting } => write!(
                f,
                "weights in int8 learn by plain SGD, sample by sample, and the plan asks for {setting}: leave it out, or export f32 or Q16"
            ),
            Self::Spec(error) => error.fmt(f),
            Self::Channels { node } => write!(
                f,
                "node {node}: its weights have no channel for each of its output's, or more than 512 to choose the largest from, or gradients are summed first: its output channels cannot be chosen"
            ),
        }
    }
}

impl core::error::Error for PlanError {}
