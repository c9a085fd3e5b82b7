//! Recipes: one TOML file says all that makes a network. Data, layers, training, export.
//!
//! A recipe is read strictly: a field that is unknown, a value out of range, layers that do not
//! fit together are refused with file, line, what was wanted and what was found.

mod activation;
mod class_weights;
mod convolution;
mod data;
mod described;
mod error;
mod export;
mod fields;
mod graph;
mod head;
mod images;
mod initialization;
mod layer;
mod needs;
mod optimize;
mod parameters;
mod pseudo;
mod schedule;
mod section;
mod series;
mod shape;
mod size;
mod stop;
mod table;
mod text;
mod window;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

pub use activation::Activation;
pub use class_weights::ClassWeights;
pub use convolution::Convolution;
pub use data::{Augment, Data};
pub use described::Described;
pub use error::RecipeError;
use error::{Misfit, Source, within};
pub use export::{
    DeviceOptimizer, DeviceRounding, DeviceTraining, Export, Format, TrainableLayers,
};
pub use fields::{
    BatchNorm, Concat, Conv1d, Conv2d, Dense, DepthwiseConv2d, Dropout, Embedding, Gives, Merge,
    OneHot, Pad, Pool2d, Recurrent, Repeat, Reshape, Rrelu, Transpose,
};
pub use graph::{Feed, ResolvedLayer};
pub use head::{Aim, Head};
pub use initialization::{Distribution, Given, Initialization, Normal, Uniform};
pub use layer::LayerKind;
pub use needs::{Needs, TooSmall};
pub use optimize::{AdaDelta, AdaGrad, Adam, Loss, OptimizerKind, Penalty, RmsProp, Sgd};
pub use parameters::{Parameter, Role};
pub use pseudo::Pseudo;
pub use schedule::{Cosine, InverseTime, OneCycle, Schedule, Step};
pub use series::SeriesData;
pub use shape::shape;
pub use size::{Batch, Pair, Size};
pub use stop::{Monitor, Stop};
pub use window::{Padding, Windows};

use crate::data::{DataError, DataSet, Part, SetInfo};

/// A network: where its data come from, its layers, how it is trained and exported.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Names its run, its blobs and its card.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// The section `[data]`.
    pub data: Data,
    /// The section `[train]`.
    pub train: Train,
    /// The section `[export]`.
    pub export: Export,
    /// The recipe as it was written.
    pub text: String,
    set: &'static SetInfo,
    layers: Vec<ResolvedLayer>,
}

/// What the layers and heads must fit.
struct Samples {
    name: &'static str,
    shape: Vec<usize>,
    classes: usize,
    /// The numbers that a sample wants, by name.
    outputs: Vec<String>,
    /// The share that is held out.
    validation: f64,
}

