//! `mote demo`: the whole path once, from data to a model fine-tuned on a device.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use host::blob::Blob;
use host::data::{Part, Shift};
use host::device::{self, Place};
use host::evaluate::Evaluation;
use host::paths;
use host::tune::{Tuning, tune};
use host::ui::Ui;
use nn_core::scalar::MATH;
use serde::Serialize;

use super::samples::{Samples, Where};
use super::tune::How;
use super::{eval, export, train};

const EXAMPLES: &str = "\
Examples:
  mote demo
  mote demo --shift invert
  mote demo --on qemu:an500 --out runs/demo-m7 --json";

/// Arguments of `mote demo`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The recipe.
    #[arg(long, value_name = "RECIPE.toml")]
    recipe: Option<PathBuf>,
    /// The device.
    #[arg(long, default_value = "qemu:an386", value_name = "PLACE")]
    on: Place,
    /// The domain shift to learn: rot90, rot180, rot270, invert, shiftN or shift:DX,DY.
    #[arg(long, default_value = "rot90", value_name = "SHIFT")]
    shift: Shift,
    /// Learn from N samples on the device.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    samples: usize,
    /// Measure on N test samples on the device.
    #[arg(long, default_value_t = 500, value_name = "N")]
    test: usize,
    /// Use the checkpoint of an earlier demo instead of training.
    #[arg(long)]
    trained: bool,
    /// Folder for checkpoint, models and pictures.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of the data sets.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    /// The functions of f32 that the digests are of.
    math: &'static str,
    host_accuracy: f64,
    host_samples: usize,
    device: String,
    shift: String,
    inference: Compared<Inference>,
    tuning: Compared<Learning>,
    agree: bool,
    pictures: Vec<PathBuf>,
    seconds: f64,
}

#[derive(Serialize)]
struct Compared<T> {
    host: T,
    device: T,
}

#[derive(Serialize, PartialEq)]
struct Inference {
    samples: usize,
    accuracy: f64,
    digest: String,
}

#[derive(Serialize, PartialEq)]
struct Learning {
    samples: usize,
    test_samples: usize,
    accuracy_before: f64,
    accuracy_after: f64,
    digest_after: String,
    digest: String,
}

impl From<&Evaluation> for Inference {
    fn from(evaluation: &Evaluation) -> Self {
        Self {
            samples: evaluation.samples,
            accuracy: evaluation.share(),
            digest: format!("{:016x}", evaluation.digest),
        }
    }
}

impl From<&Tuning> for Learning {
    fn from(tuning: &Tuning) -> Self {
        Self {
            samples: tuning.steps,
            test_samples: tuning.after.samples,
            accuracy_before: tuning.before.share(),
            accuracy_after: tuning.after.share(),
            digest_after: format!("{:016x}", tuning.after.digest),
            digest: format!("{:016x}", tuning.digest),
        }
    }
}

