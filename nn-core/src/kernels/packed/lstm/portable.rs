//! A step in Rust.

use super::{CELL, FACTOR, GATES, Layer, Table};
use crate::fixed_point::Rescale;
use crate::kernels::packed::channel::high_mul_add;
use crate::kernels::{LstmUnit, saturate_i16};

/// h and c of all units, from the vector of x and h. `hidden` receives h.
pub(super) fn step(layer: &Layer, inputs: &[i32], cell: &mut [i16], hidden: &mut [i16]) {
    let [x_words, h_words] = layer.words();
    let per_unit = 2 * (GATES + x_words + h_words);
    let (x, h) = inputs.split_at_checked(x_words).unwrap_or_default();
    let unit = unit_of(layer.table);
    let (products, _) = layer.table.as_chunks::<FACTOR>();
    let (x_factors, h_factors) = products.split_at_checked(GATES).unwrap_or_default();
    let units = layer.weights.chunks_exact(per_unit.max(1));
    for ((weights, c), hidden) in units.zip(cell).zip(hidden) {
        let (x_weights, h_weights) = weights
            .split_at_checked(GATES + 2 * x.len())
            .unwrap_or_default();
        let mut z = sums(x, x_weights, x_factors);
        for (z, h) in z.iter_mut().zip(sums(h, h_weights, h_factors)) {
            *z = z.saturating_add(h);
        }
        *hidden = i16::from(unit.step(z, c));
    }
}

/// The cell and the output, from the end of the table.
fn unit_of(table: &Table) -> LstmUnit {
    let numbers = table.get(CELL..).and_then(|cell| cell.first_chunk::<7>());
    let [_, right, _, clip, multiplier, offset, shift] = numbers.copied().unwrap_or_default();
    // Of 1 to 31 where the table is valid.
    let right_shift = shift & 31;
    let half = 1i32
        .checked_shl(shift.wrapping_sub(1).unsigned_abs())
        .unwrap_or(0);
    LstmUnit {
        output: Rescale {
            multiplier,
            shift: right_shift.wrapping_neg() as i8,
        },
        // Of 8 bits where the table is valid.
        zero: (offset.wrapping_sub(half) >> right_shift) as i8,
        exponent: right.wrapping_sub(30).clamp(-28, -9),
        clip: clip.clamp(0, 32_767) as i16,
    }
}

/// The products of a unit's gates, rescaled and held to 16 bits.
fn sums(x: &[i32], weights: &[i32], factors: &[[i32; FACTOR]]) -> [i16; GATES] {
    let (start, weights) = weights.split_first_chunk().unwrap_or((&[0; GATES], &[]));
    let mut sums = *start;
    for (x, weights) in x.iter().zip(weights.as_chunks::<2>().0) {
        let [low, raw, low2, raw2] = &mut sums;
        for (low, raw, weight) in [(low, raw, weights[0]), (low2, raw2, weights[1])] {
            for bits in [0, 16] {
                // The halves of both, and the low byte of the weights'.
                let (x, pair) = ((*x >> bits) as i16, (weight >> bits) as i16);
                let product = |weight: i32| weight.wrapping_mul(i32::from(x));
                *raw = raw.wrapping_add(product(i32::from(pair)));
                *low = low.wrapping_add(product(i32::from(pair as i8)));
            }
        }
    }
    let [i, if_, g, go] = sums;
    let sums = [i, if_.wrapping_sub(i), g, go.wrapping_sub(g)];
    let mut z = [0; GATES];
    for (gate, ((z, sum), factor)) in z.iter_mut().zip(sums).zip(factors).enumerate() {
        let [turn, multiplier, offset, sign, shift] = *factor;
        // Of 0 to 31 where the table is valid.
        let (turn, shift) = (turn.cast_unsigned(), shift & 31);
        let x = if gate.is_multiple_of(2) {
            sum.wrapping_shl(turn)
        } else {
            sum.wrapping_shr(turn)
        };
        let high = high_mul_add(x, multiplier, offset).wrapping_add(x >> 31 & sign);
        *z = saturate_i16(high >> shift);
    }
    z
}
