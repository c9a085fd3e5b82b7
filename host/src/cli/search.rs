//! `mote search`: grid search over fields of a recipe.

use std::path::PathBuf;

use clap::ValueEnum;

const EXAMPLES: &str = "\
Examples:
  mote search models/mnist-mlp.toml --set train.optimizer.learning_rate=0.001,0.002 --set layer.dense_1.units=64,128
  mote search models/mnist-mlp.toml --set train.batch=16,64,all --starts 3 --retrain
  mote search models/stock-rnn.toml --set data.validation=0.2 --set layer.rnn_1.activation=tanh,relu --json

Every combination is trained --starts times, with the recipe's seed and those after it, and judged on the samples that
[data] validation holds out; the test set is not read. A --set with one value holds for all. `--retrain` trains the best
again, on the samples held out, too, and then reads the test set, once. Runs lie in runs/RECIPE/search, what came of each
in runs/RECIPE/search.csv: what has finished is not trained again.";

/// Arguments of `mote search`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) struct Args {
    /// The recipe.
    recipe: PathBuf,
    /// A field by its path, a layer by its name, and the values to try; again for more fields.
    #[arg(long = "set", value_name = "FIELD=VALUE,…", required = true)]
    set: Vec<String>,
    /// Trainings of each combination, each with another seed.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    starts: u32,
    /// What decides [default: val_accuracy of classes, val_loss of numbers].
    #[arg(long, value_name = "METRIC")]
    metric: Option<MetricName>,
    /// Train the best again on training and validation samples, and read the test set.
    #[arg(long)]
    retrain: bool,
    /// Trainings at a time, which share the cores.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: u32,
    /// Where to compute: auto, cpu or cuda.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: String,
    /// Epochs, instead of the recipe's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Learn from the first N samples of the shuffled training set only.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Folder for runs and results [default: runs/RECIPE].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of the data sets; of a table or series, its file.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What decides, as the command line names it.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
enum MetricName {
    /// The loss on the samples held out.
    ValLoss,
    /// The accuracy on the samples held out.
    ValAccuracy,
}

/// Runs `mote search`.
#[cfg(not(feature = "train"))]
pub(crate) fn run(_args: Args, _ui: &host::ui::Ui) -> anyhow::Result<()> {
    anyhow::bail!(
        "this `mote` was built without training; run scripts/setup, then build with the default \
         features: cargo build -p host"
    )
}

#[cfg(feature = "train")]
pub(crate) use with_libtorch::run;

#[cfg(feature = "train")]
mod with_libtorch {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use anyhow::Context;
    use host::history::EpochRow;
    use host::paths;
    use host::search::{Axis, Combination, Metric, Plan, Record, Summary, Watch, ranked, shown};
    use host::train::Outcome;
    use host::ui::{Progress, Ui};
    use serde::Serialize;

    use super::{Args, MetricName};

