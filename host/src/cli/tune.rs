//! `mote tune`: learn from labelled samples on the host or on a device; accuracy before and after.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use host::blob::Blob;
use host::curve::Point;
use host::data::Part;
use host::evaluate::{ColumnFit, Evaluation};
use host::report;
use host::tune::{self, CurvePoint, Plan, Tuning};
use host::ui::Ui;
use nn_core::link::{StackUse, StoreReport};
use nn_core::scalar::MATH;
use nn_core::train::{Sgd, TrainError};
use serde::Serialize;

use super::samples::{Samples, Where, with_plan};

const EXAMPLES: &str = "\
Examples:
  mote tune models/mnist-cnn-head.mote --shift rot90
  mote tune models/mnist-cnn-head.mote --on qemu:an386 --shift rot90 --samples 1000 --json
  mote tune models/mnist-cnn-head.mote --on qemu:an386 --store flash.bin --keep --shift rot90
  mote tune models/mnist-cnn-f32.mote --shift invert --learning-rate 0.003 --save tuned.mote
  mote tune runs/zoo/concrete/concrete-f32.mote --recipe models/zoo/concrete.toml --train all --learning-rate 0.003
  mote tune models/mnist-cnn-f32.mote --set usps --train layers:conv2d_2,dense_2 --samples 200 --passes 5 --test 5000

What learns, and the default rates, are the model's own (`mote inspect` shows them). The samples come
from the training set, accuracy is measured on the test set, both shifted. The digest is FNV-1a 64
over the learnt weights: the same command gives the same digest on the host and on every device.
Of numbers (the rows of a table) there is R² instead of accuracy: `fits_before` and `fits_after` in --json.
`math` in --json names the functions of f32 in use, here and there.";

/// Arguments of `mote tune`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A model with a training plan.
    #[arg(value_name = "MODEL.mote")]
    model: PathBuf,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    source: Samples,
    #[command(flatten)]
    how: How,
    /// What learns, instead of the model's own plan: all, last:K, layers:A,B … (`mote plan --help`).
    #[arg(long, value_name = "PLAN")]
    train: Option<String>,
    /// Write the model with the learnt weights to this file.
    #[arg(long, value_name = "FILE.mote")]
    save: Option<PathBuf>,
    /// Keep what was learnt in the device's flash: at its next start it goes on from there.
    #[arg(long)]
    keep: bool,
    /// Draw accuracy against samples learnt to this file.
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How much is learnt and measured, and at which rates.
#[derive(clap::Args, Clone)]
pub(crate) struct How {
    /// Learn from the first N samples of the training set.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = at_least_one)]
    pub(crate) samples: usize,
    /// Go through them this often.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = at_least_one)]
    passes: usize,
    /// Measure accuracy on the first N samples of the test set.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = at_least_one)]
    pub(crate) test: usize,
    /// Step size, instead of the model's.
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// Momentum, instead of the model's.
    #[arg(long, value_name = "SHARE")]
    momentum: Option<f32>,
    /// L2 penalty, instead of the model's.
    #[arg(long, value_name = "RATE")]
    weight_decay: Option<f32>,
    /// Measure what was learnt so far at N places along the way.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) checkpoints: usize,
    /// Tell the steps' losses and hits as means over N stretches of them.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = at_least_one)]
    points: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!(
            "wanted a whole number of at least 1, found `{text}`"
        )),
        Ok(number) => Ok(number),
    }
}

impl How {
    /// What the demo does.
    pub(crate) fn new(samples: usize, test: usize, checkpoints: usize) -> Self {
        Self {
            samples,
            passes: 1,
            test,
            learning_rate: None,
            momentum: None,
            weight_decay: None,
            checkpoints,
            points: 100,
        }
    }

    /// The plan for `blob`.
    pub(crate) fn plan(&self, blob: &Blob, source: &Samples) -> anyhow::Result<Plan> {
        let spec = blob.model().train_spec().with_context(|| {
            format!(
                "{} has no training plan; say what learns, such as --train all, or take a model exported with a plan, \
                 such as `head`, `f32` or `i8-train`",
                blob.path().display()
            )
        })?;
        let sgd = Sgd {
            learning_rate: self.learning_rate.unwrap_or(spec.rates().learning_rate),
            momentum: self.momentum.unwrap_or(spec.rates().momentum),
            weight_decay: self.weight_decay.unwrap_or(spec.rates().weight_decay),
        };
        ensure!(sgd.is_valid(), TrainError::Rate);
        let plan = Plan {
            training: source.load(Part::Train, Some(self.samples))?,
            test: source.load(Part::Test, Some(self.test))?,
            passes: self.passes,
            sgd: (sgd != spec.rates()).then_some(sgd),
            checkpoints: self.checkpoints,
        };
        plan.check(&blob.model())?;
        Ok(plan)
    }
}

