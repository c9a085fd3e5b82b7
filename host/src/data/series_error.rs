//! Why a file is no series of prices: the row, and what to do about it.

use std::path::PathBuf;

use chrono::NaiveDate;

use super::series::SYMBOL_COLUMNS;

/// Why a file is no series of prices.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The file cannot be read.
    #[error(
        "cannot read {path}: {source}. Name a CSV file with a date and a close in each row: --data FILE.csv"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// A row that is no row of CSV.
    #[error("{path}, row {row}: {source}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Its line.
        row: u64,
        /// What is wrong.
        source: csv::Error,
    },
    /// A column that is not there.
    #[error(
        "{path}: no column `{wanted}` among {found}. Name the column of prices with --column, or in [data.series] of the recipe"
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        wanted: String,
        /// Those that there are.
        found: String,
    },
    /// A date that is none.
    #[error("{path}, row {row}: wanted a date such as 2020-04-24, found `{found}`")]
    Date {
        /// The file.
        path: PathBuf,
        /// Its line.
        row: u64,
        /// What stands there.
        found: String,
    },
    /// A price that is none.
    #[error(
        "{path}, row {row}, column `{column}`: wanted a finite number, found `{found}`. Delete the row, or fill it in"
    )]
    Price {
        /// The file.
        path: PathBuf,
        /// Its line.
        row: u64,
        /// The column.
        column: String,
        /// What stands there.
        found: String,
    },
    /// A date before that of the row above.
    #[error(
        "{path}, row {row}: {date} comes after {before} of the row above. Sort the rows by date, the oldest first"
    )]
    Order {
        /// The file.
        path: PathBuf,
        /// Its line.
        row: u64,
        /// Its date.
        date: NaiveDate,
        /// The date above.
        before: NaiveDate,
    },
    /// A date for the second time.
    #[error("{path}, row {row}: {date} for the second time. Delete one of the two rows")]
    Twice {
        /// The file.
        path: PathBuf,
        /// Its line.
        row: u64,
        /// Its date.
        date: NaiveDate,
    },
    /// Several symbols, and none chosen; or one that is not there.
    #[error("{path}: which symbol? It has {found}: write {name}:{first}")]
    Symbol {
        /// The file.
        path: PathBuf,
        /// Its name.
        name: String,
        /// The first of its symbols.
        first: String,
        /// All.
        found: String,
    },
    /// A symbol of a file that has none.
    #[error(
        "{path}: wanted the rows of `{symbol}`, found no column that tells symbols apart ({})",
        SYMBOL_COLUMNS.join(", ")
    )]
    NoSymbols {
        /// The file.
        path: PathBuf,
        /// The symbol.
        symbol: String,
    },
    /// Too few rows.
    #[error(
        "{name}: wanted at least {wanted} rows ({window} days for a window, and a day to learn and a day to test at \
         a share of {share}), found {found}. Take a longer series"
    )]
    Short {
        /// The series.
        name: String,
        /// How many rows it should have.
        wanted: usize,
        /// How many it has.
        found: usize,
        /// The window.
        window: usize,
        /// The share of days that are learnt from.
        share: f64,
    },
    /// Prices that are all 0.
    #[error("{name}: every price to learn from is 0; wanted one that is not")]
    Flat {
        /// The series.
        name: String,
    },
}
