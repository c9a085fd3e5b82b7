//! Convolutions: of any kernel, of one input channel, of one cell, depthwise; pooled.

use nn_core::kernels::packed::{channel::Plain, conv2d};
use nn_core::ops::{self, Activation, Conv2d};
use nn_core::tensor;

use super::{Factors, Outcome, ROOM, Room, Trials, finish};

/// Products of a layer, at most: an emulator takes a second for a hundred of these.
const WORK: usize = 16_384;

/// What is asked of a shape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    General,
    Single,
    Pointwise,
    Depthwise,
}

impl Trials {
    /// A convolution of several input channels and a kernel of several cells.
    pub fn conv2d(&mut self, room: &mut Room) -> Outcome {
        self.convolution(Kind::General, false, room)
    }

    /// A convolution of one input channel.
    pub fn conv2d_single(&mut self, room: &mut Room) -> Outcome {
        self.convolution(Kind::Single, false, room)
    }

    /// A convolution whose kernel is one cell.
    pub fn pointwise(&mut self, room: &mut Room) -> Outcome {
        self.convolution(Kind::Pointwise, false, room)
    }

    /// A depthwise convolution.
    pub fn depthwise(&mut self, room: &mut Room) -> Outcome {
        self.convolution(Kind::Depthwise, false, room)
    }

    /// Any of them with the largest of each 2x2 outputs.
    pub fn conv2d_pooled(&mut self, room: &mut Room) -> Outcome {
        let kinds = [
            Kind::General,
            Kind::Single,
            Kind::Pointwise,
            Kind::Depthwise,
        ];
        let kind = kinds[self.below(4)];
        self.convolution(kind, true, room)
    }

    fn convolution(&mut self, kind: Kind, pool: bool, room: &mut Room) -> Outcome {
        let Some(shape) = self.shape(kind, pool) else {
            return Outcome::Refused;
        };
        let [height, width] = shape.input.map(usize::from);
        let (inputs, outputs) = (usize::from(shape.channels), usize::from(shape.outputs));
        let taps = taps(&shape);
        let layout = self.layout();
        let [words, table, scratch] = shape.sizes(layout);
        let [stored_rows, stored_columns] = shape.stored();
        let y_len = stored_rows * stored_columns * outputs;
        let cells = shape.output.map(usize::from);
        let largest = [
            height * width * inputs,
            cells[0] * cells[1] * outputs,
            taps * outputs,
            words,
            scratch,
            y_len,
        ];
        let work = cells[0] * cells[1] * outputs * taps;
        if largest.iter().any(|len| *len > ROOM) || work > WORK {
            return Outcome::Refused;
        }
        let weight = &mut room.weight[..taps * outputs];
        let lowest = self.lowest();
        self.fill(weight, lowest);
        let x = &mut room.x[..height * width * inputs];
        self.fill(x, -128);
        let channels = &mut room.channels[..outputs];
        self.channels(channels, taps);
        let zeros = self.zeros();
        let range = self.range(zeros[1]);
        let plain = Reference {
            shape,
            x,
            weight,
            channels,
            zeros,
            range,
        };

        // The plain kernel makes all outputs, not those alone that a pooling keeps.
        let all = &mut room.over[..cells[0] * cells[1] * outputs];
        if plain.kernel(all).is_none() {
            return Outcome::Refused;
        }
        for (index, y) in all.iter().enumerate() {
            let (cell, channel) = (index / outputs, index % outputs);
            if *y != plain.output(cell / cells[1], cell % cells[1], channel) {
                return Outcome::Different(index);
            }
        }

        let y = &mut room.y[..y_len];
        for (index, y) in y.iter_mut().enumerate() {
            let (cell, channel) = (index / outputs, index % outputs);
            let (row, column) = (cell / stored_columns, cell % stored_columns);
            let at = |row: usize, column: usize| all[(row * cells[1] + column) * outputs + channel];
            *y = if shape.pool {
                let (row, column) = (2 * row, 2 * column);
                let first = at(row, column).max(at(row, column + 1));
                first.max(at(row + 1, column)).max(at(row + 1, column + 1))
            } else {
                at(row, column)
            };
        }
        let (words, table) = (&mut room.words[..words], &mut room.table[..table]);
        if conv2d::pack(layout, weight, &shape, channels, zeros, (words, table)).is_err() {
            return Outcome::Refused;
        }
        let layer = conv2d::Layer {
            layout,
            shape,
            weights: words,
            table,
            x_zero: zeros[0],
            range,
        };
        // What lay in scratch before has no part in it.
        room.scratch[..scratch].fill(0x5555_5555);
        let over = &mut room.over[..y_len];
        conv2d::forward(&layer, x, &mut room.scratch[..scratch], over);
        if let Some(index) = over.iter().zip(y.iter()).position(|(a, b)| a != b) {
            return Outcome::Different(index);
        }
        if shape.fits_in_place() {
            let over = &mut room.over[..x.len()];
            over.copy_from_slice(x);
            conv2d::forward_in_place(&layer, over, &mut room.scratch[..scratch]);
            if let Some(index) = over.iter().zip(y.iter()).position(|(a, b)| a != b) {
                return Outcome::Different(index);
            }
        }
        Outcome::Equal
    }

