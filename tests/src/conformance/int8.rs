//! Cases in int8.

use host::export::{Affine, AlignedBytes, Builder, Gives, Int8Layer, Int8Recurrent, operators};
use nn_core::fixed_point::{InputRescale, Rescale};
use nn_core::kernels::packed::Layout;
use nn_core::ops::{
    Activation, Add, AddRequant, Concat, Conv2d, Embedding, Gru, Lookup, Lstm, Mul, Op, Pad, Prelu,
    PreluRequant, Recurrent, Requantize, Rnn, Transpose, log_softmax, sigmoid, softmax, tanh,
};
use nn_core::tensor::{DType, Quant, Shape, Tensor, TensorId};
use nn_core::train::{Loss, TrainSpec, Trainable};

use super::Case;
use crate::int8::{input_rescale, quantize_multiplier};
use crate::random::Random;

/// The cases.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("i8 layers under an f32 head that learns", head(DType::F32)),
        Case::new("i8 layers under a Q16 head that learns", head(DType::Q16)),
        Case::new("i8 from input to output", whole()),
        Case::new("i8 graph", graph()),
        Case::new("i8 log-softmax", log_softmax_of_rows()),
        Case::new("i8 packed for Cortex-M4 and M7", packed(Layout::Armv7em)),
        Case::new("i8 packed for Cortex-M3 and M0", packed(Layout::Armv7m)),
        Case::new(
            "i8 packed LSTMs for Cortex-M4 and M7",
            packed_lstms(Layout::Armv7em),
        ),
        Case::new(
            "i8 packed LSTMs for Cortex-M3 and M0",
            packed_lstms(Layout::Armv7m),
        ),
        Case::new("i8 embedding", embedding()),
        Case::new("i8 recurrent layers", recurrent()),
        Case::new("i8 that learns", learning(DType::F32, None)),
        Case::new(
            "i8 that learns, poolings in convolutions",
            learning(DType::Q16, Some(Layout::Armv7em)),
        ),
        Case::new("i8 that learns under means", means()),
    ]
}

fn quant(scale: f32, zero_point: i32) -> Quant {
    Quant::PerTensor { scale, zero_point }
}

fn as_quant((scale, zero_point): (f32, i32)) -> Quant {
    quant(scale, zero_point)
}

fn rescale(scale: f32, bits: u32, is_softmax: bool) -> Option<InputRescale> {
    let (multiplier, shift, radius) = input_rescale(scale, bits, is_softmax);
    Some(InputRescale {
        multiplier,
        shift: shift as i8,
        radius,
    })
}

/// A dense layer `[out, in]` or a convolution `[out, kernel_h, kernel_w, in]`.
fn layer(
    random: &mut Random,
    shape: &[usize],
    outputs: usize,
    activation: Activation,
) -> Int8Layer {
    let count: usize = shape.iter().product();
    let terms = count / outputs;
    // A sum of n products of ±127 and ±128 is about 5,400 · √n: shifted to about ±60.
    let shift = -((5_400.0 * (terms as f64).sqrt() / 60.0).log2().round() as i32) + 1;
    Int8Layer {
        weight: (0..count).map(|_| random.within(-127, 127) as i8).collect(),
        shape: shape.to_vec(),
        scales: vec![0.01; outputs],
        bias: (0..outputs)
            .map(|_| random.within(-9000, 9000) as i32)
            .collect(),
        multipliers: (0..outputs)
            .map(|_| random.within(1 << 30, i64::from(i32::MAX)) as i32)
            .collect(),
        shifts: vec![shift; outputs],
        output: quant(1.0 / 32.0, -5),
        activation,
    }
}

