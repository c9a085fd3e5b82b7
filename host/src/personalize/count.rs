//! Counts of errors, and how sure they are.

use serde::Serialize;

use super::Trial;
use crate::data::Stream;

/// The quantile of the normal distribution that leaves 2.5 % above it.
const Z: f64 = 1.959_964;
/// Times that the writers are drawn anew.
const DRAWS: u64 = 4000;

/// Errors of so many tests, with the 95 % interval of their rate (Wilson 1927).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Count {
    /// How many were wrong.
    pub errors: usize,
    /// Of how many.
    pub tests: usize,
    /// `errors / tests`.
    pub rate: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Count {
    /// `errors` of `tests`.
    pub fn new(errors: usize, tests: usize) -> Self {
        let n = tests.max(1) as f64;
        let rate = errors as f64 / n;
        let middle = (rate + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self {
            errors,
            tests,
            rate,
            low: (middle - half).max(0.0),
            high: (middle + half).min(1.0),
        }
    }
}

/// Errors after learning as a share of those before, with a 95 % interval.
///
/// A writer's digits are like each other, so the interval comes from drawing writers anew, with replacement: the 2.5th and
/// the 97.5th of 100 shares so drawn (Efron 1979).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// After over before; `None` where there was no error before.
    pub ratio: Option<f64>,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Ratio {
    /// Of the trials of all writers with one count of samples.
    pub fn of(trials: &[&Trial]) -> Self {
        let share = |before: usize, after: usize| after as f64 / before as f64;
        let before: usize = trials.iter().map(|trial| trial.before).sum();
        let after: usize = trials.iter().map(|trial| trial.after).sum();
        if before == 0 {
            return Self {
                ratio: None,
                low: 0.0,
                high: f64::INFINITY,
            };
        }
        let mut stream = Stream::new(0, Stream::BOOTSTRAP, 0, 0);
        let mut shares = Vec::new();
        for _ in 0..DRAWS {
            let (mut before, mut after) = (0, 0);
            for _ in 0..trials.len() {
                let trial = trials[stream.below(trials.len() as u64) as usize];
                before += trial.before;
                after += trial.after;
            }
            if before > 0 {
                shares.push(share(before, after));
            }
        }
        shares.sort_by(f64::total_cmp);
        // A share of a length: below it.
        let at = |share: f64| shares.get((shares.len() as f64 * share) as usize).copied();
        Self {
            ratio: Some(share(before, after)),
            low: at(0.025).unwrap_or(0.0),
            high: at(0.975).unwrap_or(f64::INFINITY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: the formula in Python, p = 112 / 6554, z = 1.959964.
    #[test]
    fn wilson_by_hand() {
        let count = Count::new(112, 6554);
        assert!((count.rate - 0.017_089).abs() < 1e-6);
        assert!((count.low - 0.014_222).abs() < 1e-6, "{count:?}");
        assert!((count.high - 0.020_521).abs() < 1e-6, "{count:?}");
        let none = Count::new(0, 10);
        assert_eq!(none.low, 0.0);
        // z² / (n + z²).
        assert!((none.high - Z * Z / (10.0 + Z * Z)).abs() < 1e-12);
    }

    #[test]
    fn a_ratio_lies_in_its_interval() {
        let trials: Vec<Trial> = (0..50)
            .map(|writer| Trial {
                writer,
                samples: 10,
                tests: 60,
                before: 2,
                after: writer as usize % 3,
                kept: true,
                refused: 0,
                digest: 0,
            })
            .collect();
        let ratio = Ratio::of(&trials.iter().collect::<Vec<_>>());
        let share = ratio.ratio.unwrap();
        // 17 · 0 + 17 · 1 + 16 · 2 of 100.
        assert!((share - 0.49).abs() < 1e-12);
        // Four standard errors of 0.41 / √50 are wider than any such interval.
        assert!(ratio.low < share && share < ratio.high);
        assert!(ratio.high - ratio.low < 8.0 * 0.41 / 50f64.sqrt());
        assert_eq!(Ratio::of(&[]).ratio, None);
    }
}
