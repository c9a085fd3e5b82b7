//! The source text of a program.

use core::fmt;

use crate::engine::{Code, Passes, Sizes};
use crate::memory::{ALIGN, Span, round_up};
use crate::model::Model;
use crate::ops::{Check, OpSet, code};
use crate::program::{Endpoints, Step};
use crate::session::Session;
use crate::stored::{Reader, Writer};
use crate::tensor::DType;

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
        let sizes = Sizes::read(&mut from);
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

/// The source text of a session's [`Program`](super::Program): `Display` gives an expression, for a `static` of that type, in which
/// `Kernels` is the image's [`OpSet`].
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    model: Model<'a>,
    passes: Passes<'a>,
    endpoints: [Endpoints; 2],
    /// Bytes up to which the arena is taken by what no step names.
    taken: usize,
}

impl<'a> Source<'a> {
    /// That of `session`.
    pub fn new(session: &Session<'a>) -> Self {
        let endpoints = session.endpoints();
        Self::of(session.model(), session.passes(), endpoints, 0)
    }

    pub(super) fn of(
        model: Model<'a>,
        passes: Passes<'a>,
        endpoints: [Endpoints; 2],
        taken: usize,
    ) -> Self {
        Self {
            model,
            passes,
            endpoints,
            taken,
        }
    }

    /// Calls `each` with every step, in the order in which they run.
    pub fn each_step(&self, mut each: impl FnMut(StepSource)) {
        let model = self.model;
        for (step, node) in self.passes.steps.iter().zip(model.nodes()) {
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
    pub fn operands(&self) -> &'a [Span] {
        self.passes.operands
    }

    /// Where inputs and outputs lie.
    pub fn endpoints(&self) -> [Endpoints; 2] {
        self.endpoints
    }

    /// Where the weights begin in the blob, and how many bytes they are.
    pub fn weights(&self) -> [usize; 2] {
        let header = self.model.header();
        [header.weights_at, header.weights_len].map(|bytes| bytes as usize)
    }

    /// Bytes of arena: up to the last that a step names.
    pub fn arena(&self) -> usize {
        let spans = self
            .operands()
            .iter()
            .chain(self.endpoints.iter().flatten());
        let backward = self.passes.back_steps.iter();
        let backward = backward.flat_map(|back| [back.delta, back.saved, back.scratch]);
        let slots = self.passes.slots.iter();
        let slots = slots.flat_map(|slot| [slot.at, slot.into]);
        let norms = self.passes.picks.iter().map(|pick| pick.norms);
        let spans = spans.copied().chain(backward).chain(slots).chain(norms);
        let ends = spans.filter(|span| !span.is_flash());
        let end = ends.map(|span| span.range().end).max().unwrap_or(0);
        round_up(end.max(self.taken), ALIGN)
    }
}

impl fmt::Display for Source<'_> {
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
        let crc = self.model.header().crc;
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
