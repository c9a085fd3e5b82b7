//! Pictures of what a trained network has learnt.

#[cfg(feature = "train")]
use std::path::Path;
use std::path::PathBuf;

use super::Trained;
use crate::blob::Blob;
#[cfg(feature = "train")]
use crate::checkpoint::Checkpoint;
use crate::data::Part;
#[cfg(feature = "train")]
use crate::export::{Network, Ranges};
#[cfg(feature = "train")]
use crate::recipe::Format;
use crate::report;
use crate::zoo::ZooError;

impl Trained {
    /// Draws the curve that a network of one number has learnt, through all points of its table.
    pub(in crate::zoo) fn draw_curve(&self) -> Result<PathBuf, ZooError> {
        let truth = self.curve()?;
        let learnt = self.learnt_curve(&self.blob, &truth)?;
        let path = self.folder().join("fit.png");
        report::fitted_curve(&path, &self.recipe.description, &truth, &learnt)?;
        Ok(path)
    }

    /// Draws how such a network learns: what it begins with, and each epoch that its recipe keeps. Tells the mean
    /// squared error over all points at each.
    #[cfg(feature = "train")]
    pub(in crate::zoo) fn animate_curve(
        &self,
        before: &Self,
    ) -> Result<(PathBuf, Vec<(usize, f64)>), ZooError> {
        let (truth, samples) = (self.curve()?, self.samples(Part::Test)?);
        let mut states = vec![(0, before.blob.clone())];
        let files = crate::train::Files::of(self.folder());
        let every = self.recipe.train.keep.map_or(1, |every| every.get());
        for epoch in (every..=self.recipe.train.epochs).step_by(every) {
            let checkpoint = Checkpoint::load(&files.kept(epoch))?;
            let network = Network::new(&self.recipe, &checkpoint)?;
            let ranges = Ranges::measure(&network, &samples)?;
            let lowered = network.lower(&self.recipe, &ranges, Format::F32)?;
            states.push((epoch, Blob::new(Path::new("state"), lowered.bytes)?));
        }
        let (mut frames, mut errors) = (Vec::new(), Vec::new());
        for (epoch, blob) in &states {
            let learnt = self.learnt_curve(blob, &truth)?;
            let squares = truth
                .iter()
                .zip(&learnt)
                .map(|(y, guess)| (y.1 - guess.1).powi(2));
            errors.push((*epoch, squares.sum::<f64>() / truth.len().max(1) as f64));
            frames.push((format!("epoch {epoch}"), learnt));
        }
        let path = self.folder().join("learning.gif");
        report::fitted_animation(&path, &truth, &frames)?;
        Ok((path, errors))
    }

    /// All points of a table of x and y, from left to right.
    fn curve(&self) -> Result<Vec<(f64, f64)>, ZooError> {
        let mut points = Vec::new();
        for part in [Part::Train, Part::Test] {
            let set = self.samples(part)?;
            let values = set.values.iter();
            points.extend(values.flat_map(|values| {
                let (xs, ys) = (&values.features[0], &values.columns[0]);
                let points = values.inputs.iter().zip(&values.targets);
                points.map(|(&x, &y)| (xs.number(x), ys.number(y)))
            }));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(points)
    }

    fn learnt_curve(&self, blob: &Blob, truth: &[(f64, f64)]) -> Result<Vec<(f64, f64)>, ZooError> {
        let rows: Vec<Vec<f64>> = truth.iter().map(|point| vec![point.0]).collect();
        let learnt = truth.iter().zip(self.predict_by(blob, &rows)?);
        let height = |y: Vec<f64>| y.first().copied().unwrap_or(f64::NAN);
        Ok(learnt.map(|(point, y)| (point.0, height(y))).collect())
    }

    /// Draws the boundary that a network of two numbers has learnt between two classes.
    pub(in crate::zoo) fn draw_boundary(&self) -> Result<PathBuf, ZooError> {
        let set = self.samples(Part::Train)?;
        let mut points = Vec::new();
        if let Some(values) = &set.values {
            let rows = values
                .inputs
                .chunks_exact(values.features.len().max(1))
                .zip(&set.labels);
            points.extend(rows.filter_map(|(row, &label)| {
                let (&[x, y], [xs, ys, ..]) = (row.first_chunk::<2>()?, values.features.as_slice())
                else {
                    return None;
                };
                Some((xs.number(x), ys.number(y), label == 1))
            }));
        }
        let cells = (0..100u8).flat_map(|x| (0..100u8).map(move |y| [x, y]));
        let rows: Vec<Vec<f64>> = cells
            .map(|cell| cell.map(|at| f64::from(at) + 0.5).to_vec())
            .collect();
        let told = self.predict(&rows)?;
        let squares = rows.iter().zip(told);
        let squares: Vec<_> = squares
            .map(|(row, y)| (row[0], row[1], y.first() > Some(&0.5)))
            .collect();
        let path = self.folder().join("boundary.png");
        report::boundary(&path, &self.recipe.description, &points, &squares, 1.0)?;
        Ok(path)
    }
}
