//! Depthwise convolutions with MVE: sixteen output channels at a time, over the whole map.

use super::{ConvStep, Operands};
use crate::kernels::helium::depthwise::{Channels, LANES, Layer, There};
use crate::kernels::helium::lowest;

impl ConvStep {
    /// int8 forward of one map.
    #[inline(never)]
    pub(in super::super) fn depthwise_i8(&self, operands: &Operands<'_>, y: &mut [i8]) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let (rows, columns) = (&self.window.rows, &self.window.columns);
        let (_, multiplier) = self.group();
        let layer = Layer {
            weight: operands.weight,
            // A zero point of an int8 tensor.
            zero: operands.zero as i8,
            limits: operands.requant.limits(),
            kernel: [usize::from(rows.kernel), usize::from(columns.kernel)],
            x_step: columns.dilation() * inputs,
            x_pitch: rows.dilation() * self.width() * inputs,
            x_pixel: columns.stride() * inputs,
            outputs,
            multiplier,
            pairs: lowest(operands.weight) > i32::from(i8::MIN),
        };
        let len = outputs.min(LANES);
        let mut first = 0;
        while first < outputs {
            // The last ones may begin with some that have been computed before.
            let at = first.min(outputs - len);
            self.channels_i8(&layer, operands, at, y);
            first = at + len;
        }
    }

    /// The channels from `first` on, up to sixteen.
    #[inline(never)] // Stack.
    fn channels_i8(&self, layer: &Layer<'_>, operands: &Operands<'_>, first: usize, y: &mut [i8]) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let [_, kernel_columns] = layer.kernel;
        let width = usize::from(self.window.columns.output);
        let mut channels = Channels::new(layer, first, outputs.min(LANES));
        channels.begin(|channel| operands.requant.channel(first + channel));
        let input = first.checked_div(layer.multiplier).unwrap_or(0);
        let mut column = 0;
        while column < width {
            let cells = self.window.columns.taps(column);
            let taps = |column| self.window.columns.taps(column).len;
            let mut end = column + 1;
            // Pixels whose windows lie inside, as one run.
            while cells.len == kernel_columns && end < width && taps(end) == kernel_columns {
                end += 1;
            }
            channels.spread(end - column);
            for row in 0..usize::from(self.window.rows.output) {
                let taps = self.window.rows.taps(row);
                let at = (taps.input * self.width() + cells.input) * inputs + input;
                // A dilated window may hold no cell.
                let there = match (taps.len, cells.len) {
                    (0, _) | (_, 0) => There::default(),
                    (rows, columns) => There {
                        rows: [taps.tap, rows],
                        columns: [cells.tap, columns],
                    },
                };
                let to = (row * width + column) * outputs + first;
                channels.run(
                    operands.x.get(at..).unwrap_or(&[]),
                    there,
                    end - column,
                    y.get_mut(to..).unwrap_or(&mut []),
                );
            }
            column = end;
        }
    }
}
