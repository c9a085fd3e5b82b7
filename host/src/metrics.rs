//! How well samples are told apart: what scikit-learn calls classification metrics.
//!
//! ```text
//! precision = right / told      of a class: of the samples that are said to be of it, the share that is
//! recall    = right / there     of the samples that are of it, the share that is said to be
//! F1        = 2 · precision · recall / (precision + recall)
//! AUC       = P(score of a sample of the class > score of another), ties by half
//! top-k     the share of samples whose class is among the k with the largest scores
//! ```
//!
//! Means over classes (macro) leave out classes that are neither there nor told, AUC's those without two sides to compare.
//! How near numbers come is [`crate::fit`]'s.

use serde::Serialize;

use crate::sample;

/// How well samples are told apart. Serializes to `metrics` of `mote eval --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// How many samples were read.
    pub samples: usize,
    /// Share read rightly.
    pub accuracy: f64,
    /// Share among the first few, where it was asked for.
    pub top: Option<Top>,
    /// The mean of the classes' precisions.
    pub precision: f64,
    /// The mean of their recalls.
    pub recall: f64,
    /// The mean of their F1.
    pub f1: f64,
    /// Of two classes the second's; of more the mean of each against the rest.
    pub auc: Option<f64>,
    /// Class by class.
    pub classes: Vec<ClassMetrics>,
}

/// The share of samples whose class is among the `k` with the largest scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Top {
    /// How many count.
    pub k: usize,
    /// From 0 to 1.
    pub share: f64,
}

/// One class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Samples that are of it.
    pub samples: usize,
    /// Samples that are said to be.
    pub told: usize,
    /// 0 where none is said to be.
    pub precision: f64,
    /// 0 where none is.
    pub recall: f64,
    /// 0 where nothing is right.
    pub f1: f64,
    /// Against the rest; none where all samples are of it, or none is.
    pub auc: Option<f64>,
}

/// The classes of samples, and what a network gives for each class, sample by sample.
#[derive(Debug, Clone, Copy)]
pub struct Told<'t> {
    /// Classes, from 0.
    pub labels: &'t [usize],
    /// `width` of each sample.
    pub scores: &'t [f32],
    /// One for each class; a single one is the probability of the second of two.
    pub width: usize,
}

