//! How near predicted numbers come to the true ones.
//!
//! ```text
//! R²   = 1 − Σ (y − ŷ)² / Σ (y − ȳ)²       1 is perfect, 0 is what the mean of the truth would reach
//! MAE  = mean |y − ŷ|
//! RMSE = √ mean (y − ŷ)²
//! ```

use serde::Serialize;

/// How near predictions come. Errors are in the unit of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fit {
    /// How many numbers were predicted.
    pub samples: usize,
    /// The coefficient of determination.
    pub r2: f64,
    /// The mean absolute error.
    pub mae: f64,
    /// The root of the mean squared error.
    pub rmse: f64,
    /// Of the numbers that differ from the one before: how many.
    pub moves: usize,
    /// Of those: how often prediction and truth lie on the same side of the one before.
    pub hits: usize,
    /// `hits / moves`; `None` where every prediction is the number before, which tells no direction.
    pub direction: Option<f64>,
}

impl Fit {
    /// Compares `predicted` with `truth`, which follow no others.
    pub fn plain(truth: &[f64], predicted: &[f64]) -> Self {
        // Nothing moves away from itself.
        Self::of(truth, predicted, truth)
    }

    /// Compares `predicted` with `truth`; `before` is what each number is said to rise or fall from.
    pub fn of(truth: &[f64], predicted: &[f64], before: &[f64]) -> Self {
        let samples = truth.len().min(predicted.len()).min(before.len());
        let count = samples.max(1) as f64;
        let mean = truth.iter().take(samples).sum::<f64>() / count;
        let (mut squares, mut spread, mut absolute) = (0.0, 0.0, 0.0);
        let (mut moves, mut hits, mut tells) = (0, 0, false);
        for ((&y, &guess), &last) in truth.iter().zip(predicted).zip(before) {
            squares += (y - guess) * (y - guess);
            spread += (y - mean) * (y - mean);
            absolute += (y - guess).abs();
            tells |= guess != last;
            if y != last {
                moves += 1;
                hits += usize::from((y > last && guess > last) || (y < last && guess < last));
            }
        }
        Self {
            samples,
            r2: if spread > 0.0 {
                1.0 - squares / spread
            } else {
                0.0
            },
            mae: absolute / count,
            rmse: (squares / count).sqrt(),
            moves,
            hits,
            direction: (tells && moves > 0).then(|| hits as f64 / moves as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_directions_by_hand() {
        // Errors 1, 0, −2, 0; mean of the truth 3, spread 1 + 1 + 1 + 1.
        let truth = [2.0, 4.0, 2.0, 4.0];
        let fit = Fit::of(&truth, &[1.0, 4.0, 4.0, 4.0], &[1.5, 3.0, 3.0, 4.0]);
        assert_eq!((fit.mae, fit.rmse), (0.75, 1.25f64.sqrt()));
        assert_eq!(fit.r2, 1.0 - 5.0 / 4.0);
        // Up, up, down, unmoved: the second alone was foretold.
        assert_eq!((fit.moves, fit.hits), (3, 1));
        assert_eq!(fit.direction, Some(1.0 / 3.0));
    }

    #[test]
    fn the_number_before_tells_no_direction() {
        let fit = Fit::of(&[2.0, 3.0], &[1.0, 2.0], &[1.0, 2.0]);
        assert_eq!(fit.direction, None);
        assert_eq!(Fit::of(&[], &[], &[]).r2, 0.0);
    }
}
