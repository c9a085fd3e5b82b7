//! A model that learns.

use crate::digest::Fnv1a;
use crate::engine::{self, BackStep, Learning, Parts, SetupError, Step};
use crate::memory::{Span, derivative_of, floats, floats_mut};
use crate::model::{MAX_NODE_INPUTS, Model};
use crate::ops::Activation;
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
    steps: &'a [Step],
    back_steps: &'a [BackStep],
    memory: &'a mut [u8],
    inputs: [Span; MAX_NODE_INPUTS],
    outputs: [Span; MAX_NODE_INPUTS],
    first: usize,
    weights_len: usize,
    velocities_len: usize,
    loss: Loss,
    sgd: Sgd,
    output_activation: Activation,
}

impl<'a> Trainer<'a> {
    /// Plans `model` for its training plan in `arena`, which holds at least [`Model::arena_train`] bytes on a
    /// 16-byte boundary, and copies what learns.
    pub fn new(model: Model<'a>, arena: &'a mut [u8]) -> Result<Self, SetupError> {
        let Parts {
            steps,
            back_steps,
            memory,
            layout,
            training,
            inputs,
            outputs,
        } = engine::lay_out(&model, arena, true)?;
        let training = training.ok_or(SetupError::Plan(crate::memory::PlanError::NoTrainSpec))?;
        let output_activation = model
            .outputs()
            .first()
            .map_or(Activation::None, |id: TensorId| derivative_of(&model, id));
        let mut trainer = Self {
            model,
            steps,
            back_steps,
            memory,
            inputs,
            outputs,
            first: training.first,
            weights_len: layout.weights,
            velocities_len: layout.velocities,
            loss: training.spec.loss,
            sgd: training.spec.sgd,
            output_activation,
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
        if sgd.momentum != 0.0 && self.velocities_len == 0 {
            return Err(TrainError::NoVelocities);
        }
        self.sgd = sgd;
        Ok(())
    }

    /// The bytes of the `index`th input, to be written before every run and every step.
    pub fn input_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let span = *self.inputs.get(index).filter(|span| span.len > 0)?;
        self.memory.get_mut(span.range())
    }

    /// Runs the model on the learnt weights.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.forward().ok_or(RunError::Memory)
    }

    /// The bytes of the `index`th output of the last run; a step overwrites them.
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        let span = *self.outputs.get(index).filter(|span| span.len > 0)?;
        self.memory.get(span.range())
    }

    /// Learns from the sample in the input: forward, loss, backward, update.
    ///
    /// On an error no weight has changed.
    pub fn step(&mut self, target: Target) -> Result<StepReport, TrainError> {
        let [output, ..] = self.outputs;
        target.check(output.len as usize / size_of::<f32>())?;
        self.forward().ok_or(TrainError::Memory)?;
        let report = {
            let output = self.memory.get_mut(output.range()).and_then(floats_mut);
            let output = output.ok_or(TrainError::Memory)?;
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
        self.backward().ok_or(TrainError::Memory)?;
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

    fn clear_velocities(&mut self) {
        let end = self.weights_len.saturating_add(self.velocities_len);
        if let Some(velocities) = self.memory.get_mut(self.weights_len..end) {
            velocities.fill(0);
        }
    }

    fn forward(&mut self) -> Option<()> {
        for (index, step) in self.steps.iter().enumerate() {
            let back = index
                .checked_sub(self.first)
                .and_then(|index| self.back_steps.get(index));
            let saved = back.map_or(Span::default(), |back| back.saved);
            engine::forward(step, self.model.weights(), self.memory, saved)?;
            if let (engine::Kernel::Softmax, true) = (&step.kernel, saved.len > 0) {
                let [y, copy] = crate::memory::disjoint(self.memory, [step.y, saved])?;
                for (to, from) in copy.iter_mut().zip(y.iter()) {
                    *to = *from;
                }
            }
        }
        Some(())
    }

    fn backward(&mut self) -> Option<()> {
        let mut learning = Learning {
            rule: self.sgd.rule(),
            velocity: if self.velocities_len == 0 {
                0
            } else {
                self.weights_len as u32
            },
        };
        let steps = self.steps.get(self.first..)?;
        for (step, back) in steps.iter().zip(self.back_steps).rev() {
            engine::backward(step, back, &mut learning, self.model.weights(), self.memory)?;
        }
        Some(())
    }

    /// The output of the last run as f32; `None` where it is of another type.
    pub fn output_f32(&self, index: usize) -> Option<&[f32]> {
        let output = self.model.output(index)?;
        if output.dtype != crate::tensor::DType::F32 {
            return None;
        }
        floats(self.output(index)?)
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
