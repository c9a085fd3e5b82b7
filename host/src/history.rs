//! The history of a training: one row an epoch, as CSV, and as TensorBoard reads it.

mod events;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use events::write_events;

/// The first line of a history.
const HEADER: &str = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds";

/// What one epoch brought. Accuracies go from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochRow {
    /// From 1.
    pub epoch: usize,
    /// Mean loss while learning, with augmentation and dropout.
    pub train_loss: f64,
    /// Accuracy while learning, with augmentation and dropout; of numbers there is none.
    pub train_accuracy: Option<f64>,
    /// Mean loss on the samples held out, when there are any.
    pub val_loss: Option<f64>,
    /// Accuracy on the samples held out, when there are any, and it has one.
    pub val_accuracy: Option<f64>,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// How long the epoch took.
    pub seconds: f64,
}

/// Why a history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read or written.
    #[error("cannot read or write the history {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what a history has there.
    #[error("{path}, line {line}: wanted `{wanted}`, found `{found}`; delete the file to go on")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The columns.
        wanted: &'static str,
        /// The line.
        found: String,
    },
}

/// Writes `rows` as CSV, and makes its folder. What was not measured stays empty.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, rows: &[EpochRow]) -> Result<(), HistoryError> {
    let mut text = format!("{HEADER}\n");
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for row in rows {
        let (val_loss, val_accuracy) = (optional(row.val_loss), optional(row.val_accuracy));
        let train_accuracy = optional(row.train_accuracy);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{},{},{train_accuracy},{val_loss},{val_accuracy},{},{:.3}",
            row.epoch, row.train_loss, row.learning_rate, row.seconds
        );
    }
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder
        .and_then(|()| std::fs::write(path, text))
        .map_err(|source| HistoryError::File {
            path: path.to_path_buf(),
            source,
        })
}

/// Reads what [`write()`] wrote; no file is an empty history.
///
/// # Errors
/// When the file cannot be read, or is no history.
pub fn read(path: &Path) -> Result<Vec<EpochRow>, HistoryError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(HistoryError::File {
                path: path.to_path_buf(),
                source,
            });
        }
    };
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let row = if index == 0 {
            (line == HEADER).then_some(None)
        } else {
            row(line).map(Some)
        };
        match row {
            Some(row) => rows.extend(row),
            None => {
                return Err(HistoryError::Line {
                    path: path.to_path_buf(),
                    line: index + 1,
                    wanted: HEADER,
                    found: line.to_owned(),
                });
            }
        }
    }
    Ok(rows)
}

fn row(line: &str) -> Option<EpochRow> {
    let mut fields = line.split(',');
    let mut next = || fields.next();
    let optional = |text: &str| {
        if text.is_empty() {
            Some(None)
        } else {
            text.parse().ok().map(Some)
        }
    };
    let row = EpochRow {
        epoch: next()?.parse().ok()?,
        train_loss: next()?.parse().ok()?,
        train_accuracy: optional(next()?)?,
        val_loss: optional(next()?)?,
        val_accuracy: optional(next()?)?,
        learning_rate: next()?.parse().ok()?,
        seconds: next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let path = std::env::temp_dir().join(format!("mote-history-{}.csv", std::process::id()));
        let row = EpochRow {
            epoch: 1,
            train_loss: 0.1 + 0.2,
            train_accuracy: Some(0.9),
            val_loss: Some(0.25),
            val_accuracy: None,
            learning_rate: 1e-3,
            seconds: 12.5,
        };
        write(&path, &[row, EpochRow { epoch: 2, ..row }]).unwrap();
        let rows = read(&path);
        std::fs::write(&path, format!("{HEADER}\n1,2,3\n")).unwrap();
        let error = read(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(rows.unwrap(), [row, EpochRow { epoch: 2, ..row }]);
        assert!(
            error.contains("line 2") && error.contains("`1,2,3`"),
            "{error}"
        );
        assert_eq!(read(&path).unwrap(), []);
    }
}
