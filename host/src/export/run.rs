//! The whole export: blobs, their accuracy, their cards.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Card, ExportError, Inspection, Network, Ranges, Room, Target};
use crate::blob::Blob;
use crate::checkpoint::{Checkpoint, Progress};
use crate::data::{Column, DataSet, Part};
use crate::evaluate::{ColumnFit, Evaluation, evaluate_here};
use crate::fit::Fit;
use crate::paths;
use crate::recipe::{Format, Recipe};
use crate::ui::Ui;

/// What an export may be told besides its recipe.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The recipe's file, for the card.
    pub recipe_path: PathBuf,
    /// Folder for blobs and cards.
    pub directory: PathBuf,
    /// Instead of the recipe's formats, when not empty.
    pub formats: Vec<Format>,
    /// Folder of the data sets, when not the usual one.
    pub data: Option<PathBuf>,
    /// Measure accuracy on so many test samples only.
    pub limit: Option<usize>,
    /// For whose kernels int8 weights are laid out.
    pub target: Target,
    /// The room for what int8 learns.
    pub room: Room,
}

/// What came of an export. Serializes to what `mote export --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The recipe's name.
    pub name: String,
    /// The recipe's description.
    #[serde(skip)]
    pub description: String,
    /// The data set.
    pub data_set: String,
    /// The numbers of a row of a table, and how they are scaled before the network reads them.
    pub inputs: Vec<Column>,
    /// The numbers that the network gives, and how they were scaled.
    pub outputs: Vec<Column>,
    /// Whether those follow the numbers of an input in time.
    #[serde(skip)]
    pub series: bool,
    /// Training samples that int8 was calibrated with.
    pub calibration: usize,
    /// Test samples that accuracy was measured on.
    pub samples: usize,
    /// Share of them that the network in f32 reads rightly, from 0 to 1; of numbers there is none.
    pub f32_accuracy: Option<f64>,
    /// How the weights came to be.
    pub origin: Origin,
    /// The blobs written.
    pub models: Vec<Exported>,
}

/// How a network's weights came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The recipe's file.
    pub recipe: String,
    /// The seed trained with.
    pub seed: u64,
    /// Epochs trained.
    pub epoch: usize,
    /// Epochs that the training was meant to take.
    pub epochs: usize,
    /// The command that trains it again.
    pub train_command: String,
    /// The command that exports it again.
    pub export_command: String,
}

/// A blob that was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exported {
    /// `f32`, `i8`, `head`, `q16` or `head-q16`.
    pub format: String,
    /// The blob's file.
    pub path: PathBuf,
    /// The card's file.
    pub card: PathBuf,
    /// Share of the test samples that it reads rightly, from 0 to 1; of a series, the share on the right side of the
    /// last number seen; of other numbers there is none.
    pub accuracy: Option<f64>,
    /// How near it comes to the first number that a sample wants, if any.
    pub fit: Option<Fit>,
    /// How near it comes to each.
    pub fits: Vec<ColumnFit>,
    /// Its accuracy less that of the network in f32, in percentage points.
    pub difference: Option<f64>,
    /// How many test samples.
    pub samples: usize,
    /// FNV-1a 64 over all answers to them, as `mote eval` prints it.
    pub output_digest: String,
    /// What it holds and costs.
    #[serde(flatten)]
    pub inspection: Inspection,
}

