//! Options that choose samples, shared by `eval`, `run` and `tune`.

use std::path::PathBuf;

use anyhow::Context;
use host::blob::Blob;
use host::data::{self, DataSet, Part, Shift};
use host::device::{self, Device, Place};
use host::export::Builder;
use host::plan::{SpecRequest, with_real_outputs};
use host::recipe::Recipe;
use host::ui::Ui;
use nn_core::model::Model;

/// Which samples of which set, and how the world has shifted.
#[derive(clap::Args)]
pub(crate) struct Samples {
    /// The data set; `mote data` lists them.
    #[arg(long, default_value = "mnist")]
    pub(crate) set: String,
    /// The samples of a recipe, instead: the rows of its table, the days of its series, its images.
    #[arg(long, value_name = "FILE.toml", conflicts_with = "set")]
    recipe: Option<PathBuf>,
    /// Where the files lie, when not in the cache; of a table or series, its file.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What befalls each image: none, rot90, rot180, rot270, invert, shiftN or shift:DX,DY.
    #[arg(long, default_value = "none", value_name = "SHIFT")]
    pub(crate) shift: Shift,
}

impl Samples {
    /// Another set of defaults, for commands that call others.
    pub(crate) fn new(data: Option<PathBuf>, shift: Shift) -> Self {
        Self {
            set: "mnist".to_owned(),
            recipe: None,
            data,
            shift,
        }
    }

    /// The names of the classes.
    pub(crate) fn classes(&self) -> anyhow::Result<Vec<String>> {
        Ok(match &self.recipe {
            Some(recipe) => Recipe::load(recipe)?.classes(),
            None => {
                let names = data::set(&self.set)?.classes.iter();
                names.map(|&name| name.to_owned()).collect()
            }
        })
    }

    /// The first `limit` samples of one part, shifted.
    pub(crate) fn load(&self, part: Part, limit: Option<usize>) -> anyhow::Result<DataSet> {
        let folder = self.data.as_deref();
        let set = match &self.recipe {
            Some(recipe) => Recipe::load(recipe)?.load_data(folder, part)?,
            None => data::set(&self.set)?.load(folder, part)?,
        };
        let set = match limit {
            Some(limit) => set.first(limit),
            None => set,
        };
        anyhow::ensure!(
            !set.is_empty(),
            "no samples are left: --limit wants at least 1"
        );
        set.shifted(self.shift).context("the shift does not fit")
    }
}

/// Where the model runs.
#[derive(clap::Args)]
pub(crate) struct Where {
    /// host, qemu[:BOARD] (an385, an386, an500, an547, microbit) or serial:PATH[@BAUD].
    #[arg(long, default_value = "host", value_name = "PLACE")]
    pub(crate) on: Place,
    /// The flash that a board in QEMU keeps what it learns in, a file; made where there is none.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
}

impl Where {
    /// A place without a file for its flash.
    pub(crate) fn at(on: Place) -> Self {
        Self { on, store: None }
    }

    /// The device with this model.
    pub(crate) fn open(&self, blob: &Blob, ui: &Ui) -> anyhow::Result<Box<dyn Device>> {
        let store = self.store.as_deref();
        Ok(device::open_with_store(&self.on, store, blob, ui)?)
    }
}

/// The blob with the training plan that the words of `--train` ask for; as it is without any.
pub(crate) fn with_plan(blob: Blob, words: Option<&str>) -> anyhow::Result<Blob> {
    let Some(words) = words else {
        return Ok(blob);
    };
    let request: SpecRequest = words.parse()?;
    let real = with_real_outputs(&blob.model())?;
    let model = Model::load(&real)?;
    let spec = request.apply(&model)?;
    let (builder, outputs) = Builder::of(&model);
    let bytes = builder.finish(&outputs, Some(spec))?;
    Ok(Blob::new(blob.path(), bytes)?)
}
