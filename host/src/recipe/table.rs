//! The section `[data.table]`: a sample in each row.

use std::path::Path;

use super::error::{Misfit, within};
use super::section::Section;
use crate::data::{self, DataError, DataSet, Part, Scaling, Table};

impl Section for Table {
    fn sample_shape(&self) -> Vec<usize> {
        vec![self.inputs.len()]
    }

    fn classes(&self) -> Vec<String> {
        self.classes.clone()
    }

    fn outputs(&self) -> Vec<String> {
        self.outputs.clone()
    }

    fn check(&self) -> Result<(), Misfit> {
        if self.inputs.is_empty() {
            return Err(Misfit::field("table.inputs", "at least one column", "none"));
        }
        let mut seen: Vec<&str> = Vec::new();
        let named = self.inputs.iter().chain(&self.outputs).chain(&self.class);
        for name in named {
            if seen.contains(&name.as_str()) {
                let found = format!("`{name}` a second time");
                return Err(Misfit::field("table", "each column once", found));
            }
            if !self.columns.is_empty() && !self.columns.contains(name) {
                let wanted = format!("one of `columns`: {}", self.columns.join(", "));
                return Err(Misfit::field("table", wanted, format!("`{name}`")));
            }
            seen.push(name);
        }
        if self.outputs.is_empty() && self.class.is_none() {
            let wanted = "the columns that are wanted: `outputs`, or `class` with `classes`";
            return Err(Misfit::field("table", wanted, "neither"));
        }
        match (&self.class, self.classes.len()) {
            (None, 0) | (Some(_), 2..=256) => {}
            (Some(_), found) => {
                let wanted = "the names of 2 to 256 classes, in the order of the network's outputs";
                return Err(Misfit::field("table.classes", wanted, found));
            }
            (None, _) => {
                let wanted = "the column of the classes beside `classes`";
                return Err(Misfit::field("table.class", wanted, "none"));
            }
        }
        if self.outputs.is_empty() && self.scale_outputs != Scaling::None {
            let wanted = "nothing: a class is not scaled";
            return Err(Misfit::field("table.scale_outputs", wanted, "one"));
        }
        if !self.header && self.columns.is_empty() {
            let wanted = "the names of all columns, as the file's first line has none";
            return Err(Misfit::field("table.columns", wanted, "none"));
        }
        if !self.delimiter.is_ascii() {
            let wanted = "one of ASCII's characters";
            return Err(Misfit::field("table.delimiter", wanted, self.delimiter));
        }
        match (self.train, &self.test) {
            (Some(_), Some(_)) => {
                let wanted = "nothing beside `test`: all rows of `file` are learnt from";
                Err(Misfit::field("table.train", wanted, "a share"))
            }
            (Some(share), None) => {
                let wanted = "a number above 0, below 1";
                within("table.train", share, f64::MIN_POSITIVE..1.0, wanted)
            }
            (None, _) => Ok(()),
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        data::has(folder, &self.file)
    }

    fn load(
        &self,
        given: Option<&Path>,
        outputs: &[usize],
        part: Part,
    ) -> Result<DataSet, DataError> {
        let (folder, file) = data::place(given, &self.file);
        Ok(self.load(&folder, file, outputs, part)?)
    }
}
