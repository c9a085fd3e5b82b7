//! `mote inspect` of a run, or of any safetensors file.

use std::path::Path;

use anyhow::bail;
use host::checkpoint::{Checkpoint, CheckpointError, Values, read_tensors};
use host::recipe::shape;
use host::ui::Ui;
use serde::Serialize;

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    file: String,
    /// What a file that `mote train` wrote says besides.
    run: Option<Run>,
    tensors: Vec<Tensor>,
    /// Numbers in these tensors.
    parameters: usize,
}

#[derive(Serialize)]
struct Run {
    name: String,
    seed: u64,
    epoch: usize,
    epochs: usize,
    step: u64,
    best_accuracy: Option<f64>,
    recipe: String,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    mean: f64,
    deviation: f64,
    least: f32,
    largest: f32,
}

/// Shows the weights of the file, not the optimizer's moments.
pub(super) fn run(path: &Path, json: bool, ui: &Ui) -> anyhow::Result<()> {
    let (run, tensors) = match Checkpoint::load(path) {
        Ok(checkpoint) => (Some(Run::of(&checkpoint)?), checkpoint.tensors),
        Err(CheckpointError::Foreign { .. }) => (None, read_tensors(path)?),
        Err(error) => return Err(error.into()),
    };
    let tensors = tensors
        .into_iter()
        .filter(|(name, _)| Checkpoint::is_parameter(name));
    let tensors: Vec<Tensor> = tensors
        .map(|(name, values)| Tensor::of(name, values))
        .collect();
    if tensors.is_empty() {
        bail!("{} holds no tensor of real numbers", path.display());
    }
    let report = Report {
        file: path.display().to_string(),
        run,
        parameters: tensors
            .iter()
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum(),
        tensors,
    };
    if json {
        return Ok(ui.json(&report)?);
    }
    report.print(ui);
    Ok(())
}

impl Run {
    fn of(checkpoint: &Checkpoint) -> anyhow::Result<Self> {
        let progress = &checkpoint.progress;
        Ok(Self {
            name: checkpoint.recipe()?.name,
            seed: progress.seed,
            epoch: progress.epoch,
            epochs: progress.epochs,
            step: progress.step,
            best_accuracy: progress.best_accuracy,
            recipe: progress.recipe.clone(),
        })
    }
}

impl Tensor {
    fn of(name: String, Values { shape, values }: Values) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let squares = values
            .iter()
            .map(|&value| (f64::from(value) - mean).powi(2));
        Self {
            name,
            shape,
            mean,
            deviation: (squares.sum::<f64>() / count).sqrt(),
            least: values.iter().copied().fold(f32::INFINITY, f32::min),
            largest: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }
}

impl Report {
    fn print(&self, ui: &Ui) {
        if let Some(run) = &self.run {
            ui.result(format_args!(
                "{}: seed {}, {} of {} epochs, {} steps",
                run.name, run.seed, run.epoch, run.epochs, run.step
            ));
        }
        let header = ["tensor", "shape", "mean", "deviation", "least", "largest"];
        let mut table = ui.table(&header, &[2, 3, 4, 5]);
        for tensor in &self.tensors {
            table.add_row([
                tensor.name.clone(),
                shape(&tensor.shape),
                format!("{:.4}", tensor.mean),
                format!("{:.4}", tensor.deviation),
                format!("{:.4}", tensor.least),
                format!("{:.4}", tensor.largest),
            ]);
        }
        ui.result(table);
        ui.result(format_args!("parameters {}", self.parameters));
    }
}
