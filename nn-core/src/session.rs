//! Inference: a [`Session`] is a model in an arena.

use core::fmt;

use crate::engine::{self, Parts, SetupError, Step};
use crate::memory::Span;
use crate::model::{MAX_NODE_INPUTS, Model};

/// Why a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RunError {
    /// The arena does not hold what the plan says. A checked model never gets there.
    Memory,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the arena does not hold what the plan says")
    }
}

impl core::error::Error for RunError {}

/// A model that runs.
///
/// ```no_run
/// use nn_core::{memory::Arena, model::Model, session::Session};
/// # let blob: &[u8] = &[];
/// let model = Model::load(blob).unwrap();
/// let mut arena = Arena::<4096>::new(); // at least `model.arena_infer()` bytes
/// let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
/// session.input_mut(0).unwrap().fill(0);
/// session.run().unwrap();
/// let scores = session.output(0).unwrap();
/// ```
#[derive(Debug)]
pub struct Session<'a> {
    model: Model<'a>,
    steps: &'a [Step],
    memory: &'a mut [u8],
    inputs: [Span; MAX_NODE_INPUTS],
    outputs: [Span; MAX_NODE_INPUTS],
}

impl<'a> Session<'a> {
    /// Plans `model` in `arena`, which holds at least [`Model::arena_infer`] bytes on a 16-byte boundary.
    pub fn new(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError> {
        let Parts {
            steps,
            memory,
            inputs,
            outputs,
            ..
        } = engine::lay_out(&model, arena, false)?;
        Ok(Self {
            model,
            steps,
            memory,
            inputs,
            outputs,
        })
    }

    /// The model.
    pub fn model(&self) -> Model<'a> {
        self.model
    }

    /// The bytes of the `index`th input, to be written before every run: a run may reuse them.
    pub fn input_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let span = *self.inputs.get(index).filter(|span| span.len > 0)?;
        self.memory.get_mut(span.range())
    }

    /// Runs the model.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.run_observed(|_, _| {})
    }

    /// Runs the model, and shows the bytes of each node's output as soon as they are there: for calibration and tests.
    pub fn run_observed(&mut self, mut observe: impl FnMut(usize, &[u8])) -> Result<(), RunError> {
        for (index, step) in self.steps.iter().enumerate() {
            engine::forward(step, self.model.weights(), self.memory, Span::default())
                .ok_or(RunError::Memory)?;
            observe(index, self.memory.get(step.y.range()).unwrap_or(&[]));
        }
        Ok(())
    }

    /// The bytes of the `index`th output of the last run.
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        let span = *self.outputs.get(index).filter(|span| span.len > 0)?;
        self.memory.get(span.range())
    }
}
