//! Graphs packed for Cortex-M4 and M7.

use nn_core::kernels::packed::Layout;
use nn_core::model::cost;
use nn_core::ops::{Activation, Lstm, Op, Pool2d, Recurrent, sigmoid, tanh};
use nn_core::session::Session;
use nn_core::tensor::{DType, Quant};

use super::*;
use crate::export::{Affine, Int8Recurrent, input_rescale};

/// A layer with outputs that spread over int8.
fn int8_layer(shape: &[usize], outputs: usize, seed: &mut u32) -> Int8Layer {
    let count: usize = shape.iter().product();
    let mut draw = || {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *seed >> 8
    };
    // A sum of n products of ±127 and ±128 is about 5,400 · √n.
    let spread = 5_400.0 * ((count / outputs) as f64).sqrt() / 60.0;
    Int8Layer {
        weight: (0..count)
            .map(|_| (draw() % 255) as i8)
            .map(|w| w.max(-127))
            .collect(),
        shape: shape.to_vec(),
        scales: vec![0.01; outputs],
        bias: (0..outputs)
            .map(|_| (draw() % 20_000) as i32 - 10_000)
            .collect(),
        multipliers: (0..outputs)
            .map(|_| (1 << 30) + (draw() % (1 << 22)) as i32)
            .collect(),
        shifts: vec![1 - spread.log2().round() as i32; outputs],
        output: Quant::PerTensor {
            scale: 1.0 / 32.0,
            zero_point: -128 + (draw() % 40) as i32,
        },
        activation: Activation::Relu,
    }
}

/// The outputs of an int8 model for inputs of all kinds.
fn run_i8(blob: &AlignedBytes) -> Vec<u8> {
    run(blob, |index| vec![(index * index % 251) as u8])
}

/// The outputs of a model for inputs whose numbers have the bytes that `number` gives.
fn run(blob: &AlignedBytes, number: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let model = Model::load(blob).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    let to = session.input_mut(0).unwrap();
    let from = (0..to.len()).flat_map(number);
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
    session.run().unwrap();
    let outputs = 0..model.outputs().as_slice().len();
    outputs
        .flat_map(|index| session.output(index).unwrap().to_vec())
        .collect()
}

/// The cells of the 2x2 pooling that is fused, at another stride it is not.
fn pool(stride: u16) -> Pool2d {
    Pool2d {
        kernel: [2, 2],
        stride: [stride; 2],
        padding: [0; 4],
    }
}

#[test]
fn packed_graphs_give_the_same_bytes_in_less_memory() {
    let mut seed = 1;
    let input = Quant::PerTensor {
        scale: 0.02,
        zero_point: -7,
    };
    for [height, width, channels, first, second] in
        [[28, 28, 1, 8, 16], [9, 11, 3, 5, 6], [12, 8, 4, 4, 7]]
    {
        let mut b = Builder::new("cnn");
        let x = b
            .input(&[height, width, channels], DType::I8, input)
            .unwrap();
        let conv = int8_layer(&[first, 5, 5, channels], first, &mut seed);
        let x = b.conv2d_i8("conv1", x, &conv, [1, 1], [2; 4]).unwrap();
        let x = b.max_pool2d("pool1", x, pool(2)).unwrap();
        let conv = int8_layer(&[second, 3, 3, first], second, &mut seed);
        let x = b.conv2d_i8("conv2", x, &conv, [1, 1], [1; 4]).unwrap();
        // Read twice, so its pooling stays.
        let y = b.max_pool2d("pool2", x, pool(2)).unwrap();
        let z = b.max_pool2d("pool3", x, pool(1)).unwrap();
        let y = b.flatten("flat", y).unwrap();
        let inputs = b.tensor(y).elements();
        let y = b
            .dense_i8("dense", y, &int8_layer(&[10, inputs], 10, &mut seed))
            .unwrap();
        let plain_blob = b.finish(&[y, z], None).unwrap();
        for layout in Layout::ALL {
            let packed = b.to_packed(layout, &[y, z]).unwrap();
            assert_eq!(
                (packed.plain.len(), &packed.nodes[..]),
                (0, &[1, 2, 3, 4, 5, 6][..])
            );
            let blob = packed.builder.finish(&packed.outputs, None).unwrap();
            assert_eq!(run_i8(&plain_blob), run_i8(&blob));
            let [plain, packed] = [&plain_blob, &blob].map(|blob| Model::load(blob).unwrap());
            assert_eq!(
                [plain, packed].map(|model| model.header().layout),
                [0, layout.number()]
            );
            // A small map's rows take more, widened, than what pooling saves.
            if height == 28 {
                assert!(packed.arena_infer() < plain.arena_infer());
            }
            let name = packed.nodes().nth(0).map(|node| node.op.name());
            assert_eq!(name, Some("conv2d_max_pool2d"));
            let numbers = [plain, packed].map(|model| {
                let costs = model.nodes().iter().map(|node| cost(&model, &node));
                costs
                    .map(|cost| [cost.parameters, cost.macs])
                    .fold([0; 2], |a, b| [a[0] + b[0], a[1] + b[1]])
            });
            assert_eq!(numbers[0], numbers[1]);
        }
    }
}

