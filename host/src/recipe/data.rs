//! The section `[data]`: where samples come from, which are held out, how they are varied.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Size;
use super::error::{Misfit, within};
use crate::data::writers::{Group, Writers};
use crate::data::{
    self, DataError, DataSet, Flip, Folders, IdxFiles, Part, Series, SeriesFile, SetInfo, Stream,
    Table, Text, Values, Windows,
};

/// The section `[data]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The data set's name.
    pub set: String,
    /// Share of the training set that is held out.
    #[serde(default)]
    pub validation: f64,
    /// How training images are varied.
    #[serde(default)]
    pub augment: Augment,
    /// Learn only from digits of other people than those that `mote personalize` reports on, or chooses rates by.
    #[serde(default)]
    pub exclude_writers: bool,
    /// Which prices, for the set `series`.
    #[serde(default)]
    pub series: Option<SeriesData>,
    /// Which file and columns, for the set `table`.
    #[serde(default)]
    pub table: Option<Table>,
    /// What samples are like, for the set `described`: a network that is not trained here.
    #[serde(default)]
    pub described: Option<Described>,
    /// Which text, for the set `text`.
    #[serde(default)]
    pub text: Option<Text>,
    /// Which files, for the set `idx`.
    #[serde(default)]
    pub idx: Option<IdxFiles>,
    /// Which folders, for the set `folders`.
    #[serde(default)]
    pub folders: Option<Folders>,
}

/// The section `[data.augment]`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Most pixels moved along either axis.
    #[serde(default)]
    pub shift: u32,
    /// Most degrees turned either way.
    #[serde(default)]
    pub rotate: f32,
    /// Whether half of the images are mirrored.
    #[serde(default)]
    pub flip: Flip,
}

/// The section `[data.described]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// Height, width and channels of a sample, or fewer axes.
    pub sample: Vec<Size>,
    /// How many classes there are.
    pub classes: Size,
    /// Samples by chance, to learn from and to test on, if any.
    #[serde(default)]
    pub random: Option<[Size; 2]>,
}

/// The section `[data.series]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesData {
    /// A CSV file in the folder of the data sets, when `--data` names none.
    pub file: String,
    /// The column of the prices.
    #[serde(default = "close")]
    pub column: String,
    /// Days that a sample shows.
    pub window: Size,
    /// The share of the days, from the first on, that is learnt from; the rest is tested on.
    #[serde(default = "share")]
    pub train: f64,
}

fn close() -> String {
    "close".to_owned()
}

fn share() -> f64 {
    0.8
}

