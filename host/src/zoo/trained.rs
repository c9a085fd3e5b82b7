//! Networks that are trained by a recipe, exported, and measured by nn-core.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use nn_core::session::Session;

use super::lab::Lab;
use super::{Exported, Figure, ZooError};
use crate::blob::Blob;
use crate::checkpoint::Checkpoint;
use crate::data::{DataSet, Part};
use crate::device::{self, BuildError, DeviceError, Place};
use crate::evaluate::{Evaluation, evaluate, evaluate_here};
use crate::export::{self, AlignedBytes, Network, Ranges};
use crate::fit::Fit;
use crate::history::EpochRow;
use crate::recipe::{Format, Recipe};
use crate::ui::Ui;
use crate::{report, sample};

/// Test samples that a device reads, too.
const ON_DEVICE: usize = 20;

/// A recipe of `models/zoo`, as this program was built with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    /// The file's name.
    pub(super) file: &'static str,
    /// What it holds.
    pub(super) text: &'static str,
}

/// The recipe `models/zoo/$name.toml`.
macro_rules! recipe {
    ($name:literal) => {
        $crate::zoo::trained::Source {
            file: concat!($name, ".toml"),
            text: include_str!(concat!("../../../models/zoo/", $name, ".toml")),
        }
    };
}
pub(super) use recipe;

impl Source {
    /// The recipe.
    pub(super) fn recipe(self) -> Result<Recipe, ZooError> {
        Ok(Recipe::parse(self.text, &self.path())?)
    }

    fn path(self) -> PathBuf {
        crate::paths::models_dir().join("zoo").join(self.file)
    }
}

/// What came of a training.
struct Learnt {
    recipe: Recipe,
    folder: PathBuf,
    checkpoint: Checkpoint,
    history: Vec<EpochRow>,
}

/// A network that was trained.
#[derive(Debug)]
pub(super) struct Trained {
    /// What it is.
    pub(super) recipe: Recipe,
    /// Its epochs.
    pub(super) history: Vec<EpochRow>,
    /// It in f32.
    pub(super) blob: Blob,
    /// Where its data lie, if not in the usual folders.
    data: Option<PathBuf>,
    /// The f32 blob's answers to the test samples.
    test: Exported,
    fits: Vec<(String, Fit)>,
}