/// From real numbers through every int8 operator, and back to real numbers.
fn layers(b: &mut Builder, x: TensorId, real: DType) -> TensorId {
    let mut random = Random::new(62);
    let conv = layer(&mut random, &[5, 3, 3, 2], 5, Activation::Relu);
    let dense = layer(&mut random, &[9, 45], 9, Activation::None);
    let window = |stride, padding| nn_core::ops::Pool2d {
        kernel: [2, 2],
        stride,
        padding,
    };
    let int8 = DType::I8;
    let x = b.convert("quantize", Op::Quantize, x, int8, quant(0.01, 7));
    let x = b.conv2d_i8("conv", x.unwrap(), &conv, [1, 1], [1; 4]);
    let x = b.max_pool2d("max", x.unwrap(), window([2, 2], [0, 0, 0, 1]));
    let op = Op::Tanh(rescale(1.0 / 32.0, 4, false));
    let x = b.convert("tanh", op, x.unwrap(), int8, as_quant(tanh::OUTPUT_I8));
    let x = b.avg_pool2d("mean", x.unwrap(), window([1, 1], [0; 4]));
    let x = b.same("relu", Op::Relu, x.unwrap());
    let op = Op::Sigmoid(rescale(tanh::OUTPUT_I8.0, 4, false));
    let x = b.convert(
        "sigmoid",
        op,
        x.unwrap(),
        int8,
        as_quant(sigmoid::OUTPUT_I8),
    );
    let x = b.flatten("flat", x.unwrap());
    let x = b.dense_i8("dense", x.unwrap(), &dense);
    let op = Op::Softmax(rescale(1.0 / 32.0, 5, true));
    let x = b.convert(
        "softmax",
        op,
        x.unwrap(),
        int8,
        as_quant(softmax::OUTPUT_I8),
    );
    let x = b.convert("real", Op::Dequantize, x.unwrap(), real, Quant::None);
    x.unwrap()
}

/// Each int8 operator that learns or hands a gradient on: ordinary and grouped convolutions, poolings with windows apart and
/// overlapping, dense layers of several vectors and of one.
fn learning(real: DType, layout: Option<Layout>) -> AlignedBytes {
    let mut random = Random::new(65);
    let mut b = Builder::new("learning");
    let x = b.input(&[9, 8, 2], DType::I8, quant(0.01, 7)).unwrap();
    let mut geometry = Conv2d {
        weight: 0,
        bias: None,
        requant: None,
        stride: [1, 1],
        padding: [1, 0, 1, 1],
        dilation: [1, 1],
        groups: 1,
        activation: Activation::Relu,
    };
    let pool = |kernel, stride| nn_core::ops::Pool2d {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [0; 4],
    };
    let conv = layer(&mut random, &[6, 3, 3, 2], 6, Activation::Relu);
    let x = b.conv2d_i8_of("conv", x, &conv, geometry).unwrap();
    let x = b.max_pool2d("max", x, pool(2, 2)).unwrap();
    let second = layer(&mut random, &[6, 3, 3, 6], 6, Activation::None);
    let activation = Activation::None;
    let geometry_of_second = Conv2d {
        activation,
        ..geometry
    };
    let x = b.conv2d_i8_of("second", x, &second, geometry_of_second);
    let x = b.same("relu", Op::Relu, x.unwrap()).unwrap();
    let x = b.max_pool2d("over", x, pool(2, 1)).unwrap();
    geometry.groups = 2;
    geometry.dilation = [2, 1];
    let grouped = layer(&mut random, &[4, 2, 2, 3], 4, Activation::Relu);
    let x = b.conv2d_i8_of("parts", x, &grouped, geometry).unwrap();
    let vectors = layer(&mut random, &[3, 4], 3, Activation::Relu6);
    let x = b.dense_i8("vectors", x, &vectors).unwrap();
    let x = b.flatten("flat", x).unwrap();
    let inputs = b.tensor(x).elements();
    let dense = layer(&mut random, &[5, inputs], 5, Activation::None);
    let x = b.dense_i8("dense", x, &dense).unwrap();
    let x = b.convert("real", Op::Dequantize, x, real, Quant::None);
    let x = b.same("softmax", Op::Softmax(None), x.unwrap()).unwrap();
    let plan = TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, 0.05);
    let Some(layout) = layout else {
        return b.finish(&[x], Some(plan)).unwrap();
    };
    let all: Vec<usize> = (0..64).collect();
    let packed = b.to_packed_but(layout, &[x], &all).unwrap();
    packed.builder.finish(&packed.outputs, Some(plan)).unwrap()
}

