//! Random layers through the packed and the plain int8 kernels and through those of dense layers of f32, against naive
//! loops over the plain weights: on a workstation by `cargo test -p firmware`, on a core by the app `kernels`.

mod chain;
mod conv2d;
mod dense;
mod depthwise;
mod lstm;
mod operators;
mod pool;

use nn_core::fixed_point::rescale;
use nn_core::kernels::packed::Layout;
use nn_core::kernels::packed::channel::Plain;
use nn_core::ops::Requant;
use nn_core::scalar::XorShift32;

/// Tries one random layer.
pub type Trial = fn(&mut Trials, &mut Room) -> Outcome;

/// Each kernel that has trials, by its name.
pub const KERNELS: &[(&str, Trial)] = &[
    ("dense", Trials::dense),
    ("conv2d", Trials::conv2d),
    ("conv2d_single", Trials::conv2d_single),
    ("conv2d_pooled", Trials::conv2d_pooled),
    ("pointwise", Trials::pointwise),
    ("depthwise", Trials::depthwise),
    ("depthwise_plain", Trials::depthwise_plain),
    ("max_pool2d", Trials::max_pool2d),
    ("avg_pool2d", Trials::avg_pool2d),
    ("lstm", Trials::lstm),
    ("softmax", Trials::softmax),
    ("add", Trials::add),
    ("mul", Trials::mul),
    ("lookup", Trials::lookup),
    ("sigmoid", Trials::sigmoid),
    ("tanh", Trials::tanh),
    ("rows", Trials::rows),
    ("chain", Trials::chain),
];

/// Numbers of the largest tensor of a trial; small where RAM is.
const ROOM: usize = if cfg!(feature = "board-microbit") {
    512
} else {
    8192
};
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
    /// Input, and output over it; the output of plain kernels.
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
    /// All outputs were equal, packed and plain.
    Equal,
    /// The layer does not fit the packed layout or the room; where it is a layer, the plain outputs were equal.
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
            let (bias, shift) = match self.below(8) {
                // As large as a bias may be.
                0 => (2 + self.below(4), 18 + self.below(6)),
                _ => (12 + self.below(18), 1 + self.below(2 * spread)),
            };
            *plain = Plain {
                bias: (self.rng.draw() as i32) >> bias,
                multiplier: (self.rng.draw() >> 2 | 1 << 30) as i32,
                shift: -(shift as i32),
            };
        }
    }

    /// One of the packed layouts that there are kernels for.
    fn layout(&mut self) -> Layout {
        let drawn = Layout::ALL[self.below(2)];
        let other = Layout::ALL.into_iter().find(|layout| *layout != drawn);
        if drawn.is_known() {
            drawn
        } else {
            other.unwrap_or(drawn)
        }
    }

    /// The lowest weight: −128 keeps most layers from being packed.
    fn lowest(&mut self) -> i8 {
        if self.below(8) == 0 { -128 } else { -127 }
    }

    fn zeros(&mut self) -> [i8; 2] {
        // An end of the range gives the largest sums.
        let mut zero = || match self.below(4) {
            0 => i8::MIN,
            1 => i8::MAX,
            _ => self.rng.draw() as i8,
        };
        [zero(), zero()]
    }

    fn range(&mut self, zero: i8) -> [i8; 2] {
        match self.below(3) {
            0 => [zero, 127],
            _ => [-128, 127],
        }
    }
}

/// What plain kernels take: the channels' multipliers and then their shifts, and the biases.
struct Factors {
    factors: [i32; 2 * CHANNELS],
    biases: [i32; CHANNELS],
    channels: usize,
}

impl Factors {
    fn new(channels: &[Plain]) -> Self {
        let (mut factors, mut biases) = ([0; 2 * CHANNELS], [0; CHANNELS]);
        for (index, plain) in channels.iter().enumerate() {
            factors[index] = plain.multiplier;
            factors[channels.len() + index] = plain.shift;
            biases[index] = plain.bias;
        }
        let channels = channels.len();
        Self {
            factors,
            biases,
            channels,
        }
    }

    fn requant(&self, zero: i8, range: [i8; 2]) -> Requant<'_> {
        let factors = &self.factors[..2 * self.channels];
        Requant::new(
            factors,
            &self.biases[..self.channels],
            i32::from(zero),
            range,
        )
    }
}

/// The reference: rescaled, the zero point added, held to the range.
fn finish(sum: i32, plain: &Plain, zero: i8, [min, max]: [i8; 2]) -> i8 {
    let value = rescale(sum + plain.bias, plain.multiplier, plain.shift) + i32::from(zero);
    // Held to a range of 8 bits.
    value.max(i32::from(min)).min(i32::from(max)) as i8
}
