//! A watchdog: a timer that resets the chip unless it is fed in time, so that an image that hangs starts again.
//!
//! It is fed where work is known to be done: between requests, between training steps. Never from an interrupt, which goes on
//! when the rest hangs.

/// A board's watchdog.
pub trait Watchdog {
    /// Starts it: from now on it is to be fed at least every so many milliseconds. Most can never be stopped again; where it
    /// was started before, it keeps its time.
    fn start(&mut self, milliseconds: u32);

    /// Begins its time anew.
    fn feed(&mut self);
}