impl Data {
    /// The set that it names.
    pub(super) fn info(&self) -> Result<&'static SetInfo, DataError> {
        match self.set.as_str() {
            "series" => Ok(&data::SERIES),
            "table" => Ok(&data::TABLE),
            "text" => Ok(&data::TEXT),
            "described" => Ok(&data::DESCRIBED),
            "idx" => Ok(&data::IDX),
            "folders" => Ok(&data::FOLDERS),
            name => data::set(name),
        }
    }

    /// Height, width and channels of an image; the days of a series lie one below another; a row of a table and the
    /// letters of a window are vectors.
    pub(super) fn sample_shape(&self, set: &SetInfo) -> Vec<usize> {
        match self {
            Self {
                series: Some(series),
                ..
            } => vec![series.window.get(), 1, 1],
            Self {
                table: Some(table), ..
            } => vec![table.inputs.len()],
            Self {
                text: Some(text), ..
            } => vec![text.window],
            Self {
                described: Some(described),
                ..
            } => described.sample.iter().map(|size| size.get()).collect(),
            Self {
                idx: Some(files), ..
            } => files.shape.to_vec(),
            Self {
                folders: Some(folders),
                ..
            } => folders.shape().to_vec(),
            _ => set.shape.to_vec(),
        }
    }

    /// The names of the classes; none where numbers alone are wanted.
    pub(super) fn classes(&self, set: &SetInfo) -> Vec<String> {
        let images = self.idx.as_ref().map(|files| &files.classes);
        let images = images.or(self.folders.as_ref().map(|folders| &folders.classes));
        match (&self.table, &self.text, images) {
            (Some(table), ..) => table.classes.clone(),
            _ if self.described.is_some() => {
                let described = self.described.iter();
                let classes = described.flat_map(|described| 0..described.classes.get());
                classes.map(|class| class.to_string()).collect()
            }
            (_, Some(text), _) => text.letters().iter().map(char::to_string).collect(),
            (.., Some(classes)) => classes.clone(),
            _ => set.classes.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// The names of the numbers that a sample wants.
    pub(super) fn outputs(&self) -> Vec<String> {
        match (&self.series, &self.table) {
            (Some(series), _) => vec![series.column.clone()],
            (_, Some(table)) => table.outputs.clone(),
            _ => Vec::new(),
        }
    }

    pub(super) fn check(&self) -> Result<(), Misfit> {
        within(
            "validation",
            self.validation,
            0.0..1.0,
            "a number from 0 to below 1",
        )?;
        let degrees = "degrees from 0 to 180";
        let rotate = f64::from(self.augment.rotate);
        within("augment.rotate", rotate, 0.0..=180.0, degrees)?;
        if self.augment.shift > 1024 {
            return Err(Misfit::field(
                "augment.shift",
                "pixels from 0 to 1024",
                self.augment.shift,
            ));
        }
        if self.exclude_writers && self.set != "mnist" {
            let wanted = "false: only the writers of mnist are known";
            return Err(Misfit::field("exclude_writers", wanted, true));
        }
        let numbers = self.idx.is_none() && self.folders.is_none();
        for (name, given) in [
            (data::SERIES.name, self.series.is_some()),
            (data::TABLE.name, self.table.is_some()),
            (data::TEXT.name, self.text.is_some()),
            (data::DESCRIBED.name, self.described.is_some()),
            (data::IDX.name, self.idx.is_some()),
            (data::FOLDERS.name, self.folders.is_some()),
        ] {
            match (self.set == name, given) {
                (true, false) => {
                    let wanted = format!("a section [data.{name}]");
                    return Err(Misfit::new(wanted, "none"));
                }
                (false, true) => {
                    let wanted = format!("set = \"{name}\" beside [data.{name}]");
                    return Err(Misfit::field("set", wanted, format!("`{}`", self.set)));
                }
                (true, true) if numbers && self.augment != Augment::default() => {
                    let wanted = "nothing: numbers stay as they are";
                    return Err(Misfit::field("augment", wanted, "some"));
                }
                _ => {}
            }
        }
        if let Some(series) = &self.series {
            let wanted = "a number above 0, below 1";
            let inside = f64::MIN_POSITIVE..1.0;
            within("series.train", series.train, inside, wanted)?;
        }
        self.described.as_ref().map_or(Ok(()), Described::check)?;
        self.text.as_ref().map_or(Ok(()), check_text)?;
        self.idx.as_ref().map_or(Ok(()), super::images::idx)?;
        self.folders
            .as_ref()
            .map_or(Ok(()), super::images::folders)?;
        self.table.as_ref().map_or(Ok(()), super::table::check)
    }

    /// Whether its files lie in `folder`.
    pub(super) fn is_in(&self, set: &SetInfo, folder: &Path) -> bool {
        match self {
            Self {
                series: Some(series),
                ..
            } => data::has(folder, Path::new(&series.file)),
            Self {
                table: Some(table), ..
            } => data::has(folder, &table.file),
            Self {
                text: Some(text), ..
            } => data::has(folder, &text.file),
            Self {
                idx: Some(files), ..
            } => data::has(folder, Path::new(&files.images)),
            Self {
                folders: Some(folders),
                ..
            } => data::has(folder, &folders.folder),
            _ => set.lies_in(folder),
        }
    }

    /// Reads one part. `given` is what `--data` says: a folder, or the file of a table or a series, perhaps with its
    /// symbol. `outputs` are places of wanted numbers, in the order of the network's outputs.
    ///
    /// # Errors
    /// Files that are missing or damaged, series that are too short.
    pub(super) fn load(
        &self,
        set: &SetInfo,
        given: Option<&Path>,
        outputs: &[usize],
        part: Part,
    ) -> Result<DataSet, DataError> {
        if let Some(described) = &self.described {
            return described.draw(part);
        }
        if let Some(text) = &self.text {
            let folder = data::holding(given, &text.file);
            let file = given.filter(|_| !folder.is_dir());
            let path = file.map_or_else(|| folder.join(&text.file), Path::to_path_buf);
            return Ok(text.load(&path, part)?);
        }
        if let Some(table) = &self.table {
            let folder = data::holding(given, &table.file);
            let file = given.filter(|_| !folder.is_dir());
            return Ok(table.load(&folder, file, outputs, part)?);
        }
        if let Some(files) = &self.idx {
            let folder = data::holding(given, Path::new(&files.images));
            return files.load(&folder, part);
        }
        if let Some(folders) = &self.folders {
            let folder = data::holding(given, &folders.folder);
            return Ok(folders.load(&folder, part)?);
        }
        let Some(fields) = &self.series else {
            let samples = set.load(given, part)?;
            if !self.exclude_writers || part == Part::Test {
                return Ok(samples);
            }
            let writers = Writers::read(given, &samples.labels)?;
            return Ok(samples.select(&writers.digits(Group::Others)));
        };
        let series = Series::read(&fields.source(given), &fields.column)?;
        let windows = Windows::new(&series, fields.window.get(), fields.train)?;
        Ok(windows.data_set(part))
    }
}

impl Described {
    fn check(&self) -> Result<(), Misfit> {
        if !(1..=3).contains(&self.sample.len()) {
            let wanted = "1 to 3 sizes, such as [224, 224, 3]";
            return Err(Misfit::field("described.sample", wanted, self.sample.len()));
        }
        if self.random.is_some() && !(2..=256).contains(&self.classes.get()) {
            let wanted = "2 to 256 classes of random samples";
            return Err(Misfit::field(
                "described.classes",
                wanted,
                self.classes.get(),
            ));
        }
        Ok(())
    }

    /// Samples by chance, always the same.
    fn draw(&self, part: Part) -> Result<DataSet, DataError> {
        let [train, test] = self.random.as_ref().ok_or(DataError::Described)?;
        let (count, place) = match part {
            Part::Train => (train.get(), 0),
            Part::Test => (test.get(), 1),
        };
        let length: usize = self.sample.iter().map(|size| size.get()).product();
        let mut stream = Stream::new(0, Stream::RANDOM_SAMPLES, place, 0);
        let inputs = (0..count * length)
            .map(|_| stream.uniform(0.0, 1.0))
            .collect();
        let classes = self.classes.get();
        // There are at most 256 classes.
        let labels = (0..count)
            .map(|_| stream.below(classes as u64) as u8)
            .collect();
        let shape = match self.sample.as_slice() {
            [height, width, channels] => [height.get(), width.get(), channels.get()],
            _ => [1, 1, length],
        };
        Ok(DataSet {
            name: "random".to_owned(),
            shape,
            classes,
            images: Vec::new(),
            labels,
            values: Some(Values {
                inputs,
                targets: Vec::new(),
                columns: Vec::new(),
                features: Vec::new(),
                series: false,
            }),
        })
    }
}

fn check_text(text: &Text) -> Result<(), Misfit> {
    let letters = text.letters();
    let twice = letters
        .iter()
        .enumerate()
        .find(|(at, letter)| letters[..*at].contains(letter));
    if let Some((_, letter)) = twice {
        let found = format!("{letter:?} a second time");
        return Err(Misfit::field("text.alphabet", "each letter once", found));
    }
    if !(2..=256).contains(&letters.len()) {
        return Err(Misfit::field(
            "text.alphabet",
            "2 to 256 letters",
            letters.len(),
        ));
    }
    if !(1..=65_536).contains(&text.window) {
        let wanted = "letters, from 1 to 65536";
        return Err(Misfit::field("text.window", wanted, text.window));
    }
    let wanted = "a number above 0, below 1";
    within("text.train", text.train, f64::MIN_POSITIVE..1.0, wanted)
}

impl SeriesData {
    /// The file: what `--data` gave, or its own in the folder of the data sets.
    pub fn source(&self, given: Option<&Path>) -> SeriesFile {
        let folder = data::holding(given, Path::new(&self.file));
        if given.is_some() && !folder.is_dir() {
            let text = folder.display().to_string();
            let Ok(source) = text.parse();
            return source;
        }
        SeriesFile {
            path: [folder, PathBuf::from(&self.file)].iter().collect(),
            symbol: None,
        }
    }
}
