//! A model comes to know one writer: each of many learns from a few of his digits, and is tested on all his others.
//!
//! Every writer begins with the blob's weights. Errors before and after are counted on the same digits. What was learnt is kept
//! only where the mean loss over the writer's own samples fell from the first pass to the last and no step diverged; else the
//! device goes back to the blob, and the writer counts with the errors that it makes.

mod count;

use nn_core::digest::Fnv1a;
use nn_core::model::Model;
use nn_core::train::{Sgd, Target};
use rayon::prelude::*;

pub use count::{Count, Ratio};

use crate::blob::Blob;
use crate::data::DataSet;
use crate::data::writers::Writer;
use crate::device::{Device, DeviceError, Here};
use crate::sample::{self, SampleError};
use crate::ui::{Progress, Ui};

/// Who learns, and how.
#[derive(Debug, Clone)]
pub struct Plan<'w> {
    /// The writers.
    pub writers: &'w [Writer],
    /// How many of his first digits each learns from; each count is a trial of its own, from the blob's weights.
    pub samples: Vec<usize>,
    /// How often they are gone through.
    pub passes: usize,
    /// The rates; `None` for those of the model's training plan.
    pub sgd: Option<Sgd>,
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum PersonalizeError {
    /// The device refused, or did not answer.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A digit that does not fit the model.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// More samples than a writer has.
    #[error("writer {writer} has {found} digits; wanted more than {wanted}: lower --samples")]
    Few {
        /// Who.
        writer: u32,
        /// The samples to learn from.
        wanted: usize,
        /// What there is.
        found: usize,
    },
}

/// One writer with one count of samples.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Trial {
    /// NIST's number of the writer.
    pub writer: u32,
    /// Digits learnt from.
    pub samples: usize,
    /// Digits tested on.
    pub tests: usize,
    /// Of those misread by the blob.
    pub before: usize,
    /// Of those misread by what is kept.
    pub after: usize,
    /// Whether what was learnt was kept.
    pub kept: bool,
    /// Steps that diverged and were refused.
    pub refused: usize,
    /// FNV-1a 64 of the answers after learning and the weights.
    #[serde(skip)]
    pub digest: u64,
}

/// Every writer, every count, in their order, on one device.
///
/// # Errors
/// [`PersonalizeError`].
pub fn personalize(
    device: &mut dyn Device,
    blob: &Blob,
    set: &DataSet,
    plan: &Plan<'_>,
    ui: &Ui,
) -> Result<Vec<Trial>, PersonalizeError> {
    let progress = progress(plan, ui);
    if let Some(sgd) = plan.sgd {
        device.set_sgd(sgd)?;
    }
    let mut trials = Vec::new();
    for writer in plan.writers {
        trials.extend(one(device, &blob.model(), set, plan, writer, &progress)?);
    }
    progress.finish();
    Ok(trials)
}

/// The same in this process, on all cores; with the same results.
///
/// # Errors
/// [`PersonalizeError`].
pub fn personalize_here(
    blob: &Blob,
    set: &DataSet,
    plan: &Plan<'_>,
    ui: &Ui,
) -> Result<Vec<Trial>, PersonalizeError> {
    let progress = progress(plan, ui);
    let trials: Result<Vec<Vec<Trial>>, PersonalizeError> = plan
        .writers
        .par_iter()
        .map(|writer| {
            let mut device = Here::new(blob)?;
            if let Some(sgd) = plan.sgd {
                device.set_sgd(sgd)?;
            }
            one(&mut device, &blob.model(), set, plan, writer, &progress)
        })
        .collect();
    progress.finish();
    Ok(trials?.concat())
}

/// FNV-1a 64 over the digests of all trials.
pub fn digest(trials: &[Trial]) -> u64 {
    let mut digest = Fnv1a::new();
    for trial in trials {
        digest.update(&trial.digest.to_le_bytes());
    }
    digest.finish()
}

fn progress(plan: &Plan<'_>, ui: &Ui) -> Progress {
    let trials = plan.writers.len() * plan.samples.len();
    ui.progress("writers", trials as u64)
}

fn one(
    device: &mut dyn Device,
    model: &Model<'_>,
    set: &DataSet,
    plan: &Plan<'_>,
    writer: &Writer,
    progress: &Progress,
) -> Result<Vec<Trial>, PersonalizeError> {
    let input = model.input(0).ok_or(SampleError::DType("none"))?;
    let output = model.output(0).ok_or(SampleError::DType("none"))?;
    let mut digest = Fnv1a::new();
    let mut misread = |device: &mut dyn Device, digits: &[usize]| {
        let mut wrong = Vec::with_capacity(digits.len());
        for &index in digits {
            let answer = device.infer(&set.encode(&input, index)?)?;
            digest.update(&answer);
            let read = sample::prediction(&sample::scores(&output, &answer)?);
            wrong.push(read != set.label(index));
        }
        Ok::<_, PersonalizeError>(wrong)
    };
    device.reset()?;
    let before = misread(device, &writer.digits)?;
    let errors = |wrong: &[bool]| wrong.iter().filter(|wrong| **wrong).count();
    let mut trials = Vec::new();
    for &samples in &plan.samples {
        let Some((own, tests)) = writer.digits.split_at_checked(samples) else {
            return Err(few(writer, samples));
        };
        if tests.is_empty() {
            return Err(few(writer, samples));
        }
        device.reset()?;
        let mut refused = 0;
        // Of the first pass and the last.
        let mut losses = [0.0; 2];
        for pass in 0..plan.passes {
            let mut loss = 0.0;
            for &index in own {
                // Labels are bytes.
                let class = Target::Class(set.label(index) as u16);
                match device.train(&set.encode(&input, index)?, class) {
                    Ok(report) => loss += f64::from(report.loss),
                    Err(error) if error.is_divergence() => refused += 1,
                    Err(error) => return Err(error.into()),
                }
            }
            if pass == 0 {
                losses[0] = loss;
            }
            losses[1] = loss;
        }
        // Not a number is not less.
        let kept = refused == 0 && (losses[1] < losses[0] || plan.passes == 1);
        if !kept {
            device.reset()?;
        }
        let after = misread(device, tests)?;
        trials.push(Trial {
            writer: writer.id,
            samples,
            tests: tests.len(),
            before: errors(&before[samples..]),
            after: errors(&after),
            kept,
            refused,
            digest: device.weights_digest()?,
        });
        progress.inc(1);
    }
    device.reset()?;
    let answers = digest.finish();
    for trial in &mut trials {
        trial.digest ^= answers;
    }
    Ok(trials)
}

fn few(writer: &Writer, samples: usize) -> PersonalizeError {
    PersonalizeError::Few {
        writer: writer.id,
        wanted: samples,
        found: writer.digits.len(),
    }
}

#[cfg(test)]
mod tests;
