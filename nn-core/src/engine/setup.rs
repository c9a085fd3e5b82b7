//! From a model and an arena to planned steps.

use core::fmt;

use crate::engine::resolve::Resolver;
use crate::engine::{ArenaParts, BackStep, HeadStep, Learnt, Passes, Pick, Slot, Step};
use crate::memory::{
    ALIGN, Buffer, Memory, Plan, PlanError, Span, Training, carve, round_up, selection,
};
use crate::model::{MAX_NODE_INPUTS, Model};
use crate::ops::{AllOps, OpSet};
use crate::train::{Chain, Channels};

/// Why a session or a trainer cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SetupError {
    /// The arena is too small.
    Arena {
        /// Bytes needed.
        wanted: usize,
        /// Bytes given.
        found: usize,
    },
    /// The arena does not begin on a 16-byte boundary; [`Arena`](crate::memory::Arena) does.
    Misaligned,
    /// The blob's header states another arena size than the planner finds.
    Header {
        /// The planner's.
        wanted: usize,
        /// The header's.
        found: usize,
    },
    /// The model cannot be planned.
    Plan(PlanError),
    /// This node's operator, in its number type, is not linked into this image.
    NotLinked {
        /// The node.
        node: usize,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arena { wanted, found } => {
                write!(f, "arena of {found} bytes: the model needs {wanted}")
            }
            Self::Misaligned => {
                f.write_str("the arena does not begin on a 16-byte boundary: use memory::Arena")
            }
            Self::Header { wanted, found } => write!(
                f,
                "the model's header states an arena of {found} bytes, the planner finds {wanted}: export it again"
            ),
            Self::Plan(error) => error.fmt(f),
            Self::NotLinked { node } => write!(
                f,
                "node {node}: this image was built without its operator in its number type"
            ),
        }
    }
}

impl core::error::Error for SetupError {}

impl From<PlanError> for SetupError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

/// The parts of an arena, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    steps: usize,
    operands: usize,
    back_steps: usize,
    slots: usize,
    heads: usize,
    picks: usize,
    learnt: usize,
    /// Learnt weights.
    weights: usize,
    /// How many numbers are kept for each learnt weight besides itself.
    copies: usize,
    shared: usize,
}

/// How many entries the tables of an arena have.
#[derive(Debug, Clone, Copy)]
struct Counts {
    steps: usize,
    operands: usize,
    back_steps: usize,
    slots: usize,
    heads: usize,
    picks: usize,
    learnt: usize,
}

impl Counts {
    #[inline(never)]
    fn new<K: OpSet>(model: &Model, training: Option<&Training>) -> Self {
        let training = training.filter(|_| K::TRAIN);
        let mut counts = Self {
            steps: 0,
            operands: 0,
            back_steps: 0,
            slots: 0,
            heads: 0,
            picks: 0,
            learnt: 0,
        };
        let first = training.map_or(usize::MAX, |training| training.first);
        if let Some(training) = training {
            counts.heads = training.heads().count();
            if training.accumulates {
                counts.learnt = training.learnt(model).count();
            }
        }
        for (index, node) in model.nodes().iter().enumerate() {
            let inputs = node.inputs.as_slice().len();
            counts.steps += 1;
            counts.operands += Step::operands_of(inputs, &node.op.facts());
            if K::TRAIN && index >= first {
                counts.back_steps += 1;
                counts.slots += inputs;
                let selection = selection(model, index).unwrap_or_default();
                let parts = [selection.weight, selection.bias];
                let mut parts = parts.iter().flatten();
                counts.picks += usize::from(parts.any(|part| *part != Channels::All));
            }
        }
        counts
    }
}

impl Layout {
    pub(super) fn new<K: OpSet>(model: &Model, plan: &Plan<K>) -> Self {
        let counts = Counts::new::<K>(model, plan.training());
        let table = |bytes: usize| round_up(bytes, ALIGN);
        let (weights, copies) = plan.training().map_or((0, 0), |training| {
            (training.weights as usize, usize::from(training.copies))
        });
        let learnt = weights.saturating_mul(1 + copies);
        // While it plans, the last part holds the planner's table.
        let entries = Plan::<K>::table_len(model, plan.training().is_some());
        let planning = table(entries * size_of::<Buffer>());
        // What is planned begins on a boundary of its own.
        let shared_at = round_up(learnt, 8);
        Self {
            steps: table(counts.steps * size_of::<Step>()),
            operands: table(counts.operands * size_of::<Span>()),
            back_steps: table(counts.back_steps * size_of::<BackStep>()),
            slots: table(counts.slots * size_of::<Slot>()),
            heads: table(counts.heads * size_of::<HeadStep>()),
            picks: table(counts.picks * size_of::<Pick>()),
            learnt: table(counts.learnt * size_of::<Learnt>()),
            weights,
            copies,
            shared: plan.shared.max(planning.saturating_sub(shared_at)),
        }
    }

