//! Random layers through the packed kernels, against naive loops over the plain weights: on a workstation by
//! `cargo test -p firmware`, on a core by the app `kernels`.

mod lstm;

use nn_core::fixed_point::rescale;
use nn_core::kernels::packed::{channel::Plain, conv2d, dense};
use nn_core::ops::{self, Requant};
use nn_core::scalar::XorShift32;

/// Numbers of the largest tensor of a trial.
const ROOM: usize = 8192;
/// Output channels of the largest trial.
const CHANNELS: usize = 72;

/// The memory of a trial.
pub struct Room {
    /// Input.
    pub x: [i8; ROOM],
    /// Plain weights.
    pub weight: [i8; ROOM],
    /// Packed weights.
    pub words: [i32; ROOM],
    /// Table of the channels.
    pub table: [i32; 4 * CHANNELS],
    /// The channels before they were packed.
    pub channels: [Plain; CHANNELS],
    /// Scratch.
    pub scratch: [i32; ROOM],
    /// Output.
    pub y: [i8; ROOM],
    /// Input, and output over it.
    pub over: [i8; ROOM],
}

impl Room {
    /// Zeros.
    pub const fn new() -> Self {
        let plain = Plain {
            bias: 0,
            multiplier: 0,
            shift: -1,
        };
        Self {
            x: [0; ROOM],
            weight: [0; ROOM],
            words: [0; ROOM],
            table: [0; 4 * CHANNELS],
            channels: [plain; CHANNELS],
            scratch: [0; ROOM],
            y: [0; ROOM],
            over: [0; ROOM],
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All outputs were equal.
    Equal,
    /// The layer does not fit the packed layout.
    Refused,
    /// The output of this number differed.
    Different(usize),
}

/// Draws the trials.
pub struct Trials {
    rng: XorShift32,
}

impl Trials {
    /// Trials of a seed.
    pub fn new(seed: u32) -> Self {
        Self {
            rng: XorShift32::new(seed),
        }
    }

    fn below(&mut self, limit: u32) -> usize {
        (self.rng.draw() % limit.max(1)) as usize
    }

    /// Weights and inputs of any size, at their ends or 0.
    fn fill(&mut self, values: &mut [i8], lowest: i8) {
        let kind = self.below(4);
        for value in values {
            let drawn = (self.rng.draw() >> 9) as i8;
            *value = match kind {
                0 if drawn < 0 => lowest,
                0 => 127,
                1 => drawn / 16,
                2 => 127,
                _ => drawn,
            }
            .max(lowest);
        }
    }

    fn channels(&mut self, channels: &mut [Plain], taps: usize) {
        // A sum is about √taps · 128 · 64, an output at most 128.
        let spread = 6 + (usize::BITS - taps.leading_zeros()) / 2;
        for plain in channels {
            *plain = Plain {
                bias: (self.rng.draw() as i32) >> (12 + self.below(18)),
                multiplier: (self.rng.draw() >> 2 | 1 << 30) as i32,
                shift: -((1 + self.below(2 * spread)) as i32),
            };
        }
    }

    fn zeros(&mut self) -> [i8; 2] {
        [self.rng.draw() as i8, self.rng.draw() as i8]
    }

    fn range(&mut self, zero: i8) -> [i8; 2] {
        match self.below(3) {
            0 => [zero, 127],
            _ => [-128, 127],
        }
    }

    /// A dense layer, packed and plain.
    pub fn dense(&mut self, room: &mut Room) -> Outcome {
        let (inputs, outputs) = (1 + self.below(100), 1 + self.below(40));
        let weight = &mut room.weight[..inputs * outputs];
        self.fill(weight, -127);
        let x = &mut room.x[..inputs];
        self.fill(x, -128);
        let channels = &mut room.channels[..outputs];
        self.channels(channels, inputs);
        let zeros = self.zeros();
        let range = self.range(zeros[1]);
        let [words, table, scratch] = dense::sizes(inputs, outputs);
        let (words, table) = (&mut room.words[..words], &mut room.table[..table]);
        if dense::pack(weight, inputs, channels, zeros, (words, table)).is_err() {
            return Outcome::Refused;
        }
        let y = &mut room.y[..outputs];
        dense::forward(x, words, table, range, &mut room.scratch[..scratch], y);
        // The plain kernel, too.
        let mut factors = [0; 2 * CHANNELS];
        for (index, plain) in channels.iter().enumerate() {
            (factors[index], factors[outputs + index]) = (plain.multiplier, plain.shift);
        }
        let mut biases = [0; CHANNELS];
        for (bias, plain) in biases.iter_mut().zip(channels.iter()) {
            *bias = plain.bias;
        }
        let requant = Requant::new(
            &factors[..2 * outputs],
            &biases[..outputs],
            i32::from(zeros[1]),
            range,
        );
        let mut plain_y = [0; CHANNELS];
        ops::dense::forward_i8(
            x,
            weight,
            i32::from(zeros[0]),
            &requant,
            &mut plain_y[..outputs],
        );
        let rows = weight.chunks_exact(inputs);
        for (index, ((row, plain), y)) in rows.zip(channels.iter()).zip(y).enumerate() {
            let sum = row.iter().zip(x.iter()).fold(0i32, |sum, (w, x)| {
                sum + i32::from(*w) * (i32::from(*x) - i32::from(zeros[0]))
            });
            let wanted = finish(sum, plain, zeros[1], range);
            if [*y, plain_y[index]] != [wanted; 2] {
                return Outcome::Different(index);
            }
        }
        Outcome::Equal
    }

    /// A convolution, perhaps pooled.
    pub fn conv2d(&mut self, room: &mut Room) -> Outcome {
        let Some(shape) = self.shape() else {
            return Outcome::Refused;
        };
        let [height, width] = shape.input.map(usize::from);
        let [rows, columns] = shape.kernel.map(usize::from);
        let (inputs, outputs) = (usize::from(shape.channels), usize::from(shape.outputs));
        let group = if shape.depthwise { 1 } else { inputs };
        let taps = rows * columns * group;
        let [words, table, scratch] = shape.sizes();
        let [stored_rows, stored_columns] = shape.stored();
        let y_len = stored_rows * stored_columns * outputs;
        let largest = [
            height * width * inputs,
            taps * outputs,
            words,
            scratch,
            y_len,
        ];
        if largest.iter().any(|len| *len > ROOM) {
            return Outcome::Refused;
        }
        let weight = &mut room.weight[..taps * outputs];
        self.fill(weight, -127);
        let x = &mut room.x[..height * width * inputs];
        self.fill(x, -128);
        let channels = &mut room.channels[..outputs];
        self.channels(channels, taps);
        let zeros = self.zeros();
        let range = self.range(zeros[1]);
        let (words, table) = (&mut room.words[..words], &mut room.table[..table]);
        if conv2d::pack(weight, &shape, channels, zeros, (words, table)).is_err() {
            return Outcome::Refused;
        }
        let y = &mut room.y[..y_len];
        let layer = conv2d::Layer {
            shape,
            weights: words,
            table,
            x_zero: zeros[0],
            range,
        };
        // What lay in scratch before has no part in it.
        room.scratch[..scratch].fill(0x5555_5555);
        conv2d::forward(&layer, x, &mut room.scratch[..scratch], y);
        if shape.fits_in_place() {
            let over = &mut room.over[..x.len()];
            over.copy_from_slice(x);
            conv2d::forward_in_place(&layer, over, &mut room.scratch[..scratch]);
            if let Some(index) = over.iter().zip(y.iter()).position(|(a, b)| a != b) {
                return Outcome::Different(index);
            }
        }
        let output = |row: usize, column: usize, channel: usize| {
            let (first, step) = match shape.depthwise {
                true => (channel, outputs),
                false => (channel * taps, 1),
            };
            let filter = weight[first..].iter().step_by(step).take(taps);
            let mut sum = 0;
            for (tap, w) in filter.enumerate() {
                let (cell, input) = match shape.depthwise {
                    true => (tap, channel),
                    false => (tap / inputs, tap % inputs),
                };
                let [down, along] = shape.stride.map(usize::from);
                let [top, left] = shape.before.map(usize::from);
                let row = (row * down + cell / columns).wrapping_sub(top);
                let column = (column * along + cell % columns).wrapping_sub(left);
                if row < height && column < width {
                    let x = i32::from(x[(row * width + column) * inputs + input]);
                    sum += i32::from(*w) * (x - i32::from(zeros[0]));
                }
            }
            finish(sum, &channels[channel], zeros[1], range)
        };
        for (index, y) in y.iter().enumerate() {
            let (cell, channel) = (index / outputs, index % outputs);
            let (row, column) = (cell / stored_columns, cell % stored_columns);
            let wanted = if shape.pool {
                let cells = [(0, 0), (0, 1), (1, 0), (1, 1)];
                let cells = cells.map(|(i, j)| output(2 * row + i, 2 * column + j, channel));
                cells.into_iter().fold(i8::MIN, i8::max)
            } else {
                output(row, column, channel)
            };
            if *y != wanted {
                return Outcome::Different(index);
            }
        }
        Outcome::Equal
    }

    fn shape(&mut self) -> Option<conv2d::Shape> {
        let mut draw = |limit: u32| 1 + self.below(limit) as u16;
        let kernel = match draw(4) {
            1 => [1, 1],
            2 => [3, 3],
            3 => [5, 5],
            _ => [draw(6), draw(6)],
        };
        let stride = match draw(2) {
            1 => [1, 1],
            _ => [draw(4), draw(4)],
        };
        let input = [draw(9), draw(9)];
        let mut axis = |index: usize| {
            let (kernel, stride) = (kernel[index], stride[index]);
            let padding = [draw(u32::from(kernel)) - 1, draw(u32::from(kernel)) - 1];
            let padding = if kernel == 1 { [0, 0] } else { padding };
            let cells = input[index] + padding[0] + padding[1];
            Some((padding[0], cells.checked_sub(kernel)? / stride + 1))
        };
        let (rows, columns) = (axis(0)?, axis(1)?);
        let output = [rows.1, columns.1];
        let channels = match draw(3) {
            1 => 1,
            2 => 4 * draw(4),
            _ => draw(12),
        };
        let depthwise = draw(3) == 1;
        let outputs = if depthwise { channels } else { draw(18) };
        Some(conv2d::Shape {
            input,
            channels,
            depthwise,
            kernel,
            stride,
            before: [rows.0, columns.0],
            output,
            outputs,
            pool: draw(2) == 1 && output[0] > 1 && output[1] > 1,
        })
    }
}

/// The reference: rescaled, the zero point added, held to the range.
fn finish(sum: i32, plain: &Plain, zero: i8, [min, max]: [i8; 2]) -> i8 {
    let value = rescale(sum + plain.bias, plain.multiplier, plain.shift) + i32::from(zero);
    // Held to a range of 8 bits.
    value.max(i32::from(min)).min(i32::from(max)) as i8
}