impl Lab<'_> {
    /// Where the data of `recipe` lie: what was given, if they are there.
    pub(super) fn data(&self, recipe: &Recipe) -> Option<PathBuf> {
        let given = self.settings.data.as_ref();
        given.filter(|folder| recipe.data_is_in(folder)).cloned()
    }

    /// Trains a recipe, or takes up where it was left; exports it, and measures it.
    pub(super) fn train(&mut self, source: Source) -> Result<Trained, ZooError> {
        self.train_from(source, None)
    }

    /// The same, from the weights of another network.
    pub(super) fn train_from(
        &mut self,
        source: Source,
        start: Option<&Trained>,
    ) -> Result<Trained, ZooError> {
        let recipe = source.recipe()?;
        let data = self.data(&recipe);
        let folder = self.settings.runs.join(&recipe.name);
        // Data that are not at hand are said before anything is trained.
        recipe.load_data(data.as_deref(), Part::Test)?;
        let start = start.map(Trained::folder);
        let (checkpoint, history) = self.learn(&recipe, data.as_deref(), &folder, start)?;
        let learnt = Learnt {
            recipe,
            folder,
            checkpoint,
            history,
        };
        self.measured(source, learnt)
    }

    /// Chooses the best value of a field of a recipe on the samples held out, and trains the best again on all: the
    /// values with their accuracies there, and the network.
    #[cfg(feature = "train")]
    pub(super) fn search(
        &mut self,
        source: Source,
        field: &str,
    ) -> Result<(Vec<(String, f64)>, Trained), ZooError> {
        use crate::search::{Axis, AxisError, Metric, Plan, SearchError, ranked};

        let failed = |error: SearchError| ZooError::Measure(error.to_string());
        let recipe = source.recipe()?;
        let data = self.data(&recipe);
        recipe.load_data(data.as_deref(), Part::Test)?;
        let axis = field.parse::<Axis>();
        let axis = axis.map_err(|error: AxisError| ZooError::Measure(error.to_string()))?;
        let plan = Plan {
            path: source.path(),
            axes: vec![axis],
            starts: 1,
            jobs: 1,
            device: crate::train::DeviceChoice::default(),
            data,
            epochs: None,
            limit: None,
            directory: self.settings.runs.join(&recipe.name),
        };
        let combinations = plan.combinations(&recipe).map_err(failed)?;
        let runs = plan.run(&combinations, &Patient).map_err(failed)?;
        let order = ranked(Metric::ValAccuracy, &runs).map_err(failed)?;
        let values = combinations.iter().zip(&runs).map(|(combination, runs)| {
            let accuracy = runs.first().and_then(|run| run.val_accuracy);
            (combination.label(), accuracy.unwrap_or(f64::NAN))
        });
        let values = values.collect();
        let best = order
            .first()
            .and_then(|&best| Some((&combinations[best], runs[best].first()?)));
        let (best, record) = best.ok_or_else(|| failed(SearchError::AllDiverged))?;
        let (recipe, outcome) = plan.retrain(best, record, &Patient).map_err(failed)?;
        let checkpoint = &outcome.files.checkpoint;
        let learnt = Learnt {
            recipe,
            folder: checkpoint.parent().unwrap_or(Path::new(".")).to_owned(),
            checkpoint: Checkpoint::load(checkpoint)?,
            history: outcome.history,
        };
        Ok((values, self.measured(source, learnt)?))
    }

    /// Exports what was learnt, and measures it.
    fn measured(&mut self, source: Source, learnt: Learnt) -> Result<Trained, ZooError> {
        let Learnt {
            recipe,
            folder,
            checkpoint,
            history,
        } = learnt;
        let data = self.data(&recipe);
        let test = recipe.load_data(data.as_deref(), Part::Test)?;
        let mut formats = recipe.export.formats.clone();
        if !formats.contains(&Format::F32) {
            formats.insert(0, Format::F32);
        }
        let options = export::Options {
            recipe_path: source.path(),
            directory: folder,
            formats,
            data: data.clone(),
            ..export::Options::default()
        };
        let report = export::export(&recipe, &checkpoint, &options, self.ui)?;
        let models: Vec<Exported> = report
            .models
            .iter()
            .map(|model| exported(&recipe, model))
            .collect();
        let first = models
            .iter()
            .zip(&report.models)
            .find(|(model, _)| model.format == "f32");
        let Some((f32_model, measured)) = first else {
            return Err(ZooError::Measure("no blob in f32 was written".to_owned()));
        };
        let fits = measured
            .fits
            .iter()
            .map(|fit| (fit.column.clone(), fit.fit));
        let trained = Trained {
            blob: Blob::open(&f32_model.path)?,
            test: f32_model.clone(),
            fits: fits.collect(),
            recipe,
            history,
            data,
        };
        self.count(
            models.first().map_or(0, |model| model.arena as usize),
            trained.recipe.parameters() as u64,
        );
        self.on_device(&models, &test)?;
        self.models.extend(models);
        Ok(trained)
    }

    #[cfg(not(feature = "train"))]
    fn learn(
        &self,
        _recipe: &Recipe,
        _data: Option<&Path>,
        _folder: &Path,
        _start: Option<&Path>,
    ) -> Result<(Checkpoint, Vec<EpochRow>), ZooError> {
        Err(ZooError::NoTraining)
    }

    #[cfg(feature = "train")]
    fn learn(
        &self,
        recipe: &Recipe,
        data: Option<&Path>,
        folder: &Path,
        start: Option<&Path>,
    ) -> Result<(Checkpoint, Vec<EpochRow>), ZooError> {
        use crate::train::{Files, Options, train};

        let files = Files::of(folder);
        let begun = Checkpoint::load(&files.checkpoint);
        let same = begun.is_ok_and(|begun| begun.progress.recipe == recipe.text);
        let resume = same && !self.settings.fresh;
        let options = Options {
            directory: folder.to_owned(),
            data: data.map(Path::to_owned),
            start: start.filter(|_| !resume).map(Path::to_owned),
            resume,
            ..Options::default()
        };
        let mut watch = Watch {
            name: &recipe.name,
            ui: self.ui,
            epochs: 0,
            bar: None,
        };
        let outcome = train(recipe, &options, &mut watch)?;
        Ok((
            Checkpoint::load(&outcome.files.checkpoint)?,
            outcome.history,
        ))
    }

    /// Whether a device answers as this machine does: the first blob that fits it, on a few samples.
    fn on_device(&mut self, models: &[Exported], test: &DataSet) -> Result<(), ZooError> {
        let place = self.settings.place.clone();
        if place == Place::Host {
            return Ok(());
        }
        let samples = test.first(ON_DEVICE);
        for model in models {
            let blob = Blob::open(&model.path)?;
            let mut device = match device::open(&place, &blob, self.ui) {
                Err(DeviceError::Build(BuildError::TooLarge { reason, .. })) => {
                    let note = format!("{} has no room on {place}: {reason}", blob.model().name());
                    self.notes.push(note);
                    continue;
                }
                other => other?,
            };
            let here = measure(&blob, &samples)?;
            let progress = Ui::silent().progress("device", 0);
            let there = evaluate(&blob.model(), &samples, &progress, |input| {
                device.infer(input)
            });
            let there = there.map_err(|error| ZooError::Measure(error.to_string()))?;
            device.finish()?;
            let equal = f64::from(u8::from(here.digest == there.digest));
            let name = format!(
                "{}: answers of {place} are this machine's",
                blob.model().name()
            );
            self.agreements.push(Figure::exact(name, 1.0, equal));
            return Ok(());
        }
        Ok(())
    }
}

