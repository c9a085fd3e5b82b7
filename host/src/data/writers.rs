//! Who wrote each digit of MNIST: 539 people wrote the training set, others the test set.
//!
//! The file is QMNIST's extended labels (C. Yadav, L. Bottou: Cold Case: The Lost MNIST Digits, 2019): IDX, 8 whole numbers
//! a digit, in the order of MNIST: label, series, writer and five more.
//!
//! Writers of at least [`ENOUGH`] training digits are brought into a random order that never changes. The first
//! [`HELD_OUT`] of them are for reports alone, the next [`VALIDATION`] for choosing rates; a recipe with
//! `exclude_writers = true` learns from neither.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{DataError, Idx, Stream, folder};
use crate::paths;

/// Digits that a writer must have to be held out: 100 to learn from and some to test on.
pub const ENOUGH: usize = 110;
/// Writers for reports.
pub const HELD_OUT: usize = 100;
/// Writers for choosing rates.
pub const VALIDATION: usize = 60;

const FOLDER: &str = "qmnist-writer-ids";
const FILE: &str = "qmnist-train-labels-idx2-int";
/// Numbers of a digit, and which of them are its label and its writer.
const NUMBERS: usize = 8;
const LABEL: usize = 0;
const WRITER: usize = 2;

/// Some of the writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// For reports; nothing is chosen by them.
    HeldOut,
    /// For choosing rates.
    Validation,
    /// All others: those that a network learns from.
    Others,
}

/// Which digits of MNIST's training set each writer wrote, in the order of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writers {
    held_out: Vec<Writer>,
    validation: Vec<Writer>,
    others: Vec<Writer>,
}

/// One writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The number that NIST gave him.
    pub id: u32,
    /// His digits, in turns: the first of each class, then the second of each, as a device would ask for them.
    pub digits: Vec<usize>,
}

impl Writers {
    /// Reads the ids of the training set, whose labels are `labels`. `given` is what `--data` says; else they are looked for where
    /// `MOTE_DATA` says, and in `.cache/data`.
    ///
    /// # Errors
    /// When the file is missing, damaged, or of another set.
    pub fn read(given: Option<&Path>, labels: &[u8]) -> Result<Self, DataError> {
        let path = find(given).ok_or_else(|| DataError::NoWriters {
            folder: folder(given),
        })?;
        let (dimensions, numbers) = Idx::read_words(&path)?;
        let content = |wanted: String, found: String| DataError::Content {
            path: path.clone(),
            wanted,
            found,
        };
        if dimensions != [labels.len(), NUMBERS] {
            let wanted = format!("{} rows of {NUMBERS} numbers", labels.len());
            return Err(content(wanted, format!("{dimensions:?}")));
        }
        let mut all: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, (row, &label)) in numbers.chunks_exact(NUMBERS).zip(labels).enumerate() {
            if row[LABEL] != u32::from(label) {
                let wanted = format!("label {label} in row {index}, as in the set's own file");
                return Err(content(wanted, row[LABEL].to_string()));
            }
            all.entry(row[WRITER]).or_default().push(index);
        }
        for digits in all.values_mut() {
            *digits = in_turns(digits, labels);
        }
        Ok(Self::divide(all))
    }

    fn divide(all: BTreeMap<u32, Vec<usize>>) -> Self {
        let all = all.into_iter().map(|(id, digits)| Writer { id, digits });
        let (mut enough, mut others): (Vec<Writer>, Vec<Writer>) =
            all.partition(|writer| writer.digits.len() >= ENOUGH);
        Stream::new(0, Stream::WRITERS, 0, 0).shuffle(&mut enough);
        let rest = enough.split_off(enough.len().min(HELD_OUT + VALIDATION));
        others.extend(rest);
        let validation = enough.split_off(enough.len().min(HELD_OUT));
        Self {
            held_out: enough,
            validation,
            others,
        }
    }

    /// The writers of a group.
    pub fn group(&self, group: Group) -> &[Writer] {
        match group {
            Group::HeldOut => &self.held_out,
            Group::Validation => &self.validation,
            Group::Others => &self.others,
        }
    }

    /// The digits of a group, in the order of the set.
    pub fn digits(&self, group: Group) -> Vec<usize> {
        let writers = self.group(group).iter();
        let mut digits: Vec<usize> = writers.flat_map(|w| w.digits.iter().copied()).collect();
        digits.sort_unstable();
        digits
    }
}

/// The first of each class, in the order of the classes, then the second of each, and so on.
fn in_turns(digits: &[usize], labels: &[u8]) -> Vec<usize> {
    let mut count: BTreeMap<u8, usize> = BTreeMap::new();
    let mut placed: Vec<(usize, u8, usize)> = Vec::with_capacity(digits.len());
    for &index in digits {
        let label = labels[index];
        let turn = count.entry(label).or_default();
        placed.push((*turn, label, index));
        *turn += 1;
    }
    placed.sort_unstable();
    placed.into_iter().map(|(_, _, index)| index).collect()
}

fn find(given: Option<&Path>) -> Option<PathBuf> {
    let cache = paths::cache_dir().join("data");
    let places = [folder(given), folder(None), cache];
    let places = places
        .iter()
        .flat_map(|place| [place.join(FOLDER), place.clone()]);
    places
        .into_iter()
        .find_map(|place| super::find(&place, FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_turns() {
        let labels = [1, 1, 0, 2, 1, 0];
        assert_eq!(in_turns(&[0, 1, 2, 3, 4, 5], &labels), [2, 0, 3, 5, 1, 4]);
        assert_eq!(in_turns(&[4, 0], &labels), [4, 0]);
    }

    #[test]
    fn groups_are_apart_and_stay_as_they_are() {
        let all: BTreeMap<u32, Vec<usize>> = (0..400usize)
            .map(|id| {
                let count = if id % 4 == 0 { ENOUGH - 1 } else { ENOUGH };
                let first = id * 200;
                // Fewer writers than u32 holds.
                (id as u32, (first..first + count).collect())
            })
            .collect();
        let writers = Writers::divide(all.clone());
        assert_eq!(writers.group(Group::HeldOut).len(), HELD_OUT);
        assert_eq!(writers.group(Group::Validation).len(), VALIDATION);
        let groups = [Group::HeldOut, Group::Validation, Group::Others];
        let mut digits: Vec<usize> = groups.map(|group| writers.digits(group)).concat();
        digits.sort_unstable();
        let wanted: Vec<usize> = all.values().flatten().copied().collect();
        assert_eq!(digits, wanted);
        assert_eq!(writers, Writers::divide(all));
        let enough = |writer: &Writer| writer.digits.len() >= ENOUGH;
        assert!(writers.group(Group::HeldOut).iter().all(enough));
    }
}
