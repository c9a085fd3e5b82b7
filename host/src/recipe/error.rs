//! Why a recipe is refused: file, line, field, what was wanted, what was found.

use std::path::PathBuf;

use crate::data::DataError;

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read the recipe {path}; the recipes at hand are models/*.toml")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or has a field that is unknown, missing or of another type.
    #[error("{path}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A field of a layer, optimizer or schedule is unknown, missing or of another type.
    #[error("{path}, line {line}: {place}: {}", .source.to_string().trim().replace('\n', " "))]
    Field {
        /// The file.
        path: PathBuf,
        /// The line on which the table begins.
        line: usize,
        /// The table, such as `layer 3 (conv2d)`.
        place: String,
        /// Which field, what was wanted, what was found.
        source: Box<toml::de::Error>,
    },
    /// A value, or the layers together, make no network.
    #[error("{path}, line {line}: {place}: wanted {wanted}, found {found}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The line on which the table begins.
        line: usize,
        /// The table or field.
        place: String,
        /// What was expected.
        wanted: String,
        /// What the recipe says.
        found: String,
    },
    /// The data set is unknown.
    #[error("{path}: [data] set: {source}")]
    Data {
        /// The file.
        path: PathBuf,
        /// The name, and those that there are.
        source: DataError,
    },
}

/// A value that does not fit, before it is known where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// The field, when the table alone does not say enough.
    pub(super) field: Option<&'static str>,
    pub(super) wanted: String,
    pub(super) found: String,
}

impl Misfit {
    pub(super) fn new(wanted: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            field: None,
            wanted: wanted.into(),
            found: found.into(),
        }
    }

    pub(super) fn field(
        field: &'static str,
        wanted: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self {
            field: Some(field),
            wanted: wanted.into(),
            found: found.to_string(),
        }
    }
}

/// Refuses a number outside of a range; NaN lies outside of every range.
pub(super) fn within(
    field: &'static str,
    value: f64,
    range: impl std::ops::RangeBounds<f64>,
    wanted: &str,
) -> Result<(), Misfit> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(Misfit::field(field, wanted, value))
    }
}

/// Where errors are: turns spans into lines.
pub(super) struct Source<'s> {
    pub(super) path: &'s std::path::Path,
    pub(super) text: &'s str,
}

impl Source<'_> {
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.bytes().filter(|&byte| byte == b'\n').count() + 1
    }

    pub(super) fn misfit(&self, offset: usize, place: &str, misfit: Misfit) -> RecipeError {
        let place = match misfit.field {
            Some(field) => format!("{place}: {field}"),
            None => place.to_owned(),
        };
        RecipeError::Value {
            path: self.path.to_path_buf(),
            line: self.line(offset),
            place,
            wanted: misfit.wanted,
            found: misfit.found,
        }
    }

    pub(super) fn field(&self, offset: usize, place: &str, source: toml::de::Error) -> RecipeError {
        RecipeError::Field {
            path: self.path.to_path_buf(),
            line: self.line(offset),
            place: place.to_owned(),
            source: Box::new(source),
        }
    }
}
