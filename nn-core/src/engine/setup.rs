//! From a model and an arena to planned steps.

use core::fmt;

use crate::engine::{BackStep, Place, Step};
use crate::memory::{
    ALIGN, Buffer, Plan, PlanError, Span, Training, carve, derivative_of, round_up,
};
use crate::model::{Ids, MAX_NODE_INPUTS, Model};

/// Why a session or a trainer cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    back_steps: usize,
    /// Learnt weights.
    pub(crate) weights: usize,
    /// Velocities: as long as the weights with momentum, else 0.
    pub(crate) velocities: usize,
    shared: usize,
}

impl Layout {
    fn new(model: &Model, plan: &Plan) -> Self {
        let nodes = model.nodes().len();
        let weights = plan
            .training
            .map_or(0, |training| training.weights as usize);
        let velocities = match plan.training {
            Some(training) if training.spec.sgd.momentum != 0.0 => weights,
            _ => 0,
        };
        let back_steps = plan
            .training
            .map_or(0, |training| nodes.saturating_sub(training.first));
        // While it plans, the shared part holds the planner's table.
        let table = Plan::table_len(model, plan.training.is_some()) * size_of::<Buffer>();
        Self {
            steps: round_up(nodes * size_of::<Step>(), ALIGN),
            back_steps: round_up(back_steps * size_of::<BackStep>(), ALIGN),
            weights,
            velocities,
            shared: plan
                .shared
                .max(round_up(table, ALIGN).saturating_sub(weights + velocities)),
        }
    }

    /// Bytes of the arena.
    pub(crate) fn total(&self) -> usize {
        round_up(
            self.steps + self.back_steps + self.weights + self.velocities + self.shared,
            ALIGN,
        )
    }
}

/// Bytes of arena that `model` needs for inference, or for its training plan, by the planner itself.
///
/// `table` is working memory of [`table_len`](crate::memory::table_len) entries.
pub fn arena_len(model: &Model, train: bool, table: &mut [Buffer]) -> Result<usize, PlanError> {
    let plan = Plan::new(model, train, table)?;
    Ok(Layout::new(model, &plan).total())
}

/// An arena, divided.
pub(crate) struct Parts<'a> {
    pub(crate) steps: &'a mut [Step],
    pub(crate) back_steps: &'a mut [BackStep],
    /// Learnt weights, velocities, shared part.
    pub(crate) memory: &'a mut [u8],
    pub(crate) layout: Layout,
    pub(crate) training: Option<Training>,
    /// The graph's inputs.
    pub(crate) inputs: [Span; MAX_NODE_INPUTS],
    /// The graph's outputs.
    pub(crate) outputs: [Span; MAX_NODE_INPUTS],
}

/// Divides `arena`, plans, and resolves each node.
pub(crate) fn lay_out<'a>(
    model: &Model,
    arena: &'a mut [u8],
    train: bool,
) -> Result<Parts<'a>, SetupError> {
    if arena.as_ptr().align_offset(ALIGN) != 0 {
        return Err(SetupError::Misaligned);
    }
    let nodes = model.nodes().len();
    let first = if train {
        Training::new(model)?.first
    } else {
        nodes
    };
    let stated = if train {
        model.arena_train()
    } else {
        model.arena_infer()
    };
    let found = arena.len();
    let arena = arena.get_mut(..stated).ok_or(SetupError::Arena {
        wanted: stated,
        found,
    })?;
    let too_small = SetupError::Header {
        wanted: 0,
        found: stated,
    };
    let (steps, rest) = carve(arena, nodes, Step::NOTHING).ok_or(too_small)?;
    let (back_steps, memory) =
        carve(rest, nodes.saturating_sub(first), BackStep::NOTHING).ok_or(too_small)?;

    let table_len = Plan::table_len(model, train);
    let (table, _) = carve(&mut *memory, table_len, Buffer::default()).ok_or(too_small)?;
    let plan = Plan::new(model, train, table)?;
    let layout = Layout::new(model, &plan);
    if layout.total() != stated {
        return Err(SetupError::Header {
            wanted: layout.total(),
            found: stated,
        });
    }
    // Everything planned lies behind the learnt weights and their velocities.
    let base =
        u32::try_from(layout.weights + layout.velocities).map_err(|_| PlanError::TooLarge)?;
    let unresolved = SetupError::Header {
        wanted: layout.total(),
        found: stated,
    };
    let mut learnt = 0u32;
    for (index, (step, node)) in steps.iter_mut().zip(model.nodes()).enumerate() {
        *step = Step::new(model, &plan, base, &node).ok_or(unresolved)?;
        let Some(training) = &plan.training else {
            continue;
        };
        let Some(back) = index
            .checked_sub(first)
            .and_then(|index| back_steps.get_mut(index))
        else {
            continue;
        };
        let x = node.inputs.first().ok_or(unresolved)?;
        *back = BackStep {
            delta_x: plan.delta(model, x).after(base),
            delta_y: plan.delta(model, node.output).after(base),
            saved: plan.saved(model, index, &node).after(base),
            scratch: plan.scratch(index).after(base),
            below: (index > first).then(|| derivative_of(model, x)),
            learns: training.learns(model, index, &node.op),
        };
        if let (true, Some(layer)) = (back.learns, step.layer_mut()) {
            for place in [&mut layer.weight, &mut layer.bias] {
                let len = place.len();
                *place = Place::ram(Span {
                    offset: learnt,
                    len,
                });
                learnt = learnt.saturating_add(len);
            }
        }
    }
    let endpoints = |ids: Ids| {
        let mut spans = [Span::default(); MAX_NODE_INPUTS];
        for (span, &id) in spans.iter_mut().zip(ids.as_slice()) {
            *span = plan.activation(model, id).after(base);
        }
        spans
    };
    let (inputs, outputs) = (endpoints(model.inputs()), endpoints(model.outputs()));
    let training = plan.training;
    Ok(Parts {
        steps,
        back_steps,
        memory,
        layout,
        training,
        inputs,
        outputs,
    })
}
