//! Depthwise convolutions as the plain layout alone has them: with gaps between the taps, several outputs of an input,
//! factors above 1.

use nn_core::fixed_point::rescale;
use nn_core::kernels::packed::channel::Plain;
use nn_core::ops::{self, Activation, Conv2d};
use nn_core::tensor::{DType, Quant, Shape, Tensor};

use super::{CHANNELS, Factors, Outcome, ROOM, Room, Trials};

/// Products of a layer, at most.
const WORK: usize = 16_384;

impl Trials {
    /// A depthwise convolution in the plain layout.
    pub fn depthwise_plain(&mut self, room: &mut Room) -> Outcome {
        let mut draw = |limit: u32| 1 + self.below(limit) as u16;
        let [height, width] = [draw(9), draw(9)];
        let channels = match draw(3) {
            1 => 16 * draw(2),
            2 => 1 + draw(8),
            _ => 1 + draw(39),
        };
        let multiplier = match draw(3) {
            1 => draw(4),
            _ => 1,
        };
        let outputs = usize::from(channels * multiplier);
        let kernel = match draw(2) {
            1 => [3, 3],
            _ => [draw(5), draw(5)],
        };
        let stride = match draw(2) {
            1 => [1, 1],
            _ => [draw(3), draw(3)],
        };
        let dilation: [u16; 2] = match draw(2) {
            1 => [1, 1],
            _ => [draw(3), draw(3)],
        };
        // Less than the kernel spans.
        let mut pad = |axis: usize| {
            let span = (kernel[axis] - 1) * dilation[axis] + 1;
            (draw(span.into()) - 1) as u8
        };
        let padding = [pad(0), pad(1), pad(0), pad(1)];
        let layer = Conv2d {
            weight: 0,
            bias: None,
            requant: None,
            stride,
            padding,
            // Up to 3.
            dilation: dilation.map(|cells| cells as u8),
            groups: channels,
            activation: Activation::None,
        };
        let input = Shape::new(&[height, width, channels].map(usize::from));
        let [kernel_rows, kernel_columns] = kernel.map(usize::from);
        let weight_shape = Shape::new(&[1, kernel_rows, kernel_columns, outputs]);
        let (Some(input), Some(weight_shape)) = (input, weight_shape) else {
            return Outcome::Refused;
        };
        let weight = Tensor::activation(weight_shape, DType::I8, Quant::None);
        let Some(output) = layer.output_shape(input, &weight) else {
            return Outcome::Refused;
        };
        let &[rows, columns, _] = output.dims() else {
            return Outcome::Refused;
        };
        let cells = rows as usize * columns as usize;
        let taps = kernel_rows * kernel_columns;
        let x_len = usize::from(height) * usize::from(width) * usize::from(channels);
        if x_len.max(cells * outputs).max(taps * outputs) > ROOM
            || cells * outputs * taps > WORK
            || outputs > CHANNELS
        {
            return Outcome::Refused;
        }
        let (x, weight) = (&mut room.x[..x_len], &mut room.weight[..taps * outputs]);
        let lowest = if self.below(3) == 0 { -128 } else { -127 };
        self.fill(weight, lowest);
        self.fill(x, -128);
        let plain = &mut room.channels[..outputs];
        self.any_channels(plain, taps);
        let zeros = self.zeros();
        let range = self.range(zeros[1]);
        let factors = Factors::new(plain);
        let requant = factors.requant(zeros[1], range);
        let y = &mut room.y[..cells * outputs];
        y.fill(0x55);
        let shapes = [input, weight_shape];
        if ops::conv2d::forward_i8(&layer, shapes, (x, weight), zeros[0], &requant, y).is_none() {
            return Outcome::Refused;
        }
        for (index, y) in y.iter().enumerate() {
            let (cell, output) = (index / outputs, index % outputs);
            let at = [cell / columns as usize, cell % columns as usize];
            let mut sum = plain[output].bias;
            for tap in 0..taps {
                let tap_at = [tap / kernel_columns, tap % kernel_columns];
                let place = |axis: usize, cells: u16| {
                    let at = at[axis] * usize::from(stride[axis])
                        + tap_at[axis] * usize::from(dilation[axis]);
                    let at = at.checked_sub(usize::from(padding[axis]))?;
                    (at < usize::from(cells)).then_some(at)
                };
                let (Some(row), Some(column)) = (place(0, height), place(1, width)) else {
                    continue;
                };
                let from = (row * usize::from(width) + column) * usize::from(channels)
                    + output / usize::from(multiplier);
                let input = i32::from(x[from]) - i32::from(zeros[0]);
                sum = sum.wrapping_add(input * i32::from(weight[tap * outputs + output]));
            }
            let Plain {
                multiplier, shift, ..
            } = plain[output];
            let value = rescale(sum, multiplier, shift).wrapping_add(zeros[1].into());
            let wanted = value.max(range[0].into()).min(range[1].into());
            if i32::from(*y) != wanted {
                return Outcome::Different(index);
            }
        }
        Outcome::Equal
    }

    /// Channels of any factor, with biases up to the ends.
    fn any_channels(&mut self, channels: &mut [Plain], taps: usize) {
        self.channels(channels, taps);
        let kind = self.below(4);
        for plain in channels {
            match (kind, self.below(4)) {
                (1, 0) => plain.shift = self.below(31) as i32,
                (2, 0) => plain.shift = 0,
                (2, 1) => plain.multiplier = i32::MAX,
                (3, 0) => {
                    plain.bias = if self.below(2) == 0 {
                        i32::MIN
                    } else {
                        i32::MAX
                    }
                }
                (3, 1) => plain.shift = -31,
                _ => {}
            }
        }
    }
}