impl Told<'_> {
    /// The metrics; `top` is the k of top-k, if it is wanted.
    pub fn metrics(&self, top: Option<usize>) -> Metrics {
        let classes = if self.width == 1 { 2 } else { self.width };
        let told: Vec<usize> = self.rows().map(prediction).collect();
        let samples = told.len();
        let share = |count: usize| count as f64 / samples.max(1) as f64;
        let right = told.iter().zip(self.labels).filter(|(a, b)| a == b).count();
        let of: Vec<ClassMetrics> = (0..classes).map(|class| self.class(class, &told)).collect();
        let mean = |number: fn(&ClassMetrics) -> f64| {
            let met = of.iter().filter(|class| class.samples + class.told > 0);
            average(met.map(number)).unwrap_or(0.0)
        };
        Metrics {
            samples,
            accuracy: share(right),
            top: top.map(|k| Top {
                k,
                share: share(self.among(k)),
            }),
            precision: mean(|class| class.precision),
            recall: mean(|class| class.recall),
            f1: mean(|class| class.f1),
            auc: match of.as_slice() {
                [_, second] => second.auc,
                of => average(of.iter().filter_map(|class| class.auc)),
            },
            classes: of,
        }
    }

    /// The scores of each sample.
    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        let rows = self.scores.chunks_exact(self.width.max(1));
        rows.take(self.labels.len())
    }

    fn class(&self, class: usize, told: &[usize]) -> ClassMetrics {
        let pairs = || told.iter().zip(self.labels);
        let right = pairs()
            .filter(|&(&told, &label)| told == class && label == class)
            .count();
        let said = told.iter().filter(|&&told| told == class).count();
        let there = pairs().filter(|&(_, &label)| label == class).count();
        let share = |of: usize| {
            if of == 0 {
                0.0
            } else {
                right as f64 / of as f64
            }
        };
        ClassMetrics {
            samples: there,
            told: said,
            precision: share(said),
            recall: share(there),
            // 2 p r / (p + r), without its divisions.
            f1: match said + there {
                0 => 0.0,
                both => 2.0 * right as f64 / both as f64,
            },
            auc: self.auc(class),
        }
    }

    /// By ranks (Mann and Whitney 1947).
    fn auc(&self, class: usize) -> Option<f64> {
        let score = |row: &[f32]| match (row, class) {
            (&[score], 0) => 1.0 - score,
            (&[score], _) => score,
            (row, class) => row[class],
        };
        let rows = self.rows().map(score).zip(self.labels);
        let mut all: Vec<(f32, bool)> = rows.map(|(s, &label)| (s, label == class)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut wins, mut below, mut own) = (0.0, 0, 0);
        for equals in all.chunk_by(|a, b| a.0 == b.0) {
            let here = equals.iter().filter(|pair| pair.1).count();
            let others = equals.len() - here;
            wins += here as f64 * (below as f64 + others as f64 / 2.0);
            below += others;
            own += here;
        }
        (own > 0 && below > 0).then(|| wins / (own as f64 * below as f64))
    }

    /// How many samples have their class among the first `k`; of equal scores the lower class comes first.
    fn among(&self, k: usize) -> usize {
        let within = |(row, &label): (&[f32], &usize)| {
            if let [score] = row {
                return k > 1 || prediction(&[*score]) == label;
            }
            let Some(own) = row.get(label) else {
                return false;
            };
            let scores = row.iter().enumerate();
            let before =
                scores.filter(|&(class, score)| score > own || (score == own && class < label));
            before.count() < k
        };
        self.rows()
            .zip(self.labels)
            .filter(|&pair| within(pair))
            .count()
    }
}

/// The class that a sample's scores tell.
pub fn prediction(scores: &[f32]) -> usize {
    match scores {
        [score] => usize::from(*score > 0.5),
        scores => sample::prediction(scores),
    }
}