/// Writes the blobs of `recipe` with the weights of `checkpoint`, and a card beside each.
///
/// # Errors
/// [`ExportError`]. Each file is written whole or not at all.
pub fn export(
    recipe: &Recipe,
    checkpoint: &Checkpoint,
    options: &Options,
    ui: &Ui,
) -> Result<Report, ExportError> {
    let network = Network::new(recipe, checkpoint)?;
    let formats = if options.formats.is_empty() {
        &recipe.export.formats
    } else {
        &options.formats
    };
    let train = recipe.load_data(options.data.as_deref(), Part::Train)?;
    let samples = calibration_set(recipe, &checkpoint.progress, &train);
    drop(train);
    let ranges = Ranges::measure(&network, &samples)?;

    let mut test = recipe.load_data(options.data.as_deref(), Part::Test)?;
    if let Some(limit) = options.limit {
        test = test.first(limit);
    }
    let reference = blob(&network, recipe, &ranges, Format::F32, options)?;
    let f32_score = measure(&reference, &test, "f32", ui)?;

    let values = test.values.as_ref();
    let mut report = Report {
        name: recipe.name.clone(),
        description: recipe.description.clone(),
        data_set: test.name.clone(),
        inputs: values.map_or_else(Vec::new, |values| values.features.clone()),
        outputs: values.map_or_else(Vec::new, |values| values.columns.clone()),
        series: test.is_series(),
        calibration: samples.len(),
        samples: test.len(),
        f32_accuracy: f32_score.accuracy(),
        origin: Origin::new(recipe, &checkpoint.progress, options),
        models: Vec::new(),
    };
    for &format in formats {
        let (blob, score) = if format == Format::F32 {
            (reference.clone(), f32_score.clone())
        } else {
            let blob = blob(&network, recipe, &ranges, format, options)?;
            let score = measure(&blob, &test, &format.to_string(), ui)?;
            (blob, score)
        };
        let exported = Exported {
            format: format.to_string(),
            path: blob.path().to_owned(),
            card: blob.path().with_extension("md"),
            accuracy: score.accuracy(),
            difference: score
                .accuracy()
                .zip(report.f32_accuracy)
                .map(|(ours, f32)| 100.0 * (ours - f32)),
            samples: score.samples,
            fit: score.fit(),
            fits: score.fits,
            output_digest: format!("{:016x}", score.digest),
            inspection: Inspection::of(&blob),
        };
        write(blob.path(), blob.bytes())?;
        let card = Card {
            report: &report,
            exported: &exported,
        };
        write(&exported.card, card.to_string().as_bytes())?;
        report.models.push(exported);
    }
    Ok(report)
}

/// The first samples that training learnt from, in its random order.
fn calibration_set(recipe: &Recipe, progress: &Progress, train: &DataSet) -> DataSet {
    let mut indices = train.split(recipe.data.validation, progress.seed).training;
    if let Some(limit) = progress.limit.or(recipe.data.limit()) {
        indices.truncate(limit);
    }
    indices.truncate(recipe.export.calibration);
    train.select(&indices)
}

fn blob(
    network: &Network,
    recipe: &Recipe,
    ranges: &Ranges,
    format: Format,
    options: &Options,
) -> Result<Blob, ExportError> {
    let target = match format {
        // Nothing in them is int8.
        Format::F32 | Format::Q16 => Target::Host,
        Format::I8 | Format::I8Train | Format::Head | Format::HeadQ16 => options.target,
    };
    let lowered = network.lower_for(recipe, ranges, format, target, options.room)?;
    let file = format!("{}-{format}{}.mote", recipe.name, target.suffix());
    Ok(Blob::new(&options.directory.join(file), lowered.bytes)?)
}

fn measure(blob: &Blob, test: &DataSet, label: &str, ui: &Ui) -> Result<Evaluation, ExportError> {
    let progress = ui.progress(&format!("testing {label}"), test.len() as u64);
    let score = evaluate_here(&blob.model(), test, &progress)?;
    progress.finish();
    Ok(score)
}

/// Writes a file beside `path`, then renames it: whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let error = |source| ExportError::Write {
        path: path.to_owned(),
        source,
    };
    paths::write_whole(path, bytes).map_err(error)
}

impl Origin {
    fn new(recipe: &Recipe, progress: &Progress, options: &Options) -> Self {
        let file = from_workspace(&options.recipe_path);
        let mut train_command = format!("mote train {file}");
        if progress.seed != recipe.train.seed {
            train_command += &format!(" --seed {}", progress.seed);
        }
        if progress.epochs != recipe.train.epochs {
            train_command += &format!(" --epochs {}", progress.epochs);
        }
        if let Some(limit) = progress.limit {
            train_command += &format!(" --limit {limit}");
        }
        if let Some(start) = progress
            .start
            .as_ref()
            .filter(|_| recipe.train.start.is_none())
        {
            train_command += &format!(" --start {}", from_workspace(start));
        }
        Self {
            export_command: format!("mote export {file}"),
            recipe: file,
            seed: progress.seed,
            epoch: progress.epoch,
            epochs: progress.epochs,
            train_command,
        }
    }
}

/// `path` from the workspace's root where it lies below it, else its file name: a card names no
/// folder of the machine.
fn from_workspace(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let inside = absolute.strip_prefix(paths::workspace_root());
    let shown = inside
        .ok()
        .or(path.file_name().map(Path::new))
        .unwrap_or(path);
    shown.display().to_string()
}
