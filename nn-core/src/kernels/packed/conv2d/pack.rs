//! Packs the weights of a convolution.

use super::Shape;
use crate::kernels::packed::channel::Plain;
use crate::kernels::packed::dense::pack_table;
use crate::kernels::packed::tile::CHANNELS;
use crate::kernels::packed::{Layout, PackError, word};

/// Packs a layer with the weights `[outputs, kernel_h, kernel_w, inputs]`, depthwise `[kernel_h, kernel_w, outputs]`.
/// `zeros` are the zero points of input and output.
pub fn pack(
    layout: Layout,
    weight: &[i8],
    shape: &Shape,
    channels: &[Plain],
    zeros: [i8; 2],
    (words, table): (&mut [i32], &mut [i32]),
) -> Result<(), PackError> {
    let [weights_len, table_len, _] = shape.sizes(layout);
    let [rows, columns] = shape.kernel.map(usize::from);
    let (inputs, outputs) = (shape.inputs(), usize::from(shape.outputs));
    if shape.depthwise {
        return pack_depthwise(layout, weight, shape, channels, zeros, (words, table));
    }
    let filter = rows * columns * inputs;
    let found = [words.len(), table.len(), channels.len(), weight.len()];
    if found != [weights_len, table_len, outputs, outputs * filter] || filter == 0 {
        return Err(PackError::Shape);
    }
    let filters = weight.chunks_exact(filter);
    pack_table(
        filters.map(|filter| filter.iter().copied()),
        channels,
        zeros,
        table,
    )?;
    let at = |output: usize, row: usize, column: usize, input: usize| {
        if output >= outputs || column >= columns || input >= inputs {
            return 0;
        }
        let tap = (row * columns + column) * inputs + input;
        weight.get(output * filter + tap).copied().unwrap_or(0)
    };
    let (lines, line_words, _) = shape.line();
    let mut places = words.as_chunks_mut::<2>().0.iter_mut();
    for block in 0..shape.blocks() {
        for line in 0..rows * lines {
            let (row, plane) = (line / lines.max(1), line % lines.max(1));
            for index in 0..line_words {
                let Some(place) = places.next() else { break };
                let tap = |half: usize| match inputs {
                    1 => (row, 2 * index + half, 0),
                    _ => (row, index, shape.channel_of(plane, half)),
                };
                *place = layout.words(block * CHANNELS, |channel, half| {
                    let (row, column, input) = tap(half);
                    at(channel, row, column, input)
                })?;
            }
        }
    }
    Ok(())
}

fn pack_depthwise(
    layout: Layout,
    weight: &[i8],
    shape: &Shape,
    channels: &[Plain],
    zeros: [i8; 2],
    (words, table): (&mut [i32], &mut [i32]),
) -> Result<(), PackError> {
    let [weights_len, table_len, _] = shape.sizes(layout);
    let [rows, columns] = shape.kernel.map(usize::from);
    let (outputs, taps) = (usize::from(shape.outputs), rows * columns);
    let found = [words.len(), table.len(), channels.len(), weight.len()];
    if found != [weights_len, table_len, outputs, outputs * taps] || shape.inputs() != outputs {
        return Err(PackError::Shape);
    }
    let filter = |channel: usize| weight.iter().skip(channel).step_by(outputs.max(1)).copied();
    let filters = (0..outputs).map(filter);
    pack_table(filters, channels, zeros, table)?;
    let at = |tap: usize, channel: usize| match channel < outputs {
        true => i16::from(weight.get(tap * outputs + channel).copied().unwrap_or(0)),
        false => 0,
    };
    for (plane, words) in words.chunks_exact_mut(taps.max(1)).enumerate() {
        let first = plane / 2 * CHANNELS + plane % 2;
        for (tap, word_of) in words.iter_mut().enumerate() {
            *word_of = word(at(tap, first), at(tap, first + 2));
        }
    }
    Ok(())
}
