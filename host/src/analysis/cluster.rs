//! Clusters: k-means by linfa, mean shift here.
//!
//! Mean shift (Fukunaga and Hostetler 1975; Comaniciu and Meer 2002) moves each point to the mean of the samples within the
//! bandwidth of it, again and again, uphill in density; where points come to rest are the centres of clusters, of which
//! there are as many as there are.

use std::collections::HashMap;

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans as LinfaKMeans;
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

use super::{AnalysisError, check, matrix, nearest, squared_distance};

/// Beginnings that k-means tries.
const BEGINNINGS: usize = 10;
/// Most moves of a point.
const MOVES: usize = 300;
/// A point rests that moves by less than this share of the bandwidth.
const REST: f64 = 1e-3;

/// Clusters about a number of centres that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// The centres.
    pub centres: Vec<Vec<f64>>,
}

impl KMeans {
    /// Finds `clusters` centres: the best of ten beginnings by k-means++.
    ///
    /// # Errors
    /// Fewer rows than clusters; rows that do not fit together.
    pub fn fit(rows: &[Vec<f64>], clusters: usize, seed: u64) -> Result<Self, AnalysisError> {
        if clusters == 0 {
            return Err(AnalysisError::setting("clusters", "at least 1", 0));
        }
        let samples = DatasetBase::from(matrix(rows, clusters)?);
        let chance = Xoshiro256Plus::seed_from_u64(seed);
        let model = LinfaKMeans::params_with_rng(clusters, chance)
            .n_runs(BEGINNINGS)
            .tolerance(1e-6)
            .fit(&samples)
            .map_err(|error| AnalysisError::method("k-means")(&error))?;
        let centres = model.centroids().outer_iter();
        Ok(Self {
            centres: centres.map(|centre| centre.to_vec()).collect(),
        })
    }

    /// The cluster of a row.
    pub fn cluster(&self, row: &[f64]) -> usize {
        nearest(&self.centres, row)
    }
}

/// Clusters about as many centres as there are.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanShift {
    /// The centres, that of the densest cluster first.
    pub centres: Vec<Vec<f64>>,
}

impl MeanShift {
    /// Finds the centres, at least `bandwidth` from each other.
    ///
    /// # Errors
    /// A bandwidth that is not above 0; rows that do not fit together.
    pub fn fit(rows: &[Vec<f64>], bandwidth: f64) -> Result<Self, AnalysisError> {
        check(rows, 1)?;
        if !(bandwidth > 0.0 && bandwidth.is_finite()) {
            return Err(AnalysisError::setting("bandwidth", "above 0", bandwidth));
        }
        let mut peaks = Vec::new();
        let mut paths = HashMap::new();
        for row in rows {
            climb(rows, row, bandwidth, &mut peaks, &mut paths);
        }
        // Densest first; of two alike the one that comes first in the rows.
        peaks.sort_by_key(|peak| std::cmp::Reverse(peak.0));
        let mut centres: Vec<Vec<f64>> = Vec::new();
        for (_, peak) in peaks {
            let apart = |centre: &Vec<f64>| squared_distance(centre, &peak) > bandwidth * bandwidth;
            if centres.iter().all(apart) {
                centres.push(peak);
            }
        }
        Ok(Self { centres })
    }

    /// The cluster of a row.
    pub fn cluster(&self, row: &[f64]) -> usize {
        nearest(&self.centres, row)
    }
}

/// Moves `start` until it rests, and adds the peak there, how many samples are within the bandwidth and where it is, if no
/// other came by the same way: where a point goes next depends on the samples near it alone. `paths` are those met so far,
/// each with its peak.
fn climb(
    rows: &[Vec<f64>],
    start: &[f64],
    bandwidth: f64,
    peaks: &mut Vec<(usize, Vec<f64>)>,
    paths: &mut HashMap<Vec<bool>, usize>,
) {
    let mut at = start.to_vec();
    let mut way = Vec::new();
    let peak = loop {
        let near = rows.iter().map(|row| is_near(row, &at, bandwidth));
        let near: Vec<bool> = near.collect();
        if let Some(&peak) = paths.get(&near) {
            break peak;
        }
        let mut mean = vec![0.0; at.len()];
        let within = near.iter().filter(|&&near| near).count();
        for (row, _) in rows.iter().zip(&near).filter(|(_, near)| **near) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value;
            }
        }
        for sum in &mut mean {
            *sum /= within.max(1) as f64;
        }
        let moved = squared_distance(&mean, &at).sqrt();
        if within > 0 {
            at = mean;
        }
        way.push(near);
        if within == 0 || moved < REST * bandwidth || way.len() == MOVES {
            peaks.push((within, at));
            break peaks.len() - 1;
        }
    };
    paths.extend(way.into_iter().map(|near| (near, peak)));
}

