//! What other systems than networks do with tables of numbers: a decision tree, a line, clusters, principal components, and the
//! search of a function's least value.
//!
//! Thin covers over libraries, so that the rest of this program sees slices of numbers and errors of its own. Samples are
//! rows, all of one length. The same rows and seed give the same result.

mod cluster;
mod components;
mod line;
mod search;
mod tree;

use ndarray::Array2;

pub use cluster::{KMeans, MeanShift, bandwidth};
pub use components::{Components, Standard};
pub use line::LeastSquares;
pub use search::{Found, minimize};
pub use tree::{Limits, RegressionTree};

/// Why samples cannot be analysed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnalysisError {
    /// Fewer samples than the method needs.
    #[error("wanted at least {wanted} samples, found {found}")]
    TooFew {
        /// The least number.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// Rows of several lengths.
    #[error("row {row}: wanted {wanted} numbers as in the first, found {found}")]
    Ragged {
        /// The row, from 1.
        row: usize,
        /// The length of the first row, or the number of rows.
        wanted: usize,
        /// What was found.
        found: usize,
    },
    /// A number that is none, or infinite.
    #[error("row {row}: wanted finite numbers, found {found}")]
    NotFinite {
        /// The row, from 1.
        row: usize,
        /// What was found.
        found: f64,
    },
    /// A setting that fits no samples, or not these.
    #[error("{name}: wanted {wanted}, found {found}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it may be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The library that does the work gives up.
    #[error("{method}: {reason}")]
    Method {
        /// What was done.
        method: &'static str,
        /// The library's words.
        reason: String,
    },
}

impl AnalysisError {
    fn setting(name: &'static str, wanted: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting {
            name,
            wanted: wanted.into(),
            found: found.to_string(),
        }
    }

    fn method(method: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Self {
        move |reason| Self::Method {
            method,
            reason: reason.to_string(),
        }
    }
}

/// The length of the rows, of which there are at least `least`.
fn check(rows: &[Vec<f64>], least: usize) -> Result<usize, AnalysisError> {
    if rows.len() < least.max(1) {
        return Err(AnalysisError::TooFew {
            wanted: least.max(1),
            found: rows.len(),
        });
    }
    let wanted = rows.first().map_or(0, Vec::len);
    for (index, row) in rows.iter().enumerate() {
        if row.len() != wanted || wanted == 0 {
            return Err(AnalysisError::Ragged {
                row: index + 1,
                wanted: wanted.max(1),
                found: row.len(),
            });
        }
        if let Some(&found) = row.iter().find(|value| !value.is_finite()) {
            return Err(AnalysisError::NotFinite {
                row: index + 1,
                found,
            });
        }
    }
    Ok(wanted)
}

/// The rows as the libraries take them.
fn matrix(rows: &[Vec<f64>], least: usize) -> Result<Array2<f64>, AnalysisError> {
    let columns = check(rows, least)?;
    let at = |(row, column): (usize, usize)| rows[row][column];
    Ok(Array2::from_shape_fn((rows.len(), columns), at))
}

/// The squared distance of two points.
fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| a - b);
    differences.map(|difference| difference * difference).sum()
}

/// The index of the point nearest to `row`, the first of several; 0 where there is none.
fn nearest(points: &[Vec<f64>], row: &[f64]) -> usize {
    let distances = points.iter().map(|point| squared_distance(point, row));
    let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    nearest.map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_checked() {
        let few = check(&[], 2).unwrap_err().to_string();
        assert_eq!(few, "wanted at least 2 samples, found 0");
        let ragged = check(&[vec![1.0, 2.0], vec![1.0]], 1).unwrap_err();
        assert_eq!(
            ragged.to_string(),
            "row 2: wanted 2 numbers as in the first, found 1"
        );
        let nan = check(&[vec![1.0], vec![f64::NAN]], 1).unwrap_err();
        assert_eq!(nan.to_string(), "row 2: wanted finite numbers, found NaN");
    }
}
