//! The odd one out from a few labels: a dozen digits of one kind are known, a few more are not, and clusters of what a
//! trained network's last hidden layer makes of them tell which are of that kind.
//!
//! The dozen is moved, turned and mirrored into two hundred; all that there is is clustered; the labels then say which cluster
//! is the usual kind. So as there is no end of odd kinds, none of them is learnt. The usual digits are 0, 1 and 8, which stay
//! what they are when they are mirrored; the odd ones are any others.

use std::path::Path;

use super::lab::Lab;
use super::trained::{answers, recipe};
use super::{Figure, ZooError};
use crate::analysis::{Components, KMeans, MeanShift, Standard, bandwidth};
use crate::blob::Blob;
use crate::data::{Augmenter, DataSet, Flip, Part, Stream};
use crate::export::{Builder, Inspection};

/// Digits that mirrors leave what they are.
const USUAL: [usize; 3] = [0, 1, 8];
/// How often each is tried, with other samples.
const DRAWS: u64 = 4;
/// Known samples, and what they are made into.
const KNOWN: usize = 12;
const VARIED: usize = 200;
/// Samples without a label: so many usual ones, and so many odd ones.
const UNKNOWN: usize = 14;
/// Samples of both kinds to test on.
const TESTED: usize = 50;
/// The network, which has learnt all ten digits, and the layer whose numbers are clustered.
const MODEL: &str = "mnist-cnn-f32.mote";
const LAYER: &str = "dense_1";
/// Components kept.
const COMPONENTS: usize = 5;
/// The share of samples that mean shift's bandwidth holds: of components, of standard scores, of numbers as they are. Each is
/// the best of 0.05, 0.1, 0.2 and 0.3, as layer and components are the best of several, on digits of the training set.
const SHARES: [f64; 3] = [0.2, 0.05, 0.1];

/// What is clustered, what its labels are, and what is tested on.
struct Task {
    /// The known samples and what they were made into come first, `known` of them.
    rows: Vec<Vec<f64>>,
    known: usize,
    /// Samples to test on, and whether each is of the usual kind.
    tested: Vec<Vec<f64>>,
    usual: Vec<bool>,
}

/// Clusters, of which one is the usual kind.
trait Clusters {
    fn cluster(&self, row: &[f64]) -> usize;
}

impl Clusters for KMeans {
    fn cluster(&self, row: &[f64]) -> usize {
        Self::cluster(self, row)
    }
}

impl Clusters for MeanShift {
    fn cluster(&self, row: &[f64]) -> usize {
        Self::cluster(self, row)
    }
}

/// Both ways to cluster, each of the numbers as they are, of their standard scores, and of the principal components of
/// these.
pub(super) fn few_shot(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let digits = recipe!("mnist-cnn").recipe()?;
    let data = lab.data(&digits);
    let [train, test] =
        [Part::Train, Part::Test].map(|part| digits.load_data(data.as_deref(), part));
    let (train, test) = (train?, test?);
    let blob = lower_layers(lab)?;
    let progress = lab.progress("few-shot", USUAL.len() as u64 * DRAWS);
    // Right answers of k-means and mean shift: with components, of standard scores alone, without.
    let mut right = [[0usize; 2]; 3];
    let mut all = 0;
    for usual in USUAL {
        for draw in 0..DRAWS {
            let task = Task::draw(&blob, [&train, &test], usual, draw)?;
            let standard = task.standard()?;
            let projected = standard.projected()?;
            let tasks = [&projected, &standard, &task].into_iter().zip(SHARES);
            for (right, (task, share)) in right.iter_mut().zip(tasks) {
                let clusters = KMeans::fit(&task.rows, 2, draw)?;
                right[0] += task.right(&clusters);
                let width = bandwidth(&task.rows, share)?;
                right[1] += task.right(&MeanShift::fit(&task.rows, width)?);
            }
            all += task.tested.len();
            progress.inc(1);
        }
    }
    let share = |count: usize| count as f64 / all.max(1) as f64;
    let [with, standard, without] = right;
    let mut figures = Vec::new();
    for (at, name) in [(1, "mean shift"), (0, "k-means")] {
        // Better is a sample more, at least.
        figures.push(Figure::at_least(
            format!("{name} with principal components; beside it one sample more than without"),
            share(without[at] + 1),
            share(with[at]),
        ));
        let mut state = |what: &str, right: [usize; 2]| {
            figures.push(Figure::stated(format!("{name} {what}"), share(right[at])));
        };
        state("of standard scores alone", standard);
        state("without", without);
    }
    figures.push(Figure::stated("samples tested", all as f64));
    Ok(figures)
}

