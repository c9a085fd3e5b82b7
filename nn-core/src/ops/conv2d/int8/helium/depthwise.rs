//! Depthwise convolutions with MVE: sixteen output channels at a time, over the whole map.

use super::{ConvStep, Operands};
use crate::kernels::helium::depthwise::{Channels, LANES, Layer};
use crate::ops::window::Axis;

impl ConvStep {
    /// int8 forward of one map.
    #[inline(never)] // Stack.
    pub(in super::super) fn depthwise_i8(&self, operands: &Operands<'_>, y: &mut [i8]) {
        let (rows, columns) = (&self.window.rows, &self.window.columns);
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let (_, multiplier) = self.group();
        let mut channels = Channels::of(Layer {
            weight: operands.weight,
            // A zero point of an int8 tensor.
            zero: operands.zero as i8,
            limits: operands.requant.limits(),
            kernel: [usize::from(rows.kernel), usize::from(columns.kernel)],
            x_step: columns.dilation() * inputs,
            x_pitch: rows.dilation() * self.width() * inputs,
            x_pixel: columns.stride() * inputs,
            lines: [
                rows.stride() * self.width() * inputs,
                usize::from(columns.output) * outputs,
            ],
            outputs,
            multiplier,
        });
        let mut next = 0;
        while next < outputs {
            // The last ones may begin with some that have been computed before.
            let first = next.min(outputs.saturating_sub(LANES));
            channels.select(operands.weight.get(first..).unwrap_or(&[]));
            channels.scale(|channel| operands.requant.channel(first + channel));
            self.depthwise_channels(operands.x, &mut channels, first, y);
            next = first + LANES;
        }
    }

    /// The channels from `first` on.
    #[inline(always)]
    fn depthwise_channels(
        &self,
        x: &[i8],
        channels: &mut Channels<'_>,
        first: usize,
        y: &mut [i8],
    ) {
        let (inputs, outputs) = (usize::from(self.inputs), usize::from(self.outputs));
        let (_, multiplier) = self.group();
        let x = x.get(first.checked_div(multiplier).unwrap_or(0)..);
        let x = x.unwrap_or(&[]);
        let (rows, columns) = (&self.window.rows, &self.window.columns);
        let width = usize::from(columns.output);
        let mut column = 0;
        while column < width {
            let cells = columns.taps(column);
            let pixels = alike(columns, column, cells.len);
            channels.spread(first, pixels);
            let mut row = 0;
            while row < usize::from(rows.output) {
                let taps = rows.taps(row);
                let lines = alike(rows, row, taps.len);
                // A dilated window may hold no cell.
                channels.take([taps.tap, taps.len], [cells.tap, cells.len]);
                let at = (taps.input * self.width() + cells.input) * inputs;
                let to = (row * width + column) * outputs + first;
                let y = y.get_mut(to..).unwrap_or(&mut []);
                channels.run(x.get(at..).unwrap_or(&[]), [pixels, lines], y);
                row += lines;
            }
            column += pixels;
        }
    }
}

/// How many outputs from `first` on have windows that lie inside, as it has, of which so many `taps` are there; 1 where it
/// reaches over a border.
#[inline(never)] // Stack.
fn alike(axis: &Axis, first: usize, taps: usize) -> usize {
    let kernel = usize::from(axis.kernel);
    let mut end = first + 1;
    while taps == kernel && end < usize::from(axis.output) && axis.taps(end).len == kernel {
        end += 1;
    }
    end - first
}
