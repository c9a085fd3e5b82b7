//! Walking many inputs on all cores.

use std::fmt;

/// The largest error so far, and where it was.
#[derive(Debug, Default)]
pub(crate) struct Worst {
    pub(crate) error: f64,
    at: String,
}

impl Worst {
    /// Keeps the larger; an error that is not a number is the largest there is.
    pub(crate) fn note(&mut self, error: f64, at: impl FnOnce() -> String) {
        if error > self.error || error.is_nan() {
            self.error = if error.is_nan() { f64::INFINITY } else { error };
            self.at = at();
        }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        if other.error > self.error {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "off by at most {:.5} at {}", self.error, self.at)
    }
}

/// `stretch(first, last)` over first..=last in as many pieces as there are cores, each piece a whole number of strides.
/// `worse` joins what two pieces found.
pub(crate) fn everywhere<T: Default + Send>(
    first: i64,
    last: i64,
    stride: i64,
    stretch: impl Fn(i64, i64) -> T + Sync,
    worse: impl Fn(T, T) -> T,
) -> T {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as i64);
    let steps = (last - first) / stride / cores + 1;
    std::thread::scope(|scope| {
        let pieces: Vec<_> = (0..cores)
            .map(|core| {
                let stretch = &stretch;
                let begin = first + core * steps * stride;
                // The first of the next piece is walked twice: what holds between neighbours holds there too.
                scope.spawn(move || stretch(begin, (begin + steps * stride).min(last)))
            })
            .collect();
        pieces
            .into_iter()
            .map(|piece| {
                piece
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .fold(T::default(), worse)
    })
}
