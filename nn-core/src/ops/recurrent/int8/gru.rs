//! int8 GRU that resets after the product; TensorFlow Lite's int8 specification has none, so the rule is Mote's own.
//!
//! Gates are in the order r, z, n. The state is kept in 16 bits, s with 15 fractional bits: an 8-bit h would lose
//! every change below half a step, and with z near 1 the cell would stand still. h is s in 8 bits. Products of 15
//! fractional bits are shifted back once, to nearest with halves up:
//!
//! - r, z = logistic of the gates' sums
//! - n = tanh sat(p + ((r · q + 2¹⁴) >> 15)), p = sat(rescale(W · x + b)), q = sat(rescale(U · h + b′)), 12 fractional bits
//! - s = (z · s + (2¹⁵ − z) · n + 2¹⁴) >> 15, held to 16 bits
//! - h = clamp(zero_h + rescale(s, 2⁻¹⁵ / scale_h))
//!
//! Factors: `[4g]` and `[4g + 1]` multiplier and shift of scale_x · scale_W / 2⁻¹² of gate g, `[4g + 2]` and
//! `[4g + 3]` of scale_h · scale_U / 2⁻¹²; `[12]`, `[13]` of 2⁻¹⁵ / scale_h.

use super::{
    CellI8, StateI8, WeightsI8, factor, gate_sums, hidden_product, input_product, part_mut,
    saturate_i16,
};
use crate::fixed_point::{logistic_i16, saturate_i8, tanh_i16};

/// The cell.
#[derive(Debug, Clone, Copy)]
pub struct GruI8;

impl CellI8 for GruI8 {
    const GATES: usize = 3;
    const WIDE: usize = 1;
    const SCRATCH: usize = 4;
    const REQUANT: usize = 14;

    fn step(
        &self,
        x: &[i8],
        weights: &WeightsI8<'_>,
        state: &mut StateI8<'_>,
        scratch: &mut [i16],
    ) {
        let units = state.hidden.len();
        for gate in 0..2 {
            let z = part_mut(scratch, gate * units, units);
            gate_sums(x, state.hidden, weights, gate, z);
        }
        let candidate = part_mut(scratch, 2 * units, 2 * units);
        candidate.fill(0);
        let (p, q) = candidate.split_at_mut_checked(units).unwrap_or_default();
        input_product(x, weights, 2, p);
        hidden_product(state.hidden, weights, 2, q);

        let (output, zero) = (factor(weights.requant, 6), i32::from(weights.zeros[1]));
        let (inward, outward) = scratch.split_at_checked(2 * units).unwrap_or_default();
        let (r, z) = inward.split_at_checked(units).unwrap_or_default();
        let (p, q) = outward.split_at_checked(units).unwrap_or_default();
        let gates = r.iter().zip(z).zip(p.iter().zip(q));
        let states = state.hidden.iter_mut().zip(state.wide.iter_mut());
        for (((r, z), (p, q)), (h, s)) in gates.zip(states) {
            let [r, z] = [r, z].map(|sum| i32::from(logistic_i16(*sum)));
            let reset = (r * i32::from(*q) + (1 << 14)) >> 15;
            let n = i32::from(tanh_i16(saturate_i16(i32::from(*p) + reset), -12));
            // At most 2^30 + 2^14 in magnitude.
            let sum = z * i32::from(*s) + ((1 << 15) - z) * n + (1 << 14);
            *s = saturate_i16(sum >> 15);
            *h = saturate_i8(output.apply(i32::from(*s)).wrapping_add(zero));
        }
    }
}
