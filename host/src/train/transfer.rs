//! Weights that a training begins with from another one: tensors by name and shape.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::TrainError;
use crate::checkpoint::{Checkpoint, Values, read_tensors};
use crate::paths;
use crate::recipe::Recipe;

/// How many names an error tells.
const NAMED: usize = 4;

/// What a network took from a file. Serializes to what `mote train --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// The file.
    pub file: PathBuf,
    /// The tensors taken.
    pub taken: Vec<String>,
    /// The network's other tensors: they began as they do without the file.
    pub not_taken: Vec<NotTaken>,
    /// Tensors of the file that the network has no place for.
    pub unused: Vec<String>,
}

/// A tensor that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotTaken {
    /// Its name.
    pub name: String,
    /// Its shape in the network.
    pub wanted: Vec<usize>,
    /// Its shape in the file, when it is there.
    pub found: Option<Vec<usize>>,
}

impl NotTaken {
    /// `dense_2.bias ([10], not there)`.
    pub fn described(&self) -> String {
        match &self.found {
            Some(found) => format!("{} ({:?}, there {found:?})", self.name, self.wanted),
            None => format!("{} ({:?}, not there)", self.name, self.wanted),
        }
    }
}

/// The file that `start` names: itself, or the checkpoint in a run's folder.
pub(super) fn file(start: &Path) -> PathBuf {
    if start.is_dir() {
        start.join(paths::CHECKPOINT)
    } else {
        start.to_owned()
    }
}

/// The tensors of `file` that have name and shape of one of the network's.
pub(super) fn take(
    recipe: &Recipe,
    file: &Path,
) -> Result<(BTreeMap<String, Values>, Transfer), TrainError> {
    if !file.exists() {
        let path = file.to_owned();
        return Err(TrainError::NoStart { path });
    }
    let mut there = read_tensors(file)?;
    there.retain(|name, _| Checkpoint::is_parameter(name));
    let (mut taken, mut not_taken) = (BTreeMap::new(), Vec::new());
    for layer in recipe.layers() {
        for tensor in layer.tensors() {
            let name = format!("{}.{}", layer.name, tensor.name);
            match there.remove(&name) {
                Some(values) if values.shape == tensor.shape => {
                    taken.insert(name, values);
                }
                other => not_taken.push(NotTaken {
                    name,
                    wanted: tensor.shape,
                    found: other.map(|values| values.shape),
                }),
            }
        }
    }
    if taken.is_empty() {
        let wanted = not_taken
            .iter()
            .map(|tensor| (&tensor.name, &tensor.wanted));
        let other = not_taken
            .iter()
            .filter_map(|t| Some((&t.name, t.found.as_ref()?)));
        let found = other.chain(there.iter().map(|(name, values)| (name, &values.shape)));
        return Err(TrainError::NothingFits {
            path: file.to_owned(),
            wanted: some(wanted),
            found: some(found),
        });
    }
    let transfer = Transfer {
        file: file.to_owned(),
        taken: taken.keys().cloned().collect(),
        not_taken,
        unused: there.into_keys().collect(),
    };
    Ok((taken, transfer))
}

/// The first names with their shapes, and how many more there are.
fn some<'t>(tensors: impl Iterator<Item = (&'t String, &'t Vec<usize>)>) -> String {
    let all: Vec<String> = tensors
        .map(|(name, shape)| format!("{name} {shape:?}"))
        .collect();
    match all.len() {
        0 => "none".to_owned(),
        count if count > NAMED => format!("{} and {} more", all[..NAMED].join(", "), count - NAMED),
        _ => all.join(", "),
    }
}