/// Whether two points are at most `distance` apart.
fn is_near(a: &[f64], b: &[f64], distance: f64) -> bool {
    // Of many features a few mostly tell.
    let mut sum = 0.0;
    a.chunks(16).zip(b.chunks(16)).all(|(a, b)| {
        sum += squared_distance(a, b);
        sum <= distance * distance
    })
}

/// A bandwidth for mean shift: the distance from a sample to the farthest of the `share` of all samples that are nearest to
/// it, in the mean over the samples.
///
/// # Errors
/// A share outside of 0 to 1; rows that do not fit together.
pub fn bandwidth(rows: &[Vec<f64>], share: f64) -> Result<f64, AnalysisError> {
    check(rows, 2)?;
    if !(share > 0.0 && share <= 1.0) {
        return Err(AnalysisError::setting("share", "above 0, at most 1", share));
    }
    // A share of a count: below it.
    let neighbours = ((rows.len() as f64 * share) as usize).clamp(1, rows.len());
    let farthest = rows.iter().map(|row| {
        let mut distances: Vec<f64> = rows.iter().map(|to| squared_distance(row, to)).collect();
        let (_, farthest, _) = distances.select_nth_unstable_by(neighbours - 1, f64::total_cmp);
        farthest.sqrt()
    });
    Ok(farthest.sum::<f64>() / rows.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three squares of four points, far from each other.
    fn squares() -> Vec<Vec<f64>> {
        let corners = [[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]];
        let places = [[0.0, 0.0], [20.0, 0.0], [0.0, 30.0]];
        let points = places.iter().flat_map(|place| {
            corners.map(|corner| vec![place[0] + corner[0], place[1] + corner[1]])
        });
        points.collect()
    }

    fn sorted(mut centres: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        centres.sort_by(|a, b| a.partial_cmp(b).unwrap());
        centres
    }

    #[test]
    fn both_find_the_middles_of_three_squares() {
        let rows = squares();
        let middles = [vec![1.0, 1.0], vec![1.0, 31.0], vec![21.0, 1.0]];
        for seed in 0..5 {
            let found = KMeans::fit(&rows, 3, seed).unwrap();
            for middle in &middles {
                let centre = &found.centres[found.cluster(middle)];
                // linfa goes toward the mean, and stops 1e-6 from it.
                assert!(squared_distance(centre, middle) < 1e-12, "{centre:?}");
            }
            assert_eq!(found, KMeans::fit(&rows, 3, seed).unwrap());
            assert_eq!(found.cluster(&[0.0, 29.0]), found.cluster(&rows[8]));
            assert_ne!(found.cluster(&rows[0]), found.cluster(&rows[8]));
        }
        let found = MeanShift::fit(&rows, 5.0).unwrap();
        assert_eq!(sorted(found.centres.clone()), middles);
        assert_eq!(found.cluster(&[19.0, 3.0]), found.cluster(&rows[4]));
        assert_eq!(MeanShift::fit(&rows, 100.0).unwrap().centres.len(), 1);
        assert_eq!(MeanShift::fit(&rows, 0.5).unwrap().centres.len(), 12);
    }

    /// The rule climbs to where more points are: 0 and 1 pull 2.2 along, which a lone 9 does not.
    #[test]
    fn points_climb_to_the_dense() {
        let rows: Vec<Vec<f64>> = [0.0, 1.0, 2.2, 9.0].map(|value| vec![value]).to_vec();
        let found = MeanShift::fit(&rows, 2.5).unwrap();
        assert_eq!(found.centres.len(), 2);
        assert!((found.centres[0][0] - 3.2 / 3.0).abs() < 1e-12);
        assert_eq!(found.centres[1], [9.0]);
    }

    /// Distances of 0, 1 and 3: nearest two of three by hand.
    #[test]
    fn a_bandwidth_is_a_mean_distance() {
        let rows: Vec<Vec<f64>> = [0.0, 1.0, 3.0].map(|value| vec![value]).to_vec();
        let found = bandwidth(&rows, 0.7).unwrap();
        assert!((found - (1.0 + 1.0 + 2.0) / 3.0).abs() < 1e-12);
        assert!(bandwidth(&rows, 0.0).is_err());
        assert!(MeanShift::fit(&rows, 0.0).is_err());
        assert!(KMeans::fit(&rows, 4, 0).is_err());
    }
}
