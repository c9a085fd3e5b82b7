//! Principal components (Pearson 1901), by linfa, and standard scores.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_reduction::Pca;

use super::{AnalysisError, check, matrix};

/// Brings each feature to mean 0 and variance 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Standard {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Standard {
    /// Mean and deviation of each feature of `rows`.
    ///
    /// # Errors
    /// Rows that do not fit together.
    pub fn fit(rows: &[Vec<f64>]) -> Result<Self, AnalysisError> {
        let features = check(rows, 1)?;
        let count = rows.len() as f64;
        let of = |value: &dyn Fn(&Vec<f64>) -> f64| rows.iter().map(value).sum::<f64>() / count;
        let mean: Vec<f64> = (0..features).map(|at| of(&|row| row[at])).collect();
        let variance = (0..features).map(|at| of(&|row| (row[at] - mean[at]).powi(2)));
        let deviation = variance.map(f64::sqrt).collect();
        Ok(Self { mean, deviation })
    }

    /// A row's standard scores; a feature that never changes gives 0.
    pub fn scores(&self, row: &[f64]) -> Vec<f64> {
        let parts = row.iter().zip(&self.mean).zip(&self.deviation);
        let score = parts.map(|((value, mean), &deviation)| {
            let deviation = if deviation > 0.0 { deviation } else { 1.0 };
            (value - mean) / deviation
        });
        score.collect()
    }
}

/// The directions in which samples vary most.
#[derive(Debug)]
pub struct Components {
    pca: Pca<f64>,
    mean: Vec<f64>,
    explained: f64,
}

impl Components {
    /// The first `count` components of `rows`.
    ///
    /// # Errors
    /// More components than features or samples; rows that do not fit together.
    pub fn fit(rows: &[Vec<f64>], count: usize) -> Result<Self, AnalysisError> {
        let samples = matrix(rows, 2)?;
        let most = samples.ncols().min(samples.nrows());
        if count == 0 || count > most {
            let wanted = format!("1 to {most}, the number of features or samples");
            return Err(AnalysisError::setting("components", wanted, count));
        }
        let mean = samples.mean_axis(ndarray::Axis(0));
        let mean = mean.map_or_else(Vec::new, |mean| mean.to_vec());
        let squares: f64 = samples
            .outer_iter()
            .map(|row| super::squared_distance(row.as_slice().unwrap_or_default(), &mean))
            .sum();
        let pca = Pca::params(count)
            .fit(&DatasetBase::from(samples))
            .map_err(|error| AnalysisError::method("principal components")(&error))?;
        let kept: f64 = pca.singular_values().iter().map(|s| s * s).sum();
        let explained = if squares > 0.0 { kept / squares } else { 1.0 };
        Ok(Self {
            pca,
            mean,
            explained,
        })
    }

    /// A row along the components.
    pub fn project(&self, row: &[f64]) -> Vec<f64> {
        let components = self.pca.components().outer_iter();
        let along = components.map(|component| {
            let parts = row.iter().zip(&self.mean).zip(component);
            parts.map(|((value, mean), c)| (value - mean) * c).sum()
        });
        along.collect()
    }

    /// The share of the variance that the components hold, from 0 to 1.
    pub fn explained(&self) -> f64 {
        self.explained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points on a line in the direction (3, 4)/5, with a little across it: by hand the variances are 20 and 0.2 times
    /// 5 / 5 along the two directions.
    #[test]
    fn components_lie_along_the_line() {
        let rows: Vec<Vec<f64>> = [
            (-2.0, 0.1),
            (-1.0, -0.2),
            (0.0, 0.2),
            (1.0, -0.2),
            (2.0, 0.1),
        ]
        .map(|(along, across)| {
            vec![
                7.0 + 3.0 * along - 4.0 * across,
                -1.0 + 4.0 * along + 3.0 * across,
            ]
        })
        .to_vec();
        let found = Components::fit(&rows, 1).unwrap();
        // Both directions have 5 units; along: 4 + 1 + 0 + 1 + 4, across: 0.01 + 0.04 + 0.04 + 0.04 + 0.01.
        assert!(
            (found.explained() - 10.0 / 10.14).abs() < 1e-9,
            "{}",
            found.explained()
        );
        let sign = found.project(&rows[4])[0].signum();
        for (row, along) in rows.iter().zip([-2.0, -1.0, 0.0, 1.0, 2.0]) {
            let projected = found.project(row);
            assert!(
                (projected[0] * sign - 5.0 * along).abs() < 1e-6,
                "{projected:?}"
            );
        }
        let both = Components::fit(&rows, 2).unwrap();
        assert!((both.explained() - 1.0).abs() < 1e-9);
        assert!(Components::fit(&rows, 3).is_err());
    }

    /// More features than samples, as of images.
    #[test]
    fn few_samples_of_many_features() {
        let mut stream = crate::data::Stream::new(1, 0, 0, 0);
        let mut rows = Vec::new();
        for index in 0..40 {
            let along = f64::from(index) - 19.5;
            let row = (0..200).map(|at| {
                let noise = f64::from(stream.uniform(-0.5, 0.5));
                noise + along * f64::from(u8::from(at % 2 == 0))
            });
            rows.push(row.collect::<Vec<f64>>());
        }
        let found = Components::fit(&rows, 10).unwrap();
        let first = Components::fit(&rows, 1).unwrap();
        assert!(first.explained() > 0.99, "{}", first.explained());
        assert!(found.explained() > first.explained() && found.explained() < 1.0);
        // Distances never grow by a projection.
        for (a, b) in rows.iter().zip(&rows[1..]) {
            let (pa, pb) = (found.project(a), found.project(b));
            let [before, after] =
                [(a, b), (&pa, &pb)].map(|(a, b)| super::super::squared_distance(a, b));
            assert!(after <= before * (1.0 + 1e-9));
        }
    }

    #[test]
    fn scores_have_mean_0_and_variance_1() {
        let rows = vec![vec![1.0, 5.0], vec![3.0, 5.0]];
        let standard = Standard::fit(&rows).unwrap();
        assert_eq!(standard.scores(&rows[0]), [-1.0, 0.0]);
        assert_eq!(standard.scores(&[4.0, 6.0]), [2.0, 1.0]);
    }
}
