//! Losses and their gradients, generic over the number format.
//!
//! y are the n numbers of an output, t the targets, w the class weights (1 where there are none), h the head's
//! weight; a sequence output has `steps` rows of `classes` numbers.
//!
//! | loss | value | gradient |
//! |---|---|---|
//! | cross-entropy over a softmax p | −h/steps · Σ w·t·ln p | at the softmax's input: T·p − t′, with t′ = h/steps · w·t and T = Σ t′ of the row |
//! | … over a log-softmax y | −h/steps · Σ w·t·y | at the log-softmax's input: T·e^y − t′ |
//! | binary cross-entropy over a sigmoid y | −h/n · Σ w·(t·ln y + (1 − t)·ln(1 − y)) | at the sigmoid's input: h/n · w·(y − t) |
//! | mean squared error | h/n · Σ w·(y − t)² | 2h/n · w·(y − t) |
//! | mean absolute error | h/n · Σ w·\|y − t\| | h/n · w·sign(y − t), 0 at 0 |
//! | Huber(d) | h/n · Σ w·(e²/2 where \|e\| ≤ d, else d·(\|e\| − d/2)), e = y − t | h/n · w·e held within ±d |
//!
//! The reductions are PyTorch's for one sample (`CrossEntropyLoss`, `BCELoss`, `MSELoss`, `L1Loss`, `HuberLoss`),
//! except that a class weight multiplies the loss: PyTorch's mean over a batch divides by the sum of the weights, which
//! would leave a batch of one unweighted.

use serde::{Deserialize, Serialize};

use crate::kernels::part;
use crate::ops::Activation;
use crate::scalar::{Scalar, ln};
use crate::stored::{Reader, Writer};
use crate::train::TrainError;

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Loss {
    /// −Σ t · ln p over the softmax (or log-softmax) that makes the output; one sum for each step of a sequence, and
    /// their mean. Its gradient is formed at the softmax's input.
    CrossEntropy,
    /// Mean squared error, (1/n) Σ (y − t)².
    MeanSquaredError,
    /// −(1/n) Σ t · ln y + (1 − t) · ln(1 − y) over the sigmoid that makes the output: each output is a yes or no by
    /// itself. Its gradient is formed at the sigmoid's input.
    BinaryCrossEntropy,
    /// Mean absolute error, (1/n) Σ |y − t|.
    MeanAbsoluteError,
    /// Squared (halved) up to an error of `delta`, straight beyond it.
    Huber {
        /// Where the parabola ends; above 0.
        delta: f32,
    },
}

/// What makes an output: it decides how a loss reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// Probabilities, from a softmax.
    Softmax,
    /// Logarithms of probabilities, from a log-softmax.
    LogSoftmax,
    /// Probabilities, each by itself, from a sigmoid (a node, or fused into a layer).
    Sigmoid,
    /// Anything else.
    #[default]
    Other,
}

impl Ending {
    pub(crate) const fn read(from: &mut Reader) -> Self {
        match from.u8() {
            1 => Self::Softmax,
            2 => Self::LogSoftmax,
            3 => Self::Sigmoid,
            _ => Self::Other,
        }
    }

    pub(crate) fn write(self, to: &mut Writer) {
        to.u8(match self {
            Self::Other => 0,
            Self::Softmax => 1,
            Self::LogSoftmax => 2,
            Self::Sigmoid => 3,
        });
    }
}

impl Loss {
    pub(crate) const fn read(from: &mut Reader) -> Self {
        match from.u8() {
            1 => Self::MeanSquaredError,
            2 => Self::BinaryCrossEntropy,
            3 => Self::MeanAbsoluteError,
            4 => Self::Huber { delta: from.f32() },
            _ => Self::CrossEntropy,
        }
    }

    pub(crate) fn write(self, to: &mut Writer) {
        to.u8(match self {
            Self::CrossEntropy => 0,
            Self::MeanSquaredError => 1,
            Self::BinaryCrossEntropy => 2,
            Self::MeanAbsoluteError => 3,
            Self::Huber { .. } => 4,
        });
        if let Self::Huber { delta } = self {
            to.f32(delta);
        }
    }

    /// Whether the gradient that it forms is at the input of the function that made the output: the derivative of that
    /// softmax, log-softmax or sigmoid is already in it, and must not be applied again.
    pub const fn includes_derivative(self) -> bool {
        matches!(self, Self::CrossEntropy | Self::BinaryCrossEntropy)
    }

    /// Whether it can stand at an output that `ending` makes.
    pub const fn accepts(self, ending: Ending) -> bool {
        match self {
            Self::CrossEntropy => matches!(ending, Ending::Softmax | Ending::LogSoftmax),
            Self::BinaryCrossEntropy => matches!(ending, Ending::Sigmoid),
            _ => true,
        }
    }

    /// The ending that it needs, where any other is refused.
    pub const fn ending(self) -> Ending {
        match self {
            Self::CrossEntropy => Ending::Softmax,
            Self::BinaryCrossEntropy => Ending::Sigmoid,
            _ => Ending::Other,
        }
    }
}

