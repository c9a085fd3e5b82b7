//! An int8 dense layer over packed weights: [`Dense`](super::Dense) in layout 1 or 2 of the blob, with the same outputs.
//!
//! See [`kernels::packed`](crate::kernels::packed) and `docs/int8-kernels.md`.

use serde::{Deserialize, Serialize};

use crate::engine::{Forward, Frame, Sizes};
use crate::kernels::packed::{Layout, dense};
use crate::memory::{Memory, numbers, numbers_mut};
use crate::ops::dense::length;
use crate::ops::{Activation, Check, Facts, Needs, NodeFault, OpSet, Operator};
use crate::tensor::{DType, Shape, TensorId};

/// Parameters of a packed dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PackedDense {
    /// The words of [`dense::pack`]: int32 in layout 1, their bytes in layout 2.
    pub weight: TensorId,
    /// int32, the table of [`dense::pack`].
    pub table: TensorId,
    /// What is applied to the output: none, ReLU or ReLU6.
    pub activation: Activation,
}

impl PackedDense {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            constants: [Some(self.weight), Some(self.table)],
            ..Facts::PLAIN
        }
    }
}

/// Inputs and outputs of each vector.
fn lengths(check: &Check) -> [usize; 2] {
    [&check.x, &check.y].map(|tensor| {
        // Fits 31 bits.
        tensor.shape.dims().last().map_or(0, |len| *len as usize)
    })
}

impl<K: OpSet> Operator<K> for PackedDense {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.x_dtype(DType::I8)?;
        check.same_dtype()?;
        let [inputs, outputs] = lengths(check);
        // Fit 31 bits, as lengths of tensors.
        let wanted = check.x.shape.with_last(inputs as u32, outputs as u32);
        check.y_shape(wanted.ok_or(NodeFault::Shape(check.x_id))?)?;
        check.packed(
            self.weight,
            self.table,
            dense::sizes(inputs, outputs),
            self.activation,
        )
    }

    fn needs(&self, check: &Check) -> Needs {
        let [inputs, outputs] = lengths(check);
        let [_, _, scratch] = dense::sizes(inputs, outputs);
        Needs {
            scratch: scratch.saturating_mul(size_of::<i32>()),
            ..Needs::default()
        }
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let sizes = Sizes::PackedDense {
            layout: check.layout(self.weight)?,
            rows: check.x.shape.rows(),
            range: check.range_i8(self.activation),
        };
        Some((code::<K>()?, sizes))
    }

    fn packed(&self, check: &Check) -> u64 {
        let [inputs, outputs] = lengths(check);
        (inputs as u64 + 1) * outputs as u64
    }

    fn macs(&self, check: &Check) -> u64 {
        let [_, outputs] = lengths(check);
        check.x.elements() as u64 * outputs as u64
    }
}

/// The function that runs it forward.
pub(super) const fn code<K: OpSet>() -> Option<Forward> {
    if K::I8 { Some(run) } else { None }
}

fn run(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::PackedDense {
        layout,
        rows,
        range,
    } = frame.step.sizes
    else {
        return None;
    };
    let reads = [frame.x(), frame.constant(0), frame.constant(1)];
    let ([x, weights, table], [y, scratch]) = memory.borrow(reads, [frame.y(), frame.scratch()])?;
    let (weights, table, scratch) = (numbers(weights)?, numbers(table)?, numbers_mut(scratch)?);
    let (x, y): (&[i8], &mut [i8]) = (numbers(x)?, numbers_mut(y)?);
    let (inputs, outputs) = (length(x, rows), length(y, rows));
    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
        dense::forward(layout, x, weights, table, range, scratch, y);
    }
    Some(())
}

impl Check<'_> {
    /// The layout of packed weights, by the type of their tensor.
    pub(crate) fn layout(&self, weight: TensorId) -> Option<Layout> {
        match self.tensor(weight)?.dtype {
            DType::I32 => Some(Layout::Armv7em),
            DType::I8 => Some(Layout::Armv7m),
            _ => None,
        }
    }

    /// Weights of so many words.
    pub(super) fn packed_words(&self, weight: TensorId, words: usize) -> Result<(), NodeFault> {
        let (dtype, len) = match self.layout(weight) {
            Some(Layout::Armv7m) => (DType::I8, words.saturating_mul(4)),
            _ => (DType::I32, words),
        };
        let len = u32::try_from(len).map_err(|_| NodeFault::Geometry)?;
        self.parameter(weight, dtype, Shape::vector(len))?;
        Ok(())
    }

    /// Weights and table of a packed layer, of such lengths, and its activation.
    pub(super) fn packed(
        &self,
        weight: TensorId,
        table: TensorId,
        [words, numbers, _]: [usize; 3],
        activation: Activation,
    ) -> Result<(), NodeFault> {
        self.packed_words(weight, words)?;
        let numbers = u32::try_from(numbers).map_err(|_| NodeFault::Geometry)?;
        self.parameter(table, DType::I32, Shape::vector(numbers))?;
        let fused = activation.is_valid() && activation.is_fused_i8();
        fused.then_some(()).ok_or(NodeFault::Activation)
    }
}