/// Over a sequence, in reverse, with a state from run to run, with factors above and below 1.
#[test]
fn packed_lstms_give_the_same_bytes() {
    let mut seed = 9u32;
    let mut draw = |count: usize| -> Vec<i8> {
        let mut byte = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((seed >> 16) as i8).max(-127)
        };
        (0..count).map(|_| byte()).collect()
    };
    for (inputs, units, reverse, stateful, gives, shift) in [
        (1, 1, false, false, Gives::Sequence, 0),
        (33, 30, false, true, Gives::Last, 2),
        (7, 5, true, false, Gives::Sequence, -3),
        (16, 9, true, true, Gives::Last, -1),
    ] {
        let rows = 4 * units;
        let mut requant = [1_200_000_000, shift].repeat(8);
        requant.extend([1 << 30, -22, -12, 0]);
        let layer = Int8Recurrent {
            kernel: draw(rows * inputs),
            recurrent: draw(rows * units),
            bias: draw(rows).into_iter().map(|b| i32::from(b) * 99).collect(),
            recurrent_bias: Vec::new(),
            requant,
            output: Affine {
                scale: 1.0 / 128.0,
                zero_point: 3,
            },
        };
        let node = recurrent(reverse, stateful);
        let mut b = Builder::new("lstm");
        let quant = Quant::PerTensor {
            scale: 0.02,
            zero_point: -7,
        };
        let x = b.input(&[6, inputs], DType::I8, quant).unwrap();
        let op = Op::Lstm(Lstm { layer: node });
        let y = b.recurrent_i8("lstm", x, &layer, op, gives).unwrap();
        let plain = b.finish(&[y], None).unwrap();
        let plain = Model::load(&plain).unwrap();
        let of = |model: Model<'_>| {
            let mut arena = AlignedBytes::zeroed(model.arena_infer());
            let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
            let mut outputs = Vec::new();
            for run in 0..3 {
                let input = session.input_mut(0).unwrap();
                for (index, to) in input.iter_mut().enumerate() {
                    *to = ((index + run) * (index + 3) % 251) as u8;
                }
                session.run().unwrap();
                outputs.push(session.output(0).unwrap().to_vec());
            }
            outputs
        };
        for layout in Layout::ALL {
            let packed = b.to_packed(layout, &[y]).unwrap();
            assert_eq!(packed.plain, []);
            let blob = packed.builder.finish(&packed.outputs, None).unwrap();
            let packed = Model::load(&blob).unwrap();
            assert_eq!(of(plain), of(packed));
            let numbers = [plain, packed].map(|model| {
                let cost = cost(&model, &model.nodes().nth(0).unwrap());
                [cost.parameters, cost.macs]
            });
            assert_eq!(numbers[0], numbers[1]);
        }
    }
}

fn recurrent(reverse: bool, stateful: bool) -> Recurrent {
    Recurrent {
        kernel: 0,
        recurrent: 0,
        bias: None,
        reverse,
        stateful,
        truncate: 0,
        requant: None,
    }
}

/// Of all inputs.
#[test]
fn sigmoid_and_tanh_become_tables_of_the_same_numbers() {
    let quant = |(scale, zero_point)| Quant::PerTensor { scale, zero_point };
    for scale in [0.01, 0.04, 0.3] {
        let mut b = Builder::new("curves");
        let x = b.input(&[251], DType::I8, quant((scale, -7))).unwrap();
        let rescale = input_rescale(scale, sigmoid::INPUT_INTEGER_BITS);
        let op = Op::Sigmoid(rescale);
        let int8 = DType::I8;
        let y = b.convert("y", op, x, int8, quant(sigmoid::OUTPUT_I8));
        let op = Op::Tanh(rescale);
        let z = b.convert("z", op, x, int8, quant(tanh::OUTPUT_I8));
        let outputs = [y.unwrap(), z.unwrap()];
        let packed = b.to_packed(Layout::Armv7em, &outputs).unwrap();
        let plain = b.finish(&outputs, None).unwrap();
        let packed = packed.builder.finish(&packed.outputs, None).unwrap();
        assert_eq!(run_i8(&plain), run_i8(&packed));
        let model = Model::load(&packed).unwrap();
        let names: Vec<_> = model.nodes().iter().map(|node| node.op.name()).collect();
        assert_eq!(names, ["lookup"; 2]);
    }
}

