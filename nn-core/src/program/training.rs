//! A training that is planned when its image is built.

use core::fmt;

use crate::engine::{BackFrame, Frame, Parts, Passes, Sizes};
use crate::memory::{Memory, Span};
use crate::model::Model;
use crate::ops::{Check, Op, OpSet, backward_code};
use crate::program::{BackStep, HeadStep, Learnt, Pick, Program, ProgramError, Slot, Source};
use crate::stored::{Reader, Writer};
use crate::tensor::DType;
use crate::train::{Chain, Link, Trainer};

/// A planned model that learns.
#[derive(Debug, Clone, Copy)]
pub struct TrainProgram<'p> {
    /// Its steps forward; the arena is that of the whole.
    pub forward: Program<'p>,
    /// The steps backward, from the first node that learns on.
    pub back_steps: &'p [BackStep],
    /// Where the gradients at the inputs of those nodes go.
    pub slots: &'p [Slot],
    /// The channels that learn, of nodes that do not learn in all.
    pub picks: &'p [Pick],
    /// The losses.
    pub heads: &'p [HeadStep],
    /// What learns, where gradients are summed first.
    pub learnt: &'p [Learnt],
    /// Bytes of the weights that learn.
    pub weights: usize,
    /// How many numbers are kept for each of them.
    pub copies: usize,
    /// Whether gradients are summed first.
    pub accumulates: bool,
    /// All that learns, where it is a chain of dense layers.
    pub chain: Option<Chain<'p>>,
}

impl<'p> TrainProgram<'p> {
    /// The parts of `arena`, whose state is that of a beginning.
    pub(crate) fn parts(
        &'p self,
        model: &Model,
        arena: &'p mut [u8],
    ) -> Result<Parts<'p>, ProgramError> {
        let (wanted, found) = (self.forward.crc, model.header().crc);
        if wanted != found {
            return Err(ProgramError::Crc { wanted, found });
        }
        let memory = self.forward.memory(arena)?;
        let passes = Passes {
            steps: self.forward.steps,
            operands: self.forward.operands,
            back_steps: self.back_steps,
            slots: self.slots,
            picks: self.picks,
        };
        let mut whole = Memory {
            flash: model.weights(),
            ram: &mut *memory,
        };
        passes.clear_state(&mut whole);
        passes.clear_norms(&mut whole);
        Ok(Parts {
            passes,
            memory,
            weights: self.weights,
            copies: self.copies,
            accumulates: self.accumulates,
            inputs: self.forward.inputs,
            outputs: self.forward.outputs,
            heads: self.heads,
            learnt: self.learnt,
            chain: self.chain.as_ref(),
        })
    }
}

/// What a backward step is made of, in constants.
#[derive(Debug, Clone, Copy)]
pub struct BackStepSource<'s> {
    /// The operator's [`number`](crate::ops::number).
    pub op: u8,
    /// The number types of its first input and of its output.
    pub types: [DType; 2],
    /// All else, stored.
    pub stored: &'s [u8],
}

impl BackStep {
    /// A backward step by its source. `None` where `K` does not hold its operator, or where the bytes are not such.
    pub const fn planned<K: OpSet>(source: &BackStepSource<'_>) -> Option<Self> {
        let BackStepSource {
            op,
            types: [x, y],
            stored,
        } = *source;
        let mut from = Reader::new(stored);
        let step = match backward_code::<K>(op, x, y) {
            Some(backward) => Self::read(&mut from, backward),
            // One that does not run has none.
            None => Self::read(&mut from, Self::NOTHING.backward.0),
        };
        let is_held = !step.runs || backward_code::<K>(op, x, y).is_some();
        if is_held && from.is_at_end() {
            Some(step)
        } else {
            None
        }
    }
}

/// An entry of a table of a [`TrainProgram`].
pub trait Entry {
    /// Its type's name.
    const NAME: &'static str;

    /// Stored, as its type's `planned` reads it.
    fn stored(&self) -> Writer;
}

