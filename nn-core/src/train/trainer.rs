//! A model that learns.

use crate::digest::Fnv1a;
use crate::engine::{self, Learning, Parts, Passes, SetupError};
use crate::memory::{Memory, Span, derivative_of, numbers, numbers_mut};
use crate::model::{MAX_NODE_INPUTS, Model};
use crate::ops::{Activation, AllOps, OpSet};
use crate::session::RunError;
use crate::tensor::TensorId;
use crate::train::{Loss, Sgd, Target, TrainError};

/// What a training step tells.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StepReport {
    /// The loss before the update.
    pub loss: f32,
    /// The largest output before the update, the first of equals.
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
    deltas: [Span; MAX_NODE_INPUTS],
    weights_len: usize,
    copies: usize,
    loss: Loss,
    sgd: Sgd,
    learning: Learning,
    output_activation: Activation,
    /// How many steps were taken.
    count: u32,
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
        let Parts {
            passes,
            memory,
            layout,
            training,
            inputs,
            outputs,
            deltas,
        } = engine::lay_out::<K>(&model, arena, true)?;
        let training = training.ok_or(SetupError::Plan(crate::memory::PlanError::NoTrainSpec))?;
        let output_activation = model
            .outputs()
            .first()
            .map_or(Activation::None, |id: TensorId| derivative_of(&model, id));
        let sgd = training.spec.sgd;
        let mut trainer = Self {
            model,
            passes,
            memory,
            inputs,
            outputs,
            deltas,
            weights_len: layout.weights,
            copies: layout.copies,
            loss: training.spec.loss,
            sgd,
            learning: Learning {
                f32: sgd.rule(),
                q16: sgd.rule(),
                // Checked by the planner to fit.
                stride: layout.weights as u32,
                copies: layout.copies as u8,
            },
            output_activation,
            count: 0,
        };
        trainer.reset();
        Ok(trainer)
    }

    /// The model.
    pub fn model(&self) -> Model<'a> {
        self.model
    }

    /// The rates.
    pub fn sgd(&self) -> Sgd {
        self.sgd
    }

    /// Sets the rates. A momentum needs a plan that was exported with one.
    pub fn set_sgd(&mut self, sgd: Sgd) -> Result<(), TrainError> {
        if !sgd.is_valid() {
            return Err(TrainError::Rate);
        }
        if sgd.momentum != 0.0 && self.copies == 0 {
            return Err(TrainError::NoVelocities);
        }
        self.sgd = sgd;
        self.learning.f32 = sgd.rule();
        self.learning.q16 = sgd.rule();
        Ok(())
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

    /// The bytes of the `index`th output of the last run; a step overwrites them.
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        let span = *self.outputs.get(index).filter(|span| !span.is_empty())?;
        self.memory.get(span.range())
    }

    /// Learns from the sample in the input: forward, loss, backward, update.
    ///
    /// On an error no weight has changed.
    pub fn step(&mut self, target: Target) -> Result<StepReport, TrainError> {
        let [output, ..] = self.outputs;
        let [delta, ..] = self.deltas;
        target.check(output.len as usize / size_of::<f32>())?;
        let seed = self.count;
        self.forward(Some(seed)).ok_or(TrainError::Memory)?;
        let report = {
            let mut memory = Memory {
                flash: &[],
                ram: &mut *self.memory,
            };
            memory.copy(output, delta).ok_or(TrainError::Memory)?;
            let output = self.memory.get_mut(delta.range()).and_then(numbers_mut);
            let output: &mut [f32] = output.ok_or(TrainError::Memory)?;
            let loss = self.loss.value(output, &target);
            if !loss.is_finite() || output.iter().any(|y| !y.is_finite()) {
                return Err(TrainError::Diverged);
            }
            let report = StepReport {
                loss,
                prediction: argmax(output),
            };
            self.loss.gradient(output, &target, self.output_activation);
            report
        };
        self.backward(seed).ok_or(TrainError::Memory)?;
        self.count = self.count.wrapping_add(1);
        Ok(report)
    }

    /// All learnt parameters in the order of the graph, each weight before its bias: f32, little-endian.
    pub fn weights(&self) -> &[u8] {
        self.memory.get(..self.weights_len).unwrap_or(&[])
    }

    /// The digest of [`weights`](Self::weights).
    pub fn weights_digest(&self) -> u64 {
        let mut digest = Fnv1a::new();
        digest.update(self.weights());
        digest.finish()
    }

    /// Puts learnt parameters back, in the form of [`weights`](Self::weights); velocities become 0.
    pub fn load_weights(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        if bytes.len() != self.weights_len {
            return Err(TrainError::Values {
                wanted: self.weights_len / size_of::<f32>(),
                found: bytes.len() / size_of::<f32>(),
            });
        }
        self.write_weights(0, bytes)
    }

    /// Replaces the learnt parameters from byte `offset` of [`weights`](Self::weights) on, for a link that carries
    /// them in pieces; velocities become 0.
    ///
    /// On an error (not finite, not whole numbers, or past the end) nothing has changed.
    pub fn write_weights(&mut self, offset: usize, bytes: &[u8]) -> Result<(), TrainError> {
        let refused = TrainError::Values {
            wanted: self.weights_len.saturating_sub(offset) / size_of::<f32>(),
            found: bytes.len() / size_of::<f32>(),
        };
        let (values, rest) = bytes.as_chunks::<4>();
        let finite = values.iter().all(|v| f32::from_le_bytes(*v).is_finite());
        let weights = self.memory.get_mut(..self.weights_len).unwrap_or(&mut []);
        let end = offset.saturating_add(bytes.len());
        match weights.get_mut(offset..end) {
            Some(part) if finite && rest.is_empty() && offset.is_multiple_of(4) => {
                part.copy_from_slice(bytes);
            }
            _ => return Err(refused),
        }
        self.clear_velocities();
        Ok(())
    }

    /// Back to the blob's weights; velocities become 0.
    pub fn reset(&mut self) {
        let learnt = self.memory.get_mut(..self.weights_len).unwrap_or(&mut []);
        let mut learnt = learnt.iter_mut();
        for range in self.model.learnt() {
            let bytes = self.model.weights().get(range).unwrap_or(&[]);
            for (from, to) in bytes.iter().zip(learnt.by_ref()) {
                *to = *from;
            }
        }
        self.clear_velocities();
    }

    /// Begins a new sequence: the state of every recurrent layer becomes 0.
    ///
    /// A step that diverges may leave a state that is not finite; this mends it too.
    pub fn reset_state(&mut self) {
        self.passes.clear_state(&mut Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        });
    }

    fn clear_velocities(&mut self) {
        let end = self.weights_len.saturating_mul(1 + self.copies);
        if let Some(velocities) = self.memory.get_mut(self.weights_len..end) {
            velocities.fill(0);
        }
    }

    fn forward(&mut self, seed: Option<u32>) -> Option<()> {
        let mut memory = Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        };
        self.passes.forward(&mut memory, seed, |_, _, _| {})
    }

    fn backward(&mut self, seed: u32) -> Option<()> {
        let mut memory = Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        };
        self.passes.backward(&mut memory, &mut self.learning, seed)
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

/// The index of the largest value, the first of equals.
fn argmax(values: &[f32]) -> u16 {
    let mut best = (0u16, f32::NEG_INFINITY);
    for (index, &value) in values.iter().enumerate() {
        if value > best.1 {
            // An output has at most 65,535 classes that a target can name.
            best = (u16::try_from(index).unwrap_or(u16::MAX), value);
        }
    }
    best.0
}
