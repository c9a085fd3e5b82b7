//! `mote export`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use host::checkpoint::{Checkpoint, CheckpointError};
use host::device::boards;
use host::evaluate::ColumnFit;
use host::export::{self, Exported, Options, Report, Room, Target};
use host::paths;
use host::recipe::Format;
use host::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  mote export models/mnist-cnn.toml
  mote export models/mnist-cnn.toml --format i8 --limit 1000 --json
  mote export models/mnist-mlp.toml --format q16,head-q16
  mote export models/mnist-cnn.toml --format i8 --for m4
  mote export runs/mnist-cnn                        # weights and recipe as that run keeps them";

/// Arguments of `mote export`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The recipe (*.toml), or a run (its folder, or its checkpoint), which holds recipe and weights.
    recipe: PathBuf,
    /// The trained weights [default: those of the run, or runs/<recipe>/checkpoint.safetensors].
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Folder for blobs and cards [default: models].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Formats to write [default: those of the recipe].
    #[arg(long, value_name = "FORMAT", value_delimiter = ',')]
    format: Vec<FormatName>,
    /// Folder of the data sets.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure accuracy on the first N test samples only.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Lay out int8 weights for the kernels of this target: the answers are the same.
    #[arg(long = "for", value_name = "TARGET", default_value = "host")]
    target: TargetName,
    /// Room for weights that learn in int8: how many times what training made them their ranges are.
    #[arg(long, value_name = "TIMES", default_value_t = Room::default().weights, value_parser = times)]
    weight_room: f32,
    /// Room for what int8 layers that learn give: how many times what calibration saw their ranges are.
    #[arg(long, value_name = "TIMES", default_value_t = Room::default().ranges, value_parser = times)]
    range_room: f32,
    /// Refuse at once where the network cannot fit this board, however it is planned.
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn times(text: &str) -> Result<f32, String> {
    let number = text.parse().ok();
    let fits = number.filter(|times| (0.5..=64.0).contains(times));
    fits.ok_or_else(|| format!("wanted a number from 0.5 to 64, found `{text}`"))
}

/// A target, as the command line names it.
#[derive(Clone, Copy, ValueEnum)]
enum TargetName {
    /// Cortex-M4: packed, poolings within convolutions; files end in -m4.
    M4,
    /// Cortex-M7: as for m4; files end in -m7.
    M7,
    /// Cortex-M3: packed for cores without SMLAD, poolings within convolutions; files end in -m3.
    M3,
    /// Cortex-M0 and M0+: as for m3; files end in -m0.
    M0,
    /// This machine: plain.
    Host,
}

impl From<TargetName> for Target {
    fn from(name: TargetName) -> Self {
        match name {
            TargetName::M4 => Self::M4,
            TargetName::M7 => Self::M7,
            TargetName::M3 => Self::M3,
            TargetName::M0 => Self::M0,
            TargetName::Host => Self::Host,
        }
    }
}

/// A format, as the command line names it.
#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    /// All in f32.
    F32,
    /// All in int8.
    I8,
    /// What learns in f32, all before it in int8.
    Head,
    /// All in Q16, fixed point of 16 + 16 bits.
    Q16,
    /// What learns in Q16, all before it in int8.
    HeadQ16,
    /// All in int8, in which it learns, too; the last function in f32.
    I8Train,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::F32 => Self::F32,
            FormatName::I8 => Self::I8,
            FormatName::Head => Self::Head,
            FormatName::Q16 => Self::Q16,
            FormatName::HeadQ16 => Self::HeadQ16,
            FormatName::I8Train => Self::I8Train,
        }
    }
}

/// Runs `mote export`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let (json, packs) = (args.json, !matches!(args.target, TargetName::Host));
    let report = export(args, ui)?;
    if json {
        return ui.json(&report).context("cannot print the report");
    }
    print(&report, ui);
    if packs {
        print_plain(&report, ui);
    }
    Ok(())
}

impl Args {
    /// As the recipe says, from `checkpoint` to the folder `out`.
    pub(crate) fn new(recipe: &Path, checkpoint: PathBuf, out: &Path, data: Option<&Path>) -> Self {
        Self {
            recipe: recipe.to_owned(),
            checkpoint: Some(checkpoint),
            out: Some(out.to_owned()),
            format: Vec::new(),
            data: data.map(Path::to_owned),
            limit: None,
            target: TargetName::Host,
            board: None,
            weight_room: Room::default().weights,
            range_room: Room::default().ranges,
            json: false,
        }
    }
}

