//! Inference: a [`Session`] is a model in an arena.

use core::fmt;

use crate::engine::{self, Parts, Passes, SetupError};
use crate::memory::{Memory, Span};
use crate::model::{MAX_NODE_INPUTS, Model};
use crate::ops::{AllOps, OpSet};

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
///
/// A model with stateful recurrent layers goes on where its last run ended: a device feeds it one step at a time, and
/// [`reset`](Self::reset) begins a new sequence.
#[derive(Debug)]
pub struct Session<'a> {
    model: Model<'a>,
    passes: Passes<'a>,
    memory: &'a mut [u8],
    inputs: [Span; MAX_NODE_INPUTS],
    outputs: [Span; MAX_NODE_INPUTS],
}

impl<'a> Session<'a> {
    /// Plans `model` in `arena`, which holds at least [`Model::arena_infer`] bytes on a 16-byte boundary.
    pub fn new(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError> {
        Self::with::<AllOps>(model, arena)
    }

    /// As [`new`](Self::new), for an image that holds only the operators of `K`.
    #[inline(never)]
    pub fn with<K: OpSet>(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError> {
        let Parts {
            passes,
            memory,
            inputs,
            outputs,
            ..
        } = engine::lay_out::<K>(&model, arena, false)?;
        Ok(Self {
            model,
            passes,
            memory,
            inputs,
            outputs,
        })
    }

    /// The model.
    pub fn model(&self) -> Model<'a> {
        self.model
    }

    pub(crate) fn passes(&self) -> Passes<'a> {
        self.passes
    }

    /// Where inputs and outputs lie.
    pub(crate) fn endpoints(&self) -> [[Span; MAX_NODE_INPUTS]; 2] {
        [self.inputs, self.outputs]
    }

    /// The bytes of the `index`th input, to be written before every run: a run may reuse them.
    pub fn input_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let span = *self.inputs.get(index).filter(|span| !span.is_empty())?;
        self.memory.get_mut(span.range())
    }

    /// Runs the model.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.run_observed(|_, _| {})
    }

    /// Runs the model, and shows the bytes of each node's output as soon as they are there: for calibration and tests.
    pub fn run_observed(&mut self, mut observe: impl FnMut(usize, &[u8])) -> Result<(), RunError> {
        let mut memory = Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        };
        self.passes
            .forward(&mut memory, None, |index, frame, memory| {
                observe(index, memory.ram.get(frame.y().range()).unwrap_or(&[]));
            })
            .ok_or(RunError::Memory)
    }

    /// The bytes of the `index`th output of the last run.
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        let span = *self.outputs.get(index).filter(|span| !span.is_empty())?;
        self.memory.get(span.range())
    }

    /// Begins a new sequence: the state of every recurrent layer becomes 0.
    pub fn reset(&mut self) {
        self.passes.clear_state(&mut Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        });
    }

    /// The bytes of the state of node `node`: empty where it has none. An LSTM's are hidden and then cell.
    pub fn state(&self, node: usize) -> &[u8] {
        self.memory.get(self.passes.state(node)).unwrap_or(&[])
    }

    /// The bytes of the state of node `node`, to put back what [`state`](Self::state) gave.
    pub fn state_mut(&mut self, node: usize) -> &mut [u8] {
        self.memory
            .get_mut(self.passes.state(node))
            .unwrap_or(&mut [])
    }
}
