//! Grid search: every combination of some fields' values, each from several starts, judged on the samples held out.
//!
//! Each run has a folder of its own, named after its fields and a digest of all that its outcome follows from; what came
//! of it is a line of `search.csv`. So a search that was stopped goes on where it was, and one with more values trains
//! only what is new. The test set is not read, but once by the best combination, if it is trained again on all samples.

mod fields;
mod record;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

pub use fields::{Axis, AxisError, Setting, shown};
pub use record::{Metric, Record, Summary, ranked};

use crate::checkpoint::{Checkpoint, Running};
use crate::history::EpochRow;
use crate::paths;
use crate::recipe::{Recipe, RecipeError};
use crate::train::{DeviceChoice, Observer, Options, Outcome, TrainError, physical_cores, train};

/// Why a search ends without a result.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The recipe's text cannot be edited.
    #[error("{path}: {source}")]
    Edit {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml_edit::TomlError>,
    },
    /// A field's path leads nowhere.
    #[error(
        "{path}: wanted a field by its path, such as train.batch, train.optimizer.learning_rate or layer.NAME.units, \
         found `{field}`; its layers: {layers}"
    )]
    Field {
        /// The file.
        path: PathBuf,
        /// The layers that there are.
        layers: String,
        /// The path.
        field: String,
    },
    /// Nothing is held out to judge by.
    #[error(
        "{path}: [data]: validation: wanted above 0, for combinations are judged on the samples held out; found 0; \
         --set data.validation=0.2 holds out a fifth"
    )]
    NoValidation {
        /// The file.
        path: PathBuf,
    },
    /// A combination makes no recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A training failed.
    #[error("{run}: {source}")]
    Train {
        /// The run's fields.
        run: String,
        /// Why.
        source: Box<TrainError>,
    },
    /// The results cannot be read or written.
    #[error("cannot read or write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The results are none of this version.
    #[error("{path} is no table of a search; delete it to search anew")]
    Table {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: csv::Error,
    },
    /// No combination has a number to judge by.
    #[error(
        "no combination can be judged: all diverged (lower learning rates may do), or there is no accuracy of numbers \
         (--metric val_loss)"
    )]
    AllDiverged,
    /// The user stopped it.
    #[error("stopped; the same command goes on")]
    Stopped,
}

/// What to search, and how to train.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The recipe's file.
    pub path: PathBuf,
    /// The fields and their values.
    pub axes: Vec<Axis>,
    /// Runs of each combination, from the recipe's seed on.
    pub starts: usize,
    /// Runs at a time.
    pub jobs: usize,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Folder or file of the data, when not the usual one.
    pub data: Option<PathBuf>,
    /// Instead of the recipe's epochs.
    pub epochs: Option<usize>,
    /// Learn from so many samples only.
    pub limit: Option<usize>,
    /// Folder of the results.
    pub directory: PathBuf,
}

/// One combination.
#[derive(Debug, Clone)]
pub struct Combination {
    /// Its fields.
    pub settings: Vec<Setting>,
    /// The recipe with them.
    pub recipe: Recipe,
    /// Names its folder, and follows from all that its runs follow from but the seed.
    key: String,
}

/// One training.
struct Task<'c> {
    combination: &'c Combination,
    seed: u64,
}

/// Hears what happens.
pub trait Watch: Sync {
    /// Whether to stop.
    fn stopped(&self) -> bool;

    /// An epoch of a run is done.
    fn epoch(&self, _run: &str, _row: &EpochRow) {}

    /// A run is done; `fresh` is false where it had been trained before.
    fn run(&self, _record: &Record, _fresh: bool) {}
}

impl Combination {
    /// Its fields in one line.
    pub fn label(&self) -> String {
        let settings: Vec<String> = self.settings.iter().map(Setting::to_string).collect();
        settings.join("; ")
    }
}

impl Plan {
    /// The file of the results.
    pub fn table(&self) -> PathBuf {
        self.directory.join("search.csv")
    }

