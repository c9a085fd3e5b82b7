//! A device while it runs or learns: sample by sample, as events, as a state, and as a picture on a terminal.

mod state;
mod stream;
mod view;

pub use state::{Layer, Seen, State};
pub use stream::{Event, LiveError, Plan, stream};
pub use view::draw;
