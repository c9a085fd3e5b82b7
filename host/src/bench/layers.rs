//! The layers that are measured by name: those of the MNIST CNN, and what mobile networks and text models are made of,
//! in int8 with random weights.

use std::path::Path;

use nn_core::fixed_point::Rescale;
use nn_core::kernels::packed::Layout;
use nn_core::ops::{
    Activation, Add, AddRequant, Concat, Conv2d, Lstm, Mul, Op, Pool2d, Recurrent, sigmoid,
    softmax, tanh,
};
use nn_core::tensor::{DType, Quant, Shape, Tensor, TensorId};

use super::BenchError;
use crate::blob::Blob;
use crate::data::Stream;
use crate::export::{
    Affine, AlignedBytes, BuildError, Builder, CellState, Gives, Int8Layer, Int8Recurrent,
    input_rescale, lstm_requant, quantize_multiplier,
};

type Result<T> = core::result::Result<T, BuildError>;

/// What can be measured by name, besides models.
pub const NAMES: [&str; 14] = [
    "conv1_i8",
    "conv2_i8",
    "pool1_i8",
    "pool2_i8",
    "dense1_i8",
    "softmax_i8",
    "lstm_i8",
    "depthwise_i8",
    "pointwise_i8",
    "sigmoid_i8",
    "tanh_i8",
    "add_i8",
    "mul_i8",
    "concat_i8",
];

/// Of inputs, and of outputs but those of a ReLU.
const STEP: Affine = Affine {
    scale: 1.0 / 32.0,
    zero_point: -3,
};

/// The model of the layer `name` alone, packed or plain.
///
/// # Errors
///
/// [`BenchError::Unknown`].
pub fn layer(
    name: &str,
    layout: Option<Layout>,
) -> core::result::Result<(&'static str, Blob), BenchError> {
    let known = NAMES.into_iter().find(|known| *known == name);
    let name = known.ok_or_else(|| BenchError::Unknown(name.to_owned()))?;
    let bytes = build(name, layout).map_err(|source| BenchError::Layer { name, source })?;
    let blob =
        Blob::new(Path::new(name), bytes).map_err(|source| BenchError::Blob { name, source })?;
    Ok((name, blob))
}

fn build(name: &'static str, layout: Option<Layout>) -> Result<AlignedBytes> {
    let mut draft = Draft {
        builder: Builder::new(name),
        random: Stream::new(7, Stream::BENCH, 0, 0),
    };
    let draft = &mut draft;
    let output = match name {
        "conv1_i8" => draft.conv([28, 28, 1], 8, 5, 1)?,
        "conv2_i8" => draft.conv([14, 14, 8], 16, 5, 1)?,
        "pointwise_i8" => draft.conv([24, 24, 32], 64, 1, 1)?,
        "depthwise_i8" => draft.conv([48, 48, 16], 16, 3, 16)?,
        "pool1_i8" => draft.pool([28, 28, 8])?,
        "pool2_i8" => draft.pool([14, 14, 16])?,
        "dense1_i8" => draft.dense(784, 100)?,
        "softmax_i8" => draft.softmax(10)?,
        "sigmoid_i8" | "tanh_i8" => draft.curve(name, 1024)?,
        "add_i8" | "mul_i8" | "concat_i8" => draft.join(name, 1024)?,
        _ => draft.lstm(30, 33, 30)?,
    };
    if let Some(layout) = layout {
        let packed = draft.builder.to_packed(layout, &[output])?;
        return packed.builder.finish(&packed.outputs, None);
    }
    draft.builder.finish(&[output], None)
}

/// A model of one layer under construction.
struct Draft {
    builder: Builder,
    random: Stream,
}

impl Draft {
    fn input(&mut self, shape: &[usize]) -> Result<TensorId> {
        self.builder.input(shape, DType::I8, STEP.quant())
    }

    fn weights(&mut self, count: usize) -> Vec<i8> {
        // −127 to 127.
        let mut byte = || (self.random.below(255) as i16 - 127) as i8;
        (0..count).map(|_| byte()).collect()
    }

    /// Parameters of `shape`, output channel first, with outputs that spread over int8. A depthwise convolution has its
    /// channels last.
    fn parameters(&mut self, shape: &[usize], channels: usize) -> Int8Layer {
        let weight = self.weights(shape.iter().product());
        let terms = (weight.len() / channels) as f64;
        // Products of ±127 and ±127 at random.
        let (multiplier, shift) = quantize_multiplier(1.0 / (100.0 * terms.sqrt()));
        Int8Layer {
            weight,
            shape: shape.to_vec(),
            scales: vec![1.0 / 128.0; channels],
            bias: (0..channels)
                .map(|_| self.random.below(2001) as i32 - 1000)
                .collect(),
            multipliers: vec![multiplier; channels],
            shifts: vec![shift; channels],
            // As calibration gives it: no output lies below 0, so the clamp is the type's own.
            output: Affine {
                zero_point: -128,
                ..STEP
            }
            .quant(),
            activation: Activation::Relu,
        }
    }

