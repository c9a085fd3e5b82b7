//! A regression tree (Breiman, Friedman, Olshen, Stone 1984): each leaf is the mean of its samples, each split the one that
//! leaves the least squares. smartcore grows it.

use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::tree::decision_tree_regressor::{
    DecisionTreeRegressor, DecisionTreeRegressorParameters,
};

use super::{AnalysisError, check};

/// How far a tree grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most splits from the root to a leaf; none for no bound.
    pub depth: Option<u16>,
    /// Fewest samples of a leaf.
    pub leaf: usize,
}

/// As the usual libraries have it: until each leaf has one value.
impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: None,
            leaf: 1,
        }
    }
}

/// A grown tree.
#[derive(Debug)]
pub struct RegressionTree {
    tree: DecisionTreeRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>,
    features: usize,
}

const METHOD: &str = "decision tree";

impl RegressionTree {
    /// Grows a tree over `rows` that tells their `targets`. `seed` decides between splits that are equally good.
    ///
    /// # Errors
    /// Rows or targets that do not fit together, limits of 0.
    pub fn fit(
        rows: &[Vec<f64>],
        targets: &[f64],
        limits: Limits,
        seed: u64,
    ) -> Result<Self, AnalysisError> {
        let features = check(rows, 1)?;
        if targets.len() != rows.len() {
            let wanted = format!("{}, one for each row", rows.len());
            return Err(AnalysisError::setting("targets", wanted, targets.len()));
        }
        if limits.leaf == 0 || limits.depth == Some(0) {
            return Err(AnalysisError::setting("limits", "at least 1", 0));
        }
        let parameters = DecisionTreeRegressorParameters {
            // smartcore counts levels of nodes, of which the root is the first.
            max_depth: limits.depth.map(|depth| depth.saturating_add(1)),
            min_samples_leaf: limits.leaf,
            min_samples_split: 2,
            seed: Some(seed),
        };
        let targets = targets.to_vec();
        let tree = DecisionTreeRegressor::fit(&dense(rows)?, &targets, parameters)
            .map_err(|error| AnalysisError::method(METHOD)(&error))?;
        Ok(Self { tree, features })
    }

    /// What it says of each row.
    ///
    /// # Errors
    /// Rows of another length than those it has seen.
    pub fn predict(&self, rows: &[Vec<f64>]) -> Result<Vec<f64>, AnalysisError> {
        let found = check(rows, 1)?;
        if found != self.features {
            return Err(AnalysisError::setting(
                "features",
                self.features.to_string(),
                found,
            ));
        }
        let told = self.tree.predict(&dense(rows)?);
        told.map_err(|error| AnalysisError::method(METHOD)(&error))
    }
}

fn dense(rows: &[Vec<f64>]) -> Result<DenseMatrix<f64>, AnalysisError> {
    // A copy: smartcore takes no borrowed rows.
    DenseMatrix::from_2d_vec(&rows.to_vec()).map_err(|error| AnalysisError::method(METHOD)(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f64]) -> Vec<Vec<f64>> {
        values.iter().map(|&value| vec![value, 7.0]).collect()
    }

    /// Eight points on two steps: the best split of all is the one between 4 and 5, by hand.
    #[test]
    fn the_first_split_leaves_the_least_squares() {
        let x = rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let y = [1.0, 1.0, 2.0, 2.0, 10.0, 10.0, 11.0, 13.0];
        let stump = Limits {
            depth: Some(1),
            leaf: 1,
        };
        let tree = RegressionTree::fit(&x, &y, stump, 0).unwrap();
        let told = tree.predict(&rows(&[0.0, 4.4, 4.6, 9.0])).unwrap();
        assert_eq!(told, [1.5, 1.5, 11.0, 11.0]);
        let whole = RegressionTree::fit(&x, &y, Limits::default(), 0).unwrap();
        assert_eq!(whole.predict(&x).unwrap(), y);
        let pairs = Limits {
            depth: None,
            leaf: 2,
        };
        let pairs = RegressionTree::fit(&x, &y, pairs, 0).unwrap();
        assert_eq!(
            pairs.predict(&x).unwrap(),
            [1.0, 1.0, 2.0, 2.0, 10.0, 10.0, 12.0, 12.0]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = rows(&[1.0, 2.0]);
        let error = RegressionTree::fit(&x, &[1.0], Limits::default(), 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "targets: wanted 2, one for each row, found 1"
        );
        let tree = RegressionTree::fit(&x, &[1.0, 2.0], Limits::default(), 0).unwrap();
        let error = tree.predict(&[vec![1.0]]).unwrap_err();
        assert_eq!(error.to_string(), "features: wanted 2, found 1");
    }
}
