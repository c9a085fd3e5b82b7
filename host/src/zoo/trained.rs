//! Networks that are trained by a recipe, exported, and measured by nn-core.

mod learn;
mod numbers;
mod on_device;
mod pictures;

use std::path::{Path, PathBuf};

use super::lab::Lab;
use super::{Exported, ZooError};
use crate::blob::Blob;
use crate::checkpoint::Checkpoint;
use crate::data::Part;
use crate::export;
use crate::fit::Fit;
use crate::history::EpochRow;
use crate::recipe::{Format, Recipe};

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
#[cfg(feature = "zoo")]
pub(super) use numbers::answers;
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

    /// Says data that are not at hand before anything is trained.
    fn at_hand(&mut self, recipe: &Recipe, data: Option<&Path>) -> Result<(), ZooError> {
        self.source.clone_from(&recipe.data.source);
        recipe.load_data(data, Part::Test)?;
        Ok(())
    }

    /// Trains a recipe, or takes up where it was left; exports it, and measures it.
    pub(super) fn train(&mut self, source: Source) -> Result<Trained, ZooError> {
        self.train_from(source, None)
    }

    /// The same, from the weights of another run (its folder), or of a file.
    pub(super) fn train_from(
        &mut self,
        source: Source,
        start: Option<&Path>,
    ) -> Result<Trained, ZooError> {
        let recipe = source.recipe()?;
        let data = self.data(&recipe);
        let folder = self.settings.runs.join(&recipe.name);
        self.at_hand(&recipe, data.as_deref())?;
        let (checkpoint, history) = self.learn(&recipe, data.as_deref(), &folder, start)?;
        let learnt = Learnt {
            recipe,
            folder,
            checkpoint,
            history,
        };
        self.measured(source, learnt)
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

impl Trained {
    /// Its run's folder.
    pub(super) fn folder(&self) -> &Path {
        self.blob.path().parent().unwrap_or(Path::new("."))
    }

    /// Weights and biases.
    pub(super) fn parameters(&self) -> f64 {
        self.recipe.parameters() as f64
    }
}
