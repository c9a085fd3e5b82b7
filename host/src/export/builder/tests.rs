use nn_core::kernels::packed::Layout;
use nn_core::model::cost;
use nn_core::ops::{Activation, Gru, Lstm, Op, Pool2d, Recurrent, Rnn};
use nn_core::session::Session;
use nn_core::tensor::{DType, Quant};

use super::*;
use crate::export::{Affine, Int8Recurrent};

/// Runs a model of f32 or Q16; the numbers of each output, as f64.
fn run(blob: &AlignedBytes, inputs: &[&[f32]]) -> Vec<Vec<f64>> {
    let model = Model::load(blob).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    for (index, values) in inputs.iter().enumerate() {
        let dtype = model.input(index).unwrap().dtype;
        let to = session.input_mut(index).unwrap();
        for (to, value) in to.chunks_exact_mut(4).zip(*values) {
            to.copy_from_slice(&match dtype {
                DType::Q16 => <Q16 as Scalar>::from_f32(*value).to_bits().to_le_bytes(),
                _ => value.to_le_bytes(),
            });
        }
    }
    session.run().unwrap();
    let outputs = 0..model.outputs().as_slice().len();
    outputs
        .map(|index| {
            let dtype = model.output(index).unwrap().dtype;
            let words = session.output(index).unwrap().chunks_exact(4);
            words
                .map(|word| {
                    let word = [word[0], word[1], word[2], word[3]];
                    match dtype {
                        DType::Q16 => f64::from(i32::from_le_bytes(word)) / 65_536.0,
                        _ => f64::from(f32::from_le_bytes(word)),
                    }
                })
                .collect()
        })
        .collect()
}

/// One trunk, whose weights serve twice, and two heads; worked by hand.
fn shared_trunk(dtype: DType) -> (Builder, [TensorId; 2]) {
    let mut builder = Builder::new("shared");
    let a = builder.input(&[2], dtype, Quant::None).unwrap();
    let b = builder.input(&[2], dtype, Quant::None).unwrap();
    let weight = builder
        .weight_like(a, &[2, 2], &[1.0, 2.0, -3.0, 0.5])
        .unwrap();
    let bias = builder.weight_like(a, &[2], &[0.25, -0.25]).unwrap();
    let mut twin = |name: &str, x| {
        let relu = Activation::Relu;
        builder.dense_of(name, x, weight, Some(bias), relu).unwrap()
    };
    let (left, right) = (twin("left", a), twin("right", b));
    let left = builder
        .dense("left_head", left, &[2.0, 1.0], &[0.5], Activation::None)
        .unwrap();
    let right = builder
        .same("right_head", Op::LogSoftmax(None), right)
        .unwrap();
    (builder, [left, right])
}

#[test]
fn weights_serve_at_two_nodes_and_lie_in_the_blob_once() {
    let (builder, outputs) = shared_trunk(DType::F32);
    let blob = builder.finish(&outputs, None).unwrap();
    // 4 + 2 shared, 2 + 1 of the head, each on a 16-byte boundary.
    assert_eq!(
        Model::load(&blob).unwrap().weights().len(),
        16 + 16 + 16 + 4
    );
    let outputs = run(&blob, &[&[1.0, 0.5], &[2.0, -1.0]]);
    // x · W + b: (1 − 1.5 + 0.25, 2 + 0.25 − 0.25) = (−0.25, 2), ReLU (0, 2); head 2 + 0.5.
    assert_eq!(outputs[0], [2.5]);
    // (2 + 3 + 0.25, 4 − 0.5 − 0.25) = (5.25, 3.25).
    let log_sum = (5.25f64.exp() + 3.25f64.exp()).ln();
    for (found, x) in outputs[1].iter().zip([5.25, 3.25]) {
        assert!((found - (x - log_sum)).abs() < 1e-6, "{found}");
    }
}

#[test]
fn a_graph_in_q16_is_the_one_converted_to_it() {
    let (float, outputs) = shared_trunk(DType::F32);
    let converted = float.to_q16();
    assert_eq!((converted.weights, converted.vanished), (9, 0));
    let converted = converted.exact().unwrap();
    let (direct, _) = shared_trunk(DType::Q16);
    let blobs = [&converted, &direct].map(|b| b.finish(&outputs, None).unwrap());
    assert_eq!(blobs[0], blobs[1]);
    let inputs: [&[f32]; 2] = [&[1.0, 0.5], &[2.0, -1.0]];
    let wanted = run(&float.finish(&outputs, None).unwrap(), &inputs);
    for (wanted, found) in wanted.iter().zip(run(&blobs[0], &inputs)) {
        for (wanted, found) in wanted.iter().zip(found) {
            // The dense layers are exact; exp and ln of log-softmax round a few times to 2^-16.
            assert!((wanted - found).abs() < 4.0 / 65_536.0, "{wanted} {found}");
        }
    }
}

