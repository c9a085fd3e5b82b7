//! From cells to numbers: what is missing, what is wanted, and how columns are scaled.

use std::path::Path;

use super::file::{Cell, Rows};
use super::{Missing, Scaling, Table, TableError};
use crate::data::Column;

/// The cells that a table names, as numbers; column by column.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    /// Of each input; `None` where a cell is empty and may be.
    pub(super) inputs: Vec<Vec<Option<f64>>>,
    /// Of each output.
    pub(super) outputs: Vec<Vec<Option<f64>>>,
    /// The class of each row.
    pub(super) labels: Vec<u8>,
}

impl Numbers {
    pub(super) fn read(table: &Table, rows: &Rows, wanted: &[&String]) -> Result<Self, TableError> {
        let read = |name: &str| -> Result<Vec<Option<f64>>, TableError> {
            let cells = rows.column(name)?;
            cells.map(|cell| number(table, rows, name, &cell)).collect()
        };
        let inputs = table.inputs.iter().map(|name| read(name));
        let outputs = wanted.iter().map(|name| read(name));
        let labels: Vec<Option<u8>> = match &table.class {
            None => vec![Some(0); rows.len()],
            Some(name) => {
                let cells = rows.column(name)?;
                let labels = cells.map(|cell| class(table, rows, name, &cell));
                labels.collect::<Result<_, _>>()?
            }
        };
        let all = Self {
            inputs: inputs.collect::<Result<_, _>>()?,
            outputs: outputs.collect::<Result<_, _>>()?,
            labels: labels.iter().map(|label| label.unwrap_or(0)).collect(),
        };
        // What is not known cannot be learnt.
        let full = |columns: &[Vec<Option<f64>>], row: usize| {
            columns.iter().all(|column| column[row].is_some())
        };
        let kept = (0..rows.len()).filter(|&row| {
            let inputs = table.missing != Missing::Drop || full(&all.inputs, row);
            inputs && full(&all.outputs, row) && labels[row].is_some()
        });
        Ok(all.select(&kept.collect::<Vec<_>>()))
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn select(&self, rows: &[usize]) -> Self {
        let select = |column: &Vec<Option<f64>>| rows.iter().map(|&row| column[row]).collect();
        Self {
            inputs: self.inputs.iter().map(select).collect(),
            outputs: self.outputs.iter().map(select).collect(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
        }
    }
}

fn number(
    table: &Table,
    rows: &Rows,
    column: &str,
    cell: &Cell<'_>,
) -> Result<Option<f64>, TableError> {
    if cell.is_empty() {
        return gap(table, rows, column, cell.line);
    }
    match cell.text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(TableError::Number {
            path: rows.path.clone(),
            line: cell.line,
            column: column.to_owned(),
            found: cell.text.to_owned(),
        }),
    }
}

fn gap<T>(table: &Table, rows: &Rows, column: &str, line: u64) -> Result<Option<T>, TableError> {
    if table.missing != Missing::Refuse {
        return Ok(None);
    }
    Err(TableError::Missing {
        path: rows.path.clone(),
        line,
        column: column.to_owned(),
    })
}

fn class(
    table: &Table,
    rows: &Rows,
    column: &str,
    cell: &Cell<'_>,
) -> Result<Option<u8>, TableError> {
    let named = table.classes.iter().position(|class| class == cell.text);
    if named.is_none() && cell.is_empty() {
        return gap(table, rows, column, cell.line);
    }
    let placed = || cell.text.parse::<usize>().ok();
    let place = named
        .or_else(placed)
        .filter(|&place| place < table.classes.len());
    // A table has at most 256 classes.
    let label = place.and_then(|place| u8::try_from(place).ok());
    label.map(Some).ok_or_else(|| TableError::Class {
        path: rows.path.clone(),
        line: cell.line,
        column: column.to_owned(),
        wanted: table.classes.join(", "),
        found: cell.text.to_owned(),
    })
}

/// How columns are scaled, and what fills their gaps.
pub(super) struct Scaled {
    pub(super) columns: Vec<Column>,
    medians: Vec<f64>,
}

impl Scaled {
    /// As `known`, the rows to learn from, tell.
    pub(super) fn of<N: AsRef<str>>(
        names: &[N],
        known: &[Vec<Option<f64>>],
        scaling: Scaling,
        path: &Path,
    ) -> Result<Self, TableError> {
        let (mut columns, mut medians) = (Vec::new(), Vec::new());
        for (name, cells) in names.iter().zip(known) {
            let name = name.as_ref().to_owned();
            let mut given: Vec<f64> = cells.iter().copied().flatten().collect();
            given.sort_by(f64::total_cmp);
            let Some(median) = median(&given) else {
                let path = path.to_path_buf();
                return Err(TableError::Hollow { path, column: name });
            };
            let filled: Vec<f64> = cells.iter().map(|cell| cell.unwrap_or(median)).collect();
            let (center, scale) = scale(&filled, scaling);
            medians.push(median);
            columns.push(Column {
                name,
                center,
                scale,
            });
        }
        Ok(Self { columns, medians })
    }

    /// The scaled numbers of columns, row by row.
    pub(super) fn rows(&self, cells: &[Vec<Option<f64>>]) -> Vec<f32> {
        let rows = cells.first().map_or(0, Vec::len);
        let mut numbers = Vec::with_capacity(rows * cells.len());
        for row in 0..rows {
            let columns = self.columns.iter().zip(&self.medians).zip(cells);
            numbers.extend(
                columns
                    .map(|((column, median), cells)| column.scaled(cells[row].unwrap_or(*median))),
            );
        }
        numbers
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(lower + (upper - lower) / 2.0)
}

/// Center and scale of a column.
fn scale(cells: &[f64], scaling: Scaling) -> (f64, f64) {
    let count = cells.len().max(1) as f64;
    let mean = cells.iter().sum::<f64>() / count;
    let (least, most) = cells.iter().fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(least, most), &cell| (least.min(cell), most.max(cell)),
    );
    let (center, scale) = match scaling {
        Scaling::None => (0.0, 1.0),
        Scaling::Center => (mean, 1.0),
        Scaling::Standard => {
            let squares = cells.iter().map(|cell| (cell - mean) * (cell - mean));
            (mean, (squares.sum::<f64>() / count).sqrt())
        }
        Scaling::MinMax => (least, most - least),
    };
    match least == most && scaling != Scaling::None {
        true => (center, 1.0),
        false => (center, scale),
    }
}
