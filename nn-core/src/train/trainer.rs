//! A model that learns.

mod weights;

use weights::restore;

use crate::engine::{self, HeadStep, Learning, Learnt, Parts, Passes, SetupError};
use crate::memory::{Memory, PlanError, Span, Training, numbers};
use crate::model::{MAX_NODE_INPUTS, Model};
use crate::ops::{AllOps, OpSet};
use crate::program::{ProgramError, TrainProgram};
use crate::scalar::hash;
use crate::session::RunError;
use crate::tensor::DType;
use crate::train::{
    Clip, End, Guard, Method, Optimizer, Pace, Placed, Rates, Schedule, Sgd, Target, TrainError,
    is_large,
};

/// What a training step tells.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StepReport {
    /// The loss before the update, summed over the heads.
    pub loss: f32,
    /// The largest output of the first head before the update, the first of equals; of a sequence its last step's.
    pub prediction: u16,
}

/// A model in an arena, with its learnt weights in RAM: it runs like a [`Session`](crate::session::Session), and learns.
#[derive(Debug)]
pub struct Trainer<'a> {
    model: Model<'a>,
    passes: Passes<'a>,
    memory: &'a mut [u8],
    inputs: [Span; MAX_NODE_INPUTS],
    outputs: [Span; MAX_NODE_INPUTS],
    /// Bit i: input i is in f32.
    f32_inputs: u8,
    heads: &'a [HeadStep],
    learnt: &'a [Learnt],
    chain: Option<Placed<'a>>,
    weights_len: usize,
    copies: u8,
    optimizer: Optimizer,
    learning_rate: f32,
    schedule: Schedule,
    clip: Clip,
    accumulate: u16,
    accumulates: bool,
    seed: u32,
    learning: Learning,
    /// Samples seen.
    samples: u32,
    /// Steps of the optimizer taken.
    steps: u32,
    /// Samples whose gradients are summed, and not yet stepped from.
    pending: u16,
    /// Whether the rates must be formed anew before the next step.
    stale: bool,
}

impl<'a> Trainer<'a> {
    /// Plans `model` for its training plan in `arena`, which holds at least [`Model::arena_train`] bytes on a
    /// 16-byte boundary, and copies what learns.
    pub fn new(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError> {
        Self::with::<AllOps>(model, arena)
    }

    /// As [`new`](Self::new), for an image that holds only the operators of `K`.
    #[inline(never)]
    pub fn with<K: OpSet>(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError> {
        let mut parts = engine::lay_out::<K>(&model, arena, true);
        // In their place: a copy would take as much stack again.
        let parts = match &mut parts {
            Ok(parts) => parts,
            Err(error) => return Err(*error),
        };
        match model.plan().and_then(|plan| plan.rates()) {
            Some(spec) => Self::assemble(model, parts, &spec),
            None => Err(SetupError::Plan(PlanError::NoTrainSpec)),
        }
    }

    /// A trainer of `model` by `program`, which was made of its blob, in an `arena` of as many bytes as that says.
    #[inline(never)]
    pub fn planned(
        model: Model<'a>,
        program: &'a TrainProgram<'a>,
        arena: &'a mut [u8],
    ) -> Result<Self, ProgramError> {
        let mut parts = program.parts(&model, arena);
        let parts = match &mut parts {
            Ok(parts) => parts,
            Err(error) => return Err(*error),
        };
        match model.plan().and_then(|plan| plan.rates()) {
            Some(spec) => Self::assemble(model, parts, &spec),
            None => Err(ProgramError::NoTrainPlan),
        }
    }

    /// The trainer of a divided arena. A function of its own: dividing takes much stack.
    #[inline(never)]
    fn assemble<E>(model: Model<'a>, parts: &mut Parts<'a>, spec: &Rates) -> Result<Self, E> {
        let memory = core::mem::take(&mut parts.memory);
        let (weights_len, copies) = (parts.weights, parts.copies);
        restore(&model, memory, weights_len, copies);
        let f32_inputs = f32_inputs(&model);
        let has_nodes_below = parts.passes.has_nodes_below();
        let input = match (f32_inputs, parts.inputs) {
            (1, [first, ..]) if !has_nodes_below => first.range(),
            _ => 0..0,
        };
        let chain = parts.chain;
        let chain = chain.and_then(|chain| chain.place(weights_len, memory, input));
        // Made where it is returned: it is too large for copies on a device's stack.
        Ok(Self {
            model,
            passes: parts.passes,
            memory,
            inputs: parts.inputs,
            outputs: parts.outputs,
            f32_inputs,
            heads: parts.heads,
            learnt: parts.learnt,
            chain,
            weights_len,
            // Checked by the planner to be few.
            copies: copies as u8,
            optimizer: spec.optimizer,
            learning_rate: spec.learning_rate,
            schedule: spec.schedule,
            clip: spec.clip,
            accumulate: spec.accumulate,
            accumulates: parts.accumulates,
            seed: spec.seed,
            // Checked by the planner to fit.
            learning: Learning::new(weights_len as u32, copies as u8, spec.seed),
            samples: 0,
            steps: 0,
            pending: 0,
            stale: true,
        })
    }

    pub(crate) fn passes(&self) -> Passes<'a> {
        self.passes
    }

    /// Where inputs and outputs lie.
    pub(crate) fn endpoints(&self) -> [[Span; MAX_NODE_INPUTS]; 2] {
        [self.inputs, self.outputs]
    }

    /// The losses, and what learns where gradients are summed first.
    pub(crate) fn tables(&self) -> (&'a [HeadStep], &'a [Learnt]) {
        (self.heads, self.learnt)
    }

    /// How many numbers are kept for each learnt weight besides itself.
    pub(crate) fn copies(&self) -> usize {
        usize::from(self.copies)
    }

    /// Whether gradients are summed first.
    pub(crate) fn accumulates(&self) -> bool {
        self.accumulates
    }

    /// Whether a step may go through a [`Chain`](crate::train::Chain) at once.
    pub fn has_chain(&self) -> bool {
        self.chain.is_some()
    }

    /// The model.
    pub fn model(&self) -> Model<'a> {
        self.model
    }

