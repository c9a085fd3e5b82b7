//! `mote train`: from a recipe to a checkpoint.

use std::path::{Path, PathBuf};

use host::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  mote train models/mnist-cnn.toml                  # as the recipe says
  mote train models/mnist-cnn.toml --epochs 1 --limit 5000
  mote train models/mnist-cnn.toml --resume         # go on after Ctrl-C
  mote train letters.toml --start runs/mnist-cnn    # with the weights of another run, layers by name
  mote train models/mnist-mlp.toml --device cuda --json

Writes `runs/<recipe>`/checkpoint.safetensors, history.csv, history.png, and events for `tensorboard --logdir runs`; then
`mote export`.";

/// Arguments of `mote train`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) struct Args {
    /// The recipe, such as models/mnist-cnn.toml, or a run (its folder, or its checkpoint), for the recipe kept there.
    recipe: PathBuf,
    /// Where to compute: auto, cpu or cuda.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: String,
    /// Threads of libtorch [default: as many as there are physical cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Epochs, instead of the recipe's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Seed, instead of the recipe's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Learn from the first N samples of the shuffled training set only.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Folder for checkpoint, history and picture [default: runs/RECIPE].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of the data sets [default: $MOTE_DATA, else .cache/data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Begin with the weights of another run (its folder) or of a safetensors file: tensors of the same name and shape.
    #[arg(long, value_name = "RUN|FILE")]
    start: Option<PathBuf>,
    /// Go on from the checkpoint, with its epochs, seed and limit.
    #[arg(long, conflicts_with_all = ["epochs", "seed", "limit", "start"])]
    resume: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote train`.
#[cfg(not(feature = "train"))]
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    anyhow::bail!(
        "this `mote` was built without training; run scripts/setup, then build with the default \
         features: cargo build -p host"
    )
}

impl Args {
    /// As the recipe says, with everything written to `out`.
    pub(crate) fn new(recipe: &Path, out: &Path, data: Option<&Path>) -> Self {
        Self {
            recipe: recipe.to_owned(),
            device: "auto".to_owned(),
            threads: None,
            epochs: None,
            seed: None,
            limit: None,
            start: None,
            out: Some(out.to_owned()),
            data: data.map(Path::to_owned),
            resume: false,
            json: false,
        }
    }
}

/// Runs `mote train`.
#[cfg(feature = "train")]
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let json = args.json;
    let (recipe, outcome) = with_libtorch::train_to_the_end(args, ui)?;
    with_libtorch::report(&recipe, &outcome, json, ui)
}

/// Trains, and prints no result.
#[cfg(feature = "train")]
pub(crate) fn train(args: Args, ui: &Ui) -> anyhow::Result<()> {
    with_libtorch::train_to_the_end(args, ui).map(|_| ())
}

/// Trains, and prints no result.
#[cfg(not(feature = "train"))]
pub(crate) fn train(args: Args, ui: &Ui) -> anyhow::Result<()> {
    run(args, ui)
}

#[cfg(feature = "train")]
pub(crate) use with_libtorch::stop_flag;

#[cfg(feature = "train")]
mod with_libtorch {
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use anyhow::Context;
    use host::checkpoint::Running;
    use host::history::EpochRow;
    use host::paths;
    use host::recipe::Recipe;
    use host::train::{Labelled, NotTaken, Observer, Options, Outcome, Plan, Transfer, train};
    use host::ui::{Progress, Ui};

    use super::Args;

    pub(super) fn train_to_the_end(args: Args, ui: &Ui) -> anyhow::Result<(Recipe, Outcome)> {
        let recipe = crate::cli::recipe::load(&args.recipe)?;
        let again = match &args.out {
            Some(out) => format!("{} --out {} --resume", args.recipe.display(), out.display()),
            None => format!("{} --resume", args.recipe.display()),
        };
        let directory = args.out.unwrap_or_else(|| paths::run_dir(&recipe.name));
        let options = Options {
            device: args.device.parse().context("--device")?,
            directory,
            data: args.data,
            epochs: args.epochs.map(|count| count as usize),
            seed: args.seed,
            limit: args.limit.map(|count| count as usize),
            threads: args.threads.map(|count| count as usize),
            start: args.start,
            without_test: false,
            resume: args.resume,
        };
        let stop = stop_flag()?;

        ui.note(format_args!(
            "Training {} ({})",
            recipe.name, recipe.description
        ));
        let mut watch = Watch {
            ui,
            stop,
            plan: None,
            bar: None,
        };
        let outcome = train(&recipe, &options, &mut watch)?;
        drop(watch);
        match outcome.test {
            Some(_) => Ok((recipe, outcome)),
            None => {
                let progress = &outcome.progress;
                anyhow::bail!(
                    "stopped in epoch {} of {}, after batch {}; the checkpoint is {}. Go on with: \
                     mote train {again}",
                    progress.epoch + 1,
                    progress.epochs,
                    progress.batch,
                    paths::shorten(&outcome.files.checkpoint).display(),
                )
            }
        }
    }

    /// Set by the first Ctrl-C, which stops after the batch; the second ends at once.
    pub(crate) fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        ctrlc::set_handler(move || {
            if asked.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(stop)
    }

    pub(super) fn report(
        recipe: &Recipe,
        outcome: &Outcome,
        json: bool,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let Some(test) = outcome.test else {
            return Ok(());
        };
        let files = &outcome.files;
        if json {
            ui.json(&serde_json::json!({
                "name": recipe.name,
                "epochs": outcome.progress.epochs,
                "epochs_done": outcome.progress.epoch,
                "best_epoch": outcome.progress.best.map(|best| best.epoch),
                "seed": outcome.progress.seed,
                "test_accuracy": test.accuracy,
                "test_loss": test.loss,
                "test_samples": test.samples,
                "test": outcome.measures.test,
                "val_accuracy": outcome.validation.and_then(|score| score.accuracy),
                "val_loss": outcome.validation.map(|score| score.loss),
                "validation": outcome.measures.validation,
                "labels_alone_test_accuracy": outcome.alone.and_then(|alone| alone.accuracy),
                "pseudo_labels": outcome.labelled,
                "parameters": outcome.parameters,
                "start": outcome.transfer,
                "seconds": outcome.seconds,
                "checkpoint": files.checkpoint,
                "history": files.history,
                "picture": files.picture,
                "events": files.events,
            }))?;
            return Ok(());
        }
        let samples = test.samples;
        let right = match test.accuracy {
            Some(share) => format!("{:.2} % of {samples} test samples right", share * 100.0),
            None => format!("{samples} test samples"),
        };
        ui.result(format_args!(
            "{}: {right}, loss {:.4}, {} parameters, {:.1} s",
            recipe.name, test.loss, outcome.parameters, outcome.seconds
        ));
        if let Some(measures) = &outcome.measures.test {
            crate::cli::metrics::print(measures.metrics.as_ref(), &measures.fits, ui);
        }
        if let Some(share) = outcome.alone.and_then(|alone| alone.accuracy) {
            ui.result(format_args!(
                "  from the known labels alone: {:.2} %",
                share * 100.0
            ));
        }
        if let Some((stop, best)) = recipe.train.stop.zip(outcome.progress.best) {
            let (done, epochs) = (outcome.progress.epoch, outcome.progress.epochs);
            let ended = match done < epochs {
                true => format!("stopped after epoch {done} of {epochs}"),
                false => format!("all {epochs} epochs"),
            };
            let stays = match stop.restore_best {
                true => "; its weights are kept",
                false => "",
            };
            ui.note(format_args!(
                "  {ended}: the best {} is {} of epoch {}{stays}",
                stop.monitor.name(),
                best.value,
                best.epoch
            ));
        }
        for file in [&files.checkpoint, &files.history, &files.picture] {
            ui.note(format_args!("  {}", paths::shorten(file).display()));
        }
        // A run of its own folder is exported from there.
        let folder = files.checkpoint.parent().unwrap_or(Path::new("."));
        let next = match folder == paths::run_dir(&recipe.name) {
            true => format!("models/{}.toml", recipe.name),
            false => paths::shorten(folder).display().to_string(),
        };
        ui.note(format_args!("Next: mote export {next}"));
        Ok(())
    }

    /// Shows progress, and stops on Ctrl-C.
    struct Watch<'u> {
        ui: &'u Ui,
        stop: Arc<AtomicBool>,
        plan: Option<Plan>,
        bar: Option<Progress>,
    }

    impl Watch<'_> {
        /// What was taken from another training.
        fn tell(&self, transfer: &Transfer) {
            let file = paths::shorten(&transfer.file);
            let not_taken = transfer.not_taken.iter().map(NotTaken::described);
            for (what, names) in [
                ("taken from", transfer.taken.clone()),
                ("not taken from", not_taken.collect()),
                ("unused of", transfer.unused.clone()),
            ] {
                if !names.is_empty() {
                    let (count, names) = (names.len(), names.join(", "));
                    self.ui.note(format_args!(
                        "  {count} tensors {what} {}: {names}",
                        file.display()
                    ));
                }
            }
        }
    }

    impl Observer for Watch<'_> {
        fn begin(&mut self, plan: &Plan) {
            let [training, validation] = plan.samples;
            self.ui.note(format_args!(
                "  {training} training samples, {validation} for validation, {} parameters, {}",
                plan.parameters, plan.device
            ));
            if plan.frozen > 0 {
                let learn = plan.parameters - plan.frozen;
                self.ui.note(format_args!(
                    "  {learn} of them learn, {} are frozen",
                    plan.frozen
                ));
            }
            if !plan.class_weights.is_empty() {
                let weights = plan.class_weights.iter();
                let weights: Vec<String> = weights.map(|w| format!("{w:.4}")).collect();
                self.ui
                    .note(format_args!("  class weights: {}", weights.join(", ")));
            }
            if let Some(transfer) = &plan.transfer {
                self.tell(transfer);
            }
            if plan.epoch > 0 || plan.batch > 0 {
                let (epoch, batch) = (plan.epoch + 1, plan.batch);
                self.ui.note(format_args!(
                    "  going on in epoch {epoch} after batch {batch}"
                ));
            }
            let total = plan.epochs * plan.batches;
            let bar = self.ui.progress("training", total as u64);
            bar.skip((plan.epoch * plan.batches + plan.batch) as u64);
            self.bar = Some(bar);
            self.plan = Some(plan.clone());
        }

        fn labelled(&mut self, count: &Labelled) {
            self.bar = None;
            let Labelled {
                round,
                unlabelled,
                labelled,
                right,
            } = count;
            self.ui.note(format_args!(
                "  round {round}: {labelled} of {unlabelled} samples without a label have one now, {right} of them the right one"
            ));
        }

        fn batch(&mut self, epoch: usize, running: &Running) -> ControlFlow<()> {
            if let (Some(bar), Some(plan)) = (&self.bar, &self.plan) {
                let samples = running.samples.max(1) as f64;
                let accuracy = running.correct as f64 / samples * 100.0;
                let accuracy = match plan.has_accuracy {
                    true => format!("  accuracy {accuracy:.2} %"),
                    false => String::new(),
                };
                bar.message(format_args!(
                    "epoch {epoch}/{}  loss {:.4}{accuracy}",
                    plan.epochs,
                    running.loss / samples,
                ));
                bar.inc(1);
            }
            if self.stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }

        fn epoch(&mut self, row: &EpochRow) {
            let Some(bar) = &self.bar else { return };
            let told = |loss: f64, accuracy: Option<f64>| match accuracy {
                Some(share) => format!("loss {loss:.4}, accuracy {:.2} %", share * 100.0),
                None => format!("loss {loss:.6}"),
            };
            let validation = match row.val_loss {
                Some(loss) => format!("  validation {}", told(loss, row.val_accuracy)),
                None => String::new(),
            };
            bar.line(format_args!(
                "  epoch {:>2}: {}{validation}  ({:.1} s)",
                row.epoch,
                told(row.train_loss, row.train_accuracy),
                row.seconds
            ));
        }
    }
}