/// Exports, and tells what came of it.
pub(crate) fn export(args: Args, ui: &Ui) -> anyhow::Result<Report> {
    let recipe = super::recipe::load(&args.recipe)?;
    let formats: Vec<Format> = args.format.into_iter().map(Format::from).collect();
    if let Some(name) = &args.board {
        let board = boards::named(name).with_context(|| {
            let names: Vec<&str> = boards::BOARDS.iter().map(|board| board.name).collect();
            format!(
                "--board: wanted one of {}, found `{name}`",
                names.join(", ")
            )
        })?;
        let own = if formats.is_empty() {
            &recipe.export.formats
        } else {
            &formats
        };
        own.iter()
            .try_for_each(|&format| recipe.fits(board, format))?;
    }
    let path = args
        .checkpoint
        .or_else(|| super::recipe::checkpoint(&args.recipe))
        .unwrap_or_else(|| paths::run_dir(&recipe.name).join(paths::CHECKPOINT));
    let checkpoint = load(&path, &args.recipe)?;
    let progress = &checkpoint.progress;
    if progress.epoch < progress.epochs {
        ui.warn(format_args!(
            "the checkpoint is of a training that stopped after {} of {} epochs; \
             `mote train {} --resume` goes on",
            progress.epoch,
            progress.epochs,
            args.recipe.display()
        ));
    }
    if progress.recipe != recipe.text {
        ui.warn(format_args!(
            "the recipe was changed since the checkpoint was trained; `mote train {}` trains anew",
            args.recipe.display()
        ));
    }
    let options = Options {
        recipe_path: args.recipe,
        directory: args.out.unwrap_or_else(paths::models_dir),
        formats,
        data: args.data,
        limit: args.limit,
        target: args.target.into(),
        room: Room {
            weights: args.weight_room,
            ranges: args.range_room,
        },
    };
    Ok(export::export(&recipe, &checkpoint, &options, ui)?)
}

fn load(path: &Path, recipe: &Path) -> anyhow::Result<Checkpoint> {
    Checkpoint::load(path).map_err(|error| match error {
        CheckpointError::Read { ref source, .. } if source.kind() == ErrorKind::NotFound => {
            anyhow::anyhow!(
                "no checkpoint at {}; `mote train {}` makes one, or name another with --checkpoint",
                paths::shorten(path).display(),
                recipe.display()
            )
        }
        error => error.into(),
    })
}

/// Prints the report as a table.
pub(crate) fn print(report: &Report, ui: &Ui) {
    let header = [
        "model", "accuracy", "to f32", "flash", "arena", "to train", "MACs",
    ];
    let mut table = ui.table(&header, &[1, 2, 3, 4, 5, 6]);
    for model in &report.models {
        let (inspection, difference) = (&model.inspection, model.difference);
        let arena_train = match inspection.train {
            Some(_) => inspection.arena_train.to_string(),
            None => "-".to_owned(),
        };
        table.add_row([
            paths::shorten(&model.path).display().to_string(),
            score(model),
            difference.map_or_else(String::new, |points| format!("{points:+.2}")),
            inspection.flash.to_string(),
            inspection.arena_infer.to_string(),
            arena_train,
            inspection.macs.to_string(),
        ]);
    }
    ui.result(table);
    ui.result(format_args!(
        "{} test samples of {}, calibrated with {} training samples; sizes in bytes; \
         a card lies beside each model",
        report.samples, report.data_set, report.calibration
    ));
}

/// Accuracy, or how near the numbers come.
fn score(model: &Exported) -> String {
    let accuracy = model
        .accuracy
        .map(|share| format!("{:.2} %", 100.0 * share));
    let fits = model
        .fits
        .iter()
        .map(|ColumnFit { column, fit }| format!("{column}: R² {:.4}", fit.r2));
    accuracy.unwrap_or_else(|| fits.collect::<Vec<_>>().join(", "))
}

/// Which layers are not packed, and why.
fn print_plain(report: &Report, ui: &Ui) {
    for model in &report.models {
        for (layer, reason) in model.inspection.plain() {
            ui.result(format_args!(
                "{}: {layer} stays plain: {reason}",
                paths::shorten(&model.path).display()
            ));
        }
    }
}