    /// The base learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// Sets the base learning rate, from which the plan's schedule goes on.
    pub fn set_learning_rate(&mut self, learning_rate: f32) -> Result<(), TrainError> {
        if !(learning_rate >= 0.0 && learning_rate.is_finite()) {
            return Err(TrainError::Rate);
        }
        self.learning_rate = learning_rate;
        self.stale = true;
        Ok(())
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }

    /// Sets the optimizer. One that keeps more numbers for each weight than the plan has room for is refused.
    #[inline(never)]
    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<(), TrainError> {
        if optimizer.check().is_err() {
            return Err(TrainError::Rate);
        }
        if let Some(setting) = optimizer.beyond_plain()
            && Training::new(&self.model).is_ok_and(|training| training.int8)
        {
            return Err(TrainError::Int8 { setting });
        }
        let wanted = optimizer.copies() + usize::from(self.accumulates);
        if wanted > usize::from(self.copies) {
            return Err(TrainError::NoVelocities);
        }
        if core::mem::discriminant(&self.optimizer.method)
            != core::mem::discriminant(&optimizer.method)
        {
            // What another method kept means something else.
            self.clear_copies();
        }
        if self.optimizer.rounding != optimizer.rounding {
            self.learning.reset(self.seed);
        }
        self.optimizer = optimizer;
        self.stale = true;
        Ok(())
    }

    /// The rates of stochastic gradient descent; a momentum of 0 for another optimizer.
    pub fn sgd(&self) -> Sgd {
        Sgd {
            learning_rate: self.learning_rate,
            momentum: match self.optimizer.method {
                Method::Sgd { momentum, .. } => momentum,
                _ => 0.0,
            },
            weight_decay: self.optimizer.weight_decay,
        }
    }

    /// Sets the rates of stochastic gradient descent. A momentum needs a plan that was exported with room for it.
    pub fn set_sgd(&mut self, sgd: Sgd) -> Result<(), TrainError> {
        if !sgd.is_valid() {
            return Err(TrainError::Rate);
        }
        let nesterov = match self.optimizer.method {
            Method::Sgd { nesterov, .. } => nesterov && sgd.momentum > 0.0,
            _ => false,
        };
        self.set_optimizer(Optimizer {
            method: Method::Sgd {
                momentum: sgd.momentum,
                nesterov,
            },
            weight_decay: sgd.weight_decay,
            ..self.optimizer
        })?;
        self.set_learning_rate(sgd.learning_rate)
    }