/// What the output should have been.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target<'t> {
    /// A class: 1 there, 0 elsewhere.
    Class(u16),
    /// A class for each step of a sequence; [`Target::IGNORED`] where the step has none.
    Classes(&'t [u16]),
    /// A value for each output.
    Values(&'t [f32]),
}

/// One row of a target.
#[derive(Clone, Copy)]
enum Row<'t> {
    Class(usize),
    Values(&'t [f32]),
}

impl Row<'_> {
    fn at(&self, index: usize) -> f32 {
        match self {
            Self::Class(class) if *class == index => 1.0,
            Self::Class(_) => 0.0,
            Self::Values(values) => values.get(index).copied().unwrap_or(0.0),
        }
    }
}

impl<'t> Target<'t> {
    /// The class of a step that has none: it adds no loss, and does not count in the mean.
    pub const IGNORED: u16 = u16::MAX;

    /// Whether it fits `outputs` outputs in rows of `classes`.
    fn check_rows(&self, outputs: usize, classes: usize) -> Result<(), TrainError> {
        let class = |found: usize| {
            let wanted = classes;
            let fits = found < wanted;
            fits.then_some(())
                .ok_or(TrainError::Class { wanted, found })
        };
        let values = |wanted: usize, found: usize, fits: bool| {
            let fits = fits && wanted == found;
            fits.then_some(())
                .ok_or(TrainError::Values { wanted, found })
        };
        let steps = outputs.checked_div(classes).unwrap_or(0);
        match self {
            Self::Class(found) => {
                values(steps, 1, true)?;
                class(usize::from(*found))
            }
            Self::Classes(found) => {
                values(steps, found.len(), true)?;
                let mut named = found.iter().filter(|class| **class != Self::IGNORED);
                named.try_for_each(|found| class(usize::from(*found)))
            }
            Self::Values(found) => {
                let finite = found.iter().all(|value| value.is_finite());
                values(outputs, found.len(), finite)
            }
        }
    }

    /// Row `step`; `None` where it is ignored.
    fn row(&self, step: usize, classes: usize) -> Option<Row<'t>> {
        match self {
            Self::Class(class) => (step == 0).then_some(Row::Class(usize::from(*class))),
            Self::Classes(found) => {
                let class = *found.get(step)?;
                (class != Self::IGNORED).then_some(Row::Class(usize::from(class)))
            }
            Self::Values(values) => Some(Row::Values(part(values, step * classes, classes))),
        }
    }

    /// How many of `steps` rows count.
    fn counted(&self, steps: usize) -> usize {
        match self {
            Self::Class(_) => 1,
            Self::Classes(found) => {
                let named = found.iter().filter(|class| **class != Self::IGNORED);
                named.count()
            }
            Self::Values(_) => steps,
        }
    }
}

/// A loss at an output: all that its value and gradient depend on besides the numbers.
#[derive(Debug, Clone, Copy)]
pub struct Criterion<'w> {
    /// The loss.
    pub loss: Loss,
    /// What makes the output.
    pub ending: Ending,
    /// What the loss counts beside those of other heads.
    pub weight: f32,
    /// A factor for each class (number of a row); empty for 1 each.
    pub class_weights: &'w [f32],
    /// Numbers of a row: the last dimension of a sequence output; 0 where the output is one row.
    pub classes: usize,
}

impl<'w> Criterion<'w> {
    /// A loss at an output of one row, the only head, without class weights.
    pub const fn new(loss: Loss, ending: Ending) -> Self {
        Self {
            loss,
            ending,
            weight: 1.0,
            class_weights: &[],
            classes: 0,
        }
    }

    /// The same with a head's weight.
    pub const fn with_weight(self, weight: f32) -> Self {
        Self { weight, ..self }
    }

    /// The same with class weights.
    pub const fn with_class_weights(self, class_weights: &'w [f32]) -> Self {
        Self {
            class_weights,
            ..self
        }
    }

    /// The same over rows of `classes` numbers.
    pub const fn with_rows(self, classes: usize) -> Self {
        Self { classes, ..self }
    }

    fn row_len(&self, outputs: usize) -> usize {
        if self.classes == 0 {
            outputs.max(1)
        } else {
            self.classes
        }
    }

    /// Whether `target` fits `outputs` numbers.
    pub fn check(&self, outputs: usize, target: &Target) -> Result<(), TrainError> {
        target.check_rows(outputs, self.row_len(outputs))
    }

    /// The class weight of number `index` of a row.
    fn class_weight(&self, index: usize) -> f32 {
        self.class_weights.get(index).copied().unwrap_or(1.0)
    }

    /// What one row counts (cross-entropy), or one number (the others), before class weights.
    fn share(&self, target: &Target, outputs: usize) -> f32 {
        let classes = self.row_len(outputs);
        let rows = target.counted(outputs.checked_div(classes).unwrap_or(0));
        let count = match self.loss {
            Loss::CrossEntropy => rows,
            _ => rows * classes,
        };
        // An output has less than 2^24 numbers, or the quotient is the nearest f32.
        let unit = match self.loss {
            Loss::MeanSquaredError => 2.0,
            _ => 1.0,
        };
        unit / count.max(1) as f32 * self.weight
    }

