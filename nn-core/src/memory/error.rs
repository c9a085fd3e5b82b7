//! What can keep a model from being planned.

use core::fmt;

/// Why a model cannot be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Cross-entropy needs a softmax that writes the output and feeds nothing else.
    Loss,
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
            Self::Loss => f.write_str(
                "cross-entropy needs a softmax that writes the output and feeds nothing else",
            ),
        }
    }
}

impl core::error::Error for PlanError {}
