//! Linear regression by least squares: the weights and the bias that no neuron without an activation can beat on the same
//! rows. smartcore solves it, by QR decomposition.

use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::linear_regression::{
    LinearRegression, LinearRegressionParameters, LinearRegressionSolverName,
};

use super::{AnalysisError, check};

/// A plane through rows and their targets.
#[derive(Debug)]
pub struct LeastSquares {
    model: LinearRegression<f64, f64, DenseMatrix<f64>, Vec<f64>>,
    features: usize,
}

const METHOD: &str = "least squares";

impl LeastSquares {
    /// The plane that leaves the least squares of `targets`.
    ///
    /// # Errors
    /// Fewer rows than there are weights, rows and targets that do not fit together.
    pub fn fit(rows: &[Vec<f64>], targets: &[f64]) -> Result<Self, AnalysisError> {
        let features = check(rows, 2)?;
        if rows.len() <= features {
            let (wanted, found) = (features + 1, rows.len());
            return Err(AnalysisError::TooFew { wanted, found });
        }
        if targets.len() != rows.len() {
            let wanted = format!("{}, one for each row", rows.len());
            return Err(AnalysisError::setting("targets", wanted, targets.len()));
        }
        let parameters = LinearRegressionParameters {
            solver: LinearRegressionSolverName::QR,
        };
        let model = LinearRegression::fit(&dense(rows)?, &targets.to_vec(), parameters);
        let model = model.map_err(|error| AnalysisError::method(METHOD)(&error))?;
        Ok(Self { model, features })
    }

    /// What it says of each row.
    ///
    /// # Errors
    /// Rows of another length than those it has seen.
    pub fn predict(&self, rows: &[Vec<f64>]) -> Result<Vec<f64>, AnalysisError> {
        let found = check(rows, 1)?;
        if found != self.features {
            let wanted = self.features.to_string();
            return Err(AnalysisError::setting("features", wanted, found));
        }
        let told = self.model.predict(&dense(rows)?);
        told.map_err(|error| AnalysisError::method(METHOD)(&error))
    }
}

fn dense(rows: &[Vec<f64>]) -> Result<DenseMatrix<f64>, AnalysisError> {
    DenseMatrix::from_2d_vec(&rows.to_vec()).map_err(|error| AnalysisError::method(METHOD)(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of (0, 0), (1, 2), (2, 1), by hand: the slope 1/2 through the mean (1, 1).
    #[test]
    fn the_line_goes_through_the_mean() {
        let x = [[0.0], [1.0], [2.0]].map(|row| row.to_vec());
        let line = LeastSquares::fit(&x, &[0.0, 2.0, 1.0]).unwrap();
        let told = line.predict(&[vec![1.0], vec![3.0]]).unwrap();
        assert!(
            (told[0] - 1.0).abs() < 1e-12 && (told[1] - 2.0).abs() < 1e-12,
            "{told:?}"
        );
    }

    #[test]
    fn too_few_rows_are_refused() {
        let error = LeastSquares::fit(&[vec![1.0, 2.0], vec![2.0, 1.0]], &[1.0, 2.0]).unwrap_err();
        assert_eq!(
            error,
            AnalysisError::TooFew {
                wanted: 3,
                found: 2
            }
        );
    }
}