    /// A square kernel at stride 1 over a map padded to give one of the same size.
    fn conv(
        &mut self,
        input: [usize; 3],
        outputs: usize,
        kernel: usize,
        groups: usize,
    ) -> Result<TensorId> {
        let x = self.input(&input)?;
        let layer = if groups == 1 {
            self.parameters(&[outputs, kernel, kernel, input[2]], outputs)
        } else {
            self.parameters(&[1, kernel, kernel, outputs], outputs)
        };
        // Kernels of up to 5.
        let padding = [(kernel / 2) as u8; 4];
        let geometry = Conv2d {
            weight: 0,
            bias: None,
            requant: None,
            stride: [1, 1],
            padding,
            dilation: [1, 1],
            groups: groups as u16,
            activation: layer.activation,
        };
        self.builder.conv2d_i8_of("layer", x, &layer, geometry)
    }

    fn pool(&mut self, input: [usize; 3]) -> Result<TensorId> {
        let x = self.input(&input)?;
        let pool = Pool2d {
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0; 4],
        };
        self.builder.max_pool2d("layer", x, pool)
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> Result<TensorId> {
        let x = self.input(&[inputs])?;
        let layer = self.parameters(&[outputs, inputs], outputs);
        self.builder.dense_i8("layer", x, &layer)
    }

    fn softmax(&mut self, classes: usize) -> Result<TensorId> {
        let x = self.input(&[classes])?;
        let rescale = input_rescale(STEP.scale, softmax::INPUT_INTEGER_BITS);
        let (scale, zero_point) = softmax::OUTPUT_I8;
        let quant = Quant::PerTensor { scale, zero_point };
        self.builder
            .convert("layer", Op::Softmax(rescale), x, DType::I8, quant)
    }

    /// A function of each number.
    fn curve(&mut self, name: &str, count: usize) -> Result<TensorId> {
        let x = self.input(&[count])?;
        let rescale = input_rescale(STEP.scale, sigmoid::INPUT_INTEGER_BITS);
        let (op, (scale, zero_point)) = match name {
            "tanh_i8" => (Op::Tanh(rescale), tanh::OUTPUT_I8),
            _ => (Op::Sigmoid(rescale), sigmoid::OUTPUT_I8),
        };
        let quant = Quant::PerTensor { scale, zero_point };
        self.builder.convert("layer", op, x, DType::I8, quant)
    }

    /// Two vectors to one.
    fn join(&mut self, name: &str, count: usize) -> Result<TensorId> {
        let inputs = [self.input(&[count])?, self.input(&[count])?];
        let factor = |factor: f64| {
            let (multiplier, shift) = quantize_multiplier(factor);
            // −31 to 30.
            let shift = shift as i8;
            Rescale { multiplier, shift }
        };
        let none = Activation::None;
        let (op, count) = match name {
            "add_i8" => {
                let (x0, x1) = (factor(0.5), factor(0.5));
                let y = factor(1.5 / f64::from(1 << 20));
                let requant = Some(AddRequant { x0, x1, y });
                let activation = none;
                (
                    Op::Add(Add {
                        requant,
                        activation,
                    }),
                    count,
                )
            }
            "mul_i8" => {
                let requant = Some(factor(0.02));
                let activation = none;
                (
                    Op::Mul(Mul {
                        requant,
                        activation,
                    }),
                    count,
                )
            }
            _ => (Op::Concat(Concat { axis: 0 }), 2 * count),
        };
        let shape = Shape::vector(count as u32);
        let output = Tensor::activation(shape, DType::I8, STEP.quant());
        self.builder.node_of("layer", op, &inputs, output)
    }

    /// A sequence to its last state.
    fn lstm(&mut self, steps: usize, inputs: usize, units: usize) -> Result<TensorId> {
        let x = self.input(&[steps, inputs])?;
        let rows = 4 * units;
        let output = Affine {
            scale: 1.0 / 128.0,
            zero_point: 0,
        };
        let scales = [[1.0 / 256.0; 2]; 4];
        let cell = CellState::covering(4.0, 0.0);
        let weights = Int8Recurrent {
            kernel: self.weights(rows * inputs),
            recurrent: self.weights(rows * units),
            bias: vec![0; rows],
            recurrent_bias: Vec::new(),
            requant: lstm_requant(STEP.scale, output.scale, scales, cell),
            output,
        };
        let layer = Recurrent {
            kernel: 0,
            recurrent: 0,
            bias: None,
            reverse: false,
            stateful: false,
            truncate: 0,
            requant: None,
        };
        let op = Op::Lstm(Lstm { layer });
        self.builder
            .recurrent_i8("layer", x, &weights, op, Gives::Last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The multiply-accumulates of the table in the project's performance goals.
    #[test]
    fn each_is_the_layer_that_its_name_says() {
        let macs = [
            156_800, 627_200, 0, 0, 78_400, 0, 226_800, 331_776, 1_179_648, 0, 0, 0, 0, 0,
        ];
        for (name, wanted) in NAMES.into_iter().zip(macs) {
            for layout in [None, Some(Layout::Armv7em), Some(Layout::Armv7m)] {
                let (_, blob) = layer(name, layout).unwrap();
                assert_eq!(crate::export::Inspection::of(&blob).macs, wanted, "{name}");
            }
        }
        assert!(layer("conv9_i8", None).is_err());
    }
}