#[test]
fn weights_that_q16_cannot_hold_are_counted_and_refused() {
    let mut builder = Builder::new("large");
    let x = builder.input(&[2], DType::F32, Quant::None).unwrap();
    let weight = [40_000.0, 1e-7, -32_768.0, f32::NAN];
    let y = builder
        .dense("big", x, &weight, &[32_768.0, 0.0], Activation::None)
        .unwrap();
    let converted = builder.to_q16();
    let wanted = [Saturated {
        layer: "big".to_owned(),
        count: 3,
        largest: f32::INFINITY,
    }];
    assert_eq!(converted.saturated, wanted);
    assert_eq!((converted.weights, converted.vanished), (6, 2));
    let blob = converted.builder.finish(&[y], None).unwrap();
    let bits: &[i32] = bytemuck::cast_slice(&Model::load(&blob).unwrap().weights()[..16]);
    assert_eq!(bits, [i32::MAX, 0, i32::MIN, 0]);
    let error = converted.exact().unwrap_err().to_string();
    assert!(
        error.starts_with("layer `big`: 3 of its weights"),
        "{error}"
    );
    assert!(error.contains("export f32 instead"), "{error}");
}

#[test]
fn an_int8_backbone_keeps_its_scales() {
    let mut builder = Builder::new("head");
    let quant = Quant::PerTensor {
        scale: 0.5,
        zero_point: 0,
    };
    let x = builder.input(&[2], DType::I8, quant).unwrap();
    let layer = Int8Layer {
        weight: vec![1, 2, 3, 4],
        shape: vec![2, 2],
        scales: vec![0.5, 0.25],
        bias: vec![0, 0],
        multipliers: vec![1 << 30; 2],
        shifts: vec![0; 2],
        output: quant,
        activation: Activation::None,
    };
    let y = builder.dense_i8("backbone", x, &layer).unwrap();
    let y = builder.convert("dequantize", Op::Dequantize, y, DType::F32, Quant::None);
    let converted = builder.to_q16().exact().unwrap();
    assert_eq!(converted.tensor(y.unwrap()).dtype, DType::Q16);
    let word = |at: usize| f32::from_le_bytes(converted.weights[at..at + 4].try_into().unwrap());
    let scales = [word(0), word(4)];
    assert_eq!(scales, [0.5, 0.25]);
}

#[test]
fn recurrent_layers_give_the_last_state_or_all() {
    let mut builder = Builder::new("recurrent");
    let x = builder.input(&[3, 1], DType::F32, Quant::None).unwrap();
    let layer = builder
        .recurrent_weights("sum", x, &[1.0], &[0.5], &[0.0])
        .unwrap();
    let rnn = Rnn {
        layer,
        activation: Activation::None,
    };
    let all = builder.rnn("all", &[x], rnn, Gives::Sequence).unwrap();
    let last = builder.rnn("last", &[x], rnn, Gives::Last).unwrap();
    let repeated = builder.rnn("more", &[last], rnn, Gives::Steps(2)).unwrap();
    let blob = builder.finish(&[all, last, repeated], None).unwrap();
    let outputs = run(&blob, &[&[4.0, 2.0, 1.0]]);
    assert_eq!(outputs[0], [4.0, 4.0, 3.0]);
    assert_eq!(outputs[1], [3.0]);
    assert_eq!(outputs[2], [3.0, 4.5]);
}

#[test]
fn what_breaks_a_rule_is_named_by_its_layer() {
    let mut builder = Builder::new("wrong");
    let x = builder.input(&[2, 2], DType::F32, Quant::None).unwrap();
    let misfit = builder.max_pool2d(
        "pool",
        x,
        Pool2d {
            kernel: [9, 9],
            stride: [1, 1],
            padding: [0; 4],
        },
    );
    let error = misfit.unwrap_err().to_string();
    assert!(
        error.starts_with("layer `pool`: its input has the shape [2, 2]"),
        "{error}"
    );
    let layer = builder
        .recurrent_weights("gru", x, &[0.0; 6], &[0.0; 3], &[0.0; 3])
        .unwrap();
    let gru = Gru {
        layer,
        reset_after: false,
        recurrent_bias: Some(layer.recurrent),
    };
    let y = builder.gru("gru_1", &[x], gru, Gives::Last).unwrap();
    let error = builder.finish(&[y], None).unwrap_err().to_string();
    assert!(error.starts_with("layer `gru_1`: a parameter"), "{error}");
    assert!(matches!(
        builder.node_of("five", Op::Relu, &[x; 5], builder.tensor(x)),
        Err(BuildError::TooMany)
    ));
}

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
    let model = Model::load(blob).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    for (index, to) in session.input_mut(0).unwrap().iter_mut().enumerate() {
        *to = (index * index % 251) as u8;
    }
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
        let packed = b.to_packed(Layout::Armv7em, &[y]).unwrap();
        assert_eq!(packed.plain, []);
        let plain = b.finish(&[y], None).unwrap();
        let blob = packed.builder.finish(&packed.outputs, None).unwrap();
        let [plain, packed] = [&plain, &blob].map(|blob| Model::load(blob).unwrap());
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
        assert_eq!(of(plain), of(packed));
        let numbers = [plain, packed].map(|model| {
            let cost = cost(&model, &model.nodes().nth(0).unwrap());
            [cost.parameters, cost.macs]
        });
        assert_eq!(numbers[0], numbers[1]);
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