/// Types that are entries.
macro_rules! entries {
    ($($name:ident)*) => {$(
        impl Entry for $name {
            const NAME: &'static str = stringify!($name);

            fn stored(&self) -> Writer {
                let mut stored = Writer::new();
                self.write(&mut stored);
                stored
            }
        }

        impl $name {
            /// What [`Entry::stored`] gave; `None` where the bytes are not such.
            pub const fn planned(stored: &[u8]) -> Option<Self> {
                let mut from = Reader::new(stored);
                let entry = Self::read(&mut from);
                if from.is_at_end() { Some(entry) } else { None }
            }
        }
    )*};
}

entries! { Slot Pick HeadStep Learnt Link }

/// The source text of a trainer's [`TrainProgram`], as [`Source`] is that of a session's.
#[derive(Debug, Clone, Copy)]
pub struct TrainSource<'s, 'a> {
    trainer: &'s Trainer<'a>,
}

impl<'s, 'a> TrainSource<'s, 'a> {
    /// That of `trainer`.
    pub fn new(trainer: &'s Trainer<'a>) -> Self {
        Self { trainer }
    }

    /// That of its steps forward.
    pub fn forward(&self) -> Source<'a> {
        let trainer = self.trainer;
        let taken = self.weights().saturating_mul(1 + self.copies());
        Source::of(
            trainer.model(),
            trainer.passes(),
            trainer.endpoints(),
            taken,
        )
    }

    /// Calls `each` with every backward step, in the order of the nodes.
    pub fn each_back_step(&self, mut each: impl FnMut(BackStepSource)) {
        let (model, passes) = (self.trainer.model(), self.trainer.passes());
        let first = passes.steps.len().saturating_sub(passes.back_steps.len());
        for (step, node) in passes
            .back_steps
            .iter()
            .zip(model.nodes().iter().skip(first))
        {
            let Ok(check) = Check::new(model.tensors(), &node.inputs, node.output) else {
                continue;
            };
            let mut stored = Writer::new();
            step.write(&mut stored);
            each(BackStepSource {
                op: node.op.number(),
                types: [check.x.dtype, check.y.dtype],
                stored: stored.bytes(),
            });
        }
    }

    /// [`TrainProgram::slots`].
    pub fn slots(&self) -> &'a [Slot] {
        self.trainer.passes().slots
    }

    /// [`TrainProgram::picks`].
    pub fn picks(&self) -> &'a [Pick] {
        self.trainer.passes().picks
    }

    /// [`TrainProgram::heads`].
    pub fn heads(&self) -> &'a [HeadStep] {
        self.trainer.tables().0
    }

    /// [`TrainProgram::learnt`].
    pub fn learnt(&self) -> &'a [Learnt] {
        self.trainer.tables().1
    }

    /// Calls `each` with the layers of [`TrainProgram::chain`], from the lowest, and gives what its loss counts; `None` where
    /// what learns is no chain.
    pub fn each_link(&self, mut each: impl FnMut(Link)) -> Option<f32> {
        let (trainer, weights) = (self.trainer, self.weights());
        let [head] = self.heads() else { return None };
        let passes = trainer.passes();
        if self.copies() > 0 || self.accumulates() || !passes.picks.is_empty() {
            return None;
        }
        let places = |span: Span| {
            let range = span.range();
            Some([range.start, range.len()].map(|bytes| (bytes / size_of::<f32>()) as u32))
        };
        let first = passes.steps.len().checked_sub(passes.back_steps.len())?;
        let nodes = trainer.model().nodes();
        let (mut learnt, mut before) = (0, None);
        for (index, back) in passes.back_steps.iter().enumerate() {
            let frame = Frame::new(passes.steps.get(first + index)?, passes.operands)?;
            let back = BackFrame::new(back, passes.slots, passes.picks)?;
            let (x, y, slot) = (frame.x(), frame.y(), back.slot(0));
            let in_place = slot.below.is_none() || (slot.at == x && !slot.copy);
            let follows = before.is_none_or(|before| before == x);
            let is_f32 = back.back.dtype == DType::F32 && slot.dtype == DType::F32;
            if !(in_place && follows && is_f32 && back.delta() == y && slot.into.is_empty()) {
                return None;
            }
            let last = index + 1 == passes.back_steps.len();
            match (nodes.nth(first + index)?.op, frame.step.sizes) {
                (Op::Softmax(None), Sizes::Rows(1)) if last => {
                    let ends = head.is_plain_softmax() && head.output == y && head.delta == y;
                    let learns_all = learnt == weights && x == y && back.saved().is_empty();
                    return (ends && learns_all).then_some(head.weight);
                }
                (
                    Op::Dense(_),
                    Sizes::Dense {
                        activation,
                        rows: 1,
                    },
                ) if !last => {
                    let weight = learnt / size_of::<f32>();
                    for parameter in 0..2 {
                        let span = frame.parameter(parameter);
                        let is_next = !span.is_flash() && span.range().start == learnt;
                        if !(is_next && back.back.learns(parameter) && !span.is_empty()) {
                            return None;
                        }
                        learnt = span.range().end;
                    }
                    each(Link::new(
                        // Of an arena, which a word counts.
                        weight as u32,
                        places(x)?,
                        places(y)?,
                        activation,
                        slot.below,
                    ));
                    before = Some(y);
                }
                _ => return None,
            }
        }
        None
    }

    /// [`TrainProgram::weights`].
    pub fn weights(&self) -> usize {
        self.trainer.weights().len()
    }

    /// [`TrainProgram::copies`].
    pub fn copies(&self) -> usize {
        self.trainer.copies()
    }

    /// [`TrainProgram::accumulates`].
    pub fn accumulates(&self) -> bool {
        self.trainer.accumulates()
    }
}

