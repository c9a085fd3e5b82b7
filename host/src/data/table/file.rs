//! The rows of a CSV file, as they stand there.

use std::path::{Path, PathBuf};

use super::{Table, TableError};

/// A file's rows.
pub(super) struct Rows {
    pub(super) path: PathBuf,
    columns: Vec<String>,
    rows: Vec<(u64, csv::StringRecord)>,
}

/// A cell, and where it stands.
pub(super) struct Cell<'r> {
    pub(super) line: u64,
    pub(super) text: &'r str,
}

/// What stands for nothing in a cell.
const EMPTY: [&str; 5] = ["", "na", "nan", "null", "?"];

impl Cell<'_> {
    pub(super) fn is_empty(&self) -> bool {
        EMPTY
            .iter()
            .any(|empty| self.text.eq_ignore_ascii_case(empty))
    }
}

impl Rows {
    pub(super) fn read(table: &Table, path: &Path) -> Result<Self, TableError> {
        let unread = |source| TableError::Read {
            path: path.to_path_buf(),
            source,
        };
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .has_headers(table.header)
            .delimiter(u8::try_from(table.delimiter).unwrap_or(b','))
            .from_path(path)
            .map_err(unread)?;
        let columns = if table.columns.is_empty() {
            let header = reader.headers().map_err(unread)?;
            // Some programs begin a file with a byte order mark.
            let names = header
                .iter()
                .map(|name| name.trim_start_matches('\u{feff}').to_owned());
            names.collect()
        } else {
            table.columns.clone()
        };
        let mut rows = Vec::new();
        for record in reader.into_records() {
            let record = record.map_err(unread)?;
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != columns.len() {
                return Err(TableError::Row {
                    path: path.to_path_buf(),
                    line,
                    wanted: columns.len(),
                    found: record.len(),
                });
            }
            rows.push((line, record));
        }
        Ok(Self {
            path: path.to_path_buf(),
            columns,
            rows,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The cells of a column.
    pub(super) fn column(&self, name: &str) -> Result<impl Iterator<Item = Cell<'_>>, TableError> {
        let index = self.columns.iter().position(|column| column == name);
        let index = index.ok_or_else(|| TableError::Column {
            path: self.path.clone(),
            wanted: name.to_owned(),
            found: self.columns.join(", "),
        })?;
        Ok(self.rows.iter().map(move |(line, record)| Cell {
            line: *line,
            text: record.get(index).unwrap_or_default(),
        }))
    }
}
