//! What is known of a device so far.

use std::collections::VecDeque;

use serde::Serialize;

use crate::curve::{Course, Point};

/// Samples that are shown.
const SEEN: usize = 64;
/// Samples whose hits are the recent accuracy.
const RECENT: usize = 100;

/// What a layer takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Cycles or instructions of a run.
    pub count: u32,
}

/// A sample that was run, or learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Seen {
    /// Its number, from 0.
    pub index: usize,
    /// Its class.
    pub label: usize,
    /// What the model read, before it learnt.
    pub prediction: usize,
    /// Whether that is the same.
    pub right: bool,
    /// Before the update; `None` where nothing was learnt.
    pub loss: Option<f32>,
}

/// What is known of a device so far.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Where it is, as `--on` names it.
    pub on: String,
    /// Its board, core and clock, in words.
    pub board: String,
    /// The model.
    pub model: String,
    /// Arena that the model wants, and that there is, in bytes.
    pub arena: [usize; 2],
    /// Bytes of all that is learnt; 0 where nothing is.
    pub learnt: usize,
    /// What layers are counted in; empty where nobody counts.
    pub unit: &'static str,
    /// What each layer takes of a run.
    pub layers: Vec<Layer>,
    /// Samples that there will be.
    pub total: usize,
    /// Samples so far, and how many of them were right.
    pub samples: usize,
    /// See `samples`.
    pub right: usize,
    /// The last samples, the newest last.
    pub seen: VecDeque<Seen>,
    /// Loss and hit of each step.
    pub course: Course,
    /// Seconds since the first sample.
    pub seconds: f64,
    /// The digest of what was learnt, at the end.
    pub digest: Option<String>,
}

impl State {
    /// One sample more.
    pub fn push(&mut self, seen: Seen) {
        self.samples += 1;
        self.right += usize::from(seen.right);
        self.course.push(seen.loss.unwrap_or(0.0), Some(seen.right));
        if self.seen.len() == SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(seen);
    }

    /// The share of all samples so far that was right before it was learnt from; 0 before the first.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.samples.max(1) as f64
    }

    /// The same of the last hundred samples.
    pub fn recent(&self) -> f64 {
        self.course.recent(RECENT).unwrap_or(0.0)
    }

    /// The learning curve in up to `count` points.
    pub fn points(&self, count: usize) -> Vec<Point> {
        self.course.points(count)
    }
}
