//! How near predicted numbers come to the true ones.
//!
//! ```text
//! R²   = 1 − Σ (y − ŷ)² / Σ (y − ȳ)²       1 is perfect, 0 is what the mean of the truth would reach
//! MAE  = mean |y − ŷ|
//! RMSE = √ mean (y − ŷ)²
//! MAPE = mean |y − ŷ| / |y|
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
    /// The mean absolute error as a share of the truth; `None` where a true number is 0.
    pub mape: Option<f64>,
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
        let (mut squares, mut spread, mut absolute, mut shares) = (0.0, 0.0, 0.0, 0.0);
        let (mut moves, mut hits, mut tells) = (0, 0, false);
        for ((&y, &guess), &last) in truth.iter().zip(predicted).zip(before) {
            squares += (y - guess) * (y - guess);
            spread += (y - mean) * (y - mean);
            absolute += (y - guess).abs();
            shares += (y - guess).abs() / y.abs();
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
            // A truth of 0 divides to infinity, or to no number.
            mape: Some(shares / count).filter(|share| share.is_finite()),
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

    /// scikit-learn 1.9.1: `mean_absolute_error`, `root_mean_squared_error`, `mean_absolute_percentage_error` and `r2_score`
    /// of truth and prediction.
    #[test]
    fn errors_are_scikit_learns() {
        let fit = Fit::plain(&[3.0, -0.5, 2.0, 7.0], &[2.5, 0.0, 2.0, 8.0]);
        let found = [fit.mae, fit.rmse, fit.mape.unwrap(), fit.r2];
        let wanted = [
            0.5,
            0.612_372_435_695_794_5,
            0.327_380_952_380_952_4,
            0.948_608_137_044_967_9,
        ];
        for (found, wanted) in found.into_iter().zip(wanted) {
            // Sums of four quotients in f64.
            assert!((found - wanted).abs() < 1e-14, "{found}, {wanted}");
        }
        assert_eq!(Fit::plain(&[0.0, 1.0], &[0.5, 1.0]).mape, None);
        assert_eq!(Fit::plain(&[0.0, 1.0], &[0.0, 1.0]).mape, None);
    }

    #[test]
    fn the_number_before_tells_no_direction() {
        let fit = Fit::of(&[2.0, 3.0], &[1.0, 2.0], &[1.0, 2.0]);
        assert_eq!(fit.direction, None);
        assert_eq!(Fit::of(&[], &[], &[]).r2, 0.0);
    }
}
