//! Learning on the device: loss, backward pass, stochastic gradient descent, one sample at a time.
//!
//! The weights that learn are copied to RAM; each is updated while its gradient is formed, so there are no gradient
//! tensors. A layer's delta overwrites its activation. See `docs/memory.md` for the sums.

mod error;
mod loss;
mod spec;
mod trainer;
mod update;

pub use error::TrainError;
pub use loss::{Loss, Target};
pub use spec::{Sgd, TrainSpec, Trainable};
pub use trainer::{StepReport, Trainer};
pub(crate) use update::{Rule, Update};