    /// All combinations of `base`, each a recipe that is good.
    ///
    /// # Errors
    /// Fields that are none, values that are refused, nothing held out.
    pub fn combinations(&self, base: &Recipe) -> Result<Vec<Combination>, SearchError> {
        let all = fields::combinations(&self.axes).into_iter();
        let all = all.map(|settings| {
            let recipe = fields::apply(base, &self.path, &settings)?;
            if recipe.data.validation == 0.0 {
                let path = self.path.clone();
                return Err(SearchError::NoValidation { path });
            }
            let key = self.key(&recipe, &settings);
            Ok(Combination {
                settings,
                recipe,
                key,
            })
        });
        all.collect()
    }

    /// A name that can be read, and a digest of what runs follow from.
    fn key(&self, recipe: &Recipe, settings: &[Setting]) -> String {
        let last = |setting: &Setting| {
            let field = setting.field.rsplit('.').next().unwrap_or_default();
            format!("{field}-{}", shown(&setting.value))
        };
        let name: Vec<String> = settings.iter().map(last).collect();
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "-._".contains(c) {
                c
            } else {
                '-'
            }
        };
        let name: String = name.join("_").chars().map(plain).take(80).collect();
        let follows = (&recipe.text, self.epochs, self.limit, &self.data);
        let digest = Sha256::digest(format!("{follows:?}"));
        let digest: String = digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        match name.is_empty() {
            true => digest,
            false => format!("{name}-{digest}"),
        }
    }

    /// Trains what has not been trained, and returns what came of each run, combination by combination, seed by seed.
    ///
    /// # Errors
    /// Trainings that fail for other reasons than that they diverge; files; [`SearchError::Stopped`].
    pub fn run(
        &self,
        combinations: &[Combination],
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Record>>, SearchError> {
        let known = Mutex::new(record::read(&self.table())?);
        let tasks = combinations.iter().flat_map(|combination| {
            let first = combination.recipe.train.seed;
            let seeds = (0..self.starts as u64).map(move |start| first.wrapping_add(start));
            seeds.map(move |seed| Task { combination, seed })
        });
        let left: Mutex<VecDeque<Task<'_>>> = Mutex::new(tasks.collect());
        let failed = AtomicBool::new(false);
        let work = || -> Result<(), SearchError> {
            loop {
                let task = left.lock().ok().and_then(|mut left| left.pop_front());
                let Some(task) = task.filter(|_| !failed.load(Ordering::Relaxed)) else {
                    return Ok(());
                };
                let done = self.one(&task, &known, watch);
                if done.is_err() {
                    failed.store(true, Ordering::Relaxed);
                }
                done?;
            }
        };
        let outcomes: Vec<Result<(), SearchError>> = std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            let ended = jobs.into_iter().map(|job| job.join());
            ended
                .map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        outcomes.into_iter().collect::<Result<(), _>>()?;
        let known = known.into_inner().unwrap_or_default();
        let of = |combination: &Combination| {
            let own = known.iter().filter(|record| record.key == combination.key);
            let mut own: Vec<Record> = own.cloned().collect();
            let first = combination.recipe.train.seed;
            own.retain(|record| record.seed.wrapping_sub(first) < self.starts as u64);
            own.sort_by_key(|record| record.seed.wrapping_sub(first));
            own
        };
        Ok(combinations.iter().map(of).collect())
    }

    /// One run, unless it is known.
    fn one(
        &self,
        task: &Task<'_>,
        known: &Mutex<Vec<Record>>,
        watch: &dyn Watch,
    ) -> Result<(), SearchError> {
        let Task { combination, seed } = task;
        let is_this = |record: &&Record| record.key == combination.key && record.seed == *seed;
        let before = known
            .lock()
            .ok()
            .and_then(|all| all.iter().find(is_this).cloned());
        if let Some(record) = before {
            watch.run(&record, false);
            return Ok(());
        }
        let folder = format!("seed-{seed}");
        let directory = self
            .directory
            .join("search")
            .join(&combination.key)
            .join(folder);
        let label = format!("{}; seed {seed}", combination.label());
        let mut options = self.options(directory);
        options.seed = Some(*seed);
        options.without_test = true;
        let outcome = run(&combination.recipe, options, &label, watch)?;
        let record = Record::new(combination, *seed, outcome.as_ref());
        watch.run(&record, true);
        if let Ok(mut all) = known.lock() {
            all.push(record);
            record::write(&self.table(), &all)?;
        }
        Ok(())
    }

    fn options(&self, directory: PathBuf) -> Options {
        Options {
            device: self.device,
            directory,
            data: self.data.clone(),
            epochs: self.epochs,
            limit: self.limit,
            threads: Some((physical_cores() / self.jobs.max(1)).max(1)),
            ..Options::default()
        }
    }

    /// Trains the best combination on all samples, those held out, too, from the seed of its best run, and reads the test
    /// set. Where training stops early, it takes as many epochs as that run's best.
    ///
    /// # Errors
    /// As for [`Plan::run`].
    pub fn retrain(
        &self,
        best: &Combination,
        record: &Record,
        watch: &dyn Watch,
    ) -> Result<(Recipe, Outcome), SearchError> {
        let stops = best.recipe.train.stop.is_some();
        let epochs = stops.then(|| record.best_epoch.unwrap_or(record.epochs).max(1));
        let recipe = fields::whole(&best.recipe, &self.path, record.seed, epochs)?;
        let directory = self.directory.join("search").join("best");
        let path = directory.join("recipe.toml");
        let file = |source| SearchError::File {
            path: path.clone(),
            source,
        };
        paths::write_whole(&path, recipe.text.as_bytes()).map_err(file)?;
        let mut options = self.options(directory);
        options.threads = None;
        if stops {
            options.epochs = None;
        }
        let label = format!("{}; on all samples", best.label());
        match run(&recipe, options, &label, watch)? {
            Some(outcome) => Ok((recipe, outcome)),
            None => Err(SearchError::AllDiverged),
        }
    }
}

