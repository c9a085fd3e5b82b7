//! int8 simple recurrent layer; TensorFlow Lite's int8 specification has none, so the rule is Mote's own.
//!
//! - tanh: h = clamp(zero_h + rescale(tanh z, 2⁻¹⁵ / scale_h)), z with 12 fractional bits
//! - ReLU: h = clamp(zero_h + rescale(max(z, 0), step_z / scale_h)), z in steps that the exporter chooses
//!
//! Factors: `[0]`, `[1]` multiplier and shift of scale_x · scale_W / step_z, `[2]`, `[3]` of scale_h · scale_U / step_z;
//! `[4]`, `[5]` of 2⁻¹⁵ / scale_h, or of step_z / scale_h with ReLU.

use super::{CellI8, StateI8, WeightsI8, factor, gate_sums};
use crate::fixed_point::{saturate_i8, tanh_i16};

/// The cell.
#[derive(Debug, Clone, Copy)]
pub struct RnnI8 {
    /// ReLU instead of tanh.
    pub relu: bool,
}

impl CellI8 for RnnI8 {
    const GATES: usize = 1;
    const WIDE: usize = 0;
    const SCRATCH: usize = 1;
    const REQUANT: usize = 6;

    fn step(
        &self,
        x: &[i8],
        weights: &WeightsI8<'_>,
        state: &mut StateI8<'_>,
        scratch: &mut [i16],
    ) {
        gate_sums(x, state.hidden, weights, 0, scratch);
        let (output, zero) = (factor(weights.requant, 2), i32::from(weights.zeros[1]));
        for (h, z) in state.hidden.iter_mut().zip(scratch.iter()) {
            let value = if self.relu {
                i32::from(*z).max(0)
            } else {
                i32::from(tanh_i16(*z, -12))
            };
            *h = saturate_i8(output.apply(value).wrapping_add(zero));
        }
    }
}