impl fmt::Display for TrainSource<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "nn_core::program::TrainProgram {{\nforward: {},",
            self.forward()
        )?;
        writeln!(f, "back_steps: &[")?;
        let mut done = Ok(());
        self.each_back_step(|step| {
            done = done.and_then(|()| {
                let ([x, y], stored) = (step.types, step.stored);
                writeln!(
                    f,
                    "    nn_core::program_back_step!(Kernels, {}, {x:?}, {y:?}, {stored:?}),",
                    step.op
                )
            });
        });
        done?;
        writeln!(f, "],")?;
        table(f, "slots", self.slots())?;
        table(f, "picks", self.picks())?;
        table(f, "heads", self.heads())?;
        table(f, "learnt", self.learnt())?;
        let (weights, copies) = (self.weights(), self.copies());
        let accumulates = self.accumulates();
        write!(
            f,
            "weights: {weights},\ncopies: {copies},\naccumulates: {accumulates},\nchain: "
        )?;
        let Some(weight) = self.each_link(|_| {}) else {
            return write!(f, "None,\n}}");
        };
        writeln!(f, "Some(nn_core::program::Chain::new(&[")?;
        let mut done = Ok(());
        self.each_link(|link| done = done.and_then(|()| entry(f, &link)));
        done?;
        write!(f, "], f32::from_bits({:#x}))),\n}}", weight.to_bits())
    }
}

fn entry<E: Entry>(f: &mut fmt::Formatter<'_>, entry: &E) -> fmt::Result {
    let (name, stored) = (E::NAME, entry.stored());
    let stored = stored.bytes();
    writeln!(f, "    nn_core::program_entry!({name}, {stored:?}),")
}

fn table<E: Entry>(f: &mut fmt::Formatter<'_>, name: &str, entries: &[E]) -> fmt::Result {
    writeln!(f, "{name}: &[")?;
    for each in entries {
        entry(f, each)?;
    }
    writeln!(f, "],")
}

/// A backward step of a [`TrainSource`].
#[doc(hidden)]
#[macro_export]
macro_rules! program_back_step {
    ($kernels:ty, $op:literal, $x:ident, $y:ident, $stored:expr) => {
        const {
            let source = $crate::program::BackStepSource {
                op: $op,
                types: [$crate::tensor::DType::$x, $crate::tensor::DType::$y],
                stored: &$stored,
            };
            match $crate::program::BackStep::planned::<$kernels>(&source) {
                Some(step) => step,
                None => panic!("this image does not hold the operator of a backward step"),
            }
        }
    };
}

/// An entry of another table of a [`TrainSource`].
#[doc(hidden)]
#[macro_export]
macro_rules! program_entry {
    ($name:ident, $stored:expr) => {
        const {
            match $crate::program::$name::planned(&$stored) {
                Some(entry) => entry,
                None => panic!("an entry of a program is damaged"),
            }
        }
    };
}
