//! A model that is planned when its image is built: the image holds its steps, as constants in flash, and neither what
//! decodes and checks a blob nor what plans an arena.
//!
//! A build script loads the blob, sets a [`Session`] up, and writes the [`Source`] of the [`Program`]: the same planner
//! and the same kernels, hence the same bits. The image runs it with a [`Runner`], whose arena holds activations,
//! scratch and state only.

use core::fmt;

use crate::engine::{Code, Passes};
use crate::memory::{ALIGN, Memory, round_up};
use crate::model::{MAX_NODE_INPUTS, checksum};
use crate::ops::{Check, OpSet, code};
use crate::session::{RunError, Session};
use crate::stored::{Reader, Writer};
use crate::tensor::DType;

pub use crate::engine::Step;
pub use crate::memory::Span;

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
        }
    }
}

impl core::error::Error for ProgramError {}

/// A [`Program`] that runs: what a [`Session`] is to a model.
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
        let found = arena.len();
        let wanted = program.arena;
        let too_small = ProgramError::Arena { wanted, found };
        let memory = arena.get_mut(..wanted).ok_or(too_small)?;
        if memory.as_ptr().align_offset(ALIGN) != 0 || weights.as_ptr().align_offset(ALIGN) != 0 {
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

impl Step {
    /// A step by its [`StepSource`]. `None` where `K` does not hold its operator in its number type, where the sizes are
    /// not such, or where there are no kernels for the layout of its weights.
    pub const fn planned<K: OpSet>(source: &StepSource<'_>) -> Option<Self> {
        let StepSource {
            op,
            types: [x, y],
            sizes,
            operands,
            inputs,
            weights,
        } = *source;
        let mut from = Reader::new(sizes);
        let sizes = crate::engine::Sizes::read(&mut from);
        match code::<K>(op, x, y, &sizes) {
            Some(forward) if from.is_at_end() && sizes.is_known() => Some(Self {
                forward: Code(forward),
                sizes,
                operands,
                inputs,
                weights,
            }),
            _ => None,
        }
    }
}

/// All that a step is made of, in constants.
#[derive(Debug, Clone, Copy)]
pub struct StepSource<'s> {
    /// The operator's [`number`](crate::ops::number).
    pub op: u8,
    /// The number types of its first input and of its output.
    pub types: [DType; 2],
    /// The sizes that its kernels take, stored.
    pub sizes: &'s [u8],
    /// Where its operands begin.
    pub operands: u16,
    /// How many inputs.
    pub inputs: u8,
    /// How many parameters and constants.
    pub weights: u8,
}

/// The source text of a session's [`Program`]: `Display` gives an expression, for a `static` of that type, in which
/// `Kernels` is the image's [`OpSet`].
#[derive(Debug, Clone, Copy)]
pub struct Source<'s, 'm> {
    session: &'s Session<'m>,
}

impl<'s, 'm> Source<'s, 'm> {
    /// That of `session`.
    pub fn new(session: &'s Session<'m>) -> Self {
        Self { session }
    }

    /// Calls `each` with every step, in the order in which they run.
    pub fn each_step(&self, mut each: impl FnMut(StepSource)) {
        let model = self.session.model();
        let nodes = model.nodes();
        for (step, node) in self.session.passes().steps.iter().zip(nodes) {
            let Ok(check) = Check::new(model.tensors(), &node.inputs, node.output) else {
                continue;
            };
            let mut sizes = Writer::new();
            step.sizes.write(&mut sizes);
            each(StepSource {
                op: node.op.number(),
                types: [check.x.dtype, check.y.dtype],
                sizes: sizes.bytes(),
                operands: step.operands,
                inputs: step.inputs,
                weights: step.weights,
            });
        }
    }

    /// The operands of all steps.
    pub fn operands(&self) -> &'s [Span] {
        self.session.passes().operands
    }

    /// Where inputs and outputs lie.
    pub fn endpoints(&self) -> [Endpoints; 2] {
        self.session.endpoints()
    }

    /// Where the weights begin in the blob, and how many bytes they are.
    pub fn weights(&self) -> [usize; 2] {
        let header = self.session.model().header();
        [header.weights_at, header.weights_len].map(|bytes| bytes as usize)
    }

    /// Bytes of arena: up to the last that a step names.
    pub fn arena(&self) -> usize {
        let endpoints = self.endpoints();
        let spans = self.operands().iter().chain(endpoints.iter().flatten());
        let ends = spans.filter(|span| !span.is_flash());
        round_up(ends.map(|span| span.range().end).max().unwrap_or(0), ALIGN)
    }
}

impl fmt::Display for Source<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "nn_core::program::Program {{\n    steps: &[")?;
        let mut done = Ok(());
        self.each_step(|step| {
            done = done.and_then(|()| {
                let [x, y] = step.types;
                writeln!(
                    f,
                    "        nn_core::program_step!(Kernels, {}, {x:?}, {y:?}, {:?}, {}, {}, {}),",
                    step.op, step.sizes, step.operands, step.inputs, step.weights
                )
            });
        });
        done?;
        writeln!(f, "    ],\n    operands: &[")?;
        for span in self.operands() {
            writeln!(f, "        {},", Constant(*span))?;
        }
        let [inputs, outputs] = self.endpoints();
        writeln!(f, "    ],")?;
        for (name, spans) in [("inputs", inputs), ("outputs", outputs)] {
            let [a, b, c, d] = spans.map(Constant);
            writeln!(f, "    {name}: [{a}, {b}, {c}, {d}],")?;
        }
        writeln!(f, "    weights: {:?},", self.weights())?;
        let crc = self.session.model().header().crc;
        write!(f, "    arena: {},\n    crc: {crc:#x},\n}}", self.arena())
    }
}

/// A span as an expression.
struct Constant(Span);

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = self.0.range();
        let (from, len) = (range.start, range.len());
        let name = match self.0.is_flash() {
            true => "flash",
            false => "ram",
        };
        write!(f, "nn_core::program::Span::{name}({from}, {len})")
    }
}

/// A step of a [`Source`]: one that the image does not hold is an error when it is compiled.
#[doc(hidden)]
#[macro_export]
macro_rules! program_step {
    ($kernels:ty, $op:literal, $x:ident, $y:ident, $sizes:expr, $operands:literal, $inputs:literal, $weights:literal) => {
        const {
            let source = $crate::program::StepSource {
                op: $op,
                types: [$crate::tensor::DType::$x, $crate::tensor::DType::$y],
                sizes: &$sizes,
                operands: $operands,
                inputs: $inputs,
                weights: $weights,
            };
            match $crate::program::Step::planned::<$kernels>(&source) {
                Some(step) => step,
                None => panic!("this image does not hold the operator of a step"),
            }
        }
    };
}
