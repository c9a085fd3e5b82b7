//! A dense layer over packed weights.
//!
//! Blocks of four channels, padded with zeros, and of each block four taps a step, padded with zeros: four words, those
//! of the first two taps, then of the other two. The taps of a step are in the order 0, 2, 1, 3, as two SXTB16 leave
//! four bytes.

use super::channel::{self, LEN, Plain};
use super::tile::{self, Blocks, CHANNELS};
use super::widen::{permuted, permuted_tap};
use super::{Layout, PackError};

/// Words of weights, numbers in the table and words of scratch for so many inputs and outputs.
pub const fn sizes(inputs: usize, outputs: usize) -> [usize; 3] {
    let (steps, blocks) = (inputs.div_ceil(4), outputs.div_ceil(CHANNELS));
    let table = blocks.saturating_mul(CHANNELS * LEN);
    let weights = steps.saturating_mul(4).saturating_mul(blocks);
    [weights, table, steps.saturating_mul(2)]
}

/// Packs a layer with the weights `[outputs, inputs]`. `zeros` are the zero points of input and output.
pub fn pack(
    layout: Layout,
    weight: &[i8],
    inputs: usize,
    channels: &[Plain],
    zeros: [i8; 2],
    (words, table): (&mut [i32], &mut [i32]),
) -> Result<(), PackError> {
    let outputs = channels.len();
    let [weights_len, table_len, _] = sizes(inputs, outputs);
    let fits = [words.len(), table.len()] == [weights_len, table_len];
    if !fits || inputs.checked_mul(outputs) != Some(weight.len()) {
        return Err(PackError::Shape);
    }
    let filters = weight.chunks_exact(inputs.max(1));
    pack_table(
        filters.map(|filter| filter.iter().copied()),
        channels,
        zeros,
        table,
    )?;
    let at = |channel: usize, tap: usize| match tap < inputs {
        true => weight.get(channel * inputs + tap).copied().unwrap_or(0),
        false => 0,
    };
    let places = 2 * inputs.div_ceil(4).max(1);
    for (place, words) in words.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let (block, place) = (place / places * CHANNELS, 2 * (place % places));
        let weight = |channel, half| at(channel, permuted_tap(place + half));
        *words = layout.words(block, weight)?;
    }
    Ok(())
}

/// Fills the table; channels past the last give the output's zero point.
pub(super) fn pack_table(
    filters: impl Iterator<Item = impl Iterator<Item = i8>>,
    channels: &[Plain],
    zeros: [i8; 2],
    table: &mut [i32],
) -> Result<(), PackError> {
    let mut places = table.as_chunks_mut::<{ LEN }>().0.iter_mut();
    for (index, (filter, plain)) in filters.zip(channels).enumerate() {
        if let Some(place) = places.next() {
            *place = channel::pack(index, *plain, filter, zeros)?;
        }
    }
    for place in places {
        *place = [0, 0, 0, 1];
    }
    Ok(())
}

/// y of one vector. `scratch` has the words that [`sizes`] tells of; outputs are held to `range`.
pub fn forward(
    layout: Layout,
    x: &[i8],
    weights: &[i32],
    table: &[i32],
    range: [i8; 2],
    scratch: &mut [i32],
    y: &mut [i8],
) {
    let [_, _, scratch_len] = sizes(x.len(), y.len());
    let Some(wide) = scratch.get_mut(..scratch_len) else {
        return;
    };
    permuted(x, wide);
    let tables = table.as_chunks::<LEN>().0.as_chunks::<CHANNELS>().0;
    let (whole, last) = y.as_chunks_mut::<CHANNELS>();
    let (table, rest) = tables.split_at_checked(whole.len()).unwrap_or_default();
    let words = whole.len() * 2 * scratch_len;
    let (weights, last_weights) = weights.split_at_checked(words).unwrap_or_default();
    let blocks = Blocks {
        layout,
        weights,
        table,
    };
    tile::vector(wide, &blocks, whole.as_flattened_mut());
    if !last.is_empty() {
        let blocks = Blocks {
            layout,
            weights: last_weights,
            table: rest,
        };
        let mut outputs = [0; CHANNELS];
        tile::vector(wide, &blocks, &mut outputs);
        for (y, output) in last.iter_mut().zip(outputs) {
            *y = output;
        }
    }
    channel::clamp(y, range);
}
