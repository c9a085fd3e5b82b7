//! The arena, and the planners that say which tensor lies where in it.
//!
//! Everything that a session or a trainer needs lies in one buffer that the caller owns:
//!
//! ```text
//! inference: steps | activations
//! training:  steps | backward steps | learnt weights | velocities | activations, deltas, saved values, scratch
//! ```
//!
//! The last part is shared: two buffers overlap where their lifetimes do not. The same code plans on the host, which
//! writes the sizes into the blob's header, and on the device, which checks them. `docs/memory.md` gives the sums.

mod arena;
mod error;
mod plan;
mod training;

pub(crate) use arena::{
    ALIGN, carve, disjoint, floats, floats_mut, integers, round_up, signed, signed_mut,
};
pub use arena::{Aligned, Arena};
pub use error::PlanError;
pub use plan::{Buffer, table_len};
pub(crate) use plan::{Plan, Span, derivative_of};
pub(crate) use training::Training;