/// Convolutions that learn under the means of windows, apart and overlapping, and of channels.
fn means() -> AlignedBytes {
    let mut random = Random::new(66);
    let mut b = Builder::new("means");
    let mut x = b.input(&[9, 8, 2], DType::I8, quant(0.01, 7)).unwrap();
    let pools = [([2, 2], [2, 2], [0; 4]), ([3, 2], [1, 1], [1, 0, 1, 1])];
    for (index, (kernel, stride, padding)) in pools.into_iter().enumerate() {
        let channels = [2, 5][index];
        let activation = [Activation::Relu, Activation::None][index];
        let conv = layer(&mut random, &[5, 2, 3, channels], 5, activation);
        let geometry = Conv2d {
            weight: 0,
            bias: None,
            requant: None,
            stride: [1, 1],
            padding: [1, 1, 0, 1],
            dilation: [1, 1],
            groups: 1,
            activation,
        };
        let name = ["first", "second"][index];
        x = b.conv2d_i8_of(name, x, &conv, geometry).unwrap();
        let pool = nn_core::ops::Pool2d {
            kernel,
            stride,
            padding,
        };
        x = b.avg_pool2d(["apart", "over"][index], x, pool).unwrap();
    }
    let cells = b.tensor(x).elements() / 5;
    let (multiplier, shift) = quantize_multiplier(2.0 / cells as f64);
    let shift = shift as i8;
    let rescale = Rescale { multiplier, shift };
    let mean = Tensor::activation(Shape::vector(5), DType::I8, quant(0.01, 3));
    let op = Op::GlobalAvgPool(Some(rescale));
    let x = b.node_of("mean", op, &[x], mean).unwrap();
    let dense = layer(&mut random, &[4, 5], 4, Activation::None);
    let x = b.dense_i8("dense", x, &dense).unwrap();
    let x = b.convert("real", Op::Dequantize, x, DType::F32, Quant::None);
    let x = b.same("softmax", Op::Softmax(None), x.unwrap()).unwrap();
    let plan = TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, 0.05);
    b.finish(&[x], Some(plan)).unwrap()
}

/// Every int8 operator under two layers of real numbers that learn.
fn head(real: DType) -> AlignedBytes {
    let mut b = Builder::new("head");
    let x = b.input(&[8, 7, 2], real, Quant::None).unwrap();
    let mut x = layers(&mut b, x, real);
    let mut random = Random::new(63);
    for (name, outputs, activation) in [
        ("hidden", 10, Activation::Relu),
        ("head", 4, Activation::None),
    ] {
        let inputs = b.tensor(x).elements();
        let weight = random.values(inputs * outputs, 1.0);
        let bias = random.values(outputs, 0.2);
        x = b.dense(name, x, &weight, &bias, activation).unwrap();
    }
    let plan = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.05);
    b.finish(&[x], Some(plan.with_momentum(0.5))).unwrap()
}

/// No real number anywhere; convolutions of all kinds.
fn whole() -> AlignedBytes {
    let mut random = Random::new(64);
    let grouped = layer(&mut random, &[6, 2, 3, 2], 6, Activation::None);
    let depthwise = layer(&mut random, &[1, 2, 2, 6], 6, Activation::Relu);
    let dense = layer(&mut random, &[5, 36], 5, Activation::None);
    let fields = Conv2d {
        weight: 0,
        bias: None,
        requant: None,
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
        activation: Activation::None,
    };
    let mut b = Builder::new("whole");
    let x = b.input(&[6, 6, 4], DType::I8, quant(0.02, -3)).unwrap();
    let conv = Conv2d {
        dilation: [2, 1],
        padding: [0, 1, 0, 0],
        stride: [1, 2],
        groups: 2,
        ..fields
    };
    let x = b.conv2d_i8_of("grouped", x, &grouped, conv).unwrap();
    let conv = Conv2d {
        groups: 6,
        ..fields
    };
    let x = b.conv2d_i8_of("depthwise", x, &depthwise, conv).unwrap();
    let x = b.flatten("flat", x).unwrap();
    let x = b.dense_i8("dense", x, &dense).unwrap();
    b.finish(&[x], None).unwrap()
}

/// Convolutions of each packed kernel and a dense layer, packed.
fn packed(layout: Layout) -> AlignedBytes {
    let mut random = Random::new(67);
    let relu = Activation::Relu;
    let one = layer(&mut random, &[5, 5, 5, 1], 5, relu);
    let three = layer(&mut random, &[8, 3, 3, 5], 8, relu);
    let wide = layer(&mut random, &[6, 2, 3, 8], 6, Activation::None);
    let cell = layer(&mut random, &[7, 1, 1, 6], 7, relu);
    let dense = layer(&mut random, &[5, 63], 5, Activation::None);
    let pool = nn_core::ops::Pool2d {
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0; 4],
    };
    let mut b = Builder::new("packed");
    let x = b.input(&[12, 11, 1], DType::I8, quant(0.02, -3)).unwrap();
    let x = b.conv2d_i8("one", x, &one, [1, 1], [2; 4]).unwrap();
    let x = b.max_pool2d("pool", x, pool).unwrap();
    let x = b.conv2d_i8("three", x, &three, [1, 1], [1; 4]).unwrap();
    let x = b.conv2d_i8("wide", x, &wide, [2, 2], [0, 1, 0, 2]).unwrap();
    let x = b.conv2d_i8("cell", x, &cell, [1, 1], [0; 4]).unwrap();
    let x = b.flatten("flat", x).unwrap();
    let x = b.dense_i8("dense", x, &dense).unwrap();
    let packed = b.to_packed(layout, &[x]).unwrap();
    assert_eq!(packed.plain, []);
    packed.builder.finish(&packed.outputs, None).unwrap()
}

