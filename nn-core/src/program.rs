//! A model that is planned when its image is built: the image holds its steps, as constants in flash, and neither what
//! decodes and checks a blob nor what plans an arena.
//!
//! A build script loads the blob, sets a [`Session`](crate::session::Session) up, and writes the [`Source`] of the
//! [`Program`]: the same planner and the same kernels, hence the same bits. The image runs it with a [`Runner`], whose
//! arena holds activations, scratch and state only.
//!
//! A model that learns is planned alike: a [`TrainProgram`] holds all that a [`Trainer`](crate::train::Trainer) looks up,
//! and its arena what changes. The image keeps the blob's graph, from which weights are copied and mended.

mod source;
mod training;

use core::fmt;

use crate::engine::Passes;
use crate::memory::{ALIGN, Memory};
use crate::model::{MAX_NODE_INPUTS, checksum};
use crate::session::RunError;

pub use crate::engine::{BackStep, HeadStep, Learnt, Pick, Slot, Step};
pub use crate::memory::Span;
pub use crate::train::{Chain, Link};
pub use source::{Source, StepSource};
pub use training::{BackStepSource, Entry, TrainProgram, TrainSource};

/// The inputs or the outputs of a graph; those past the last are [`Span::NOTHING`].
pub type Endpoints = [Span; MAX_NODE_INPUTS];

/// A planned model.
#[derive(Debug, Clone, Copy)]
pub struct Program<'p> {
    /// The steps, in the order in which they run.
    pub steps: &'p [Step],
    /// The operands of all steps.
    pub operands: &'p [Span],
    /// Where the inputs lie.
    pub inputs: Endpoints,
    /// Where the outputs lie.
    pub outputs: Endpoints,
    /// Where the weights begin in the blob, and how many bytes they are.
    pub weights: [usize; 2],
    /// Bytes of arena.
    pub arena: usize,
    /// The blob's CRC-32.
    pub crc: u32,
}

impl Program<'_> {
    /// What of `arena` the program takes.
    fn memory<'a>(&self, arena: &'a mut [u8]) -> Result<&'a mut [u8], ProgramError> {
        let (wanted, found) = (self.arena, arena.len());
        let too_small = ProgramError::Arena { wanted, found };
        let memory = arena.get_mut(..wanted).ok_or(too_small)?;
        match memory.as_ptr().align_offset(ALIGN) {
            0 => Ok(memory),
            _ => Err(ProgramError::Misaligned),
        }
    }
}

/// Why a program cannot run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProgramError {
    /// The blob is not what it was: another CRC-32.
    Crc {
        /// The program's.
        wanted: u32,
        /// That of the bytes.
        found: u32,
    },
    /// The blob is shorter than the program says.
    Truncated,
    /// The arena is too small.
    Arena {
        /// Bytes needed.
        wanted: usize,
        /// Bytes given.
        found: usize,
    },
    /// The arena or the blob does not begin on a 16-byte boundary.
    Misaligned,
    /// The blob has no training plan.
    NoTrainPlan,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crc { wanted, found } => write!(
                f,
                "the model is damaged: its CRC-32 is {found:08x}, its program wants {wanted:08x}"
            ),
            Self::Truncated => f.write_str("the model is shorter than its program says"),
            Self::Arena { wanted, found } => {
                write!(f, "arena of {found} bytes: the model needs {wanted}")
            }
            Self::Misaligned => {
                f.write_str("the arena or the model does not begin on a 16-byte boundary")
            }
            Self::NoTrainPlan => f.write_str(
                "the model has no training plan: export it with `export.train` in its recipe",
            ),
        }
    }
}

impl core::error::Error for ProgramError {}

/// A [`Program`] that runs: what a [`Session`](crate::session::Session) is to a model.
#[derive(Debug)]
pub struct Runner<'a> {
    program: &'a Program<'a>,
    weights: &'a [u8],
    memory: &'a mut [u8],
}

impl<'a> Runner<'a> {
    /// A runner of `program`, made from `blob`, in `arena`; both begin on a 16-byte boundary.
    pub fn new(
        program: &'a Program<'a>,
        blob: &'a [u8],
        arena: &'a mut [u8],
    ) -> Result<Self, ProgramError> {
        let [at, len] = program.weights;
        let weights = blob.get(at..).and_then(|bytes| bytes.get(..len));
        let weights = weights.ok_or(ProgramError::Truncated)?;
        let (wanted, found) = (program.crc, checksum(blob));
        if wanted != found {
            return Err(ProgramError::Crc { wanted, found });
        }
        let memory = program.memory(arena)?;
        if weights.as_ptr().align_offset(ALIGN) != 0 {
            return Err(ProgramError::Misaligned);
        }
        let mut runner = Self {
            program,
            weights,
            memory,
        };
        runner.reset();
        Ok(runner)
    }

    fn passes(&self) -> Passes<'a> {
        Passes {
            steps: self.program.steps,
            operands: self.program.operands,
            back_steps: &[],
            slots: &[],
            picks: &[],
        }
    }

    /// The bytes of the `index`th input, to be written before every run: a run may reuse them.
    pub fn input_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let span = *self.program.inputs.get(index)?;
        self.memory
            .get_mut(span.range())
            .filter(|bytes| !bytes.is_empty())
    }

    /// Runs the model.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.run_observed(|_, _| {})
    }

    /// Runs the model, and shows the bytes of each node's output as soon as they are there.
    #[inline(never)]
    pub fn run_observed(&mut self, mut observe: impl FnMut(usize, &[u8])) -> Result<(), RunError> {
        let passes = self.passes();
        let mut memory = Memory {
            flash: self.weights,
            ram: &mut *self.memory,
        };
        passes
            .forward(&mut memory, None, |index, frame, memory| {
                observe(index, memory.ram.get(frame.y().range()).unwrap_or(&[]));
            })
            .ok_or(RunError::Memory)
    }

    /// The bytes of the `index`th output of the last run.
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        let span = *self.program.outputs.get(index)?;
        self.memory
            .get(span.range())
            .filter(|bytes| !bytes.is_empty())
    }

    /// Begins a new sequence: the state of every recurrent layer becomes 0.
    pub fn reset(&mut self) {
        self.passes().clear_state(&mut Memory {
            flash: self.weights,
            ram: &mut *self.memory,
        });
    }
}
