//! What the planner does with a model, for reports.

use crate::engine::setup::Layout;
use crate::memory::{Buffer, Plan, PlanError};
use crate::model::Model;
use crate::ops::AllOps;
use crate::tensor::TensorId;

/// The parts of an arena, in bytes. Their sum is the arena: [`total`](Self::total).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArenaParts {
    /// A resolved step for each node.
    pub steps: usize,
    /// Where each node's inputs, outputs and weights lie.
    pub operands: usize,
    /// A resolved backward step for each node from the first that learns on.
    pub back_steps: usize,
    /// Where the gradients at those nodes' inputs go.
    pub slots: usize,
    /// The losses.
    pub heads: usize,
    /// The output channels that learn, of nodes that do not learn in all.
    pub picks: usize,
    /// The tensors that learn, where gradients are summed first.
    pub learnt: usize,
    /// The weights that learn.
    pub weights: usize,
    /// How many numbers are kept for each weight that learns besides itself: velocity, moments, sums of gradients.
    pub copies: usize,
    /// What the planned buffers take together.
    pub buffers: usize,
    /// What the planner's own table takes beyond the weights, copies and buffers, in whose place it lies while it
    /// plans; 0 but for tiny models.
    pub table: usize,
    /// To begin the buffers on a boundary of 8 bytes, and to end the arena on one of 16.
    pub padding: usize,
}

impl ArenaParts {
    /// Bytes of the arena.
    pub fn total(&self) -> usize {
        let tables = self.steps + self.operands + self.back_steps + self.slots;
        let tables = tables + self.heads + self.picks + self.learnt;
        let learnt = self.weights.saturating_mul(1 + self.copies);
        tables + learnt + self.buffers + self.table + self.padding
    }
}

/// A planned arena: every buffer, when it lives and where it lies.
///
/// It is made by the code that plans a session's or a trainer's arena, so its sum is the arena's size in the blob's
/// header. To see what another training plan would cost: [`Model::with_train_spec`].
///
/// ```no_run
/// # fn show(model: &nn_core::model::Model, table: &mut [nn_core::memory::Buffer]) {
/// let report = nn_core::ArenaReport::new(model, false, table).expect("a plan");
/// assert_eq!(report.parts().total(), model.arena_infer());
/// for buffer in report.buffers() {
///     let (kind, bytes) = (buffer.kind().name(), buffer.size);
///     // …
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct ArenaReport<'b> {
    plan: Plan<'b, AllOps>,
    parts: ArenaParts,
}

impl<'b> ArenaReport<'b> {
    /// Plans inference, or the model's training plan. `table` holds
    /// [`table_len`](crate::memory::table_len) entries.
    ///
    /// # Errors
    /// What keeps the model from being planned.
    pub fn new(model: &Model, train: bool, table: &'b mut [Buffer]) -> Result<Self, PlanError> {
        let plan = Plan::new(model, train, table)?;
        let parts = Layout::new(model, &plan).parts(&plan);
        Ok(Self { plan, parts })
    }

    /// The parts of the arena.
    pub fn parts(&self) -> ArenaParts {
        self.parts
    }

    /// The buffers: first the activations, by their ids. One of size 0 shares another's place: see
    /// [`shares`](Self::shares).
    pub fn buffers(&self) -> &[Buffer] {
        self.plan.buffers()
    }

    /// The tensor in whose buffer the activation of entry `index` lies; `None` where it has its own.
    pub fn shares(&self, index: usize) -> Option<TensorId> {
        let back = self.buffers().get(index)?.shares_back();
        let root = index.checked_sub(back).filter(|_| back > 0)?;
        self.buffers().get(root).map(|buffer| buffer.owner)
    }

    /// The weights that learn, in their order in the arena: (tensor, bytes).
    pub fn learnt<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = (TensorId, usize)> + 'a {
        let training = self.plan.training();
        let learnt = training.map(|training| training.learnt(model));
        let learnt = learnt.into_iter().flatten();
        learnt.map(|(id, _, bytes)| (id, bytes as usize))
    }
}
