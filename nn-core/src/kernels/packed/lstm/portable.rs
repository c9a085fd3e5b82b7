//! A step in Rust.

use super::{CELL, FACTOR, GATES, Layer, Table};
use crate::fixed_point::Rescale;
use crate::kernels::packed::channel::high_mul_add;
use crate::kernels::packed::tile::{PixelSums, QuadSums, parts, quad_sum};
use crate::kernels::{LstmUnit, saturate_i16};

/// h and c of all units, from the vector of x and h. `hidden` receives h.
pub(super) fn step(layer: &Layer, inputs: &[i32], cell: &mut [i16], hidden: &mut [i16]) {
    if layer.layout.is_armv7m() {
        step_of(
            layer,
            inputs,
            cell,
            hidden,
            |x| (x, quad_sum(x)),
            quad_gates,
        );
    } else {
        step_of(layer, inputs, cell, hidden, |x| x, pair_gates);
    }
}

/// As [`step`]: what `prepare` makes of x and of h, `gates` takes to the sums of a unit's gates i and g, and 256 times
/// those of f and o, with the words of that product.
#[inline(always)]
fn step_of<'x, X>(
    layer: &Layer,
    inputs: &'x [i32],
    cell: &mut [i16],
    hidden: &mut [i16],
    prepare: impl Fn(&'x [i32]) -> X,
    gates: impl Fn(&X, &[i32]) -> [i32; GATES],
) {
    let [x_words, h_words] = layer.words();
    let per_unit = 2 * (GATES + x_words + h_words);
    let (x, h) = inputs.split_at_checked(x_words).unwrap_or_default();
    let unit = unit_of(layer.table);
    let (products, _) = layer.table.as_chunks::<FACTOR>();
    let (x_factors, h_factors) = products.split_at_checked(GATES).unwrap_or_default();
    let units = layer.weights.chunks_exact(per_unit.max(1));
    let (x, h) = (prepare(x), prepare(h));
    for ((weights, c), hidden) in units.zip(cell).zip(hidden) {
        let (x_weights, h_weights) = weights
            .split_at_checked(GATES + 2 * x_words)
            .unwrap_or_default();
        let mut z = rescaled(gates(&x, x_weights), x_factors);
        for (z, h) in z.iter_mut().zip(rescaled(gates(&h, h_weights), h_factors)) {
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

/// The sums of a unit's gates, of two channels in a halfword.
fn pair_gates(x: &&[i32], weights: &[i32]) -> [i32; GATES] {
    let (start, weights) = weights.split_first_chunk().unwrap_or((&[0; GATES], &[]));
    let mut sums = PixelSums::default();
    for (x, weights) in x.as_chunks::<2>().0.iter().zip(weights.as_chunks().0) {
        sums.step(weights, *x);
    }
    let mut gates = sums.sums();
    for (gate, start) in gates.iter_mut().zip(start) {
        *gate = gate.wrapping_add(*start);
    }
    let [i, if_, g, go] = gates;
    [i, if_.wrapping_sub(i), g, go.wrapping_sub(g)]
}

/// The sums of a unit's gates, of four channels in a word: f, i, o, g.
fn quad_gates((x, inputs): &(&[i32], i32), weights: &[i32]) -> [i32; GATES] {
    let (start, weights) = weights.split_first_chunk().unwrap_or((&[0; GATES], &[]));
    let &[plain, reversed, swapped, _] = start;
    let mut sums = QuadSums::from([plain, reversed, swapped]);
    for (x, weights) in x.iter().zip(weights.as_chunks::<2>().0) {
        sums.step(weights, parts(*x));
    }
    // Twice numbers of 24 bits.
    let [f, i, o, g] = sums.doubled(*inputs);
    [i >> 1, f.wrapping_mul(128), g >> 1, o.wrapping_mul(128)]
}

/// A unit's gates, rescaled and held to 16 bits.
fn rescaled(sums: [i32; GATES], factors: &[[i32; FACTOR]]) -> [i16; GATES] {
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
