//! The section `[data.table]`: what a table must have to be read.

use super::error::{Misfit, within};
use crate::data::{Scaling, Table};

/// Whether its fields make a table.
pub(super) fn check(table: &Table) -> Result<(), Misfit> {
    if table.inputs.is_empty() {
        return Err(Misfit::field("table.inputs", "at least one column", "none"));
    }
    let mut seen: Vec<&str> = Vec::new();
    let named = table
        .inputs
        .iter()
        .chain(&table.outputs)
        .chain(&table.class);
    for name in named {
        if seen.contains(&name.as_str()) {
            let found = format!("`{name}` a second time");
            return Err(Misfit::field("table", "each column once", found));
        }
        if !table.columns.is_empty() && !table.columns.contains(name) {
            let wanted = format!("one of `columns`: {}", table.columns.join(", "));
            return Err(Misfit::field("table", wanted, format!("`{name}`")));
        }
        seen.push(name);
    }
    if table.outputs.is_empty() && table.class.is_none() {
        let wanted = "the columns that are wanted: `outputs`, or `class` with `classes`";
        return Err(Misfit::field("table", wanted, "neither"));
    }
    match (&table.class, table.classes.len()) {
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
    if table.outputs.is_empty() && table.scale_outputs != Scaling::None {
        let wanted = "nothing: a class is not scaled";
        return Err(Misfit::field("table.scale_outputs", wanted, "one"));
    }
    if !table.header && table.columns.is_empty() {
        let wanted = "the names of all columns, as the file's first line has none";
        return Err(Misfit::field("table.columns", wanted, "none"));
    }
    if !table.delimiter.is_ascii() {
        let wanted = "one of ASCII's characters";
        return Err(Misfit::field("table.delimiter", wanted, table.delimiter));
    }
    match (table.train, &table.test) {
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
