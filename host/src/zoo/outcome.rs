//! What came of a system.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::{Figure, Lab, Settings, System, ZooError};
use crate::ui::Ui;

/// Whether a system ran, and did as the slides say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum State {
    /// All figures are met.
    #[serde(rename = "pass")]
    Pass,
    /// One is not.
    #[serde(rename = "fail")]
    Fail,
    /// Its data are not at hand.
    #[serde(rename = "no data")]
    NoData,
    /// This program cannot train.
    #[serde(rename = "no training")]
    NoTraining,
    /// It could not be run to its end.
    #[serde(rename = "error")]
    Error,
}

impl State {
    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "yes",
            Self::Fail => "no",
            Self::NoData => "no data",
            Self::NoTraining => "no training",
            Self::Error => "error",
        }
    }
}

/// A blob of a system's network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exported {
    /// Its network's recipe.
    pub recipe: String,
    /// `f32`, `i8`, …
    pub format: String,
    /// Bytes of flash that it takes.
    pub flash: u64,
    /// Bytes of its arena, to run.
    pub arena: u64,
    /// Its accuracy on the test samples, from 0 to 1; of numbers there is none.
    pub accuracy: Option<f64>,
    /// R² of each number that it gives.
    pub r2: Vec<f64>,
    /// FNV-1a 64 over all answers to the test samples.
    pub digest: String,
    /// The blob's file.
    pub path: PathBuf,
}

/// What came of a system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub system: &'static str,
    /// Its group.
    pub group: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Weights and biases of its largest network; 0 where it has none.
    pub parameters: u64,
    /// The figure of the slides that stands for it: the first that fails, else the first. Null where they give none.
    pub deck: f64,
    /// Ours.
    pub ours: f64,
    /// Bytes of the largest arena that one of its networks takes on a device; 0 where it has none.
    pub arena: usize,
    /// Whether all figures are met, false after an error; null where it did not run.
    pub pass: Option<bool>,
    /// The same in words: `pass`, `fail`, `no data`, `no training`, `error`.
    pub state: State,
    /// Why it could not be run to its end.
    pub error: Option<String>,
    /// What else is to be said: how to get the data, what has no room on the device.
    pub notes: Vec<String>,
    /// All figures.
    pub figures: Vec<Figure>,
    /// The blobs of its networks.
    pub models: Vec<Exported>,
    /// How long it took, training that was done before not counted.
    pub seconds: f64,
}

impl System {
    /// Runs it. What goes wrong is part of the outcome, so that others can go on.
    pub fn run(&self, settings: &Settings, ui: &Ui) -> Outcome {
        let started = Instant::now();
        let mut lab = Lab::new(settings, ui);
        let ran = (self.run)(&mut lab);
        let mut notes = std::mem::take(&mut lab.notes);
        let mut error = None;
        let (figures, hindered) = match ran {
            Ok(mut figures) => {
                figures.append(&mut lab.agreements);
                (figures, None)
            }
            Err(ZooError::Data(error)) if error.is_missing() => {
                notes.push(error.to_string());
                let source = lab.source.as_ref();
                notes.extend(source.map(|source| format!("these data: {source}")));
                (Vec::new(), Some(State::NoData))
            }
            Err(error @ ZooError::NoWeights) => {
                notes.push(error.to_string());
                (Vec::new(), Some(State::NoData))
            }
            Err(error @ ZooError::NoTraining) => {
                notes.push(error.to_string());
                (Vec::new(), Some(State::NoTraining))
            }
            Err(reason) => {
                error = Some(told(&reason));
                (Vec::new(), Some(State::Error))
            }
        };
        let fails = figures.iter().find(|figure| !figure.passes());
        let headline = fails.or(figures.first());
        let pass = !figures.is_empty() && fails.is_none();
        Outcome {
            system: self.name,
            group: self.group,
            title: self.title,
            parameters: lab.parameters(),
            deck: headline.map_or(f64::NAN, |figure| figure.deck),
            ours: headline.map_or(f64::NAN, |figure| figure.ours),
            arena: lab.arena(),
            pass: match hindered {
                None => Some(pass),
                Some(State::Error) => Some(false),
                Some(_) => None,
            },
            state: hindered.unwrap_or(if pass { State::Pass } else { State::Fail }),
            error,
            notes,
            figures,
            models: lab.models,
            seconds: started.elapsed().as_secs_f64(),
        }
    }
}

/// An error with what it comes from, each told once.
fn told(error: &ZooError) -> String {
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(reason) = source {
        let reason_told = reason.to_string();
        if !told.contains(&reason_told) {
            told = format!("{told}: {reason_told}");
        }
        source = reason.source();
    }
    told
}
