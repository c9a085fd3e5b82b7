//! Time series: a CSV file with a date and a price in each row, one row a day.
//!
//! Columns are found by their names, whatever their case. A file with several symbols (a column `ticker`, `symbol`,
//! `code` or `name`) is read one at a time, as `FILE:SYMBOL`. Rows must be in order and whole: what is missing is never
//! guessed, the error names the row instead.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::NaiveDate;

use super::SeriesError;

/// How dates may be written.
const DATES: [&str; 4] = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y"];
/// What a column of dates may be called.
const DATE_COLUMNS: [&str; 3] = ["date", "day", "time"];
/// What a column of symbols may be called.
pub(super) const SYMBOL_COLUMNS: [&str; 4] = ["ticker", "symbol", "code", "name"];

/// A file, and which of its symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesFile {
    /// The file.
    pub path: PathBuf,
    /// The symbol whose rows are read; needed only where there are several.
    pub symbol: Option<String>,
}

impl FromStr for SeriesFile {
    type Err = std::convert::Infallible;

    /// `FILE` or `FILE:SYMBOL`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = Path::new(text);
        Ok(match text.rsplit_once(':') {
            Some((path, symbol)) if !whole.is_file() && !path.is_empty() => Self {
                path: path.into(),
                symbol: Some(symbol.to_owned()),
            },
            _ => Self {
                path: whole.into(),
                symbol: None,
            },
        })
    }
}

impl fmt::Display for SeriesFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The file's name alone: a report names no folder of the machine.
        let file = self.path.file_name().unwrap_or_default();
        write!(f, "{}", Path::new(file).display())?;
        match &self.symbol {
            Some(symbol) => write!(f, ":{symbol}"),
            None => Ok(()),
        }
    }
}

/// Prices, one a day, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The file's name, and the symbol where one was chosen.
    pub name: String,
    /// The column of the prices.
    pub column: String,
    /// The days.
    pub dates: Vec<NaiveDate>,
    /// The prices.
    pub closes: Vec<f64>,
}

impl Series {
    /// Reads the column `column` of a file.
    ///
    /// # Errors
    /// [`SeriesError`], with the row and what to do about it.
    pub fn read(file: &SeriesFile, column: &str) -> Result<Self, SeriesError> {
        let path = || file.path.clone();
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_path(&file.path)
            .map_err(|source| SeriesError::Read {
                path: path(),
                source,
            })?;
        let headers = reader.headers().map_err(|source| SeriesError::Read {
            path: path(),
            source,
        })?;
        let columns = Columns::find(headers, column, file)?;
        let mut series = Self {
            name: file.to_string(),
            column: headers.get(columns.price).unwrap_or(column).to_owned(),
            dates: Vec::new(),
            closes: Vec::new(),
        };
        let mut symbols = BTreeSet::new();
        for (index, record) in reader.records().enumerate() {
            let record = record.map_err(|source| SeriesError::Row {
                path: path(),
                row: index as u64 + 2,
                source,
            })?;
            let row = record.position().map_or(index as u64 + 2, |p| p.line());
            let field = |at: usize| record.get(at).unwrap_or_default();
            if let Some(at) = columns.symbol {
                symbols.insert(field(at).to_owned());
                let other = file.symbol.as_deref().is_some_and(|s| s != field(at));
                // Of several without a choice, the rest is read only to tell which there are.
                if other || (file.symbol.is_none() && symbols.len() > 1) {
                    continue;
                }
            }
            series.push(file, row, field(columns.date), field(columns.price))?;
        }
        let known = file.symbol.as_ref().map(|wanted| symbols.contains(wanted));
        match known {
            Some(false) => Err(unknown(file, &symbols)),
            None if symbols.len() > 1 => Err(unknown(file, &symbols)),
            _ => Ok(series),
        }
    }

    fn push(
        &mut self,
        file: &SeriesFile,
        row: u64,
        date: &str,
        price: &str,
    ) -> Result<(), SeriesError> {
        let path = || file.path.clone();
        // A time of day may follow.
        let day = date.split([' ', 'T']).next().unwrap_or_default();
        let mut read = DATES
            .iter()
            .map(|form| NaiveDate::parse_from_str(day, form));
        let date = read.find_map(Result::ok).ok_or_else(|| SeriesError::Date {
            path: path(),
            row,
            found: date.to_owned(),
        })?;
        let close = price.parse::<f64>().ok().filter(|close| close.is_finite());
        let close = close.ok_or_else(|| SeriesError::Price {
            path: path(),
            row,
            column: self.column.clone(),
            found: price.to_owned(),
        })?;
        match self.dates.last() {
            Some(&before) if date == before => {
                return Err(SeriesError::Twice {
                    path: path(),
                    row,
                    date,
                });
            }
            Some(&before) if date < before => {
                return Err(SeriesError::Order {
                    path: path(),
                    row,
                    date,
                    before,
                });
            }
            _ => {}
        }
        self.dates.push(date);
        self.closes.push(close);
        Ok(())
    }

