//! The least value of a function that is dear to compute: Bayesian optimisation (Jones, Schonlau, Welch 1998), by egobox.
//!
//! A Gaussian process through the values so far says where a lower one is to be expected; there the function is computed
//! next.

use std::cell::RefCell;

use egobox_ego::EgorBuilder;
use ndarray::{Array2, ArrayView2};

use super::AnalysisError;

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Where the function is least.
    pub place: Vec<f64>,
    /// What it is there.
    pub value: f64,
    /// How often it was computed.
    pub evaluations: usize,
}

/// Seeks the least of `function` within `bounds`, from `first` places spread over them and `further` that each follow from
/// those before.
///
/// # Errors
/// Bounds that hold nothing, fewer than two places to begin with, the first error of the function.
pub fn minimize<E: From<AnalysisError>>(
    bounds: &[(f64, f64)],
    first: usize,
    further: usize,
    seed: u64,
    function: impl FnMut(&[f64]) -> Result<f64, E>,
) -> Result<Found, E> {
    let hold = |&(low, high): &(f64, f64)| low < high && low.is_finite() && high.is_finite();
    if bounds.is_empty() || !bounds.iter().all(hold) {
        let found = format!("{bounds:?}");
        return Err(
            AnalysisError::setting("bounds", "each a lower and a higher number", found).into(),
        );
    }
    if first < 2 {
        return Err(AnalysisError::setting("first", "at least 2 places", first).into());
    }
    let call = RefCell::new((function, None, 0));
    let objective = |places: &ArrayView2<f64>| -> Result<Array2<f64>, &'static str> {
        let (function, error, count) = &mut *call.borrow_mut();
        let mut values = Array2::zeros((places.nrows(), 1));
        for (place, value) in places.outer_iter().zip(&mut values) {
            *count += 1;
            *value = function(&place.to_vec()).map_err(|reason| {
                *error = Some(reason);
                "the function fails"
            })?;
        }
        Ok(values)
    };
    let limits = Array2::from_shape_fn((bounds.len(), 2), |(row, end)| match end {
        0 => bounds[row].0,
        _ => bounds[row].1,
    });
    let found = EgorBuilder::optimize(&objective)
        .configure(|config| {
            config
                .n_doe(first)
                .max_iters(further)
                .stop_on_error(true)
                .no_outdir()
                .seed(seed)
        })
        .min_within(&limits)
        .and_then(|search| search.run());
    let (_, error, evaluations) = call.into_inner();
    if let Some(error) = error {
        return Err(error);
    }
    let found = found.map_err(|error| AnalysisError::method("Bayesian optimisation")(&error))?;
    Ok(Found {
        place: found.x_opt.to_vec(),
        value: found.y_opt.first().copied().unwrap_or(f64::NAN),
        evaluations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Branin and Hoo's function, whose least value, 0.397887, is known at three places.
    fn branin(x: &[f64]) -> Result<f64, AnalysisError> {
        use std::f64::consts::PI;
        let (a, b) = (x[0], x[1]);
        let valley = b - 5.1 / (4.0 * PI * PI) * a * a + 5.0 / PI * a - 6.0;
        Ok(valley * valley + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * a.cos() + 10.0)
    }

    #[test]
    fn the_least_of_a_known_function_is_found_again() {
        let bounds = [(-5.0, 10.0), (0.0, 15.0)];
        let found = minimize(&bounds, 8, 17, 1, branin).unwrap();
        assert!(found.value < 0.41, "{found:?}");
        assert!((branin(&found.place).unwrap() - found.value).abs() < 1e-12);
        assert_eq!(found.evaluations, 25);
        let again = || minimize(&bounds, 5, 3, 2, branin).unwrap();
        assert_eq!(again(), again());
    }

    #[test]
    fn errors_of_the_function_come_back() {
        let refuse = |_: &[f64]| Err(AnalysisError::setting("x", "no", "more"));
        let error = minimize(&[(0.0, 1.0)], 3, 3, 0, refuse).unwrap_err();
        assert_eq!(error.to_string(), "x: wanted no, found more");
        let one = |_: &[f64]| Ok::<f64, AnalysisError>(1.0);
        assert!(minimize(&[(1.0, 1.0)], 3, 3, 0, one).is_err());
        assert!(minimize(&[], 3, 3, 0, one).is_err());
        assert!(minimize(&[(0.0, 1.0)], 1, 3, 0, one).is_err());
    }
}
