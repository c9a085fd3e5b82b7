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
    /// The training plan names no node with f32 weights.
    NothingToTrain,
    /// From the first node that learns, each must feed just the next, and the last the only output; this one does not.
    NotAChain {
        /// The node.
        node: usize,
    },
    /// This node lies above one that learns, and has no backward pass: it does not compute in f32.
    NotDifferentiable {
        /// The node.
        node: usize,
    },
    /// Cross-entropy needs a softmax as the last node.
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
            Self::NothingToTrain => f.write_str("the training plan names no node with f32 weights"),
            Self::NotAChain { node } => write!(
                f,
                "node {node}: from the first node that learns, each must feed just the next one"
            ),
            Self::NotDifferentiable { node } => {
                write!(
                    f,
                    "node {node} does not compute in f32, so no gradient passes it"
                )
            }
            Self::Loss => f.write_str("cross-entropy needs a softmax as the last node"),
        }
    }
}

impl core::error::Error for PlanError {}
