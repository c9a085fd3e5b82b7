//! What is run: the layers of the digits' CNN, and others.

/// Numbers of the largest input and output.
const MAP: usize = 48 * 48 * 16;
/// Weights of the largest layer.
const WEIGHTS: usize = 784 * 100;
/// Output channels of the largest layer.
const CHANNELS: usize = 128;

/// A layer's sizes.
#[derive(Clone, Copy)]
pub(crate) enum Layer {
    /// Side of the map, channels in and out, side of the kernel; at stride 1, padded to the same size.
    Conv(usize, usize, usize, usize),
    /// Side of the map, channels; 3 x 3 cells.
    Depthwise(usize, usize),
    /// Side of the map, channels; the largest of 2 x 2 cells.
    Pool(usize, usize),
    /// Inputs and outputs.
    Dense(usize, usize),
    /// Classes.
    Softmax(usize),
    /// Steps, inputs, units.
    Lstm(usize, usize, usize),
}

/// The layers, by their names; the digits' CNN has one more than are measured by name.
pub(crate) const LAYERS: &[(&str, Layer)] = &[
    ("conv1_i8", Layer::Conv(28, 1, 8, 5)),
    ("pool1_i8", Layer::Pool(28, 8)),
    ("conv2_i8", Layer::Conv(14, 8, 16, 5)),
    ("pool2_i8", Layer::Pool(14, 16)),
    ("dense1_i8", Layer::Dense(784, 100)),
    ("dense2_i8", Layer::Dense(100, 10)),
    ("softmax_i8", Layer::Softmax(10)),
    ("lstm_i8", Layer::Lstm(30, 33, 30)),
    ("depthwise_i8", Layer::Depthwise(48, 16)),
    ("pointwise_i8", Layer::Conv(24, 32, 64, 1)),
];

impl Layer {
    /// Bytes of input, output and state that lie in RAM at once.
    pub(crate) fn ram(&self) -> usize {
        match *self {
            Self::Conv(side, inputs, outputs, _) => side * side * (inputs + outputs),
            Self::Depthwise(side, channels) => 2 * side * side * channels,
            Self::Pool(side, channels) => side * side * channels * 5 / 4,
            Self::Dense(inputs, outputs) => inputs + outputs,
            Self::Softmax(classes) => 2 * classes,
            Self::Lstm(steps, inputs, units) => steps * inputs + 3 * units,
        }
    }
}

/// All memory of a layer.
pub(crate) struct Room {
    pub(crate) x: [i8; MAP],
    pub(crate) weight: [i8; WEIGHTS],
    pub(crate) bias: [i32; CHANNELS],
    pub(crate) multipliers: [i32; CHANNELS],
    pub(crate) shifts: [i32; CHANNELS],
    pub(crate) y: [i8; MAP],
    pub(crate) cell: [i16; CHANNELS],
}

impl Room {
    pub(crate) const fn new() -> Self {
        Self {
            x: [0; MAP],
            weight: [0; WEIGHTS],
            bias: [300; CHANNELS],
            // About 1 / 1,500 of a sum.
            multipliers: [1_500_000_000; CHANNELS],
            shifts: [-10; CHANNELS],
            y: [0; MAP],
            cell: [0; CHANNELS],
        }
    }
}
