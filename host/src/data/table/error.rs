//! Why a file is no table of samples: the line, the column, and what to do about it.

use std::path::PathBuf;

/// Why a file is no table of samples.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error(
        "cannot read {path}: {source}. Name a CSV file with --data FILE.csv, or in [data.table] of the recipe"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// A line that is no row of CSV, or has more or fewer cells than there are columns.
    #[error("{path}, line {line}: wanted {wanted} cells, found {found}")]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The columns.
        wanted: usize,
        /// The cells.
        found: usize,
    },
    /// A column that is not there.
    #[error(
        "{path}: no column `{wanted}` among {found}. Name the columns as the file's first line does, or all of them with `columns` in [data.table]"
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        wanted: String,
        /// Those that there are.
        found: String,
    },
    /// A cell that is no number.
    #[error("{path}, line {line}, column `{column}`: wanted a finite number, found `{found}`")]
    Number {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The column.
        column: String,
        /// The cell.
        found: String,
    },
    /// A cell that names no class.
    #[error(
        "{path}, line {line}, column `{column}`: wanted one of the classes {wanted} (or its place among them, from 0), found `{found}`"
    )]
    Class {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The column.
        column: String,
        /// The classes.
        wanted: String,
        /// The cell.
        found: String,
    },
    /// An empty cell.
    #[error(
        "{path}, line {line}, column `{column}`: the cell is empty. Fill it in, or say `missing = \"median\"` or `\"drop\"` in [data.table]"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The column.
        column: String,
    },
    /// A column without a number in the rows to learn from.
    #[error("{path}, column `{column}`: no row to learn from has a number there")]
    Hollow {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// No rows.
    #[error(
        "{path}: no row is left {what}, of {found} rows. Give it more rows, or another share to learn from"
    )]
    Few {
        /// The file.
        path: PathBuf,
        /// What for.
        what: &'static str,
        /// The rows read.
        found: usize,
    },
}