fn exported(recipe: &Recipe, model: &export::Exported) -> Exported {
    Exported {
        recipe: recipe.name.clone(),
        format: model.format.clone(),
        flash: model.inspection.flash,
        arena: model.inspection.arena_infer,
        accuracy: model.accuracy,
        r2: model.fits.iter().map(|fit| fit.fit.r2).collect(),
        digest: model.output_digest.clone(),
        path: model.path.clone(),
    }
}

/// What nn-core makes of samples.
fn measure(blob: &Blob, set: &DataSet) -> Result<Evaluation, ZooError> {
    let progress = Ui::silent().progress("measuring", set.len() as u64);
    evaluate_here(&blob.model(), set, &progress)
        .map_err(|error| ZooError::Measure(error.to_string()))
}

/// What a network gives for numbers as it reads them: all outputs, one after another.
fn answers(blob: &Blob, inputs: impl Iterator<Item = Vec<f32>>) -> Result<Vec<Vec<f32>>, ZooError> {
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
    pub(super) fn samples(&self, part: Part) -> Result<DataSet, ZooError> {
        Ok(self.recipe.load_data(self.data.as_deref(), part)?)
    }

    /// How well nn-core reads one part, in f32.
    pub(super) fn score(&self, part: Part) -> Result<Evaluation, ZooError> {
        measure(&self.blob, &self.samples(part)?)
    }

    /// The share of the test samples that nn-core reads rightly, in f32.
    pub(super) fn accuracy(&self) -> f64 {
        self.test.accuracy.unwrap_or(f64::NAN)
    }

    /// The mean of −ln p over rows of a table, where p is what nn-core gives for the row's class.
    pub(super) fn cross_entropy(&self, part: Part) -> Result<f64, ZooError> {
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
    pub(super) fn fit(&self, column: &str) -> Result<Fit, ZooError> {
        let fit = self.fits.iter().find(|(name, _)| name == column);
        let missing = || ZooError::Measure(format!("nothing gives `{column}`"));
        fit.map(|(_, fit)| *fit).ok_or_else(missing)
    }

    /// What the network gives for rows of a table as they stand there: numbers in the units of their columns, where it
    /// gives numbers.
    pub(super) fn predict(&self, rows: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, ZooError> {
        self.predict_by(&self.blob, rows)
    }

    /// The same of another state of the network.
    fn predict_by(&self, blob: &Blob, rows: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, ZooError> {
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
    pub(super) fn table(&self, part: Part) -> Result<(Vec<Vec<f64>>, Vec<f64>), ZooError> {
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
    pub(super) fn write_predictions(&self) -> Result<PathBuf, ZooError> {
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

    /// Draws the curve that a network of one number has learnt, through all points of its table.
    pub(super) fn draw_curve(&self) -> Result<PathBuf, ZooError> {
        let truth = self.curve()?;
        let learnt = self.learnt_curve(&self.blob, &truth)?;
        let path = self.folder().join("fit.png");
        report::fitted_curve(&path, &self.recipe.description, &truth, &learnt)?;
        Ok(path)
    }

    /// Draws how such a network learns: what it begins with, and each epoch that its recipe keeps. Tells the mean
    /// squared error over all points at each.
    #[cfg(feature = "train")]
    pub(super) fn animate_curve(
        &self,
        before: &Self,
    ) -> Result<(PathBuf, Vec<(usize, f64)>), ZooError> {
        let (truth, samples) = (self.curve()?, self.samples(Part::Test)?);
        let mut states = vec![(0, before.blob.clone())];
        let files = crate::train::Files::of(self.folder());
        let every = self.recipe.train.keep.map_or(1, |every| every.get());
        for epoch in (every..=self.recipe.train.epochs).step_by(every) {
            let checkpoint = Checkpoint::load(&files.kept(epoch))?;
            let network = Network::new(&self.recipe, &checkpoint)?;
            let ranges = Ranges::measure(&network, &samples)?;
            let lowered = network.lower(&self.recipe, &ranges, Format::F32)?;
            states.push((epoch, Blob::new(Path::new("state"), lowered.bytes)?));
        }
        let (mut frames, mut errors) = (Vec::new(), Vec::new());
        for (epoch, blob) in &states {
            let learnt = self.learnt_curve(blob, &truth)?;
            let squares = truth
                .iter()
                .zip(&learnt)
                .map(|(y, guess)| (y.1 - guess.1).powi(2));
            errors.push((*epoch, squares.sum::<f64>() / truth.len().max(1) as f64));
            frames.push((format!("epoch {epoch}"), learnt));
        }
        let path = self.folder().join("learning.gif");
        report::fitted_animation(&path, &truth, &frames)?;
        Ok((path, errors))
    }

    /// All points of a table of x and y, from left to right.
    fn curve(&self) -> Result<Vec<(f64, f64)>, ZooError> {
        let mut points = Vec::new();
        for part in [Part::Train, Part::Test] {
            let set = self.samples(part)?;
            let values = set.values.iter();
            points.extend(values.flat_map(|values| {
                let (xs, ys) = (&values.features[0], &values.columns[0]);
                let points = values.inputs.iter().zip(&values.targets);
                points.map(|(&x, &y)| (xs.number(x), ys.number(y)))
            }));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(points)
    }

    fn learnt_curve(&self, blob: &Blob, truth: &[(f64, f64)]) -> Result<Vec<(f64, f64)>, ZooError> {
        let rows: Vec<Vec<f64>> = truth.iter().map(|point| vec![point.0]).collect();
        let learnt = truth.iter().zip(self.predict_by(blob, &rows)?);
        let height = |y: Vec<f64>| y.first().copied().unwrap_or(f64::NAN);
        Ok(learnt.map(|(point, y)| (point.0, height(y))).collect())
    }

    /// Draws the boundary that a network of two numbers has learnt between two classes.
    pub(super) fn draw_boundary(&self) -> Result<PathBuf, ZooError> {
        let set = self.samples(Part::Train)?;
        let mut points = Vec::new();
        if let Some(values) = &set.values {
            let rows = values
                .inputs
                .chunks_exact(values.features.len().max(1))
                .zip(&set.labels);
            points.extend(rows.filter_map(|(row, &label)| {
                let (&[x, y], [xs, ys, ..]) = (row.first_chunk::<2>()?, values.features.as_slice())
                else {
                    return None;
                };
                Some((xs.number(x), ys.number(y), label == 1))
            }));
        }
        let cells = (0..100u8).flat_map(|x| (0..100u8).map(move |y| [x, y]));
        let rows: Vec<Vec<f64>> = cells
            .map(|cell| cell.map(|at| f64::from(at) + 0.5).to_vec())
            .collect();
        let told = self.predict(&rows)?;
        let squares = rows.iter().zip(told);
        let squares: Vec<_> = squares
            .map(|(row, y)| (row[0], row[1], y.first() > Some(&0.5)))
            .collect();
        let path = self.folder().join("boundary.png");
        report::boundary(&path, &self.recipe.description, &points, &squares, 1.0)?;
        Ok(path)
    }

    fn folder(&self) -> &Path {
        self.blob.path().parent().unwrap_or(Path::new("."))
    }

    /// Weights and biases.
    pub(super) fn parameters(&self) -> f64 {
        self.recipe.parameters() as f64
    }
}

/// Waits for a search to end.
#[cfg(feature = "train")]
struct Patient;

#[cfg(feature = "train")]
impl crate::search::Watch for Patient {
    fn stopped(&self) -> bool {
        false
    }
}

/// Shows how far a training is.
#[cfg(feature = "train")]
struct Watch<'w> {
    name: &'w str,
    ui: &'w Ui,
    epochs: usize,
    bar: Option<crate::ui::Progress>,
}

#[cfg(feature = "train")]
impl crate::train::Observer for Watch<'_> {
    fn begin(&mut self, plan: &crate::train::Plan) {
        let bar = self
            .ui
            .progress(self.name, (plan.epochs * plan.batches) as u64);
        bar.skip((plan.epoch * plan.batches + plan.batch) as u64);
        self.epochs = plan.epochs;
        self.bar = Some(bar);
    }

    fn batch(
        &mut self,
        epoch: usize,
        running: &crate::checkpoint::Running,
    ) -> std::ops::ControlFlow<()> {
        if let Some(bar) = &self.bar {
            let loss = running.loss / running.samples.max(1) as f64;
            bar.message(format_args!(
                "epoch {epoch}/{}  loss {loss:.4}",
                self.epochs
            ));
            bar.inc(1);
        }
        std::ops::ControlFlow::Continue(())
    }
}