/// LSTMs, packed: over each other, in both directions, and one that keeps its state, of one step over and over.
fn packed_lstms(layout: Layout) -> AlignedBytes {
    let random = &mut Random::new(32);
    let mut b = Builder::new("packed LSTMs");
    let mut x = b.input(&[4, 5], DType::I8, quant(0.02, -9)).unwrap();
    let mut inputs = 5;
    for (name, units, reverse, stateful, gives, clip) in [
        ("first", 9, false, false, Gives::Sequence, 0),
        ("reverse", 3, true, false, Gives::Last, 900),
        ("stateful", 4, false, true, Gives::Steps(3), 0),
    ] {
        let layer = Recurrent {
            kernel: 0,
            recurrent: 0,
            bias: None,
            reverse,
            stateful,
            truncate: 0,
            requant: None,
        };
        let last = [1 << 30, -22, -12, clip];
        let weights = recurrent_weights(random, [inputs, units, 4], &last);
        let op = Op::Lstm(Lstm { layer });
        x = b.recurrent_i8(name, x, &weights, op, gives).unwrap();
        inputs = units;
    }
    let packed = b.to_packed(layout, &[x]).unwrap();
    assert_eq!(packed.plain, []);
    packed.builder.finish(&packed.outputs, None).unwrap()
}

/// Every int8 operator of graphs: sums, products, what moves numbers, tables.
fn graph() -> AlignedBytes {
    let mut random = Random::new(65);
    let mut b = Builder::new("graph");
    let int8 = |dims: &[usize]| {
        let shape = Shape::new(dims).unwrap();
        Tensor::activation(shape, DType::I8, quant(0.02, -3))
    };
    let factor = |factor: f64| {
        let (multiplier, shift) = quantize_multiplier(factor);
        let shift = shift as i8;
        Rescale { multiplier, shift }
    };
    let mut table = |b: &mut Builder, len: usize, quant| {
        let values: Vec<i8> = (0..len).map(|_| random.bits() as i8).collect();
        b.weight(&[len], DType::I8, quant, bytemuck::cast_slice(&values))
            .unwrap()
    };
    let slope = table(&mut b, 3, quant(0.01, 4));
    let entries = table(&mut b, 256, Quant::None);
    let x = b.input(&[4, 3, 3], DType::I8, quant(0.02, -3)).unwrap();
    let gate = b.input(&[3], DType::I8, quant(0.02, -3)).unwrap();
    let mut node = |op, inputs: &[TensorId], dims: &[usize]| {
        b.node_of(Op::name(&op), op, inputs, int8(dims)).unwrap()
    };
    let add = Op::Add(Add {
        requant: Some(AddRequant {
            x0: factor(0.5),
            x1: factor(0.4),
            y: factor(2.0 / f64::from(1 << 20)),
        }),
        activation: Activation::Relu,
    });
    let mul = Op::Mul(Mul {
        requant: Some(factor(0.02)),
        activation: Activation::None,
    });
    let prelu = Op::Prelu(Prelu {
        slope,
        requant: Some(PreluRequant {
            positive: factor(0.8),
            negative: factor(0.01),
        }),
    });
    let pad = Op::Pad(Pad {
        before: [1, 0, 0, 0],
        after: [0, 2, 0, 0],
    });
    let axes = Op::Transpose(Transpose { axes: [2, 0, 1, 3] });
    let requantize = Op::Requantize(Requantize {
        rescale: factor(0.7),
        activation: Activation::Relu6,
    });
    let sum = node(add, &[x, gate], &[4, 3, 3]);
    let product = node(mul, &[x, gate], &[4, 3, 3]);
    let bent = node(prelu, &[product], &[4, 3, 3]);
    let both = node(Op::Concat(Concat { axis: 2 }), &[sum, bent], &[4, 3, 6]);
    let padded = node(pad, &[both], &[5, 5, 6]);
    let turned = node(axes, &[padded], &[6, 5, 5]);
    let flat = node(Op::Reshape, &[turned], &[10, 15]);
    let looked = node(Op::Lookup(Lookup { table: entries }), &[flat], &[10, 15]);
    let narrowed = node(requantize, &[looked], &[10, 15]);
    let mean = node(Op::GlobalAvgPool(Some(factor(1.3))), &[narrowed], &[15]);
    let largest = node(Op::GlobalMaxPool, &[narrowed], &[15]);
    b.finish(&[mean, largest], None).unwrap()
}