    /// The loss of `output`, computed in f32 whatever the format, over rows and then numbers in order.
    ///
    /// Cross-entropy: 0 − t′·ln p for each t′ ≠ 0, left to right, t′ = (share · w) · t with the share h/steps rounded
    /// first. The others: Σ from 0, each term (w ·) its loss, then divided by n, then times h.
    /// A p (y, 1 − y) below [`Scalar::LEAST`] counts as that: a probability that vanished would give −∞.
    pub fn value<S: Scalar>(&self, output: &[S], target: &Target) -> f32 {
        let classes = self.row_len(output.len());
        let share = self.share(target, output.len());
        let mut sum = 0.0;
        for (step, row) in output.chunks(classes).enumerate() {
            let Some(target) = target.row(step, classes) else {
                continue;
            };
            for (index, y) in row.iter().enumerate() {
                let weight = self.class_weight(index);
                let t = target.at(index);
                match self.loss {
                    Loss::CrossEntropy => {
                        let t = share * weight * t;
                        if t != 0.0 {
                            sum -= t * self.log_probability(*y);
                        }
                    }
                    Loss::BinaryCrossEntropy => {
                        let yes = t * log_of(*y);
                        let no = (1.0 - t) * log_of(S::ONE.sub(*y));
                        sum -= weight * (yes + no);
                    }
                    Loss::MeanSquaredError => {
                        let error = y.sub(S::from_f32(t)).to_f32();
                        sum += weight * (error * error);
                    }
                    Loss::MeanAbsoluteError => {
                        sum += weight * magnitude(y.sub(S::from_f32(t)).to_f32());
                    }
                    Loss::Huber { delta } => {
                        let error = magnitude(y.sub(S::from_f32(t)).to_f32());
                        sum += weight
                            * if error <= delta {
                                0.5 * error * error
                            } else {
                                delta * (error - 0.5 * delta)
                            };
                    }
                }
            }
        }
        match self.loss {
            Loss::CrossEntropy => sum,
            _ => {
                let rows = target.counted(output.len().checked_div(classes).unwrap_or(0));
                sum / (rows * classes).max(1) as f32 * self.weight
            }
        }
    }

    fn log_probability<S: Scalar>(&self, y: S) -> f32 {
        match self.ending {
            Ending::LogSoftmax => y.to_f32(),
            _ => log_of(y),
        }
    }

    /// Overwrites `output` by the gradient, as the table of this module has it; each factor is rounded first, then the
    /// difference, then their product (cross-entropy: T·p, then the difference).
    ///
    /// Where the loss [includes the derivative](Loss::includes_derivative), it is the gradient at the input of the
    /// function that made the output. Else `activation` made the output, and its derivative is due here.
    pub fn gradient<S: Scalar>(&self, output: &mut [S], target: &Target, activation: Activation) {
        let classes = self.row_len(output.len());
        let share = self.share(target, output.len());
        let plain = S::rate(share);
        for (step, row) in output.chunks_mut(classes).enumerate() {
            let Some(target) = target.row(step, classes) else {
                row.fill(S::ZERO);
                continue;
            };
            if self.loss == Loss::CrossEntropy {
                self.cross_entropy(row, &target, share);
                continue;
            }
            for (index, y) in row.iter_mut().enumerate() {
                let factor = match self.class_weights.get(index) {
                    Some(weight) => S::rate(share * weight),
                    None => plain,
                };
                let error = y.sub(S::from_f32(target.at(index)));
                let slope = match self.loss {
                    Loss::MeanAbsoluteError if error > S::ZERO => S::ONE,
                    Loss::MeanAbsoluteError if error < S::ZERO => S::ZERO.sub(S::ONE),
                    Loss::MeanAbsoluteError => S::ZERO,
                    Loss::Huber { delta } => within(error, S::from_f32(delta)),
                    _ => error,
                };
                let gradient = slope.scale(factor);
                *y = if self.loss.includes_derivative() {
                    gradient
                } else {
                    activation.derivative(gradient, *y)
                };
            }
        }
    }

    fn cross_entropy<S: Scalar>(&self, row: &mut [S], target: &Row, share: f32) {
        let scaled = |index: usize| share * self.class_weight(index) * target.at(index);
        let total = match target {
            Row::Class(class) => scaled(*class),
            Row::Values(values) => (0..values.len()).fold(0.0, |sum, index| sum + scaled(index)),
        };
        let total = S::rate(total);
        for (index, y) in row.iter_mut().enumerate() {
            let p = match self.ending {
                Ending::LogSoftmax => y.exp(),
                _ => *y,
            };
            *y = p.scale(total).sub(S::from_f32(scaled(index)));
        }
    }
}

fn log_of<S: Scalar>(p: S) -> f32 {
    // Written so that a NaN counts as the least, too.
    ln(if p > S::LEAST { p } else { S::LEAST }.to_f32())
}

fn magnitude(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0x7FFF_FFFF)
}

fn within<S: Scalar>(x: S, bound: S) -> S {
    let low = S::ZERO.sub(bound);
    if x > bound {
        bound
    } else if x < low {
        low
    } else {
        x
    }
}
