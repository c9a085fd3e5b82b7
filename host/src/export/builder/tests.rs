use nn_core::ops::{Activation, Gru, Op, Pool2d, Rnn};
use nn_core::session::Session;
use nn_core::tensor::{DType, Quant};

use super::*;

mod packed;

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
