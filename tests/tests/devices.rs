//! The same bits on a workstation and on each emulated Cortex-M: inference and fifty training steps.
//!
//! Where QEMU or a cross compiler is missing a test says so and passes; with CI=true it fails instead.

use host::blob::Blob;
use host::device::{BuildError, Device, DeviceError, Place, open};
use host::export::{AlignedBytes, Builder, Int8Layer};
use host::ui::Ui;
use nn_core::digest::Fnv1a;
use nn_core::fixed_point::InputRescale;
use nn_core::ops::{Activation, Op, sigmoid, softmax, tanh};
use nn_core::tensor::{DType, Quant};
use nn_core::train::{Loss, Sgd, Target, TrainSpec, Trainable};
use tests::int8::input_rescale;
use tests::network::{Layer, Network, Window};
use tests::random::Random;

const BOARDS: [&str; 4] = ["microbit", "an385", "an386", "an500"];
const STEPS: usize = 50;

fn plan(loss: Loss, trainable: Trainable) -> Option<TrainSpec> {
    Some(TrainSpec::with_rates(
        trainable,
        loss,
        Sgd {
            learning_rate: 0.05,
            momentum: 0.5,
            weight_decay: 0.001,
        },
    ))
}

/// Every f32 operator that learns or passes a gradient, for 16 KB of RAM.
fn float() -> AlignedBytes {
    let network = Network {
        input: vec![9, 8, 2],
        layers: vec![
            Layer::conv(
                Window {
                    kernel: [3, 2],
                    stride: [1, 1],
                    padding: [1, 0, 1, 1],
                },
                3,
                Activation::Relu,
            ),
            Layer::MaxPool(Window::square(2, 2)),
            Layer::conv(Window::square(2, 1), 3, Activation::Tanh),
            Layer::AvgPool(Window::square(2, 1)),
            Layer::Flatten,
            Layer::dense(9, Activation::Sigmoid),
            Layer::Softmax,
            Layer::dense(4, Activation::Relu),
            Layer::Activation(Activation::Tanh),
            Layer::dense(4, Activation::None),
            Layer::Softmax,
        ],
    };
    let parameters = network.draw_parameters(&mut Random::new(61));
    network.blob(&parameters, plan(Loss::CrossEntropy, Trainable::All))
}

/// Every int8 operator, from an f32 input to an f32 head that learns, for 16 KB of RAM.
fn mixed() -> AlignedBytes {
    let mut random = Random::new(62);
    let quant = |scale, zero_point| Quant::PerTensor { scale, zero_point };
    let rescale = |scale: f32, bits, is_softmax| {
        let (multiplier, shift, radius) = input_rescale(scale, bits, is_softmax);
        Some(InputRescale {
            multiplier,
            shift: shift as i8,
            radius,
        })
    };
    let mut layer = |shape: &[usize], activation| {
        let (outputs, terms) = (shape[0], shape[1..].iter().product::<usize>());
        let count = outputs * terms;
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
    };
    let conv = layer(&[5, 3, 3, 2], Activation::Relu);
    let dense = layer(&[9, 45], Activation::None);
    let window = |stride, padding| nn_core::ops::Pool2d {
        kernel: [2, 2],
        stride,
        padding,
    };
    let as_quant = |(scale, zero_point): (f32, i32)| quant(scale, zero_point);

    let mut b = Builder::new("mixed");
    let int8 = DType::I8;
    let mut x = b.input(&[8, 7, 2], DType::F32, Quant::None).unwrap();
    x = b
        .convert("quantize", Op::Quantize, x, int8, quant(0.01, 7))
        .unwrap();
    x = b.conv2d_i8("conv", x, &conv, [1, 1], [1; 4]).unwrap();
    x = b
        .max_pool2d("max", x, window([2, 2], [0, 0, 0, 1]))
        .unwrap();
    x = b
        .convert(
            "tanh",
            Op::Tanh(rescale(1.0 / 32.0, 4, false)),
            x,
            int8,
            as_quant(tanh::OUTPUT_I8),
        )
        .unwrap();
    x = b.avg_pool2d("mean", x, window([1, 1], [0; 4])).unwrap();
    x = b.same("relu", Op::Relu, x).unwrap();
    x = b
        .convert(
            "sigmoid",
            Op::Sigmoid(rescale(tanh::OUTPUT_I8.0, 4, false)),
            x,
            int8,
            as_quant(sigmoid::OUTPUT_I8),
        )
        .unwrap();
    x = b.flatten("flat", x).unwrap();
    x = b.dense_i8("dense", x, &dense).unwrap();
    x = b
        .convert(
            "softmax",
            Op::Softmax(rescale(1.0 / 32.0, 5, true)),
            x,
            int8,
            as_quant(softmax::OUTPUT_I8),
        )
        .unwrap();
    x = b
        .convert("real", Op::Dequantize, x, DType::F32, Quant::None)
        .unwrap();
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
    b.finish(&[x], plan(Loss::MeanSquaredError, Trainable::All))
        .unwrap()
}