    /// How many days there are.
    pub fn len(&self) -> usize {
        self.closes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.closes.is_empty()
    }

    /// The first `days` of it.
    #[must_use]
    pub fn first(mut self, days: usize) -> Self {
        self.dates.truncate(days);
        self.closes.truncate(days);
        self
    }
}

fn unknown(file: &SeriesFile, symbols: &BTreeSet<String>) -> SeriesError {
    let all: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let name = file.path.file_name().unwrap_or_default();
    SeriesError::Symbol {
        path: file.path.clone(),
        name: Path::new(name).display().to_string(),
        first: all.first().copied().unwrap_or_default().to_owned(),
        found: all.join(", "),
    }
}

/// Where the columns are.
struct Columns {
    date: usize,
    price: usize,
    symbol: Option<usize>,
}

impl Columns {
    fn find(
        headers: &csv::StringRecord,
        price: &str,
        file: &SeriesFile,
    ) -> Result<Self, SeriesError> {
        let at = |name: &str| {
            let mut all = headers.iter();
            all.position(|header| header.eq_ignore_ascii_case(name))
        };
        let missing = |wanted: &str| SeriesError::Column {
            path: file.path.clone(),
            wanted: wanted.to_owned(),
            found: headers.iter().collect::<Vec<_>>().join(", "),
        };
        let symbol = SYMBOL_COLUMNS.iter().find_map(|name| at(name));
        match &file.symbol {
            Some(wanted) if symbol.is_none() => Err(SeriesError::NoSymbols {
                path: file.path.clone(),
                symbol: wanted.clone(),
            }),
            _ => Ok(Self {
                date: DATE_COLUMNS
                    .iter()
                    .find_map(|name| at(name))
                    .ok_or_else(|| missing(DATE_COLUMNS[0]))?,
                price: at(price).ok_or_else(|| missing(price))?,
                symbol,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, symbol: Option<&str>) -> Result<Series, SeriesError> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mote-series-{}-{count}.csv", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let file = SeriesFile {
            path: path.clone(),
            symbol: symbol.map(str::to_owned),
        };
        let series = Series::read(&file, "close");
        std::fs::remove_file(path).unwrap();
        series
    }

    #[test]
    fn columns_are_found_by_name_and_dates_in_several_forms() {
        let text =
            ",Date,open,Close\n0,2020-01-02, 1, 1.5\n1,2020/01/03,1,2\n2,20200106 16:00,1,-3e0\n";
        let series = read(text, None).unwrap();
        assert_eq!(series.closes, [1.5, 2.0, -3.0]);
        assert_eq!(series.dates[2].to_string(), "2020-01-06");
        assert_eq!(series.column, "Close");
    }

    #[test]
    fn rows_that_are_no_prices_are_named() {
        let head = "date,close\n2020-01-02,1\n";
        for (rows, words) in [
            (
                "2020-01-03,NaN\n",
                "row 3, column `close`: wanted a finite number, found `NaN`",
            ),
            (
                "2020-01-03,\n",
                "row 3, column `close`: wanted a finite number, found ``",
            ),
            ("2020-01-01,2\n", "row 3: 2020-01-01 comes after 2020-01-02"),
            ("2020-01-02,2\n", "row 3: 2020-01-02 for the second time"),
            (
                "2nd of May,2\n",
                "row 3: wanted a date such as 2020-04-24, found `2nd of May`",
            ),
            ("2020-01-03\n", "row 3: "),
        ] {
            let error = read(&format!("{head}{rows}"), None)
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{error}");
        }
        let error = read("date,open\n2020-01-02,1\n", None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no column `close` among date, open"),
            "{error}"
        );
        assert!(error.contains("--column"), "{error}");
    }

    #[test]
    fn symbols_are_told_apart() {
        let text = "Ticker,Date,Close\nA,2020-01-02,1\nA,2020-01-03,2\nB,2020-01-02,5\n";
        assert_eq!(read(text, Some("A")).unwrap().closes, [1.0, 2.0]);
        assert_eq!(read(text, Some("B")).unwrap().closes, [5.0]);
        let error = read(text, Some("C")).unwrap_err().to_string();
        assert!(error.contains("which symbol? It has A, B"), "{error}");
        // The dates begin anew at B: that is not what is wrong.
        let error = read(text, None).unwrap_err().to_string();
        assert!(error.contains("which symbol? It has A, B"), "{error}");
        let error = read("date,close\n2020-01-02,1\n", Some("A")).unwrap_err();
        assert!(matches!(error, SeriesError::NoSymbols { .. }));
    }

    #[test]
    fn a_file_may_name_its_symbol() {
        let file: SeriesFile = "some/stocks.csv:AAPL".parse().unwrap();
        assert_eq!(file.path, Path::new("some/stocks.csv"));
        assert_eq!(file.symbol.as_deref(), Some("AAPL"));
        assert_eq!(file.to_string(), "stocks.csv:AAPL");
        let file: SeriesFile = "some/stocks.csv".parse().unwrap();
        assert_eq!(file.symbol, None);
    }
}