/// A log-softmax of each row; the lowest of them saturate.
fn log_softmax_of_rows() -> AlignedBytes {
    let mut b = Builder::new("log-softmax");
    let scale = 0.12;
    let x = b.input(&[5, 9], DType::I8, quant(scale, 11)).unwrap();
    let op = Op::LogSoftmax(operators::log_softmax_rescale(scale));
    let output = as_quant(log_softmax::OUTPUT_I8);
    let y = b.convert("log-softmax", op, x, DType::I8, output).unwrap();
    b.finish(&[y], None).unwrap()
}

fn embedding() -> AlignedBytes {
    let mut random = Random::new(66);
    let mut b = Builder::new("embedding");
    let values: Vec<i8> = (0..20).map(|_| random.bits() as i8).collect();
    let bytes = bytemuck::cast_slice(&values);
    let table = b
        .weight(&[4, 5], DType::I8, quant(0.02, -3), bytes)
        .unwrap();
    let x = b.input(&[6], DType::I32, Quant::None).unwrap();
    let shape = Shape::new(&[6, 5]).unwrap();
    let output = Tensor::activation(shape, DType::I8, quant(0.02, -3));
    let op = Op::Embedding(Embedding { table });
    let y = b.node_of("embedding", op, &[x], output).unwrap();
    b.finish(&[y], None).unwrap()
}

/// An LSTM, over it a GRU in reverse, over it a simple layer that keeps its state.
fn recurrent() -> AlignedBytes {
    let random = &mut Random::new(31);
    let layer = |reverse, stateful| Recurrent {
        kernel: 0,
        recurrent: 0,
        bias: None,
        reverse,
        stateful,
        truncate: 0,
        requant: None,
    };
    let mut builder = Builder::new("recurrent");
    let x = builder.input(&[4, 3], DType::I8, quant(0.02, -9)).unwrap();
    let lstm = Op::Lstm(Lstm {
        layer: layer(false, false),
    });
    // The output 2^-23: 2^-30 in steps of 2^-7; a cell in steps of 2^-12, clipped.
    let weights = recurrent_weights(random, [3, 5, 4], &[1 << 30, -22, -12, 30_000]);
    let x = builder.recurrent_i8("lstm", x, &weights, lstm, Gives::Sequence);
    let gru = Op::Gru(Gru {
        layer: layer(true, false),
        reset_after: true,
        recurrent_bias: None,
    });
    // 2^-15 in steps of 2^-7.
    let weights = recurrent_weights(random, [5, 4, 3], &[1 << 30, -7]);
    let x = builder.recurrent_i8("gru", x.unwrap(), &weights, gru, Gives::Sequence);
    let rnn = Op::Rnn(Rnn {
        layer: layer(false, true),
        activation: Activation::Tanh,
    });
    let weights = recurrent_weights(random, [4, 3, 1], &[1 << 30, -7]);
    let y = builder.recurrent_i8("rnn", x.unwrap(), &weights, rnn, Gives::Last);
    builder.finish(&[y.unwrap()], None).unwrap()
}

/// Random weights of inputs, units and gates, with sums that spread over a gate's range.
fn recurrent_weights(
    random: &mut Random,
    [inputs, units, gates]: [usize; 3],
    last: &[i32],
) -> Int8Recurrent {
    let rows = gates * units;
    let bytes = |random: &mut Random, count: usize| -> Vec<i8> {
        (0..count).map(|_| random.within(-127, 127) as i8).collect()
    };
    let biases = |random: &mut Random| -> Vec<i32> {
        (0..rows)
            .map(|_| random.within(-9000, 9000) as i32)
            .collect()
    };
    Int8Recurrent {
        kernel: bytes(random, rows * inputs),
        recurrent: bytes(random, rows * units),
        bias: biases(random),
        recurrent_bias: if gates == 3 {
            biases(random)
        } else {
            Vec::new()
        },
        requant: [&[1 << 30, 0].repeat(2 * gates), last].concat(),
        output: Affine {
            scale: 1.0 / 128.0,
            zero_point: 5,
        },
    }
}