/// What a device says to a series of samples.
#[derive(Debug, PartialEq)]
struct Said {
    before: u64,
    losses: Vec<u32>,
    predictions: Vec<u16>,
    weights: u64,
    after: u64,
}

/// Infers, learns, infers again.
fn series(device: &mut dyn Device, blob: &Blob, samples: usize) -> Result<Said, DeviceError> {
    let model = blob.model();
    let input = model.input(0).expect("an input");
    let outputs = model.output(0).expect("an output").elements();
    let mut random = Random::new(64);
    let sample = |random: &mut Random| -> Vec<u8> {
        match input.dtype {
            DType::F32 => {
                let mut values = random.values(input.elements(), 1.0);
                values.iter_mut().step_by(3).for_each(|x| *x = 0.0);
                bytemuck::cast_slice(&values).to_vec()
            }
            _ => (0..input.bytes()).map(|_| random.bits() as u8).collect(),
        }
    };
    let infer = |device: &mut dyn Device, random: &mut Random| -> Result<u64, DeviceError> {
        let mut digest = Fnv1a::new();
        for _ in 0..samples {
            digest.update(&device.infer(&sample(random))?);
        }
        Ok(digest.finish())
    };
    let before = infer(device, &mut random)?;
    let (mut losses, mut predictions) = (Vec::new(), Vec::new());
    let mut weights = 0;
    if model.train_spec().is_some() {
        for _ in 0..STEPS {
            let x = sample(&mut random);
            let class = random.size(0, outputs - 1) as u16;
            let report = device.train(&x, Target::Class(class))?;
            losses.push(report.loss.to_bits());
            predictions.push(report.prediction);
        }
        weights = device.weights_digest()?;
    }
    let after = infer(device, &mut random)?;
    device.finish()?;
    Ok(Said {
        before,
        losses,
        predictions,
        weights,
        after,
    })
}

/// Holds each board to the host.
fn compare(name: &str, bytes: AlignedBytes, boards: &[&str], samples: usize) {
    let blob = Blob::new(name.as_ref(), bytes).expect("a valid blob");
    let ui = Ui::silent();
    let mut here = open(&Place::Host, &blob, &ui).expect("the host");
    let wanted = series(here.as_mut(), &blob, samples).expect("the host");
    if blob.model().train_spec().is_some() {
        assert_ne!(wanted.before, wanted.after, "{name}: nothing was learnt");
    }
    for board in boards {
        let place: Place = format!("qemu:{board}").parse().expect("a board");
        let found =
            open(&place, &blob, &ui).and_then(|mut device| series(device.as_mut(), &blob, samples));
        match found {
            Ok(found) => assert_eq!(found, wanted, "{name} on {board}"),
            Err(
                error @ (DeviceError::NoQemu { .. }
                | DeviceError::Build(BuildError::NoToolchain { .. })),
            ) => {
                let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!in_ci, "{name} on {board}: {error}");
                println!("skipped, {name} on {board}: {error}");
            }
            Err(error) => panic!("{name} on {board}: {error}"),
        }
    }
}

#[test]
fn float_layers_infer_and_learn_alike_on_every_core() {
    compare("float", float(), &BOARDS, 8);
}

#[test]
fn int8_layers_under_a_learning_head_are_alike_on_every_core() {
    compare("mixed", mixed(), &BOARDS, 8);
}

#[test]
fn the_trained_models_are_alike_on_every_core_that_holds_them() {
    // 16 KB of RAM hold the int8 models, and not the heads' 12 KB arena beside the stack.
    for (file, boards, samples) in [
        ("mnist-cnn-head", &BOARDS[1..], 5),
        ("mnist-mlp-i8", &BOARDS[..1], 5),
    ] {
        let path = format!("{}/../models/{file}.mote", env!("CARGO_MANIFEST_DIR"));
        let bytes = AlignedBytes::copy_of(&std::fs::read(&path).expect(&path));
        compare(file, bytes, boards, samples);
    }
}
