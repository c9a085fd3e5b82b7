//! Convolutions of one cell in layout 2: four pixels at a time.

use super::{Layer, Map};
use crate::kernels::packed::tile::{CHANNELS, Mixed, PIXELS, cells};
use crate::kernels::part;

impl Layer<'_> {
    #[inline(never)]
    pub(super) fn pointwise_fours(&self, map: Map, scratch: &mut [i32]) {
        let x = map.x.unwrap_or(&[]);
        let shape = &self.shape;
        let [down, along] = shape.stride.map(usize::from);
        let (inputs, outputs) = (shape.inputs(), usize::from(shape.outputs));
        let [height, width] = shape.input.map(usize::from);
        let words = scratch.as_chunks_mut::<3>().0;
        // Where all pixels are read, rows make no difference.
        let flat = shape.stride == [1, 1] && !shape.pool;
        let (rows, columns) = if flat {
            (1, height * width)
        } else {
            let columns = usize::from(shape.output[1]);
            let odd = if shape.pool { columns % 2 } else { 0 };
            (self.rows_to_sum(), columns - odd)
        };
        for row in 0..rows {
            let place = if flat {
                map.y.get_mut(..columns * outputs).map(|y| (false, y))
            } else {
                self.output_row(map.y, row)
            };
            let Some((pooled, out)) = place else {
                return;
            };
            let first = row * down * width * inputs;
            for at in (0..columns).step_by(PIXELS) {
                // Where fewer are left, the last four, or the last one over and over.
                let from = at.min(columns.saturating_sub(PIXELS));
                let pixels = [0, 1, 2, 3].map(|pixel| {
                    let column = (from + pixel).min(columns - 1) * along;
                    part(x, first + column * inputs, inputs)
                });
                let mixed = Mixed::new(pixels, words);
                self.four_cells(&mixed, pooled, from, columns, out);
            }
        }
    }

    /// All channels of the four pixels from column `from` of a row of so many.
    #[inline(never)]
    fn four_cells(&self, mixed: &Mixed, pooled: bool, from: usize, columns: usize, out: &mut [i8]) {
        let outputs = usize::from(self.shape.outputs);
        let tables = self.tables();
        let mut whole = 0;
        if !self.shape.pool && columns >= PIXELS {
            whole = outputs / CHANNELS;
            let table = tables.get(..whole).unwrap_or(&[]);
            let y = out.get_mut(from * outputs..).unwrap_or(&mut []);
            cells(mixed, &self.blocks(self.weights, table), y, outputs);
        }
        let weights = self.weights.chunks_exact(self.shape.block().max(1));
        let blocks = weights.zip(tables.as_chunks::<1>().0).enumerate();
        for (index, (weights, table)) in blocks.skip(whole) {
            let mut block = [0; CHANNELS * PIXELS];
            cells(mixed, &self.blocks(weights, table), &mut block, CHANNELS);
            let first = index * CHANNELS;
            let pixels = block.as_chunks::<CHANNELS>().0;
            if self.shape.pool {
                let cells = out.chunks_mut(outputs.max(1)).skip(from / 2);
                for (y, [a, b]) in cells.zip(pixels.as_chunks::<2>().0) {
                    let y = y.get_mut(first..).unwrap_or(&mut []).iter_mut();
                    for ((y, a), b) in y.zip(a).zip(b) {
                        let larger = *a.max(b);
                        *y = if pooled { larger.max(*y) } else { larger };
                    }
                }
                continue;
            }
            let cells = out.chunks_mut(outputs.max(1)).skip(from);
            for (y, pixel) in cells.zip(pixels) {
                let y = y.get_mut(first..).unwrap_or(&mut []).iter_mut();
                for (y, output) in y.zip(pixel) {
                    *y = *output;
                }
            }
        }
    }
}
