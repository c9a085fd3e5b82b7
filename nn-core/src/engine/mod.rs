//! What a session and a trainer share: planned steps, how they run forward, and how they run backward.

mod head;
mod learning;
mod numbers;
mod pass;
mod report;
mod resolve;
mod setup;
mod sizes;
mod step;

pub use head::HeadStep;
pub(crate) use learning::{Learning, Learns, MAX_TOP_CHANNELS, Operands};
pub use learning::{Learnt, Pick};
pub(crate) use pass::{Passes, hand_down, hand_down_i8};
pub use report::{ArenaParts, ArenaReport};
pub(crate) use setup::{Parts, lay_out};
pub use setup::{SetupError, arena_len};
pub(crate) use sizes::Sizes;
pub(crate) use step::{BackFrame, Backward, Code, Forward, Frame};
pub use step::{BackStep, Slot, Step};