    /// The layout of `plan`, for reports.
    pub(super) fn parts<K: OpSet>(&self, plan: &Plan<K>) -> ArenaParts {
        let mut parts = ArenaParts {
            steps: self.steps,
            operands: self.operands,
            back_steps: self.back_steps,
            slots: self.slots,
            heads: self.heads,
            picks: self.picks,
            learnt: self.learnt,
            weights: self.weights,
            copies: self.copies,
            buffers: plan.shared,
            table: self.shared.saturating_sub(plan.shared),
            padding: 0,
        };
        parts.padding = self.total().saturating_sub(parts.total());
        parts
    }

    /// Where the shared part begins, behind the learnt weights and their copies.
    fn shared_at(&self) -> usize {
        round_up(self.weights.saturating_mul(1 + self.copies), 8)
    }

    /// Bytes of the arena.
    fn total(&self) -> usize {
        let tables = self.steps + self.operands + self.back_steps + self.slots;
        let tables = tables + self.heads + self.picks + self.learnt;
        round_up(tables + self.shared_at() + self.shared, ALIGN)
    }
}

/// Bytes of arena that `model` needs for inference, or for its training plan, by the planner itself.
///
/// `table` is working memory of [`table_len`](crate::memory::table_len) entries.
pub fn arena_len(model: &Model, train: bool, table: &mut [Buffer]) -> Result<usize, PlanError> {
    let plan = Plan::<AllOps>::new(model, train, table)?;
    Ok(Layout::new(model, &plan).total())
}

/// An arena, divided.
pub(crate) struct Parts<'a> {
    pub(crate) passes: Passes<'a>,
    /// Learnt weights, their copies, shared part.
    pub(crate) memory: &'a mut [u8],
    /// Bytes of the learnt weights.
    pub(crate) weights: usize,
    /// How many numbers are kept for each learnt weight besides itself.
    pub(crate) copies: usize,
    /// Whether gradients are summed first.
    pub(crate) accumulates: bool,
    /// The graph's inputs.
    pub(crate) inputs: [Span; MAX_NODE_INPUTS],
    /// The graph's outputs.
    pub(crate) outputs: [Span; MAX_NODE_INPUTS],
    pub(crate) heads: &'a [HeadStep],
    pub(crate) learnt: &'a [Learnt],
    /// All that learns, where it was planned as a chain.
    pub(crate) chain: Option<&'a Chain<'a>>,
}

/// The tables at the front of an arena, and the memory behind them.
struct Tables<'a> {
    steps: &'a mut [Step],
    operands: &'a mut [Span],
    back_steps: &'a mut [BackStep],
    slots: &'a mut [Slot],
    heads: &'a mut [HeadStep],
    picks: &'a mut [Pick],
    learnt: &'a mut [Learnt],
    memory: &'a mut [u8],
}

impl<'a> Tables<'a> {
    #[inline(never)]
    fn carve(arena: &'a mut [u8], counts: &Counts) -> Option<Self> {
        let (steps, rest) = carve(arena, counts.steps, Step::NOTHING)?;
        let (operands, rest) = carve(rest, counts.operands, Span::NOTHING)?;
        let (back_steps, rest) = carve(rest, counts.back_steps, BackStep::NOTHING)?;
        let (slots, rest) = carve(rest, counts.slots, Slot::NOTHING)?;
        let (heads, rest) = carve(rest, counts.heads, HeadStep::NOTHING)?;
        let (picks, rest) = carve(rest, counts.picks, Pick::NOTHING)?;
        let (learnt, memory) = carve(rest, counts.learnt, Learnt::NOTHING)?;
        Some(Self {
            steps,
            operands,
            back_steps,
            slots,
            heads,
            picks,
            learnt,
            memory,
        })
    }
}

/// Fills the tables, node by node.
struct Cursor<'c> {
    operands: &'c mut [Span],
    back_steps: &'c mut [BackStep],
    slots: &'c mut [Slot],
    picks: &'c mut [Pick],
    picked: u8,
    operands_at: usize,
    slots_at: usize,
}