/// The lower layers of the network of digits that lies in `models`.
fn lower_layers(lab: &mut Lab) -> Result<Blob, ZooError> {
    let whole = Blob::open(&crate::paths::models_dir().join(MODEL))?;
    let (mut builder, _) = Builder::of(&whole.model());
    let missing = || ZooError::Measure(format!("{MODEL} has no layer `{LAYER}`"));
    let output = builder.end_at(LAYER).ok_or_else(missing)?;
    let blob = Blob::new(Path::new(MODEL), builder.finish(&[output], None)?)?;
    let layers = Inspection::of(&blob).layers;
    let parameters = layers.iter().map(|layer| layer.parameters).sum();
    lab.count(blob.model().arena_infer(), parameters);
    Ok(blob)
}

impl Task {
    /// Draws samples of the usual digit and of others.
    fn draw(
        blob: &Blob,
        [train, test]: [&DataSet; 2],
        usual: usize,
        draw: u64,
    ) -> Result<Self, ZooError> {
        let pick = |set: &DataSet, part: u64| {
            let mut order: Vec<usize> = (0..set.len()).collect();
            Stream::new(draw, Stream::TASK, part, usual as u64).shuffle(&mut order);
            let is_usual = |&index: &usize| set.label(index) == usual;
            order.into_iter().partition::<Vec<usize>, _>(is_usual)
        };
        let plain = Augmenter::new(train.shape, 0, 0.0, 0);
        let varied = Augmenter::new(train.shape, 2, 10.0, draw).with_flip(Flip::Both);
        let show = |set: &DataSet, augmenter: &Augmenter, epoch: usize, index: usize| {
            let mut pixels = vec![0.0; set.image_len()];
            augmenter.apply(set.image(index), epoch as u64, index as u64, &mut pixels);
            pixels
        };
        let (usual_ones, odd_ones) = pick(train, 0);
        let known = &usual_ones[..KNOWN.min(usual_ones.len())];
        let unknown = usual_ones.iter().skip(KNOWN).take(UNKNOWN);
        let unknown = unknown.chain(odd_ones.iter().take(UNKNOWN));
        let mut shown: Vec<Vec<f32>> = Vec::new();
        let again = known.iter().cycle().take(VARIED).enumerate();
        shown.extend(again.map(|(epoch, &index)| show(train, &varied, epoch, index)));
        shown.extend(known.iter().map(|&index| show(train, &plain, 0, index)));
        let known = shown.len();
        shown.extend(unknown.map(|&index| show(train, &plain, 0, index)));
        let (usual_ones, odd_ones) = pick(test, 1);
        let usual_ones = usual_ones
            .into_iter()
            .take(TESTED)
            .map(|index| (index, true));
        let odd_ones = odd_ones
            .into_iter()
            .take(TESTED)
            .map(|index| (index, false));
        let (tested, usual): (Vec<usize>, Vec<bool>) = usual_ones.chain(odd_ones).unzip();
        let tested = tested.into_iter().map(|index| show(test, &plain, 0, index));
        Ok(Self {
            rows: wide(answers(blob, shown.into_iter())?),
            known,
            tested: wide(answers(blob, tested)?),
            usual,
        })
    }

    /// The standard scores of its samples.
    fn standard(&self) -> Result<Self, ZooError> {
        let standard = Standard::fit(&self.rows)?;
        Ok(self.each(|row| standard.scores(row)))
    }

    /// Its samples along their principal components.
    fn projected(&self) -> Result<Self, ZooError> {
        let components = Components::fit(&self.rows, COMPONENTS)?;
        Ok(self.each(|row| components.project(row)))
    }

    /// The task with other numbers for each sample.
    fn each(&self, numbers: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let all = |rows: &[Vec<f64>]| rows.iter().map(|row| numbers(row)).collect();
        Self {
            rows: all(&self.rows),
            known: self.known,
            tested: all(&self.tested),
            usual: self.usual.clone(),
        }
    }

    /// How many samples are told rightly, where the cluster with the most known samples is the usual kind.
    fn right(&self, clusters: &impl Clusters) -> usize {
        let mut counts = std::collections::BTreeMap::new();
        for row in &self.rows[..self.known] {
            *counts.entry(clusters.cluster(row)).or_insert(0usize) += 1;
        }
        // Of two with as many, the first.
        let most = counts
            .iter()
            .max_by_key(|&(&cluster, &count)| (count, std::cmp::Reverse(cluster)));
        let usual = most.map(|(&cluster, _)| cluster);
        let told = self
            .tested
            .iter()
            .map(|row| Some(clusters.cluster(row)) == usual);
        told.zip(&self.usual)
            .filter(|(told, truth)| told == *truth)
            .count()
    }
}

fn wide(rows: Vec<Vec<f32>>) -> Vec<Vec<f64>> {
    let row = |row: Vec<f32>| row.into_iter().map(f64::from).collect();
    rows.into_iter().map(row).collect()
}
