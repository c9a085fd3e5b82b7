//! Pseudo-labels: training in rounds, of which each labels samples for the next.
//!
//! ```text
//! round 0             learns from the labels that are known
//! each round after it learns anew, from those and from what the round before is sure of
//! ```
//!
//! Samples that are held out keep their labels, and are learnt from in no round. Each round but the last has a folder of its
//! own, so that a training that was stopped goes on in the round that it was in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::network::Network;
use super::{Files, Learnt, Observer, Options, Task, TrainError};
use crate::checkpoint::Progress;
use crate::data::{DataSet, Split};
use crate::recipe::Pseudo;

/// What the network of a round made of the samples without labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Labelled {
    /// The round that learns from it, from 1.
    pub round: usize,
    /// Samples without a label.
    pub unlabelled: usize,
    /// Those that got one.
    pub labelled: usize,
    /// Those of which it is the right one, as their true labels tell, which training does not look at.
    pub right: usize,
}

/// All rounds.
pub(super) struct Rounds {
    /// The last.
    pub(super) learnt: Learnt,
    /// The network that knows nothing but the labels, where training came to its end.
    pub(super) alone: Option<Network>,
    pub(super) labelled: Vec<Labelled>,
}

/// Trains as `pseudo` says.
pub(super) fn train(
    task: &Task<'_>,
    pseudo: &Pseudo,
    mut set: DataSet,
    observer: &mut dyn Observer,
) -> Result<Rounds, TrainError> {
    let directory = &task.options.directory;
    let last = pseudo.rounds.get();
    if !task.options.resume {
        for round in 0..=last {
            forget(&Files::of(&folder(directory, round, last)).checkpoint)?;
        }
    }
    let truth = set.labels.clone();
    let options = |round: usize| {
        let directory = folder(directory, round, last);
        let begun = Files::of(&directory).checkpoint.is_file();
        let epochs = match round {
            0 => task.options.epochs,
            _ => Some(pseudo.epochs.get()),
        };
        Options {
            resume: task.options.resume && begun,
            directory,
            epochs,
            ..task.options.clone()
        }
    };
    let split = |progress: &Progress| divide(task, pseudo, &set, progress);
    let mut learnt = task.learn(&options(0), &set, &split, observer)?;
    let known = divide(task, pseudo, &set, &learnt.progress)?;
    let pool = pool(task, pseudo, &set, &learnt.progress, &known.training)?;
    let mut alone = None;
    let mut labelled = Vec::new();
    for round in 1..=last {
        if !learnt.finished {
            break;
        }
        let told = task.workers.classify(&learnt.network, &set, &pool)?;
        let mut training = known.training.clone();
        let mut right = 0;
        for (&index, (class, sureness)) in pool.iter().zip(told) {
            if sureness >= pseudo.threshold {
                right += usize::from(truth[index] == class);
                set.labels[index] = class;
                training.push(index);
            }
        }
        let count = Labelled {
            round,
            unlabelled: pool.len(),
            labelled: training.len() - known.training.len(),
            right,
        };
        observer.labelled(&count);
        labelled.push(count);
        let split = |_: &Progress| {
            Ok(Split {
                training: training.clone(),
                validation: known.validation.clone(),
            })
        };
        let next = task.learn(&options(round), &set, &split, observer)?;
        let before = std::mem::replace(&mut learnt, next);
        if round == 1 {
            alone = Some(before.network);
        }
    }
    Ok(Rounds {
        alone: alone.filter(|_| learnt.finished),
        learnt,
        labelled,
    })
}

/// The folder of a round: the last has that of the training.
fn folder(directory: &Path, round: usize, last: usize) -> PathBuf {
    match round == last {
        true => directory.to_path_buf(),
        false => directory.join(format!("round-{round}")),
    }
}

/// What a training before this one left would be taken for a round of it.
fn forget(checkpoint: &Path) -> Result<(), TrainError> {
    match std::fs::remove_file(checkpoint) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            let path = checkpoint.to_path_buf();
            Err(crate::checkpoint::CheckpointError::Write { path, source }.into())
        }
        _ => Ok(()),
    }
}

/// The samples whose labels are known, and those held out.
fn divide(
    task: &Task<'_>,
    pseudo: &Pseudo,
    set: &DataSet,
    progress: &Progress,
) -> Result<Split, TrainError> {
    let split = task.split(set, progress)?;
    let each = pseudo.labels.get() / set.classes.max(1);
    let mut counts = vec![0; set.classes];
    let mut training = split.training;
    training.retain(|&index| {
        let count = &mut counts[set.label(index)];
        *count += 1;
        *count <= each
    });
    if let Some(class) = counts.iter().position(|&count| count < each) {
        return Err(TrainError::FewLabels {
            class,
            wanted: each,
            found: counts[class],
        });
    }
    Ok(Split {
        training,
        validation: split.validation,
    })
}

/// The samples that are learnt from without their labels.
fn pool(
    task: &Task<'_>,
    pseudo: &Pseudo,
    set: &DataSet,
    progress: &Progress,
    known: &[usize],
) -> Result<Vec<usize>, TrainError> {
    let mut pool = task.split(set, progress)?.training;
    let known: BTreeSet<usize> = known.iter().copied().collect();
    pool.retain(|index| !known.contains(index));
    if let Some(most) = pseudo.unlabelled {
        pool.truncate(most.get());
    }
    Ok(pool)
}
