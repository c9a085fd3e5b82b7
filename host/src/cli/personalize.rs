//! `mote personalize`: many writers, each of whom teaches the model a few of his digits.

use std::path::PathBuf;
use std::time::Instant;

use host::blob::Blob;
use host::data::writers::{Group, Writers};
use host::data::{self, DataSet, Part};
use host::device::{self, Device, Place};
use host::personalize::{self, Count, Plan, Ratio, Trial, personalize, personalize_here};
use host::ui::Ui;
use nn_core::link::StackUse;
use nn_core::scalar::MATH;
use nn_core::train::{Sgd, TrainError};
use serde::Serialize;

use super::samples::{Where, with_plan};

const EXAMPLES: &str = "\
Examples:
  mote personalize models/mnist-writers-head.mote
  mote personalize models/mnist-writers-head.mote --writers 5 --samples 50 --on qemu:an386 --json
  mote personalize models/mnist-writers-f32.mote --train layers:conv2d_2,dense_2 --learning-rate 0.003

Each of the writers begins with the model as it is, learns from his first digits, and is tested on all his others; none of
them was seen in training (`exclude_writers` in the recipe). --validation takes other writers, who were not seen
either: choose rates by those. The ids are QMNIST's: qmnist-writer-ids/ in --data, MOTE_DATA or .cache/data.
Intervals are 95 %: of a rate Wilson's, of the ratio by drawing writers anew. `keep` in --json says how often what was learnt
was kept: where a step diverged, or the loss over a writer's own samples did not fall, the model stays as it was.";

/// Arguments of `mote personalize`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A model of MNIST with a training plan, trained without these writers.
    #[arg(
        default_value = "models/mnist-writers-head.mote",
        value_name = "MODEL.mote"
    )]
    model: PathBuf,
    #[command(flatten)]
    place: Where,
    /// The first N writers of the group.
    #[arg(long, default_value_t = data::writers::HELD_OUT, value_name = "N")]
    writers: usize,
    /// Digits that each learns from, one trial for each number.
    #[arg(long, default_value = "10,20,50,100", value_name = "N,…", value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..))]
    samples: Vec<u16>,
    /// Go through them this often.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    passes: u16,
    /// The writers for choosing rates, not those for reports.
    #[arg(long)]
    validation: bool,
    /// What learns, instead of the model's own plan: all, last:K, layers:A,B … (`mote plan --help`).
    #[arg(long, value_name = "PLAN")]
    train: Option<String>,
    /// Step size, instead of the model's.
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// Where the data sets lie, when not in the cache.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// All writers with one count of samples.
#[derive(Serialize)]
struct Row {
    samples: usize,
    before: Count,
    after: Count,
    ratio: Ratio,
    better: usize,
    worse: usize,
    keep: usize,
    refused: usize,
}

impl Row {
    fn of(trials: &[Trial], samples: usize) -> Self {
        let trials: Vec<&Trial> = trials.iter().filter(|t| t.samples == samples).collect();
        let sum = |of: fn(&Trial) -> usize| trials.iter().map(|t| of(t)).sum();
        let tests = sum(|t| t.tests);
        Self {
            samples,
            before: Count::new(sum(|t| t.before), tests),
            after: Count::new(sum(|t| t.after), tests),
            ratio: Ratio::of(&trials),
            better: sum(|t| usize::from(t.after < t.before)),
            worse: sum(|t| usize::from(t.after > t.before)),
            keep: sum(|t| usize::from(t.kept)),
            refused: sum(|t| t.refused),
        }
    }
}

#[derive(Serialize)]
struct Report<'r> {
    model: String,
    name: &'r str,
    on: String,
    group: &'static str,
    writers: usize,
    passes: usize,
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    /// Bytes of arena that learning takes, of those learnt.
    arena: usize,
    weights_bytes: usize,
    results: &'r [Row],
    digest: String,
    math: &'static str,
    seconds: f64,
    stack: Option<StackUse>,
    trials: &'r [Trial],
}