    /// What `--json` prints.
    #[derive(Serialize)]
    struct Report<'r> {
        recipe: &'r str,
        metric: Metric,
        starts: usize,
        /// The best first.
        combinations: Vec<Row<'r>>,
        /// After `--retrain`.
        retrained: Option<Retrained>,
        table: PathBuf,
    }

    #[derive(Serialize)]
    struct Row<'r> {
        settings: BTreeMap<&'r str, String>,
        val_loss: Option<Summary>,
        val_accuracy: Option<Summary>,
        /// Runs that ended in no number.
        diverged: usize,
        parameters: usize,
        runs: &'r [Record],
    }

    #[derive(Serialize)]
    struct Retrained {
        settings: BTreeMap<String, String>,
        seed: u64,
        epochs: usize,
        test_loss: f64,
        test_accuracy: Option<f64>,
        test_samples: usize,
        run: PathBuf,
    }

    /// Runs `mote search`.
    pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
        let base = crate::cli::recipe::load(&args.recipe)?;
        let axes: Result<Vec<Axis>, _> = args.set.iter().map(|text| text.parse()).collect();
        let plan = Plan {
            path: args.recipe,
            axes: axes.context("--set")?,
            starts: args.starts as usize,
            jobs: args.jobs as usize,
            device: args.device.parse().context("--device")?,
            data: args.data,
            epochs: args.epochs.map(|count| count as usize),
            limit: args.limit.map(|count| count as usize),
            directory: args.out.unwrap_or_else(|| paths::run_dir(&base.name)),
        };
        let combinations = plan.combinations(&base)?;
        let metric = match args.metric {
            Some(MetricName::ValLoss) => Metric::ValLoss,
            Some(MetricName::ValAccuracy) => Metric::ValAccuracy,
            None => Metric::of_recipe(&base),
        };
        let total = combinations.len() * plan.starts;
        ui.note(format_args!(
            "Searching {}: {} combinations, {} trainings, judged by {}",
            base.name,
            combinations.len(),
            total,
            metric.name()
        ));
        let stop = crate::cli::train::stop_flag()?;
        let watch = Shown::new(ui, "searching", &stop, total);
        let runs = plan.run(&combinations, &watch)?;
        drop(watch);
        let order = ranked(metric, &runs)?;
        let best = order[0];
        let retrained = match (args.retrain, Record::best(metric, &runs[best])) {
            (true, Some(record)) => {
                ui.note("Training the best again, on the samples held out, too");
                let watch = Shown::new(ui, "training", &stop, 1);
                let (recipe, outcome) = plan.retrain(&combinations[best], record, &watch)?;
                Some(Retrained::new(
                    &combinations[best],
                    recipe.train.seed,
                    &outcome,
                )?)
            }
            _ => None,
        };
        let rows = order
            .iter()
            .map(|&at| Row::new(&combinations[at], &runs[at]));
        let report = Report {
            recipe: &base.name,
            metric,
            starts: plan.starts,
            combinations: rows.collect(),
            retrained,
            table: plan.table(),
        };
        if args.json {
            return Ok(ui.json(&report)?);
        }
        report.print(&plan, ui);
        Ok(())
    }

    impl<'r> Row<'r> {
        fn new(combination: &'r Combination, runs: &'r [Record]) -> Self {
            let settings = combination.settings.iter();
            Self {
                settings: settings
                    .map(|setting| (setting.field.as_str(), shown(&setting.value)))
                    .collect(),
                val_loss: Summary::of(Metric::ValLoss, runs),
                val_accuracy: Summary::of(Metric::ValAccuracy, runs),
                diverged: runs.iter().filter(|run| run.val_loss.is_none()).count(),
                parameters: combination.recipe.parameters(),
                runs,
            }
        }
    }

    impl Retrained {
        fn new(best: &Combination, seed: u64, outcome: &Outcome) -> anyhow::Result<Self> {
            let test = outcome.test.context("there is no test score")?;
            let settings = best.settings.iter();
            let directory = outcome.files.checkpoint.parent();
            Ok(Self {
                settings: settings
                    .map(|setting| (setting.field.clone(), shown(&setting.value)))
                    .collect(),
                seed,
                epochs: outcome.progress.epoch,
                test_loss: test.loss,
                test_accuracy: test.accuracy,
                test_samples: test.samples,
                run: directory.map(PathBuf::from).unwrap_or_default(),
            })
        }
    }

    impl Report<'_> {
        fn print(&self, plan: &Plan, ui: &Ui) {
            // A field that is the same for all says nothing.
            let axes: Vec<&Axis> = plan
                .axes
                .iter()
                .filter(|axis| axis.values.len() > 1)
                .collect();
            let mut header: Vec<&str> = axes.iter().map(|axis| axis.field.as_str()).collect();
            let columns = ["val_loss", "val_accuracy", "parameters", "diverged"];
            let numbers: Vec<usize> = (header.len()..header.len() + columns.len()).collect();
            header.extend(columns);
            let mut table = ui.table(&header, &numbers);
            for row in &self.combinations {
                let value = |axis: &&Axis| row.settings.get(axis.field.as_str()).cloned();
                let mut cells: Vec<String> = axes.iter().filter_map(value).collect();
                cells.push(spread(row.val_loss, 1.0, 4, ""));
                cells.push(spread(row.val_accuracy, 100.0, 2, " %"));
                cells.push(row.parameters.to_string());
                cells.push(format!("{} of {}", row.diverged, row.runs.len()));
                table.add_row(cells);
            }
            ui.result(table);
            if let Some(best) = self.combinations.first() {
                let settings = best.settings.iter();
                let settings: Vec<String> = settings.map(|(f, v)| format!("{f}={v}")).collect();
                let by = self.metric.name();
                ui.result(format_args!("best by {by}: {}", settings.join(", ")));
            }
            if let Some(retrained) = &self.retrained {
                let right = match retrained.test_accuracy {
                    Some(share) => format!("{:.2} % right, ", 100.0 * share),
                    None => String::new(),
                };
                ui.result(format_args!(
                    "trained again on all samples: {right}loss {:.4}, of {} test samples ({} epochs, seed {})",
                    retrained.test_loss, retrained.test_samples, retrained.epochs, retrained.seed
                ));
                let run = paths::shorten(&retrained.run);
                ui.note(format_args!("Next: mote export {}", run.display()));
            }
            ui.note(format_args!("  {}", paths::shorten(&self.table).display()));
        }
    }

    /// `0.1234 ± 0.0056`.
    fn spread(summary: Option<Summary>, times: f64, digits: usize, unit: &str) -> String {
        let Some(summary) = summary else {
            return "-".to_owned();
        };
        let mean = format!("{:.digits$}", summary.mean * times);
        match summary.deviation {
            Some(deviation) => format!("{mean} ± {:.digits$}{unit}", deviation * times),
            None => format!("{mean}{unit}"),
        }
    }

    /// Tells the user.
    struct Shown<'s> {
        bar: Progress,
        stop: &'s AtomicBool,
        done: AtomicUsize,
        total: usize,
    }

    impl<'s> Shown<'s> {
        fn new(ui: &Ui, label: &str, stop: &'s AtomicBool, total: usize) -> Self {
            Self {
                bar: ui.progress(label, total as u64),
                stop,
                done: AtomicUsize::new(0),
                total,
            }
        }
    }

    impl Watch for Shown<'_> {
        fn stopped(&self) -> bool {
            self.stop.load(Ordering::Relaxed)
        }

        fn epoch(&self, run: &str, row: &EpochRow) {
            self.bar.message(format_args!(
                "{run}: epoch {}, loss {:.4}",
                row.epoch, row.train_loss
            ));
        }

        fn run(&self, record: &Record, fresh: bool) {
            let done = 1 + self.done.fetch_add(1, Ordering::Relaxed);
            let what = match (record.val_loss, record.val_accuracy) {
                (Some(loss), Some(accuracy)) => {
                    format!("val_loss {loss:.4}, val_accuracy {:.2} %", accuracy * 100.0)
                }
                (Some(loss), None) => format!("val_loss {loss:.4}"),
                (None, _) => "diverged".to_owned(),
            };
            let when = match fresh {
                true => format!("{:.1} s", record.seconds),
                false => "known".to_owned(),
            };
            self.bar.inc(1);
            self.bar.line(format_args!(
                "  {done}/{}  {}; seed {}: {what}  ({when})",
                self.total, record.fields, record.seed
            ));
        }
    }
}
