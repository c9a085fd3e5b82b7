//! `mote eval`: accuracy, confusion and the digest of all outputs, on the host or on a device.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use host::blob::Blob;
use host::data::{DataSet, Part};
use host::device::Place;
use host::evaluate::{ColumnFit, Evaluation, evaluate, evaluate_here};
use host::metrics::Metrics;
use host::report::{self, Misread};
use host::ui::Ui;
use nn_core::link::StackUse;
use nn_core::scalar::MATH;
use serde::Serialize;

use super::samples::{Samples, Where};

const EXAMPLES: &str = "\
Examples:
  mote eval models/mnist-cnn-i8.mote -v --top 3    # precision, recall, F1 and AUC of each class
  mote eval models/mnist-cnn-i8.mote --on qemu:an386 --limit 200 --json
  mote eval models/mnist-cnn-i8.mote --shift rot90 --pictures runs/rotated

The digest is FNV-1a 64 over all output bytes in the order of the samples: two places that give the
same digest computed the same bits. `math` in --json names the functions of f32 in use, here and there.";

/// Arguments of `mote eval`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The model.
    #[arg(value_name = "MODEL.mote")]
    model: PathBuf,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    samples: Samples,
    /// Only the first N samples of the test set.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Also the share of samples whose class is among the K with the largest scores.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=65536))]
    top: Option<u32>,
    /// Write the confusion matrix and the misread samples as pictures to this folder.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'r> {
    model: String,
    name: &'r str,
    on: String,
    shift: String,
    samples: usize,
    correct: usize,
    /// Null where numbers are wanted that follow no others.
    accuracy: Option<f64>,
    /// Precision, recall, F1, AUC, of all and of each class; null where there are no classes.
    metrics: Option<Metrics>,
    /// How near each number comes that a sample wants.
    fits: &'r [ColumnFit],
    digest: String,
    /// The functions of f32 that the digests are of.
    math: &'static str,
    seconds: f64,
    samples_per_second: f64,
    confusion: &'r [Vec<u32>],
    /// On a device, in bytes: size, setup, serve.
    stack: Option<StackUse>,
}

/// Runs `mote eval`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let blob = Blob::open(&args.model)?;
    let set = args.samples.load(Part::Test, args.limit)?;
    let Measured {
        evaluation,
        seconds,
        stack,
    } = measure(&blob, &args.place, &set, ui)?;
    let metrics = evaluation.metrics(args.top.map(|k| k as usize));
    if args.json {
        ui.json(&Report {
            model: args.model.display().to_string(),
            name: blob.model().name(),
            on: args.place.on.to_string(),
            shift: args.samples.shift.to_string(),
            samples: evaluation.samples,
            correct: evaluation.correct,
            accuracy: evaluation.accuracy(),
            metrics,
            fits: &evaluation.fits,
            digest: format!("{:016x}", evaluation.digest),
            math: MATH,
            seconds,
            samples_per_second: evaluation.samples as f64 / seconds.max(f64::MIN_POSITIVE),
            confusion: &evaluation.confusion,
            stack,
        })?;
    } else {
        let right = match evaluation.accuracy() {
            Some(share) => format!(
                "{} of {} right, accuracy {:.2} %",
                evaluation.correct,
                evaluation.samples,
                100.0 * share
            ),
            None => format!("{} samples", evaluation.samples),
        };
        ui.result(format_args!(
            "{} on {}: {right}, digest {:016x}, {seconds:.1} s",
            blob.model().name(),
            args.place.on,
            evaluation.digest,
        ));
        super::metrics::print(metrics.as_ref(), &evaluation.fits, ui);
    }
    if let Some(directory) = &args.pictures {
        let names = args.samples.classes()?;
        for picture in pictures(directory, &evaluation, &set, &names)? {
            ui.note(format_args!("  {}", picture.display()));
        }
    }
    Ok(())
}

/// What came of an evaluation.
pub(crate) struct Measured {
    pub(crate) evaluation: Evaluation,
    pub(crate) seconds: f64,
    /// What a device has used of its stack.
    pub(crate) stack: Option<StackUse>,
}

/// Evaluates on any place; the seconds are those of the samples alone, without building an image.
pub(crate) fn measure(
    blob: &Blob,
    place: &Where,
    set: &DataSet,
    ui: &Ui,
) -> anyhow::Result<Measured> {
    let model = blob.model();
    if place.on == Place::Host && place.store.is_none() {
        let progress = ui.progress("evaluating", set.len() as u64);
        let started = Instant::now();
        let evaluation = evaluate_here(&model, set, &progress)?;
        return Ok(Measured {
            evaluation,
            seconds: started.elapsed().as_secs_f64(),
            stack: None,
        });
    }
    let mut device = place.open(blob, ui)?;
    let progress = ui.progress("evaluating", set.len() as u64);
    let started = Instant::now();
    let evaluation = evaluate(&model, set, &progress, |input| device.infer(input))?;
    let seconds = started.elapsed().as_secs_f64();
    let stack = device.stack()?;
    device.finish()?;
    Ok(Measured {
        evaluation,
        seconds,
        stack,
    })
}

/// Writes the confusion matrix and the misread samples; returns the files.
pub(crate) fn pictures(
    directory: &Path,
    evaluation: &Evaluation,
    set: &DataSet,
    names: &[String],
) -> anyhow::Result<Vec<PathBuf>> {
    anyhow::ensure!(
        set.values.is_none(),
        "--pictures wants images: a sample of {} is none",
        set.name
    );
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the folder {}", directory.display()))?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let [matrix, grid] = ["confusion.png", "misread.png"].map(|name| directory.join(name));
    let title = format!("{} of {} right", evaluation.correct, evaluation.samples);
    report::confusion_matrix(&matrix, &title, &names, &evaluation.confusion)?;
    let misread: Vec<Misread> = evaluation
        .misread
        .iter()
        .map(|&(index, label, prediction)| Misread {
            pixels: set.image(index),
            truth: names[label],
            predicted: names[prediction],
        })
        .collect();
    report::misread_grid(&grid, "Misread", set.shape, &misread)?;
    Ok(vec![matrix, grid])
}
