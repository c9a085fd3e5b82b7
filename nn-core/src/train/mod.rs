//! Learning on the device: losses, backward pass, optimizers.
//!
//! The weights that learn are copied to RAM; each is updated while its gradient is formed, so there are no gradient
//! tensors (unless gradients are summed over several samples). A layer's delta overwrites its activation. See
//! `docs/memory.md` for the sums.

mod chain;
mod channels;
mod error;
mod guard;
pub(crate) mod int8;
mod list;
mod loss;
mod optimizer;
mod plan;
mod rule;
mod schedule;
mod selection;
mod sgd;
mod spec;
#[cfg(test)]
mod tests;
mod trainer;
mod update;

pub use crate::kernels::Link;
pub use chain::Chain;
pub(crate) use chain::{End, Placed};
pub use channels::{ChannelMask, mask_words, select_top, update_norms};
pub use error::{SpecError, TrainError};
pub(crate) use guard::{Guard, is_large, is_large_few};
pub use list::List;
pub use loss::{Criterion, Ending, Loss, Target};
pub use optimizer::{Clip, Method, Optimizer, Rounding};
pub(crate) use plan::{PlanView, Rates};
pub(crate) use rule::{Pace, Rule};
pub use schedule::{Course, Schedule};
pub use selection::{Channels, Selection};
pub use sgd::Sgd;
pub use spec::{Head, MAX_HEADS, MAX_RULES, Part, TrainRule, TrainSpec, Trainable};
pub use trainer::{StepReport, Trainer};
pub(crate) use update::{MAX_COPIES, Sums, Update};