    /// The bytes of the `index`th input, to be written before every run and every step.
    pub fn input_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let span = *self.inputs.get(index).filter(|span| !span.is_empty())?;
        self.memory.get_mut(span.range())
    }

    /// Runs the model on the learnt weights.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.forward(None).ok_or(RunError::Memory)
    }

    /// As [`run`](Self::run), and shows the bytes of each node's output as soon as they are there.
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

    /// The bytes of the `index`th output of the last run; a step overwrites them.
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        let span = *self.outputs.get(index).filter(|span| !span.is_empty())?;
        self.memory.get(span.range())
    }

    /// Learns from the sample in the input: forward, loss, backward, update. For a plan of one head.
    ///
    /// On an error no weight has changed, but where [`TrainError::Diverged`] was seen below the last layer that learns: the
    /// layers above have then learnt. Where a weight was no longer finite it is the blob's again.
    pub fn step(&mut self, target: Target) -> Result<StepReport, TrainError> {
        self.step_heads(&[target])
    }

    /// Learns from the sample in the inputs, with a target for each head of the plan, in their order. Errors are those of
    /// [`step`](Self::step).
    #[inline(never)]
    pub fn step_heads(&mut self, targets: &[Target]) -> Result<StepReport, TrainError> {
        match (&self.chain, targets) {
            (Some(chain), &[Target::Class(class)]) if chain.tells(class) => {
                self.step_chain(class, targets)
            }
            _ => self.step_nodes(targets),
        }
    }

    // In the frame of its caller, as what follows: the stack below is deep. Where the caller can jump to it, it takes none.
    #[cfg_attr(mote_armv6m, inline(always))]
    #[cfg_attr(not(mote_armv6m), inline(never))]
    fn step_nodes(&mut self, targets: &[Target]) -> Result<StepReport, TrainError> {
        let (wanted, found) = (self.heads.len(), targets.len());
        if wanted != found {
            return Err(TrainError::Targets { wanted, found });
        }
        for (head, target) in self.heads.iter().zip(targets) {
            head.check(target)?;
        }
        self.form_rates();
        let seed = hash(self.seed, self.samples);
        self.look_at_inputs();
        self.forward(Some(seed)).ok_or(TrainError::Memory)?;
        let report = self.form_losses(targets)?;
        self.learn_nodes(targets, seed)?;
        Ok(report)
    }

    /// From the losses on: gradients, backward, update.
    #[inline(always)]
    fn learn_nodes(&mut self, targets: &[Target], seed: u32) -> Result<(), TrainError> {
        self.form_gradients(targets).ok_or(TrainError::Memory)?;
        if self.backward(seed).is_none() {
            return Err(self.stopped());
        }
        self.finish()
    }

    /// As [`step_nodes`](Self::step_nodes) through the chain; node by node from where descent is not plain, or the guard has
    /// to look at each layer.
    #[inline(never)]
    fn step_chain(&mut self, class: u16, targets: &[Target]) -> Result<StepReport, TrainError> {
        self.form_rates();
        let begins = self.chain.as_ref().is_some_and(Placed::begins);
        // What begins at the model's input looks at it itself.
        let is_large = !begins && self.has_large_input();
        if !begins && self.passes.has_nodes_below() {
            self.forward_below().ok_or(TrainError::Memory)?;
        }
        let rate = self.learning.plain_rate();
        let rate = rate.filter(|_| !is_large && Guard::is_slow(self.learning_rate));
        let Some(chain) = &self.chain else {
            return Err(TrainError::Memory);
        };
        let outcome = chain.step(self.memory, class, rate);
        let (loss, prediction) = (outcome.loss(), outcome.prediction());
        if outcome.has_learnt() {
            self.samples = self.samples.wrapping_add(1);
            self.steps = self.steps.wrapping_add(1);
            // Plain descent has no corrections.
            if self.schedule != Schedule::CONSTANT {
                self.stale = true;
            }
            return Ok(StepReport { loss, prediction });
        }
        match outcome.end() {
            End::Diverged => return Err(self.diverged()),
            End::Outside => return Err(TrainError::Memory),
            End::Learnt | End::Waits => {
                self.look_at_inputs();
                self.learning.guard.set(self.learning_rate, loss);
                self.learn_nodes(targets, hash(self.seed, self.samples))?;
            }
        }
        Ok(StepReport { loss, prediction })
    }

    #[inline(never)]
    fn forward_below(&mut self) -> Option<()> {
        let seed = hash(self.seed, self.samples);
        self.forward_through(self.passes.below(), Some(seed))
    }

    /// Counts the sample, and steps from what is summed where it is the last.
    #[inline(never)]
    fn finish(&mut self) -> Result<(), TrainError> {
        self.samples = self.samples.wrapping_add(1);
        if !self.accumulates {
            self.stepped();
        } else {
            self.pending = self.pending.saturating_add(1);
            if self.pending >= self.accumulate {
                self.step_from_sums()?;
            }
        }
        if self.learning.guard.has_looked() && self.mend() {
            return Err(TrainError::Diverged);
        }
        Ok(())
    }

    /// Whether an input in f32 is large.
    #[inline(never)]
    fn has_large_input(&self) -> bool {
        let inputs = self.inputs.iter().enumerate();
        let mut inputs = inputs.filter(|(index, _)| self.f32_inputs >> index & 1 == 1);
        inputs.any(|(_, span)| {
            let bytes = self.memory.get(span.range()).unwrap_or(&[]);
            numbers(bytes).is_some_and(is_large)
        })
    }

    #[inline(never)]
    fn look_at_inputs(&mut self) {
        self.learning.guard = Guard::of_input(self.has_large_input());
    }

    /// Why the backward pass did not end.
    #[inline(never)]
    fn stopped(&mut self) -> TrainError {
        match self.learning.guard.has_stopped() {
            true => self.diverged(),
            false => TrainError::Memory,
        }
    }

    #[inline(never)]
    fn diverged(&mut self) -> TrainError {
        self.mend();
        TrainError::Diverged
    }

    #[inline(never)]
    fn form_losses(&mut self, targets: &[Target]) -> Result<StepReport, TrainError> {
        let mut memory = Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        };
        let mut report = StepReport {
            loss: 0.0,
            prediction: 0,
        };
        for (index, (head, target)) in self.heads.iter().zip(targets).enumerate() {
            let (loss, prediction) = match head.value(target, &mut memory) {
                Err(TrainError::Diverged) => return Err(self.diverged()),
                value => value?,
            };
            report.loss += loss;
            if index == 0 {
                report.prediction = prediction;
            }
        }
        self.learning.guard.set(self.learning_rate, report.loss);
        Ok(report)
    }

    #[inline(never)]
    fn form_gradients(&mut self, targets: &[Target]) -> Option<()> {
        let mut memory = Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        };
        for (head, target) in self.heads.iter().zip(targets) {
            head.gradient(target, &mut memory)?;
        }
        Some(())
    }

    #[inline(never)]
    fn backward(&mut self, seed: u32) -> Option<()> {
        let mut memory = Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        };
        let learning = &mut self.learning;
        self.passes.backward(&mut memory, learning, seed)
    }

    /// Steps from the gradients summed so far, of fewer samples than the plan accumulates: at the end of an epoch.
    /// Nothing where there are none.
    pub fn flush(&mut self) -> Result<(), TrainError> {
        if self.pending == 0 {
            return Ok(());
        }
        self.form_rates();
        self.step_from_sums()
    }

    #[inline(never)]
    fn step_from_sums(&mut self) -> Result<(), TrainError> {
        let mut memory = Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        };
        self.learning
            .step_from_sums(self.learnt, self.pending, self.clip, &mut memory)
            .ok_or(TrainError::Memory)?;
        self.pending = 0;
        self.stepped();
        Ok(())
    }

    /// Counts a step of the optimizer.
    fn stepped(&mut self) {
        self.steps = self.steps.wrapping_add(1);
        // Adam's corrections change from step to step.
        self.stale |= self.schedule != Schedule::CONSTANT || self.optimizer.keeps_f32();
    }

    #[inline]
    fn form_rates(&mut self) {
        if self.stale {
            self.form_stale_rates();
        }
    }

    #[inline(never)]
    fn form_stale_rates(&mut self) {
        self.stale = false;
        let pace = Pace {
            rate: self.schedule.rate(self.learning_rate, self.steps),
            step: self.steps.saturating_add(1),
        };
        self.learning
            .set_pace(&self.optimizer, self.clip, self.accumulates, pace);
    }

    #[inline(never)]
    fn forward(&mut self, seed: Option<u32>) -> Option<()> {
        self.forward_through(self.passes, seed)
    }

    fn forward_through(&mut self, passes: Passes, seed: Option<u32>) -> Option<()> {
        let mut memory = Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        };
        passes.forward(&mut memory, seed, |_, _, _| {})
    }

    /// The output of the last run as f32; `None` where it is of another type.
    pub fn output_f32(&self, index: usize) -> Option<&[f32]> {
        let output = self.model.output(index)?;
        if output.dtype != crate::tensor::DType::F32 {
            return None;
        }
        numbers(self.output(index)?)
    }
}

/// Which inputs are in f32. There are at most four.
fn f32_inputs(model: &Model) -> u8 {
    let inputs = (0..MAX_NODE_INPUTS).filter(|&index| {
        let input = model.input(index);
        input.is_some_and(|input| input.dtype == DType::F32)
    });
    inputs.fold(0, |bits, index| bits | 1 << index)
}
