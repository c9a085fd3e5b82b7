//! What a session and a trainer share: the planned steps, and how one runs forward.

mod backward;
mod setup;
mod step;

pub(crate) use backward::{Learning, backward};
pub(crate) use setup::{Parts, lay_out};
pub use setup::{SetupError, arena_len};
pub(crate) use step::{BackStep, Kernel, Place, Step};

use crate::kernels::Requant;
use crate::memory::{Span, disjoint, floats, floats_mut, integers, signed, signed_mut};
use crate::ops;

/// Runs `step` forward. `argmax` is where a max-pooling that learns keeps its winners.
///
/// `None` where the memory does not hold what the step names: a checked model and a planned arena never get there.
pub(crate) fn forward(step: &Step, weights: &[u8], memory: &mut [u8], argmax: Span) -> Option<()> {
    match &step.kernel {
        Kernel::Dense(layer) | Kernel::Conv2d(layer, _) => {
            let [x, y, weight, bias] = disjoint(
                memory,
                [step.x, step.y, layer.weight.in_ram(), layer.bias.in_ram()],
            )?;
            let weight = layer.weight.resolve(weight, weights)?;
            let bias = layer.bias.resolve(bias, weights)?;
            if layer.int8 {
                let table = integers(layer.requant.resolve(&mut [], weights)?)?;
                let bias = integers(bias)?;
                let zero = i32::from(layer.y_zero);
                let requant = Requant::new(table, bias, zero, layer.activation);
                let (x, weight, y) = (signed(x)?, signed(weight)?, signed_mut(y)?);
                let zero = i32::from(layer.x_zero);
                match &step.kernel {
                    Kernel::Conv2d(_, conv) => conv.forward_i8(x, weight, zero, &requant, y),
                    _ => ops::dense::forward_i8(x, weight, zero, &requant, y),
                }
            } else {
                let (x, weight, bias) = (floats(x)?, floats(weight)?, floats(bias)?);
                let y = floats_mut(y)?;
                match &step.kernel {
                    Kernel::Conv2d(_, conv) => conv.forward(x, weight, bias, layer.activation, y),
                    _ => ops::dense::forward(x, weight, bias, layer.activation, y),
                }
            }
        }
        Kernel::MaxPool(pool) => {
            let [x, y, argmax] = disjoint(memory, [step.x, step.y, argmax])?;
            pool.max(floats(x)?, floats_mut(y)?, argmax);
        }
        Kernel::MaxPoolI8(pool) => {
            let [x, y] = disjoint(memory, [step.x, step.y])?;
            pool.max(signed(x)?, signed_mut(y)?, &mut []);
        }
        Kernel::AvgPool(pool) => {
            let [x, y] = disjoint(memory, [step.x, step.y])?;
            pool.average(floats(x)?, floats_mut(y)?);
        }
        Kernel::AvgPoolI8(pool) => {
            let [x, y] = disjoint(memory, [step.x, step.y])?;
            pool.average_i8(signed(x)?, signed_mut(y)?);
        }
        Kernel::Quantize { scale, zero } => {
            let [x, y] = disjoint(memory, [step.x, step.y])?;
            ops::quantize::forward(floats(x)?, *scale, i32::from(*zero), signed_mut(y)?);
        }
        Kernel::Dequantize { scale, zero } => {
            let [x, y] = disjoint(memory, [step.x, step.y])?;
            ops::dequantize::forward(signed(x)?, *scale, i32::from(*zero), floats_mut(y)?);
        }
        Kernel::Flatten => {
            in_place(step, memory)?;
        }
        Kernel::Relu => ops::relu::forward(floats_mut(in_place(step, memory)?)?),
        Kernel::Sigmoid => ops::sigmoid::forward(floats_mut(in_place(step, memory)?)?),
        Kernel::Tanh => ops::tanh::forward(floats_mut(in_place(step, memory)?)?),
        Kernel::Softmax => ops::softmax::forward(floats_mut(in_place(step, memory)?)?),
        Kernel::ReluI8 { zero } => {
            ops::relu::forward_i8(signed_mut(in_place(step, memory)?)?, i32::from(*zero));
        }
        Kernel::SigmoidI8 { zero, rescale } => {
            let values = signed_mut(in_place(step, memory)?)?;
            ops::sigmoid::forward_i8(values, i32::from(*zero), rescale);
        }
        Kernel::TanhI8 { zero, rescale } => {
            let values = signed_mut(in_place(step, memory)?)?;
            ops::tanh::forward_i8(values, i32::from(*zero), rescale);
        }
        Kernel::SoftmaxI8 { rescale } => {
            ops::softmax::forward_i8(signed_mut(in_place(step, memory)?)?, rescale);
        }
    }
    Some(())
}

/// The output of an operator that works in place, holding its input.
fn in_place<'a>(step: &Step, memory: &'a mut [u8]) -> Option<&'a mut [u8]> {
    if step.x != step.y {
        let [x, y] = disjoint(memory, [step.x, step.y])?;
        for (to, from) in y.iter_mut().zip(x.iter()) {
            *to = *from;
        }
    }
    memory.get_mut(step.y.range())
}
