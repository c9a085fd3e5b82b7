//! What a trained network makes of numbers: scores, fits, predictions.

use std::fmt::Display;
use std::path::PathBuf;

use nn_core::session::Session;

use super::Trained;
use crate::blob::Blob;
use crate::data::{DataSet, Part};
use crate::evaluate::{Evaluation, evaluate_here};
use crate::export::AlignedBytes;
use crate::fit::Fit;
use crate::sample;
use crate::ui::Ui;
use crate::zoo::ZooError;

/// What nn-core makes of samples.
fn measure(blob: &Blob, set: &DataSet) -> Result<Evaluation, ZooError> {
    let progress = Ui::silent().progress("measuring", set.len() as u64);
    evaluate_here(&blob.model(), set, &progress)
        .map_err(|error| ZooError::Measure(error.to_string()))
}

/// What a network gives for numbers as it reads them: all outputs, one after another.
pub(in crate::zoo) fn answers(
    blob: &Blob,
    inputs: impl Iterator<Item = Vec<f32>>,
) -> Result<Vec<Vec<f32>>, ZooError> {
    let model = blob.model();
    let failed = |error: &dyn Display| ZooError::Measure(error.to_string());
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let session = Session::new(model, arena.as_mut_slice());
    let mut session = session.map_err(|error| failed(&error))?;
    let answers = inputs.map(|x| {
        if let (Some(input), Some(bytes)) = (model.input(0), session.input_mut(0)) {
            bytes.copy_from_slice(&sample::encode_values(&input, &x)?);
        }
        session.run().map_err(|error| failed(&error))?;
        let mut numbers = Vec::new();
        for index in 0..model.outputs().as_slice().len() {
            if let (Some(output), Some(bytes)) = (model.output(index), session.output(index)) {
                numbers.extend(sample::scores(&output, bytes)?);
            }
        }
        Ok(numbers)
    });
    answers.collect()
}

impl Trained {
    /// Samples of one part.
    pub(in crate::zoo) fn samples(&self, part: Part) -> Result<DataSet, ZooError> {
        Ok(self.recipe.load_data(self.data.as_deref(), part)?)
    }

    /// How well nn-core reads one part, in f32.
    pub(in crate::zoo) fn score(&self, part: Part) -> Result<Evaluation, ZooError> {
        measure(&self.blob, &self.samples(part)?)
    }

    /// The share of the test samples that nn-core reads rightly, in f32.
    pub(in crate::zoo) fn accuracy(&self) -> f64 {
        self.test.accuracy.unwrap_or(f64::NAN)
    }

    /// The mean of −ln p over rows of a table, where p is what nn-core gives for the row's class.
    pub(in crate::zoo) fn cross_entropy(&self, part: Part) -> Result<f64, ZooError> {
        let set = self.samples(part)?;
        let inputs = set.values.as_ref().map_or(&[][..], |values| &values.inputs);
        let rows = inputs.chunks_exact(set.image_len().max(1));
        let answers = answers(&self.blob, rows.map(<[f32]>::to_vec))?;
        let losses = answers.iter().zip(&set.labels).map(|(answer, &label)| {
            let probability = answer.get(usize::from(label)).copied();
            -f64::from(probability.unwrap_or(0.0)).ln()
        });
        Ok(losses.sum::<f64>() / set.len().max(1) as f64)
    }

    /// How near nn-core comes to the number of that name, in f32, on the test samples.
    pub(in crate::zoo) fn fit(&self, column: &str) -> Result<Fit, ZooError> {
        let fit = self.fits.iter().find(|(name, _)| name == column);
        let missing = || ZooError::Measure(format!("nothing gives `{column}`"));
        fit.map(|(_, fit)| *fit).ok_or_else(missing)
    }

    /// What the network gives for rows of a table as they stand there: numbers in the units of their columns, where it
    /// gives numbers.
    pub(in crate::zoo) fn predict(&self, rows: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, ZooError> {
        self.predict_by(&self.blob, rows)
    }

    /// The same of another state of the network.
    pub(super) fn predict_by(
        &self,
        blob: &Blob,
        rows: &[Vec<f64>],
    ) -> Result<Vec<Vec<f64>>, ZooError> {
        let set = self.samples(Part::Test)?;
        let Some(values) = &set.values else {
            return Err(ZooError::Measure(
                "only a row of a table has numbers".to_owned(),
            ));
        };
        let scaled = |row: &Vec<f64>| -> Vec<f32> {
            let features = values.features.iter().zip(row);
            features
                .map(|(column, &number)| column.scaled(number))
                .collect()
        };
        let answers = answers(blob, rows.iter().map(scaled))?;
        let numbers = answers.into_iter().map(|answer| {
            let columns = answer.into_iter().enumerate();
            let numbers = columns.map(|(at, y)| match values.columns.get(at) {
                Some(column) => column.number(y),
                None => f64::from(y),
            });
            numbers.collect()
        });
        Ok(numbers.collect())
    }

    /// The rows of a table and the first number that each wants, in the units of their columns.
    #[cfg(feature = "zoo")]
    pub(in crate::zoo) fn table(&self, part: Part) -> Result<(Vec<Vec<f64>>, Vec<f64>), ZooError> {
        let set = self.samples(part)?;
        let values = set.values.as_ref();
        let values = values.filter(|values| !values.columns.is_empty());
        let missing = || ZooError::Measure("only a table has rows".to_owned());
        let values = values.ok_or_else(missing)?;
        let row = |row: &[f32]| -> Vec<f64> {
            let numbers = values.features.iter().zip(row);
            numbers.map(|(column, &x)| column.number(x)).collect()
        };
        let rows = values.inputs.chunks_exact(values.features.len().max(1));
        let wanted = values.targets.iter().step_by(values.columns.len());
        let wanted = wanted.map(|&y| values.columns[0].number(y));
        Ok((rows.map(row).collect(), wanted.collect()))
    }

    /// Writes what the network gives for the test samples beside what is true, as CSV.
    pub(in crate::zoo) fn write_predictions(&self) -> Result<PathBuf, ZooError> {
        let failed = |error: csv::Error| ZooError::Measure(error.to_string());
        let set = self.samples(Part::Test)?;
        let Some(values) = &set.values else {
            return Err(ZooError::Measure("only numbers are foretold".to_owned()));
        };
        let rows = values.inputs.chunks_exact(set.image_len().max(1));
        let told = answers(&self.blob, rows.map(<[f32]>::to_vec))?;
        let path = self.folder().join("predictions.csv");
        let mut file = csv::Writer::from_path(&path).map_err(failed)?;
        let names = values.columns.iter().flat_map(|column| {
            let name = &column.name;
            [name.clone(), format!("{name} predicted")]
        });
        let header = ["sample".to_owned()].into_iter().chain(names);
        file.write_record(header).map_err(failed)?;
        let truth = values.targets.chunks_exact(values.columns.len().max(1));
        for (index, (truth, told)) in truth.zip(&told).enumerate() {
            let pairs = values.columns.iter().zip(truth.iter().zip(told));
            let cells = pairs.flat_map(|(column, (&truth, &told))| {
                [column.number(truth), column.number(told)].map(|number| number.to_string())
            });
            let row = [index.to_string()].into_iter().chain(cells);
            file.write_record(row).map_err(failed)?;
        }
        file.flush().map_err(|error| failed(error.into()))?;
        Ok(path)
    }
}
