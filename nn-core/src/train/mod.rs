//! Learning on the device: losses, backward pass, optimizers.
//!
//! The weights that learn are copied to RAM; each is updated while its gradient is formed, so there are no gradient
//! tensors (unless gradients are summed over several samples). A layer's delta overwrites its activation. See
//! `docs/memory.md` for the sums.

mod channels;
mod error;
mod list;
mod loss;
mod optimizer;
mod schedule;
mod sgd;
mod spec;
#[cfg(test)]
mod tests;
mod trainer;
mod update;

pub use channels::{ChannelMask, mask_words, select_top, update_norms};
pub use error::TrainError;
pub use list::List;
pub use loss::{Criterion, Ending, Loss, Target};
pub use optimizer::{Clip, Method, Optimizer};
pub use schedule::{Course, Schedule};
pub use sgd::Sgd;
pub use spec::{
    Channels, Head, MAX_HEADS, MAX_RULES, Part, Selection, SpecError, TrainRule, TrainSpec,
    Trainable,
};
pub use trainer::{StepReport, Trainer};
pub(crate) use update::{MAX_COPIES, Pace, Rule, Sums, Update};
