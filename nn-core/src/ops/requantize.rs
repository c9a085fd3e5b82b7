//! int8 to int8 of another quantization: y = clamp(zero_y + rescale(x − zero_x)), the factor scale_x / scale_y.
//!
//! TensorFlow Lite's QUANTIZE of an int8; with the range of a ReLU or ReLU6 its RELU and RELU6.

use serde::{Deserialize, Serialize};

use crate::engine::{Forward, Frame, Sizes};
use crate::fixed_point::Rescale;
use crate::memory::Memory;
use crate::ops::add::within;
use crate::ops::{Activation, Check, Facts, NodeFault, OpSet, Operator, Output};
use crate::tensor::DType;

/// Parameters of a requantization.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Requantize {
    /// scale_x / scale_y.
    pub rescale: Rescale,
    /// What is applied to the output: none, ReLU or ReLU6.
    pub activation: Activation,
}

/// All that a requantization takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequantizeStep {
    /// scale_x / scale_y.
    pub rescale: Rescale,
    /// The zero points of x and y.
    pub zeros: [i8; 2],
    /// The output's range.
    pub range: [i8; 2],
}

crate::stored::stored!(RequantizeStep {
    rescale: Rescale,
    zeros: [i8; 2],
    range: [i8; 2]
});

pub(super) const FACTS: Facts = Facts {
    output: Output::InPlace,
    ..Facts::PLAIN
};

impl<K: OpSet> Operator<K> for Requantize {
    fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.x_dtype(DType::I8)?;
        check.same_dtype()?;
        check.y_shape(check.x.shape)?;
        if !self.activation.is_fused_i8() {
            return Err(NodeFault::Activation);
        }
        let valid = self.rescale.is_valid();
        valid.then_some(()).ok_or(NodeFault::Quant)
    }

    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)> {
        let step = RequantizeStep {
            rescale: self.rescale,
            // Checked when the model was loaded.
            zeros: [check.x, check.y].map(|tensor| tensor.zero_point() as i8),
            range: check.range_i8(self.activation),
        };
        Some((code::<K>()?, Sizes::RequantizeI8(step)))
    }
}

/// The function that runs it forward.
pub(super) const fn code<K: OpSet>() -> Option<Forward> {
    if K::I8 { Some(run) } else { None }
}

fn run(frame: &Frame, memory: &mut Memory) -> Option<()> {
    let Sizes::RequantizeI8(step) = frame.step.sizes else {
        return None;
    };
    frame.map_in_place(memory, |values| forward_i8(values, &step))
}

/// In place.
pub fn forward_i8(values: &mut [i8], step: &RequantizeStep) {
    let [x_zero, y_zero] = step.zeros.map(i32::from);
    for value in values {
        let scaled = step.rescale.apply(i32::from(*value) - x_zero);
        *value = within(scaled.wrapping_add(y_zero), step.range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let step = RequantizeStep {
            rescale: Rescale {
                multiplier: 3 << 29,
                shift: 1,
            },
            zeros: [-10, 4],
            range: [4, 100],
        };
        let mut values = [-128, -10, -9, 20, 127];
        forward_i8(&mut values, &step);
        // 1.5 · 1 to 2 (halves up in a high multiplication), 1.5 · 30.
        assert_eq!(values, [4, 4, 6, 49, 100]);
    }
}
