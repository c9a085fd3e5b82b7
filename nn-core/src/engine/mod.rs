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

pub(crate) use head::HeadStep;
pub(crate) use learning::{Learning, Learns, Learnt, MAX_TOP_CHANNELS, Operands, Pick};
pub(crate) use pass::{Passes, hand_down, hand_down_i8};
pub use report::{ArenaParts, ArenaReport};
pub(crate) use setup::{Parts, lay_out};
pub use setup::{SetupError, arena_len};
pub(crate) use sizes::Sizes;
pub use step::Step;
pub(crate) use step::{BackFrame, BackStep, Backward, Code, Forward, Frame, Slot};
