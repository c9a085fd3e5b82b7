//! Tables: a CSV file with a sample in each row, columns of numbers to read and columns that are wanted.
//!
//! Every column is scaled by what the rows to learn from tell, and by nothing of the rows to test on:
//!
//! ```text
//! x = (cell − center) / scale
//! center    mean          scale    1                          of center
//! standard  mean                   standard deviation (of n)
//! min_max   least                  most − least
//! ```
//!
//! A column whose cells are all equal keeps the scale 1.

mod columns;
mod error;
mod file;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{DataSet, Part, Stream, Values};
use columns::{Numbers, Scaled};
pub use error::TableError;
use file::Rows;

/// Where the samples of a table lie, and what its columns are: the section `[data.table]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// A CSV file in the folder of the data sets, when `--data` names none.
    pub file: PathBuf,
    /// The file that is tested on; else rows of `file` are.
    #[serde(default)]
    pub test: Option<PathBuf>,
    /// The share of the rows of `file` that is learnt from, where there is no file to test on; 0.8 when not given.
    #[serde(default)]
    pub train: Option<f64>,
    /// Which rows those are.
    #[serde(default)]
    pub rows: Order,
    /// Names of the columns, instead of those in the first line.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Whether the first line names columns, or is to be passed over.
    #[serde(default = "yes")]
    pub header: bool,
    /// What stands between two cells.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The columns that a sample is made of, in this order.
    pub inputs: Vec<String>,
    /// The columns of the numbers that are wanted.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// The column of the class.
    #[serde(default)]
    pub class: Option<String>,
    /// The classes: cells hold their names, or their places in this list from 0.
    #[serde(default)]
    pub classes: Vec<String>,
    /// How inputs are scaled.
    #[serde(default)]
    pub scale: Scaling,
    /// How outputs are scaled.
    #[serde(default)]
    pub scale_outputs: Scaling,
    /// What is done about empty cells.
    #[serde(default)]
    pub missing: Missing,
}

/// Which rows of a file are learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Drawn at random, always the same.
    #[default]
    Shuffled,
    /// The first.
    File,
}

/// How a column is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// As it is.
    #[default]
    None,
    /// Less its mean.
    Center,
    /// Less its mean, by its standard deviation.
    Standard,
    /// From 0 to 1.
    MinMax,
}

/// What is done about empty cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The file is refused.
    #[default]
    Refuse,
    /// Inputs take the median of their column in the rows to learn from; a row without an output is left out.
    Median,
    /// The row is left out.
    Drop,
}

fn yes() -> bool {
    true
}

fn comma() -> char {
    ','
}

/// The share that is learnt from, when not given.
const TRAIN: f64 = 0.8;

impl Table {
    /// Reads one part. `folder` is where data sets lie; `given` a file that takes the place of the table's own.
    ///
    /// `outputs` are the wanted numbers' places in [`Table::outputs`], in the order of the network's outputs.
    ///
    /// # Errors
    /// [`TableError`], with the file, the line and the column.
    pub fn load(
        &self,
        folder: &Path,
        given: Option<&Path>,
        outputs: &[usize],
        part: Part,
    ) -> Result<DataSet, TableError> {
        let path = given.map_or_else(|| folder.join(&self.file), Path::to_path_buf);
        let rows = Rows::read(self, &path)?;
        let test = match (&self.test, given) {
            (Some(test), None) => Some(Rows::read(self, &folder.join(test))?),
            _ => None,
        };
        let wanted: Vec<&String> = outputs.iter().map(|&at| &self.outputs[at]).collect();
        let all = Numbers::read(self, &rows, &wanted)?;
        let (train, test) = match test {
            Some(test) => (all, Numbers::read(self, &test, &wanted)?),
            None => {
                let (train, test) = self.divide(all.len());
                (all.select(&train), all.select(&test))
            }
        };
        for (numbers, what) in [(&train, "to learn from"), (&test, "to test on")] {
            if numbers.len() == 0 {
                let found = rows.len();
                return Err(TableError::Few { path, what, found });
            }
        }
        let inputs = Scaled::of(&self.inputs, &train.inputs, self.scale, &path)?;
        let targets = Scaled::of(&wanted, &train.outputs, self.scale_outputs, &path)?;
        let chosen = match part {
            Part::Train => train,
            Part::Test => test,
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(DataSet {
            name: name.into_owned(),
            shape: [1, 1, self.inputs.len()],
            classes: self.classes.len(),
            images: Vec::new(),
            labels: chosen.labels.clone(),
            values: Some(Values {
                inputs: inputs.rows(&chosen.inputs),
                targets: targets.rows(&chosen.outputs),
                columns: targets.columns,
                features: inputs.columns,
                series: false,
            }),
        })
    }

    /// The rows to learn from, and those to test on.
    fn divide(&self, count: usize) -> (Vec<usize>, Vec<usize>) {
        let mut order: Vec<usize> = (0..count).collect();
        if self.rows == Order::Shuffled {
            Stream::new(0, Stream::TABLE, 0, 0).shuffle(&mut order);
        }
        // A share of a count: never negative, never above the count.
        let train = ((count as f64) * self.train.unwrap_or(TRAIN)).round() as usize;
        let test = order.split_off(train.min(count));
        (order, test)
    }
}

#[cfg(test)]
mod tests;