impl Cursor<'_> {
    /// Resolves node `index`, whose backward step is number `back`; `false` where a table is too short.
    #[inline(never)]
    fn resolve<K: OpSet>(
        &mut self,
        resolver: &Resolver<K>,
        index: usize,
        step: &mut Step,
        back: Option<usize>,
    ) -> Result<bool, SetupError> {
        let Some(node) = resolver.model.nodes().nth(index) else {
            return Ok(false);
        };
        let missing = SetupError::NotLinked { node: index };
        let own = Step::operands_of(node.inputs.as_slice().len(), &node.op.facts());
        let at = self.operands_at;
        let Some(part) = part_of(self.operands, at, own) else {
            return Ok(false);
        };
        *step = resolver.step(index, &node, at, part).ok_or(missing)?;
        self.operands_at += own;
        let Some(back) = back.and_then(|back| self.back_steps.get_mut(back)) else {
            return Ok(true);
        };
        let own = node.inputs.as_slice().len();
        let at = self.slots_at;
        let Some(part) = part_of(self.slots, at, own) else {
            return Ok(false);
        };
        *back = resolver.back_step(index, &node, at, part).ok_or(missing)?;
        self.slots_at += own;
        if let Some(pick) = resolver.pick(index, &node) {
            let Some(place) = self.picks.get_mut(usize::from(self.picked)) else {
                return Ok(false);
            };
            *place = pick;
            self.picked = self.picked.checked_add(1).ok_or(PlanError::TooLarge)?;
            back.pick = self.picked;
        }
        Ok(true)
    }
}

fn part_of<T>(table: &mut [T], at: usize, len: usize) -> Option<&mut [T]> {
    table.get_mut(at..)?.get_mut(..len)
}

/// Divides `arena`, plans, and resolves each node.
#[inline(never)]
pub(crate) fn lay_out<'a, K: OpSet>(
    model: &Model,
    arena: &'a mut [u8],
    train: bool,
) -> Result<Parts<'a>, SetupError> {
    // What does not learn holds no code for it.
    let train = K::TRAIN && train;
    if arena.as_ptr().align_offset(ALIGN) != 0 {
        return Err(SetupError::Misaligned);
    }
    let training = if train {
        Some(Training::new(model)?)
    } else {
        None
    };
    let first = training.map_or(usize::MAX, |training| training.first);
    let stated = if train {
        model.arena_train()
    } else {
        model.arena_infer()
    };
    let counts = Counts::new::<K>(model, training.as_ref());
    let found = arena.len();
    let arena = arena.get_mut(..stated).ok_or(SetupError::Arena {
        wanted: stated,
        found,
    })?;
    let too_small = SetupError::Header {
        wanted: 0,
        found: stated,
    };
    let tables = Tables::carve(arena, &counts).ok_or(too_small)?;
    let entries = Plan::<K>::table_len(model, train);
    let table = carve(&mut *tables.memory, entries, Buffer::default());
    let (table, _) = table.ok_or(too_small)?;
    let plan = Plan::<K>::new(model, train, table)?;
    let layout = Layout::new(model, &plan);
    let wrong_size = SetupError::Header {
        wanted: layout.total(),
        found: stated,
    };
    if layout.total() != stated {
        return Err(wrong_size);
    }
    let base = u32::try_from(layout.shared_at()).map_err(|_| PlanError::TooLarge)?;
    let resolver = Resolver {
        model,
        plan: &plan,
        base,
    };
    let mut cursor = Cursor {
        operands: &mut *tables.operands,
        back_steps: &mut *tables.back_steps,
        slots: &mut *tables.slots,
        picks: &mut *tables.picks,
        picked: 0,
        operands_at: 0,
        slots_at: 0,
    };
    for (index, step) in tables.steps.iter_mut().enumerate() {
        let back = index.checked_sub(first).filter(|_| train);
        if !cursor.resolve(&resolver, index, step, back)? {
            return Err(wrong_size);
        }
    }
    let (inputs, outputs) = (
        resolver.endpoints(model.inputs()),
        resolver.endpoints(model.outputs()),
    );
    if train {
        resolver.learnt(tables.learnt);
        resolver.heads(tables.heads).ok_or(wrong_size)?;
    }
    let accumulates = plan.training().is_some_and(|training| training.accumulates);
    let Tables {
        steps,
        operands,
        back_steps,
        slots,
        heads,
        picks,
        learnt,
        memory,
    } = tables;
    let passes = Passes {
        steps,
        operands,
        back_steps,
        slots,
        picks,
    };
    // The planner's table lay here.
    let mut whole = Memory {
        flash: model.weights(),
        ram: &mut *memory,
    };
    passes.clear_state(&mut whole);
    passes.clear_norms(&mut whole);
    Ok(Parts {
        passes,
        memory,
        weights: layout.weights,
        copies: layout.copies,
        accumulates,
        inputs,
        outputs,
        heads,
        learnt,
        chain: None,
    })
}