#[derive(Serialize)]
struct Report<'r> {
    model: String,
    name: &'r str,
    on: String,
    set: &'r str,
    shift: String,
    samples: usize,
    passes: usize,
    steps: usize,
    test_samples: usize,
    /// Null where numbers are wanted.
    accuracy_before: Option<f64>,
    accuracy_after: Option<f64>,
    /// How near each number comes that is wanted.
    fits_before: &'r [ColumnFit],
    fits_after: &'r [ColumnFit],
    digest_before: String,
    digest_after: String,
    mean_loss: f64,
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    digest: String,
    /// The functions of f32 that the digests are of.
    math: &'static str,
    weights_bytes: usize,
    curve: &'r [CurvePoint],
    /// Means over stretches of steps: loss and hits before each update.
    course: Vec<Point>,
    seconds: f64,
    /// On a device, in bytes: size, setup, serve.
    stack: Option<StackUse>,
    /// What the device keeps in flash; null where it has none.
    store: Option<StoreReport>,
}

/// Runs `mote tune`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let blob = with_plan(Blob::open(&args.model)?, args.train.as_deref())?;
    let mut how = args.how.clone();
    if args.picture.is_some() && how.checkpoints == 0 {
        how.checkpoints = 8;
    }
    let plan = how.plan(&blob, &args.source)?;
    ensure!(
        args.picture.is_none() || plan.test.has_accuracy(),
        "--picture draws accuracy, and these samples want numbers: leave it away; --json has R² along the way"
    );
    let mut device = args.place.open(&blob, ui)?;
    let started = Instant::now();
    let tuning = tune::tune(device.as_mut(), &blob, &plan, ui)?;
    let stored = match args.keep {
        true => Some(device.save()?),
        false => device.store()?,
    };
    let stack = device.stack()?;
    device.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    if let Some(path) = &args.save {
        let learnt = tune::with_weights(&blob, &tuning.weights)?;
        host::paths::write_whole(path, learnt.bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        ui.note(format_args!(
            "the model with what was learnt: {}",
            path.display()
        ));
    }
    if let Some(path) = &args.picture {
        draw(path, &args.place.on.to_string(), &tuning)?;
        ui.note(format_args!("the learning curve: {}", path.display()));
    }
    if args.json {
        let model = blob.model();
        let own = model.train_spec().map(|spec| spec.rates());
        let sgd = plan.sgd.or(own).context("a plan has rates")?;
        ui.json(&Report {
            model: args.model.display().to_string(),
            name: model.name(),
            on: args.place.on.to_string(),
            set: &args.source.set,
            shift: args.source.shift.to_string(),
            samples: plan.training.len(),
            passes: plan.passes,
            steps: tuning.steps,
            test_samples: tuning.after.samples,
            accuracy_before: tuning.before.accuracy(),
            accuracy_after: tuning.after.accuracy(),
            fits_before: &tuning.before.fits,
            fits_after: &tuning.after.fits,
            digest_before: format!("{:016x}", tuning.before.digest),
            digest_after: format!("{:016x}", tuning.after.digest),
            mean_loss: tuning.course.mean_loss(),
            learning_rate: sgd.learning_rate,
            momentum: sgd.momentum,
            weight_decay: sgd.weight_decay,
            digest: format!("{:016x}", tuning.digest),
            math: MATH,
            weights_bytes: tuning.weights.len(),
            curve: &tuning.curve,
            course: tuning.course.points(args.how.points),
            seconds,
            stack,
            store: stored,
        })?;
    } else {
        ui.result(format_args!(
            "{} on {}, {}: {} before, {} after {} samples; \
             digest of the learnt weights {:016x}\n  loss a step, as the device told it: {}",
            blob.model().name(),
            args.place.on,
            args.source.shift,
            told(&tuning.before),
            told(&tuning.after),
            tuning.steps,
            tuning.digest,
            tuning.course.line(),
        ));
    }
    Ok(())
}

/// `accuracy 93.20 %`, or R² of each number.
fn told(evaluation: &Evaluation) -> String {
    if let Some(accuracy) = evaluation.accuracy() {
        return format!("accuracy {:.2} %", 100.0 * accuracy);
    }
    let fits = evaluation.fits.iter();
    let fits = fits.map(|fit| format!("R² of {} {:.4}", fit.column, fit.fit.r2));
    fits.collect::<Vec<_>>().join(", ")
}

/// Draws accuracy against samples learnt.
pub(crate) fn draw(path: &std::path::Path, place: &str, tuning: &Tuning) -> anyhow::Result<()> {
    let points: Vec<(usize, f64)> = tuning
        .curve
        .iter()
        .filter_map(|point| Some((point.samples, point.accuracy?)))
        .collect();
    let steps: Vec<(usize, f64, Option<f64>)> = tuning
        .course
        .points(100)
        .iter()
        .map(|point| (point.step, point.loss, point.accuracy))
        .collect();
    report::device_curve(path, &format!("Learning on {place}"), &points, &steps)?;
    Ok(())
}