/// Runs `mote personalize`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let blob = with_plan(Blob::open(&args.model)?, args.train.as_deref())?;
    let model = blob.model();
    let own = model.train_spec().map(|spec| spec.rates());
    let own = own.ok_or(device::DeviceError::NoTrainPlan)?;
    let sgd = Sgd {
        learning_rate: args.learning_rate.unwrap_or(own.learning_rate),
        ..own
    };
    anyhow::ensure!(sgd.is_valid(), TrainError::Rate);
    let set: DataSet = data::set("mnist")?.load(args.data.as_deref(), Part::Train)?;
    let all = Writers::read(args.data.as_deref(), &set.labels)?;
    let (group, name) = match args.validation {
        true => (Group::Validation, "validation"),
        false => (Group::HeldOut, "held_out"),
    };
    let writers = all.group(group);
    let plan = Plan {
        writers: &writers[..args.writers.clamp(1, writers.len())],
        samples: args.samples.iter().map(|&count| count.into()).collect(),
        passes: args.passes.into(),
        sgd: (sgd != own).then_some(sgd),
    };
    let started = Instant::now();
    let (trials, info, stack);
    if args.place.on == Place::Host && args.place.store.is_none() {
        trials = personalize_here(&blob, &set, &plan, ui)?;
        (info, stack) = (device::Here::new(&blob)?.info().clone(), None);
    } else {
        let mut device = args.place.open(&blob, ui)?;
        trials = personalize(device.as_mut(), &blob, &set, &plan, ui)?;
        info = device.info().clone();
        stack = device.stack()?;
        device.finish()?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let rows = plan
        .samples
        .iter()
        .map(|&samples| Row::of(&trials, samples));
    let rows: Vec<Row> = rows.collect();
    let digest = format!("{:016x}", personalize::digest(&trials));
    if args.json {
        ui.json(&Report {
            model: args.model.display().to_string(),
            name: model.name(),
            on: args.place.on.to_string(),
            group: name,
            writers: plan.writers.len(),
            passes: plan.passes,
            learning_rate: sgd.learning_rate,
            momentum: sgd.momentum,
            weight_decay: sgd.weight_decay,
            arena: info.arena,
            weights_bytes: info.weights_len,
            results: &rows,
            digest,
            math: MATH,
            seconds,
            stack,
            trials: &trials,
        })?;
        return Ok(());
    }
    let header = [
        "samples",
        "tests",
        "errors before",
        "after",
        "of those before",
        "better",
        "worse",
        "kept",
    ];
    let mut table = ui.table(&header, &[0, 1, 2, 3, 4, 5, 6, 7]);
    for row in &rows {
        let errors = |count: &Count| {
            let [rate, low, high] = [count.rate, count.low, count.high].map(|rate| 100.0 * rate);
            format!("{} ({rate:.2} %, {low:.2} to {high:.2})", count.errors)
        };
        let ratio = row.ratio.ratio.map_or_else(
            || "-".to_owned(),
            |ratio| {
                let [ratio, low, high] = [ratio, row.ratio.low, row.ratio.high].map(|r| 100.0 * r);
                format!("{ratio:.0} % ({low:.0} to {high:.0})")
            },
        );
        table.add_row([
            row.samples.to_string(),
            row.before.tests.to_string(),
            errors(&row.before),
            errors(&row.after),
            ratio,
            row.better.to_string(),
            row.worse.to_string(),
            row.keep.to_string(),
        ]);
    }
    ui.result(table);
    ui.result(format_args!(
        "{} writers ({name}), {} passes at rate {}, on {}: {} bytes of arena, {} of them learnt; digest {digest}",
        plan.writers.len(),
        plan.passes,
        sgd.learning_rate,
        args.place.on,
        info.arena,
        info.weights_len,
    ));
    Ok(())
}
