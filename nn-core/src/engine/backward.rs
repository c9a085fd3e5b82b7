//! One step backward.

use crate::engine::{BackStep, Kernel, Step};
use crate::memory::{Span, disjoint, floats, floats_mut};
use crate::ops;
use crate::ops::Activation;
use crate::ops::dense::Weights;
use crate::train::{Rule, Update};

/// What a backward pass updates with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Learning {
    pub(crate) rule: Rule<f32>,
    /// From a weight to its velocity, in bytes; 0 without momentum.
    pub(crate) velocity: u32,
}

/// Runs `step` backward: its weights learn, and the gradient at its input is written.
///
/// `None` where the memory does not hold what the step names: a checked model and a planned arena never get there.
pub(crate) fn backward(
    step: &Step,
    back: &BackStep,
    learning: &mut Learning,
    weights: &[u8],
    memory: &mut [u8],
) -> Option<()> {
    match &step.kernel {
        Kernel::Dense(layer) | Kernel::Conv2d(layer, _) => {
            let weight = layer.weight.in_ram();
            let bias = layer.bias.in_ram();
            let velocity = |span: Span| {
                if learning.velocity == 0 {
                    Span::default()
                } else {
                    span.after(learning.velocity)
                }
            };
            let [x, delta, scratch, w, b, v_w, v_b] = disjoint(
                memory,
                [
                    step.x,
                    back.delta_y,
                    back.scratch,
                    weight,
                    bias,
                    velocity(weight),
                    velocity(bias),
                ],
            )?;
            let (x, delta, scratch) = (floats_mut(x)?, floats(delta)?, floats_mut(scratch)?);
            let parameters = if back.learns {
                let velocities = floats_mut(v_w)?;
                Weights::Learning(Update::new(floats_mut(w)?, velocities, &mut learning.rule))
            } else {
                Weights::Frozen(floats(layer.weight.resolve(w, weights)?)?)
            };
            match &step.kernel {
                Kernel::Conv2d(_, conv) => conv.backward(x, back.below, parameters, delta, scratch),
                _ => ops::dense::backward(x, back.below, parameters, delta),
            }
            if back.learns {
                let bias = Update::new(floats_mut(b)?, floats_mut(v_b)?, &mut learning.rule);
                match &step.kernel {
                    Kernel::Conv2d(_, conv) => conv.backward_bias(bias, delta),
                    _ => ops::dense::backward_bias(bias, delta),
                }
            }
        }
        Kernel::MaxPool(pool) => {
            if back.below.is_some() {
                let [delta_x, delta_y, argmax] =
                    disjoint(memory, [back.delta_x, back.delta_y, back.saved])?;
                pool.max_backward(floats_mut(delta_x)?, floats(delta_y)?, argmax);
            }
        }
        Kernel::AvgPool(pool) => {
            if let Some(below) = back.below {
                let [x, delta] = disjoint(memory, [step.x, back.delta_y])?;
                pool.average_backward(floats_mut(x)?, below, floats(delta)?);
            }
        }
        Kernel::Softmax => {
            // Without saved outputs the loss has already formed the gradient at the input.
            if back.saved.len > 0 {
                let [delta, saved] = disjoint(memory, [back.delta_y, back.saved])?;
                ops::softmax::backward(floats_mut(delta)?, floats(saved)?);
            }
            hand_down(step, back, memory)?;
        }
        // The derivative is already in the delta: whoever wrote it applied it.
        _ => hand_down(step, back, memory)?,
    }
    Some(())
}

/// The delta at x from the delta at y, element by element; nothing where the two share a buffer.
fn hand_down(step: &Step, back: &BackStep, memory: &mut [u8]) -> Option<()> {
    let below = match back.below {
        Some(below) if step.x != step.y => below,
        _ => return Some(()),
    };
    let [x, delta] = disjoint(memory, [step.x, back.delta_y])?;
    for (x, delta) in floats_mut(x)?.iter_mut().zip(floats(delta)?) {
        *x = Activation::derivative(below, *delta, *x);
    }
    Some(())
}
