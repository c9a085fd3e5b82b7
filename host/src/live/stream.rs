//! Streams samples to a device, and tells what comes of each.

use std::ops::ControlFlow;
use std::time::Instant;

use nn_core::tensor::Tensor;
use nn_core::train::{Sgd, Target};
use serde::Serialize;

use super::{Layer, Seen, State};
use crate::data::DataSet;
use crate::device::{Device, DeviceError};
use crate::sample::{SampleError, prediction, scores};

/// What to stream, and whether it is learnt from.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The samples, in order.
    pub samples: DataSet,
    /// Whether the device learns from each.
    pub learns: bool,
    /// Other rates than the model's.
    pub sgd: Option<Sgd>,
}

/// What happened, with stable names for programs.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'s> {
    /// It begins.
    Start {
        /// Where.
        on: &'s str,
        /// Board, core, clock.
        board: &'s str,
        /// The model's name.
        model: &'s str,
        /// Bytes of arena that the model wants.
        arena: usize,
        /// Bytes of arena that there are.
        arena_len: usize,
        /// Bytes of all that is learnt.
        weights_len: usize,
        /// Whether the device learns.
        learns: bool,
        /// Samples that there will be.
        samples: usize,
        /// What `layers` counts.
        unit: &'s str,
        /// What each layer takes of a run; empty where nobody counts.
        layers: &'s [Layer],
    },
    /// A sample was run, or learnt from.
    Sample {
        /// Which, and what came of it.
        #[serde(flatten)]
        seen: Seen,
        /// The share of all samples so far that was right.
        accuracy: f64,
        /// The same of the last hundred.
        recent: f64,
        /// Since the first sample.
        seconds: f64,
    },
    /// It is over.
    End {
        /// Samples.
        samples: usize,
        /// How many were right.
        right: usize,
        /// The share of them.
        accuracy: f64,
        /// The mean loss; `None` where nothing was learnt.
        mean_loss: Option<f64>,
        /// FNV-1a 64 of all that is learnt; `None` where the model does not learn.
        digest: Option<&'s str>,
        /// Since the first sample.
        seconds: f64,
    },
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The device refused, or did not answer.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A sample that does not fit the model.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Where it is shown cannot be written to.
    #[error("cannot show it: {0}")]
    Show(#[from] std::io::Error),
}

/// Streams the samples of `plan` to `device`, whose model reads `input` and gives `output`. `show` sees each event with the
/// state after it, and may end it.
///
/// # Errors
/// [`LiveError`].
pub fn stream(
    device: &mut dyn Device,
    [input, output]: [&Tensor; 2],
    plan: &Plan,
    state: &mut State,
    mut show: impl FnMut(&Event<'_>, &State) -> std::io::Result<ControlFlow<()>>,
) -> Result<(), LiveError> {
    if let (true, Some(sgd)) = (plan.learns, plan.sgd) {
        device.set_sgd(sgd)?;
    }
    state.total = plan.samples.len();
    let start = Event::Start {
        on: &state.on,
        board: &state.board,
        model: &state.model,
        arena: state.arena[0],
        arena_len: state.arena[1],
        weights_len: state.learnt,
        learns: plan.learns,
        samples: state.total,
        unit: state.unit,
        layers: &state.layers,
    };
    let mut flow = show(&start, state)?;
    let started = Instant::now();
    for index in 0..plan.samples.len() {
        if flow.is_break() {
            break;
        }
        let bytes = plan.samples.encode(input, index)?;
        let label = plan.samples.label(index);
        let (read, loss) = match plan.learns {
            true => {
                // Labels are bytes.
                let report = device.train(&bytes, Target::Class(label as u16))?;
                (usize::from(report.prediction), Some(report.loss))
            }
            false => (prediction(&scores(output, &device.infer(&bytes)?)?), None),
        };
        let seen = Seen {
            index,
            label,
            prediction: read,
            right: read == label,
            loss,
        };
        state.push(seen);
        state.seconds = started.elapsed().as_secs_f64();
        let event = Event::Sample {
            seen,
            accuracy: state.accuracy(),
            recent: state.recent(),
            seconds: state.seconds,
        };
        flow = show(&event, state)?;
    }
    if device.info().weights_len > 0 {
        state.digest = Some(format!("{:016x}", device.weights_digest()?));
    }
    let end = Event::End {
        samples: state.samples,
        right: state.right,
        accuracy: state.accuracy(),
        mean_loss: (plan.learns && state.samples > 0).then(|| state.course.mean_loss()),
        digest: state.digest.as_deref(),
        seconds: state.seconds,
    };
    // There is nothing left to end.
    show(&end, state).map(|_| ())?;
    Ok(())
}
