//! int8 LSTM: TensorFlow Lite's UNIDIRECTIONAL_SEQUENCE_LSTM in full integers, 8-bit weights and activations, 16-bit
//! cell.
//!
//! Bit for bit the reference of TensorFlow Lite Micro, without peephole, projection and layer normalization. Gates are
//! in the order input, forget, cell, output; i, f, o = logistic z and g = tanh z have 15 fractional bits, c has steps
//! of 2^e:
//!
//! - c = sat(rescale(f · c, 2⁻¹⁵) + rescale(i · g, 2^(−30 − e))), then held to ±clip where there is one
//! - h = clamp(zero_h + rescale(o · tanh c, 2⁻³⁰ / scale_h))
//!
//! Factors: `[4g]` and `[4g + 1]` multiplier and shift of scale_x · scale_W / 2⁻¹² of gate g, `[4g + 2]` and
//! `[4g + 3]` of scale_h · scale_U / 2⁻¹²; `[16]`, `[17]` of 2⁻³⁰ / scale_h; `[18]` e, −28 to −9; `[19]` the clip in
//! steps of the cell, 0 for none.

use super::{CellI8, StateI8, WeightsI8, are_factors, factor, gate_sums};
use crate::kernels::LstmUnit;
#[cfg(mote_helium)]
use crate::kernels::helium::gates as helium;

/// The cell.
#[derive(Debug, Clone, Copy)]
pub struct LstmI8;

impl CellI8 for LstmI8 {
    const GATES: usize = 4;
    const WIDE: usize = 1;
    const SCRATCH: usize = 4;
    const REQUANT: usize = 20;

    fn step(
        &self,
        x: &[i8],
        weights: &WeightsI8<'_>,
        state: &mut StateI8<'_>,
        scratch: &mut [i16],
    ) {
        let units = state.hidden.len();
        for (gate, z) in scratch.chunks_exact_mut(units.max(1)).take(4).enumerate() {
            gate_sums(x, state.hidden, weights, gate, z);
        }
        let (exponent, clip) = cell_numbers(weights.requant);
        let unit = LstmUnit {
            output: factor(weights.requant, 8),
            zero: weights.zeros[1],
            exponent,
            clip,
        };
        #[cfg(mote_helium)]
        helium::lstm(&unit, scratch, state.hidden, state.wide);
        #[cfg(not(mote_helium))]
        units_by_one(&unit, scratch, state);
    }

    fn check(requant: &[i32]) -> bool {
        let Some((factors, [exponent, clip])) = requant.split_last_chunk() else {
            return false;
        };
        requant.len() == Self::REQUANT
            && are_factors(factors)
            && (-28..=-9).contains(exponent)
            && (0..=32_767).contains(clip)
    }
}

/// The units, one after the other.
#[cfg(not(mote_helium))]
#[inline(always)]
fn units_by_one(unit: &LstmUnit, z: &[i16], state: &mut StateI8<'_>) {
    let units = state.hidden.len();
    let (inward, outward) = z.split_at_checked(2 * units).unwrap_or_default();
    let (i, f) = inward.split_at_checked(units).unwrap_or_default();
    let (g, o) = outward.split_at_checked(units).unwrap_or_default();
    let gates = i.iter().zip(f).zip(g.iter().zip(o));
    let states = state.hidden.iter_mut().zip(state.wide.iter_mut());
    for (((&i, &f), (&g, &o)), (h, c)) in gates.zip(states) {
        *h = unit.step([i, f, g, o], c);
    }
}

/// e and the clip.
fn cell_numbers(requant: &[i32]) -> (i32, i16) {
    match requant.get(18..20) {
        // In range where the table was checked; 15 bits.
        Some(&[exponent, clip]) => (exponent.clamp(-28, -9), clip.clamp(0, 32_767) as i16),
        _ => (-12, 0),
    }
}
