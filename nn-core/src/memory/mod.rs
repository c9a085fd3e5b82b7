//! The arena, and the planners that say which tensor lies where in it.
//!
//! Everything that a session or a trainer needs lies in one buffer that the caller owns:
//!
//! ```text
//! inference: steps | operands | activations, scratch, state
//! training:  steps | operands | backward steps | slots | learnt weights | their copies | activations, deltas, …
//! ```
//!
//! The last part is shared: two buffers overlap where their lifetimes do not. The same code plans on the host, which
//! writes the sizes into the blob's header, and on the device, which checks them. `docs/memory.md` gives the sums.

mod arena;
mod buffer;
mod error;
mod place;
mod plan;
mod span;
mod training;

pub(crate) use arena::{ALIGN, Memory, carve, numbers, numbers_mut, round_up};
pub use arena::{Aligned, Arena};
pub use buffer::{Buffer, Kind};
pub use error::PlanError;
pub use place::lower_bound;
pub(crate) use plan::{Plan, channels, derivative_of};
pub use plan::{table_bound, table_len};
pub use span::Span;
pub(crate) use training::{LEARNT_ALIGN, Training, ending, selection};