/// Runs `mote demo`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let started = Instant::now();
    let out = args.out.clone().unwrap_or_else(|| paths::run_dir("demo"));
    let recipe = args
        .recipe
        .clone()
        .unwrap_or_else(|| paths::models_dir().join("mnist-cnn.toml"));
    if args.trained {
        ui.note("1. Training: taken from the last demo");
    } else {
        ui.note("1. Training with libtorch");
        train::train(train::Args::new(&recipe, &out, args.data.as_deref()), ui)?;
    }
    ui.note("2. Exporting: calibration, quantization, memory plan");
    let checkpoint = out.join(paths::CHECKPOINT);
    let arguments = export::Args::new(&recipe, checkpoint, &out, args.data.as_deref());
    let exported = export::export(arguments, ui)?;
    if !args.json {
        export::print(&exported, ui);
    }
    let open = |format: &str| -> anyhow::Result<Blob> {
        let models = &exported.models;
        let model = models.iter().find(|model| model.format == format);
        let model = model.with_context(|| {
            format!("the recipe exports no `{format}` model; the demo needs i8 and head")
        })?;
        Ok(Blob::open(&model.path)?)
    };
    let (int8, head) = (open("i8")?, open("head")?);

    ui.note(format_args!("3. Classifying test digits on {}", args.on));
    let upright = Samples::new(args.data.clone(), Shift::None);
    let test = upright.load(Part::Test, None)?;
    let whole = eval::measure(&int8, &Where::at(Place::Host), &test, ui)?.evaluation;
    let few = test.first(args.test);
    let here = eval::measure(&int8, &Where::at(Place::Host), &few, ui)?.evaluation;
    let there = eval::measure(&int8, &Where::at(args.on.clone()), &few, ui)?.evaluation;

    ui.note(format_args!("4. Learning {} on {}", args.shift, args.on));
    let shifted = Samples::new(args.data.clone(), args.shift);
    let learn = |place: &Place, checkpoints: usize| -> anyhow::Result<Tuning> {
        let plan = How::new(args.samples, args.test, checkpoints).plan(&head, &shifted)?;
        let mut device = device::open(place, &head, ui)?;
        let tuning = tune(device.as_mut(), &head, &plan, ui)?;
        device.finish()?;
        Ok(tuning)
    };
    let tuned_there = learn(&args.on, 8)?;
    ui.note("   and the same on the host");
    let tuned_here = learn(&Place::Host, 0)?;

    let mut pictures = vec![out.join("history.png")];
    let names = upright.classes()?;
    pictures.extend(eval::pictures(&out, &whole, &test, &names)?);
    let curve = out.join("learning-curve.png");
    super::tune::draw(&curve, &args.on.to_string(), &tuned_there)?;
    pictures.push(curve);

    let inference = Compared {
        host: Inference::from(&here),
        device: Inference::from(&there),
    };
    let tuning = Compared {
        host: Learning::from(&tuned_here),
        device: Learning::from(&tuned_there),
    };
    let agree = inference.host == inference.device
        && tuning.host == tuning.device
        && tuned_here.weights == tuned_there.weights;
    let report = Report {
        math: MATH,
        host_accuracy: whole.share(),
        host_samples: whole.samples,
        device: args.on.to_string(),
        shift: args.shift.to_string(),
        inference,
        tuning,
        agree,
        pictures: pictures.iter().map(|path| paths::shorten(path)).collect(),
        seconds: started.elapsed().as_secs_f64(),
    };
    if args.json {
        ui.json(&report)?;
    } else {
        print(&report, ui);
    }
    ensure!(
        agree,
        "host and device disagree: that is a bug in Mote. Please report it with the lines above"
    );
    Ok(())
}

fn print(report: &Report, ui: &Ui) {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let mut table = ui.table(&["", "host", &report.device], &[1, 2]);
    let (inference, tuning) = (&report.inference, &report.tuning);
    table.add_row([
        format!("int8 accuracy, {} upright digits", inference.host.samples),
        percent(inference.host.accuracy),
        percent(inference.device.accuracy),
    ]);
    table.add_row([
        "digest of its answers".to_owned(),
        inference.host.digest.clone(),
        inference.device.digest.clone(),
    ]);
    let digits = format!("{} digits, {}", tuning.host.test_samples, report.shift);
    table.add_row([
        format!("accuracy before learning, {digits}"),
        percent(tuning.host.accuracy_before),
        percent(tuning.device.accuracy_before),
    ]);
    table.add_row([
        format!("accuracy after learning {}", tuning.host.samples),
        percent(tuning.host.accuracy_after),
        percent(tuning.device.accuracy_after),
    ]);
    table.add_row([
        "digest of the answers after".to_owned(),
        tuning.host.digest_after.clone(),
        tuning.device.digest_after.clone(),
    ]);
    table.add_row([
        "digest of the learnt weights".to_owned(),
        tuning.host.digest.clone(),
        tuning.device.digest.clone(),
    ]);
    ui.result(table);
    ui.result(format_args!(
        "int8 accuracy on all {} test digits: {}",
        report.host_samples,
        percent(report.host_accuracy)
    ));
    let verdict = if report.agree {
        "Host and device agree, bit for bit, in inference and in training."
    } else {
        "Host and device DISAGREE."
    };
    ui.result(format_args!(
        "{verdict} {:.0} s in all. Pictures:",
        report.seconds
    ));
    for picture in &report.pictures {
        ui.result(format_args!("  {}", show(picture)));
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