/// The section `[train]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Train {
    /// What training makes small: each output of the network, with its loss.
    pub heads: Vec<Head>,
    /// How often every training sample is seen.
    pub epochs: usize,
    /// Samples in one step.
    pub batch: Batch,
    /// All chance in training follows from it.
    pub seed: u64,
    /// How gradients change weights.
    pub optimizer: OptimizerKind,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// What is added to the loss for large weights.
    pub penalty: Penalty,
    /// How much each class counts in the loss.
    pub class_weights: Option<ClassWeights>,
    /// When training ends before its last epoch.
    pub stop: Option<Stop>,
    /// After every so many epochs the checkpoint is kept beside the last one.
    pub keep: Option<Size>,
    /// The run, or the safetensors file, whose weights it begins with; from the workspace's folder.
    pub start: Option<PathBuf>,
    /// Which labels are known, and how the others are told, where not all are.
    pub pseudo: Option<Pseudo>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecipe {
    name: Spanned<String>,
    #[serde(default)]
    description: String,
    data: Spanned<Data>,
    layer: Vec<Spanned<toml::Table>>,
    train: Spanned<RawTrain>,
    #[serde(default)]
    export: Option<Spanned<Export>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrain {
    #[serde(default)]
    loss: Option<Loss>,
    #[serde(default)]
    head: Vec<Spanned<head::RawHead>>,
    epochs: Size,
    batch: Batch,
    seed: u64,
    #[serde(default)]
    init: Option<Spanned<toml::Value>>,
    optimizer: Spanned<toml::Table>,
    #[serde(default)]
    schedule: Option<Spanned<toml::Table>>,
    #[serde(default)]
    penalty: Option<Spanned<Penalty>>,
    #[serde(default)]
    class_weights: Option<Spanned<toml::Value>>,
    #[serde(default)]
    stop: Option<Spanned<Stop>>,
    #[serde(default)]
    keep: Option<Size>,
    #[serde(default)]
    start: Option<PathBuf>,
    pseudo: Option<Spanned<Pseudo>>,
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// With file, line, what was wanted and what was found.
    pub fn load(path: &Path) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks a recipe's text; `path` is where it came from, for messages.
    ///
    /// # Errors
    /// With line, what was wanted and what was found.
    pub fn parse(text: &str, path: &Path) -> Result<Self, RecipeError> {
        let source = Source { path, text };
        let mut raw: RawRecipe = toml::from_str(text).map_err(|source| RecipeError::Syntax {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;

        let start = raw.name.span().start;
        let name = raw.name.into_inner();
        check_name(&name).map_err(|misfit| source.misfit(start, "name", misfit))?;

        let start = raw.data.span().start;
        let data = raw.data.into_inner();
        data.check()
            .map_err(|misfit| source.misfit(start, "[data]", misfit))?;
        let set = data.info().map_err(|source| RecipeError::Data {
            path: path.to_path_buf(),
            source,
        })?;

        let samples = Samples {
            name: set.name,
            shape: data.sample_shape(set),
            classes: data.classes(set).len(),
            outputs: data.outputs(),
            validation: data.validation,
        };
        let mut layers = graph::read_layers(&source, raw.layer, &samples.shape)?;

        let start = raw.train.span().start;
        if let Some(init) = raw.train.as_mut().init.take() {
            let start = init.span().start;
            let init = Initialization::parse(&source, start, "[train]", init.into_inner())?;
            if matches!(init, Initialization::Given(_)) {
                let misfit =
                    Misfit::field("init", "`values` in the layer that has them", "[train]");
                return Err(source.misfit(start, "[train]", misfit));
            }
            let without = layers.iter_mut().filter(|layer| layer.init.is_none());
            without.for_each(|layer| layer.init = Some(init.clone()));
        }
        let train = read_train(&source, raw.train, &layers, &samples)?;
        graph::check(&layers, &train.heads)
            .map_err(|misfit| source.misfit(start, "[train]", misfit))?;

        let parameters = |frozen| {
            let layers = layers.iter().filter(move |layer| layer.frozen == frozen);
            layers.map(|layer| layer.parameters).sum::<usize>()
        };
        if parameters(true) > 0 && parameters(false) == 0 {
            let misfit = Misfit::new("a layer that learns", "all of them frozen");
            return Err(source.misfit(start, "[train]", misfit));
        }

        let export = match raw.export {
            None => Export {
                formats: vec![Format::F32, Format::I8],
                ..Export::default()
            },
            Some(export) => {
                let start = export.span().start;
                let export = export.into_inner();
                let check = export.check(&layers);
                check.map_err(|misfit| source.misfit(start, "[export]", misfit))?;
                export
            }
        };
        let text = text.to_owned();
        Ok(Self {
            name,
            description: raw.description,
            data,
            train,
            export,
            text,
            set,
            layers,
        })
    }

    /// The layers in order, with their shapes; each reads layers before it, or an image of the data set.
    pub fn layers(&self) -> &[ResolvedLayer] {
        &self.layers
    }

    /// The layer of that name.
    pub fn layer(&self, name: &str) -> Option<&ResolvedLayer> {
        self.layers.iter().find(|layer| layer.name == name)
    }

    /// All weights and biases.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    /// Those of them that training leaves as they are.
    pub fn frozen(&self) -> usize {
        let frozen = self.layers.iter().filter(|layer| layer.frozen);
        frozen.map(|layer| layer.parameters).sum()
    }

    /// The data set.
    pub fn set(&self) -> &'static SetInfo {
        self.set
    }

    /// Height, width and channels of a sample, or how many numbers a row of a table has.
    pub fn sample_shape(&self) -> Vec<usize> {
        self.data.sample_shape(self.set)
    }

    /// The names of the classes; none where numbers alone are wanted.
    pub fn classes(&self) -> Vec<String> {
        self.data.classes(self.set)
    }

    /// Whether the files of its data lie in `folder`.
    pub fn data_is_in(&self, folder: &Path) -> bool {
        self.data.is_in(self.set, folder)
    }

    /// Reads one part of its data. `given` is what `--data` says: a folder, or the CSV file of a table or a series, as
    /// `FILE:SYMBOL` where it has several. Wanted numbers come in the order of the network's outputs.
    ///
    /// # Errors
    /// Files that are missing or damaged, tables and series that are too short.
    pub fn load_data(&self, given: Option<&Path>, part: Part) -> Result<DataSet, DataError> {
        let heads = self.train.heads.iter();
        let outputs: Vec<usize> = heads.flat_map(|head| head.outputs.clone()).collect();
        self.data.load(self.set, given, &outputs, part)
    }
}

fn check_name(name: &str) -> Result<(), Misfit> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain = name.chars().all(fits) && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if plain {
        return Ok(());
    }
    let wanted = "letters, digits, `-`, `_`, `.`, beginning with a letter or digit";
    Err(Misfit::new(wanted, format!("{name:?}")))
}

/// Takes the type out of a table and reads the rest as that type's fields.
fn tagged<T>(
    source: &Source<'_>,
    table: Spanned<toml::Table>,
    place: &str,
    types: &'static str,
    read: impl Fn(&str, toml::Table) -> Option<Result<T, toml::de::Error>>,
) -> Result<T, RecipeError> {
    let start = table.span().start;
    let mut table = table.into_inner();
    let misfit = |found: String| {
        source.misfit(
            start,
            place,
            Misfit::field("type", format!("one of: {types}"), found),
        )
    };
    let name = match table.remove("type") {
        Some(toml::Value::String(name)) => name,
        Some(other) => return Err(misfit(other.to_string())),
        None => return Err(misfit("none".to_owned())),
    };
    match read(&name, table) {
        None => Err(misfit(format!("`{name}`"))),
        Some(read) => {
            read.map_err(|error| source.field(start, &format!("{place} ({name})"), error))
        }
    }
}

fn read_train(
    source: &Source<'_>,
    raw: Spanned<RawTrain>,
    layers: &[ResolvedLayer],
    set: &Samples,
) -> Result<Train, RecipeError> {
    let start = raw.span().start;
    let raw = raw.into_inner();
    let heads = head::read(source, start, raw.loss, raw.head, layers, set)?;
    let start = raw.optimizer.span().start;
    let place = "[train] optimizer";
    let optimizer = tagged(
        source,
        raw.optimizer,
        place,
        OptimizerKind::TYPES,
        OptimizerKind::read,
    )?;
    optimizer
        .check()
        .map_err(|misfit| source.misfit(start, place, misfit))?;

    let schedule = match raw.schedule {
        None => Schedule::Constant,
        Some(table) => {
            let start = table.span().start;
            let place = "[train] schedule";
            let schedule = tagged(source, table, place, Schedule::TYPES, Schedule::read)?;
            schedule
                .check()
                .map_err(|misfit| source.misfit(start, place, misfit))?;
            schedule
        }
    };
    let misfit = |start, misfit| source.misfit(start, "[train]", misfit);
    let penalty = raw
        .penalty
        .unwrap_or_else(|| Spanned::new(start..start, Penalty::default()));
    let start = penalty.span().start;
    let penalty = penalty.into_inner();
    penalty.check().map_err(|fault| misfit(start, fault))?;
    let class_weights = raw.class_weights.map(|value| {
        let weights = ClassWeights::read(value.as_ref(), set);
        weights.map_err(|fault| misfit(value.span().start, fault))
    });
    let class_weights = class_weights.transpose()?;
    let stop = raw.stop.map(|stop| (stop.span().start, stop.into_inner()));
    if let Some((start, stop)) = &stop {
        let check = stop.check(set.validation);
        check.map_err(|fault| misfit(*start, fault))?;
    }
    let pseudo = raw.pseudo.map(|all| (all.span().start, all.into_inner()));
    if let Some((start, pseudo)) = &pseudo {
        let check = pseudo.check(&heads, set.classes);
        check.map_err(|fault| misfit(*start, fault))?;
    }
    Ok(Train {
        heads,
        epochs: raw.epochs.get(),
        batch: raw.batch,
        seed: raw.seed,
        optimizer,
        schedule,
        penalty,
        class_weights,
        stop: stop.map(|(_, stop)| stop),
        keep: raw.keep,
        start: raw.start,
        pseudo: pseudo.map(|(_, pseudo)| pseudo),
    })
}

#[cfg(test)]
mod tests;