#[test]
fn what_cannot_be_packed_stays() {
    let mut seed = 5;
    let input = Quant::PerTensor {
        scale: 0.02,
        zero_point: 3,
    };
    let mut b = Builder::new("plain");
    let x = b.input(&[6], DType::I8, input).unwrap();
    let mut layer = int8_layer(&[4, 6], 4, &mut seed);
    layer.weight = vec![-128; 24];
    let x = b.dense_i8("low", x, &layer).unwrap();
    let mut layer = int8_layer(&[3, 4], 3, &mut seed);
    layer.shifts[1] = 2;
    let y = b.dense_i8("large", x, &layer).unwrap();
    let packed = b.to_packed(Layout::Armv7em, &[y]).unwrap();
    let reasons: Vec<String> = packed
        .plain
        .iter()
        .map(|(name, e)| format!("{name}: {e}"))
        .collect();
    assert_eq!(
        reasons,
        [
            "low: channel 0: a weight of -128 beside a negative one",
            "large: channel 1: a factor of 1/2 or more"
        ]
    );
    let plain = b.finish(&[y], None).unwrap();
    assert_eq!(
        packed.builder.finish(&packed.outputs, None).unwrap()[..],
        plain[..]
    );
}

/// The digits' CNN, of 863,400 MACs: all of its convolutions and dense layers are packed, both poolings are fused.
#[test]
fn the_cnn_runs_packed_in_four_kilobytes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mnist-cnn-i8.mote");
    let plain = AlignedBytes::copy_of(&std::fs::read(path).unwrap());
    let (builder, outputs) = Builder::of(&Model::load(&plain).unwrap());
    assert_eq!(builder.finish(&outputs, None).unwrap()[..], plain[..]);
    for layout in Layout::ALL {
        let packed = builder.to_packed(layout, &outputs).unwrap();
        assert_eq!(packed.plain, []);
        let blob = packed.builder.finish(&packed.outputs, None).unwrap();
        assert_eq!(run_i8(&plain), run_i8(&blob));
        let model = Model::load(&blob).unwrap();
        let names = model.nodes().iter().map(|node| node.op.name());
        let names: Vec<_> = names.collect();
        assert_eq!(names[..2], ["conv2d_max_pool2d"; 2]);
        assert!(model.arena_infer() <= 4096, "{} bytes", model.arena_infer());
    }
}

/// In real numbers: the same outputs from one node, and less memory; windows that overlap stay apart.
#[test]
fn a_pooling_becomes_part_of_its_convolution_in_f32_and_q16() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mnist-cnn-");
    let share = |index: usize| (index * index % 251) as f32 / 251.0;
    for format in ["f32", "q16"] {
        let number = |index: usize| match format {
            "f32" => share(index).to_le_bytes().to_vec(),
            _ => ((65536.0 * share(index)) as i32).to_le_bytes().to_vec(),
        };
        let plain = AlignedBytes::copy_of(&std::fs::read(format!("{path}{format}.mote")).unwrap());
        let model = Model::load(&plain).unwrap();
        let (builder, outputs) = Builder::of(&model);
        let packed = builder.to_packed(Layout::Armv7em, &outputs).unwrap();
        assert_eq!(packed.nodes[..3], [1, 3, 4]);
        assert_eq!(
            [0, 1, 2].map(|node| packed.node_of(node)),
            [0, 0, 1].map(Some)
        );
        let blob = packed.builder.finish(&packed.outputs, None).unwrap();
        let fused = Model::load(&blob).unwrap();
        assert!(5 * fused.arena_infer() < 2 * model.arena_infer());
        assert_eq!(run(&plain, number), run(&blob, number), "{format}");
    }
    let mut b = Builder::new("overlapping");
    let x = b.input(&[6, 6, 1], DType::F32, Quant::None).unwrap();
    let x = b
        .conv2d(
            "conv",
            x,
            [3, 3, 1, 1],
            &[0.5; 9],
            &[0.0],
            [1; 2],
            [1; 4],
            Activation::Relu,
        )
        .unwrap();
    let y = b.max_pool2d("pool", x, pool(1)).unwrap();
    assert_eq!(b.to_packed(Layout::Armv7em, &[y]).unwrap().nodes, [0, 1]);
}
