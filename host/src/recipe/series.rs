//! The section `[data.series]`: prices day by day.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Size;
use super::error::{Misfit, within};
use super::section::Section;
use crate::data::{self, DataError, DataSet, Part, Series, SeriesFile, Windows};

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

impl Section for SeriesData {
    /// The days lie one below another.
    fn sample_shape(&self) -> Vec<usize> {
        vec![self.window.get(), 1, 1]
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.column.clone()]
    }

    fn check(&self) -> Result<(), Misfit> {
        let wanted = "a number above 0, below 1";
        within("series.train", self.train, f64::MIN_POSITIVE..1.0, wanted)
    }

    fn is_in(&self, folder: &Path) -> bool {
        data::has(folder, Path::new(&self.file))
    }

    fn load(&self, given: Option<&Path>, _: &[usize], part: Part) -> Result<DataSet, DataError> {
        let series = Series::read(&self.source(given), &self.column)?;
        let windows = Windows::new(&series, self.window.get(), self.train)?;
        Ok(windows.data_set(part))
    }
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
