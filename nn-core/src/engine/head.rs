//! A loss at an output, resolved.

use crate::memory::{Memory, Span, derivative_of, ending, numbers, numbers_mut};
use crate::model::Model;
use crate::ops::Activation;
use crate::scalar::{Q16, Scalar};
use crate::stored::stored;
use crate::tensor::{DType, Source};
use crate::train::{Criterion, Ending, Head, Loss, Target, TrainError};

/// A loss at an output.
#[derive(Debug, Clone, Copy)]
pub struct HeadStep {
    pub(crate) output: Span,
    /// Where the gradient at the output goes.
    pub(crate) delta: Span,
    class_weights: Span,
    pub(crate) weight: f32,
    loss: Loss,
    ending: Ending,
    activation: Activation,
    dtype: DType,
    /// Numbers of a row of a sequence, 0 where the output is one row.
    classes: u32,
}

stored!(HeadStep {
    output: Span,
    delta: Span,
    class_weights: Span,
    weight: f32,
    loss: Loss,
    ending: Ending,
    activation: Activation,
    dtype: DType,
    classes: u32,
});

impl HeadStep {
    pub(crate) const NOTHING: Self = Self {
        output: Span::NOTHING,
        delta: Span::NOTHING,
        class_weights: Span::NOTHING,
        weight: 1.0,
        loss: Loss::MeanSquaredError,
        ending: Ending::Other,
        activation: Activation::None,
        dtype: DType::F32,
        classes: 0,
    };

    pub(crate) fn new(model: &Model, head: &Head, output: Span, delta: Span) -> Option<Self> {
        let outputs = model.outputs();
        let id = *outputs.as_slice().get(usize::from(head.output))?;
        let tensor = model.tensor(id)?;
        let weights = head.class_weights.and_then(|id| model.tensor(id));
        let class_weights = match weights.map(|weights| (weights.source, weights.bytes())) {
            // A weights section is smaller than 2^31 bytes: see `load`.
            Some((Source::Weight { offset }, bytes)) => Span::flash(offset, bytes as u32),
            _ => Span::NOTHING,
        };
        let last = tensor.shape.dims().last().copied();
        Some(Self {
            output,
            delta,
            class_weights,
            weight: head.weight,
            loss: head.loss,
            ending: ending(model, id),
            activation: derivative_of(model, id),
            dtype: tensor.dtype,
            classes: if tensor.shape.rank() > 1 { last? } else { 0 },
        })
    }

    /// Whether it is cross-entropy over one softmax in f32, without class weights.
    pub(crate) fn is_plain_softmax(&self) -> bool {
        let is_plain = self.classes == 0 && self.class_weights.is_empty();
        let is_softmax = self.ending == Ending::Softmax && self.loss == Loss::CrossEntropy;
        is_plain && is_softmax && self.dtype == DType::F32
    }

    fn criterion<'w>(&self, class_weights: &'w [f32]) -> Criterion<'w> {
        Criterion {
            loss: self.loss,
            ending: self.ending,
            weight: self.weight,
            class_weights,
            classes: self.classes as usize,
        }
    }

    /// Whether `target` fits the output.
    pub(crate) fn check(&self, target: &Target) -> Result<(), TrainError> {
        // Both real types have four bytes.
        self.criterion(&[])
            .check(self.output.len as usize / size_of::<f32>(), target)
    }

    /// The loss, and the place of the largest output: of the last row where there are several.
    pub(crate) fn value(
        &self,
        target: &Target,
        memory: &mut Memory,
    ) -> Result<(f32, u16), TrainError> {
        match self.dtype {
            DType::Q16 => self.value_of::<Q16>(target, memory),
            _ => self.value_of::<f32>(target, memory),
        }
    }

    #[inline(never)]
    fn value_of<S: Scalar>(
        &self,
        target: &Target,
        memory: &mut Memory,
    ) -> Result<(f32, u16), TrainError> {
        let no_writes: [Span; 0] = [];
        let borrowed = memory.borrow([self.output, self.class_weights], no_writes);
        let ([output, class_weights], _) = borrowed.ok_or(TrainError::Memory)?;
        let output: &[S] = numbers(output).ok_or(TrainError::Memory)?;
        let class_weights = numbers(class_weights).ok_or(TrainError::Memory)?;
        let loss = self.criterion(class_weights).value(output, target);
        if !loss.is_finite() || output.iter().any(|y| !y.is_finite()) {
            return Err(TrainError::Diverged);
        }
        let row = match self.classes as usize {
            0 => output,
            classes => output.rchunks(classes).next().unwrap_or(&[]),
        };
        Ok((loss, argmax(row)))
    }

    /// Writes the gradient.
    pub(crate) fn gradient(&self, target: &Target, memory: &mut Memory) -> Option<()> {
        match self.dtype {
            DType::Q16 => self.gradient_of::<Q16>(target, memory),
            _ => self.gradient_of::<f32>(target, memory),
        }
    }

    #[inline(never)]
    fn gradient_of<S: Scalar>(&self, target: &Target, memory: &mut Memory) -> Option<()> {
        memory.copy(self.output, self.delta)?;
        let ([class_weights], [delta]) = memory.borrow([self.class_weights], [self.delta])?;
        let delta: &mut [S] = numbers_mut(delta)?;
        self.criterion(numbers(class_weights)?)
            .gradient(delta, target, self.activation);
        Some(())
    }
}

/// The index of the largest value, the first of equals.
fn argmax<S: Scalar>(values: &[S]) -> u16 {
    let mut best: Option<(usize, S)> = None;
    for (index, &value) in values.iter().enumerate() {
        if best.is_none_or(|(_, best)| value > best) {
            best = Some((index, value));
        }
    }
    // An output has at most 65,535 classes that a target can name.
    best.map_or(0, |(index, _)| u16::try_from(index).unwrap_or(u16::MAX))
}