    fn shape(&mut self, kind: Kind, pool: bool) -> Option<conv2d::Shape> {
        let mut draw = |limit: u32| 1 + self.below(limit) as u16;
        // About as many taps as a sum has room for.
        let wide = kind == Kind::General && draw(8) == 1;
        let kernel = match (kind, draw(3)) {
            (Kind::Pointwise, _) => [1, 1],
            _ if wide => [5, 5],
            (_, 1) => [3, 3],
            (_, 2) => [5, 5],
            _ => [draw(6), draw(6)],
        };
        if kind == Kind::General && kernel == [1, 1] {
            return None;
        }
        let stride = match draw(2) {
            1 => [1, 1],
            _ => [draw(4), draw(4)],
        };
        let input = match wide {
            true => [draw(3), draw(3)],
            false => [draw(9), draw(9)],
        };
        let mut axis = |index: usize| {
            let (kernel, stride) = (kernel[index], stride[index]);
            let padding = [draw(u32::from(kernel)) - 1, draw(u32::from(kernel)) - 1];
            let padding = if kernel == 1 { [0, 0] } else { padding };
            let cells = input[index] + padding[0] + padding[1];
            Some((padding[0], cells.checked_sub(kernel)? / stride + 1))
        };
        let (rows, columns) = (axis(0)?, axis(1)?);
        let output = [rows.1, columns.1];
        let channels = match (kind, draw(2)) {
            (Kind::Single, _) => 1,
            _ if wide => 18 + draw(3),
            (_, 1) => 4 * draw(4),
            _ => 1 + draw(11),
        };
        let depthwise = kind == Kind::Depthwise;
        let outputs = match depthwise {
            true => channels,
            false if wide => draw(8),
            false => draw(18),
        };
        if pool && (output[0] < 2 || output[1] < 2) {
            return None;
        }
        Some(conv2d::Shape {
            input,
            channels,
            depthwise,
            kernel,
            stride,
            before: [rows.0, columns.0],
            output,
            outputs,
            pool,
        })
    }
}

/// Weights of an output channel.
fn taps(shape: &conv2d::Shape) -> usize {
    let [rows, columns] = shape.kernel.map(usize::from);
    let group = if shape.depthwise { 1 } else { shape.channels };
    rows * columns * usize::from(group)
}

/// A layer with plain weights.
struct Reference<'r> {
    shape: conv2d::Shape,
    x: &'r [i8],
    weight: &'r [i8],
    channels: &'r [Plain],
    zeros: [i8; 2],
    range: [i8; 2],
}

impl Reference<'_> {
    /// An output by naive loops.
    fn output(&self, row: usize, column: usize, channel: usize) -> i8 {
        let shape = &self.shape;
        let [height, width] = shape.input.map(usize::from);
        let (inputs, outputs) = (usize::from(shape.channels), usize::from(shape.outputs));
        let [down, along] = shape.stride.map(usize::from);
        let [top, left] = shape.before.map(usize::from);
        let [kernel_rows, kernel_columns] = shape.kernel.map(usize::from);
        let x_zero = i32::from(self.zeros[0]);
        let mut sum = 0;
        for i in 0..kernel_rows {
            for j in 0..kernel_columns {
                let row = (row * down + i).wrapping_sub(top);
                let column = (column * along + j).wrapping_sub(left);
                if row >= height || column >= width {
                    continue;
                }
                let (cell, tap) = (row * width + column, i * kernel_columns + j);
                let product = |x: usize, w: usize| {
                    i32::from(self.weight[w]) * (i32::from(self.x[x]) - x_zero)
                };
                if shape.depthwise {
                    sum += product(cell * inputs + channel, tap * outputs + channel);
                    continue;
                }
                let filter = channel * taps(shape) + tap * inputs;
                for input in 0..inputs {
                    sum += product(cell * inputs + input, filter + input);
                }
            }
        }
        finish(sum, &self.channels[channel], self.zeros[1], self.range)
    }

    /// All outputs by the plain kernel; none where the layer is not one.
    fn kernel(&self, y: &mut [i8]) -> Option<()> {
        let shape = &self.shape;
        let [height, width] = shape.input;
        let [kernel_rows, kernel_columns] = shape.kernel;
        let dims = |dims: [u16; 4]| tensor::Shape::new(&dims.map(usize::from));
        let (channels, outputs) = (shape.channels, shape.outputs);
        let input = tensor::Shape::new(&[height, width, channels].map(usize::from))?;
        // Of one channel there is no depthwise layout.
        let depthwise = shape.depthwise && channels > 1;
        let weight = match depthwise {
            true => dims([1, kernel_rows, kernel_columns, outputs])?,
            false => dims([outputs, kernel_rows, kernel_columns, channels])?,
        };
        let axis = |index: usize| {
            let (kernel, stride) = (shape.kernel[index], shape.stride[index]);
            let spanned = (shape.output[index] - 1) * stride + kernel;
            // Where the last cells are not read, padding after them changes nothing.
            let after = spanned.saturating_sub(shape.input[index] + shape.before[index]);
            [shape.before[index] as u8, after as u8]
        };
        let ([top, bottom], [left, right]) = (axis(0), axis(1));
        let conv = Conv2d {
            weight: 0,
            bias: None,
            requant: None,
            stride: shape.stride,
            padding: [top, left, bottom, right],
            dilation: [1, 1],
            groups: if depthwise { channels } else { 1 },
            activation: Activation::None,
        };
        let factors = Factors::new(self.channels);
        let requant = factors.requant(self.zeros[1], self.range);
        let shapes = [input, weight];
        ops::conv2d::forward_i8(
            &conv,
            shapes,
            (self.x, self.weight),
            self.zeros[0],
            &requant,
            y,
        )
    }
}