/// Trains, or goes on where it was stopped. `None` where it diverges.
fn run(
    recipe: &Recipe,
    mut options: Options,
    label: &str,
    watch: &dyn Watch,
) -> Result<Option<Outcome>, SearchError> {
    options.resume = is_under_way(recipe, &options);
    if options.resume {
        (options.epochs, options.seed, options.limit) = (None, None, None);
    }
    let mut observer = Run { label, watch };
    match train(recipe, &options, &mut observer) {
        Ok(outcome) if watch.stopped() && !outcome.finished => Err(SearchError::Stopped),
        Ok(outcome) => Ok(Some(outcome)),
        Err(TrainError::Diverged { .. }) => Ok(None),
        Err(source) => Err(SearchError::Train {
            run: label.to_owned(),
            source: Box::new(source),
        }),
    }
}

/// Whether the folder keeps a checkpoint of this very training.
fn is_under_way(recipe: &Recipe, options: &Options) -> bool {
    let path = Path::new(&options.directory).join(paths::CHECKPOINT);
    Checkpoint::load(&path).is_ok_and(|checkpoint| {
        let progress = checkpoint.progress;
        progress.recipe == recipe.text
            && progress.seed == options.seed.unwrap_or(recipe.train.seed)
            && progress.epochs == options.epochs.unwrap_or(recipe.train.epochs)
            && progress.limit == options.limit
    })
}

/// Hands on what one training tells.
struct Run<'w> {
    label: &'w str,
    watch: &'w dyn Watch,
}

impl Observer for Run<'_> {
    fn batch(&mut self, _epoch: usize, _running: &Running) -> ControlFlow<()> {
        match self.watch.stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn epoch(&mut self, row: &EpochRow) {
        self.watch.epoch(self.label, row);
    }
}

#[cfg(test)]
mod tests;