fn average(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = numbers.fold((0.0, 0), |(sum, count), number| (sum + number, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the script below: sixteenths, some of them equal.
    fn scores(samples: usize, classes: usize) -> Vec<f32> {
        let of =
            |i: usize| (0..classes).map(move |j| ((i * 7 + j * 5 + i * j * 3) % 17) as f32 / 16.0);
        (0..samples).flat_map(of).collect()
    }

    fn labels(samples: usize, classes: usize) -> Vec<usize> {
        (0..samples).map(|i| (i * i + i / 3) % classes).collect()
    }

    /// Sums of a few quotients in f64.
    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-14, "{found}, {wanted}");
    }

    /// scikit-learn 1.9.1:
    ///
    /// ```python
    /// import numpy as np
    /// from sklearn import metrics as m
    /// s = np.array([[((i * 7 + j * 5 + i * j * 3) % 17) / 16 for j in range(4)] for i in range(40)])
    /// y = np.array([(i * i + i // 3) % 4 for i in range(40)])
    /// p = s.argmax(1)
    /// m.accuracy_score(y, p)
    /// m.precision_score(y, p, average=None)    # recall_score, f1_score; average="macro"
    /// m.roc_auc_score(y == 0, s[:, 0])         # … and their mean
    /// m.top_k_accuracy_score(y, s - np.arange(4) * 1e-9, k=2)    # of equals the first
    /// ```
    #[test]
    fn four_classes_are_scikit_learns() {
        let (labels, scores) = (labels(40, 4), scores(40, 4));
        let told = Told {
            labels: &labels,
            scores: &scores,
            width: 4,
        };
        let metrics = told.metrics(Some(2));
        near(metrics.accuracy, 0.425);
        near(metrics.precision, 0.408_333_333_333_333_3);
        near(metrics.recall, 0.432_692_307_692_307_7);
        near(metrics.f1, 0.405_357_142_857_142_86);
        near(metrics.auc.unwrap(), 0.597_120_540_135_246_2);
        let wanted = [
            [
                0.571_428_571_428_571_4,
                0.571_428_571_428_571_4,
                0.571_428_571_428_571_4,
                0.777_472_527_472_527_6,
            ],
            [
                0.333_333_333_333_333_3,
                0.428_571_428_571_428_55,
                0.375,
                0.627_705_627_705_627_8,
            ],
            [
                0.428_571_428_571_428_55,
                0.230_769_230_769_230_78,
                0.3,
                0.485_754_985_754_985_8,
            ],
            [0.3, 0.5, 0.375, 0.497_549_019_607_843_15],
        ];
        for (class, wanted) in metrics.classes.iter().zip(wanted) {
            let found = [class.precision, class.recall, class.f1, class.auc.unwrap()];
            found
                .iter()
                .zip(wanted)
                .for_each(|(&found, wanted)| near(found, wanted));
        }
        for (k, wanted) in [(1, 0.425), (2, 0.675), (3, 0.825), (4, 1.0)] {
            let top = told.metrics(Some(k)).top.unwrap();
            assert_eq!(top.k, k);
            near(top.share, wanted);
        }
    }

    /// The same script with `y = (i * i + i // 3) % 2` for 30 samples, one score each, and `p = s > 0.5`;
    /// `roc_auc_score(y, s)`, and `pos_label=0`.
    #[test]
    fn one_score_tells_two_classes_apart_as_in_scikit_learn() {
        let (labels, scores) = (labels(30, 2), scores(30, 1));
        let told = Told {
            labels: &labels,
            scores: &scores,
            width: 1,
        };
        let metrics = told.metrics(Some(1));
        near(metrics.accuracy, 0.533_333_333_333_333_3);
        near(metrics.top.unwrap().share, metrics.accuracy);
        near(metrics.auc.unwrap(), 0.5);
        near(metrics.f1, 0.513_888_888_888_889);
        let wanted = [
            [0.6875, 0.55, 0.611_111_111_111_111_2],
            [0.357_142_857_142_857_15, 0.5, 0.416_666_666_666_666_7],
        ];
        for (class, wanted) in metrics.classes.iter().zip(wanted) {
            let found = [class.precision, class.recall, class.f1];
            found
                .iter()
                .zip(wanted)
                .for_each(|(&found, wanted)| near(found, wanted));
        }
        // Two outputs that sum to 1 say the same.
        let both: Vec<f32> = scores
            .iter()
            .flat_map(|&score| [1.0 - score, score])
            .collect();
        let two = Told {
            scores: &both,
            width: 2,
            ..told
        };
        assert_eq!(two.metrics(Some(1)), metrics);
    }

    /// `y = [0, 0, 1, 1, 3]`, `p = [0, 1, 1, 1, 0]`, of four classes: macro leaves out what is neither there nor told.
    #[test]
    fn classes_that_are_not_there_are_left_out_as_in_scikit_learn() {
        let labels = [0, 0, 1, 1, 3];
        let of = |told: usize| (0..4).map(move |class| if class == told { 1.0 } else { 0.0 });
        let scores: Vec<f32> = [0, 1, 1, 1, 0].into_iter().flat_map(of).collect();
        let told = Told {
            labels: &labels,
            scores: &scores,
            width: 4,
        };
        let metrics = told.metrics(None);
        near(metrics.f1, 0.433_333_333_333_333_35);
        near(metrics.precision, 0.388_888_888_888_888_84);
        near(metrics.recall, 0.5);
        assert_eq!((metrics.classes[2].auc, metrics.top), (None, None));
        let none = Told {
            labels: &[],
            scores: &[],
            width: 4,
        };
        assert_eq!(
            (none.metrics(None).accuracy, none.metrics(None).auc),
            (0.0, None)
        );
    }
}
