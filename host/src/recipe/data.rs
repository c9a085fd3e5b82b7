//! The section `[data]`: where samples come from, which are held out, how they are varied.

use std::path::Path;

use serde::Deserialize;

use super::error::{Misfit, within};
use super::section::Section;
use super::{Described, SeriesData, Size};
use crate::data::writers::{Group, Writers};
use crate::data::{self, DataError, DataSet, Flip, Folders, IdxFiles, Part, SetInfo, Table, Text};

/// The section `[data]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The data set's name.
    pub set: String,
    /// Share of the training set that is held out.
    #[serde(default)]
    pub validation: f64,
    /// Where the samples are to be had, for whoever has none.
    #[serde(default)]
    pub source: Option<String>,
    /// Learn from so many samples only, drawn at random from those that are not held out.
    #[serde(default)]
    pub samples: Option<Size>,
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

impl Data {
    /// The most samples that are learnt from, where the recipe says so.
    pub fn limit(&self) -> Option<usize> {
        self.samples.map(Size::get)
    }

    /// The sections that say where samples come from, each with the set that a recipe names beside it.
    fn sections(&self) -> [(&'static SetInfo, Option<&dyn Section>); 6] {
        fn of<S: Section>(section: &Option<S>) -> Option<&dyn Section> {
            section.as_ref().map(|section| section as &dyn Section)
        }
        [
            (&data::SERIES, of(&self.series)),
            (&data::TABLE, of(&self.table)),
            (&data::TEXT, of(&self.text)),
            (&data::DESCRIBED, of(&self.described)),
            (&data::IDX, of(&self.idx)),
            (&data::FOLDERS, of(&self.folders)),
        ]
    }

    /// The one that there is; none where a set of [`data::SETS`] is named.
    fn section(&self) -> Option<&dyn Section> {
        self.sections().into_iter().find_map(|(_, section)| section)
    }

    /// The set that it names.
    pub(super) fn info(&self) -> Result<&'static SetInfo, DataError> {
        data::set(&self.set)
    }

    /// Height, width and channels of an image; the days of a series lie one below another; a row of a table and the
    /// letters of a window are vectors.
    pub(super) fn sample_shape(&self, set: &SetInfo) -> Vec<usize> {
        let own = self.section().map(Section::sample_shape);
        own.unwrap_or_else(|| set.shape.to_vec())
    }

    /// The names of the classes; none where numbers alone are wanted.
    pub(super) fn classes(&self, set: &SetInfo) -> Vec<String> {
        let own = self.section().map(Section::classes);
        own.unwrap_or_else(|| set.classes.iter().map(|&name| name.to_owned()).collect())
    }

    /// The names of the numbers that a sample wants.
    pub(super) fn outputs(&self) -> Vec<String> {
        self.section().map(Section::outputs).unwrap_or_default()
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
        for (set, section) in self.sections() {
            let name = set.name;
            match (self.set == name, section) {
                (true, None) => {
                    let wanted = format!("a section [data.{name}]");
                    return Err(Misfit::new(wanted, "none"));
                }
                (false, Some(_)) => {
                    let wanted = format!("set = \"{name}\" beside [data.{name}]");
                    return Err(Misfit::field("set", wanted, format!("`{}`", self.set)));
                }
                (true, Some(section)) => {
                    if !section.pictures() && self.augment != Augment::default() {
                        let wanted = "nothing: numbers stay as they are";
                        return Err(Misfit::field("augment", wanted, "some"));
                    }
                    section.check()?;
                }
                (false, None) => {}
            }
        }
        Ok(())
    }

    /// Whether its files lie in `folder`.
    pub(super) fn is_in(&self, set: &SetInfo, folder: &Path) -> bool {
        match self.section() {
            Some(section) => section.is_in(folder),
            None => set.lies_in(folder),
        }
    }

    /// Reads one part: see [`Section::load`].
    pub(super) fn load(
        &self,
        set: &SetInfo,
        given: Option<&Path>,
        outputs: &[usize],
        part: Part,
    ) -> Result<DataSet, DataError> {
        if let Some(section) = self.section() {
            return section.load(given, outputs, part);
        }
        let samples = set.load(given, part)?;
        if !self.exclude_writers || part == Part::Test {
            return Ok(samples);
        }
        let writers = Writers::read(given, &samples.labels)?;
        Ok(samples.select(&writers.digits(Group::Others)))
    }
}
