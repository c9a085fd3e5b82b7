//! nn-core's int8 operators, bit for bit: against TensorFlow Lite's answers, and against a reference over random layers.

use host::export::{Builder, Int8Layer};
use nn_core::fixed_point::InputRescale;
use nn_core::ops::{Activation, Op};
use nn_core::tensor::{DType, Quant};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde::Deserialize;
use tests::int8::{self, input_rescale, quantize_multiplier};
use tests::network::{Window, run};
use tests::random::Random;

fn config(cases: u32) -> Config {
    Config {
        cases,
        // The same cases in every run: a failure elsewhere can be had again here.
        rng_seed: RngSeed::Fixed(8),
        failure_persistence: None,
        ..Config::default()
    }
}

fn quant(scale: f32, zero_point: i32) -> Quant {
    Quant::PerTensor { scale, zero_point }
}

fn signed(bytes: &[u8]) -> Vec<i8> {
    bytemuck::cast_slice(bytes).to_vec()
}

/// Runs an int8 layer on nn-core. `dense` weights are `[out, in]`, else `[out, kernel_h, kernel_w, in]`.
fn run_layer(layer: &int8::Layer, x: &[i8], shape: [usize; 3], dense: bool) -> Vec<i8> {
    let outputs = layer.multipliers.len();
    let mut builder = Builder::new("int8");
    let parameters = Int8Layer {
        weight: layer.weight.clone(),
        shape: if dense {
            vec![outputs, shape[2]]
        } else {
            vec![
                outputs,
                layer.window.kernel[0],
                layer.window.kernel[1],
                shape[2],
            ]
        },
        scales: vec![1.0; outputs],
        bias: layer.bias.clone(),
        multipliers: layer.multipliers.iter().map(|m| m.0).collect(),
        shifts: layer.multipliers.iter().map(|m| m.1).collect(),
        output: quant(1.0, layer.y_zero),
        activation: if layer.relu {
            Activation::Relu
        } else {
            Activation::None
        },
    };
    let dims = if dense { &shape[2..] } else { &shape[..] };
    let input = builder
        .input(dims, DType::I8, quant(1.0, layer.x_zero))
        .unwrap();
    let output = if dense {
        builder.dense_i8("dense", input, &parameters)
    } else {
        let pool = layer.window.pool();
        builder.conv2d_i8("conv", input, &parameters, pool.stride, pool.padding)
    };
    let blob = builder.finish(&[output.unwrap()], None).unwrap();
    signed(&run(&blob, bytemuck::cast_slice(x))[0])
}

fn run_pool(window: &Window, max: bool, x: &[i8], shape: [usize; 3], zero: i32) -> Vec<i8> {
    let mut builder = Builder::new("pool");
    let input = builder.input(&shape, DType::I8, quant(0.5, zero)).unwrap();
    let output = if max {
        builder.max_pool2d("max", input, window.pool()).unwrap()
    } else {
        builder.avg_pool2d("avg", input, window.pool()).unwrap()
    };
    let blob = builder.finish(&[output], None).unwrap();
    signed(&run(&blob, bytemuck::cast_slice(x))[0])
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    Sigmoid,
    Tanh,
    Softmax,
}

fn run_function(function: Function, x: &[i8], scale: f32, zero: i32) -> Vec<i8> {
    let bits = if function == Function::Softmax { 5 } else { 4 };
    let (multiplier, shift, radius) = input_rescale(scale, bits, function == Function::Softmax);
    let rescale = Some(InputRescale {
        multiplier,
        shift: shift as i8,
        radius,
    });
    let (op, (y_scale, y_zero)) = match function {
        Function::Sigmoid => (Op::Sigmoid(rescale), nn_core::ops::sigmoid::OUTPUT_I8),
        Function::Tanh => (Op::Tanh(rescale), nn_core::ops::tanh::OUTPUT_I8),
        Function::Softmax => (Op::Softmax(rescale), nn_core::ops::softmax::OUTPUT_I8),
    };
    let mut builder = Builder::new("function");
    let input = builder
        .input(&[x.len()], DType::I8, quant(scale, zero))
        .unwrap();
    let output = builder
        .convert("f", op, input, DType::I8, quant(y_scale, y_zero))
        .unwrap();
    let blob = builder.finish(&[output], None).unwrap();
    signed(&run(&blob, bytemuck::cast_slice(x))[0])
}

fn run_quantize(x: &[f32], scale: f32, zero: i32) -> Vec<i8> {
    let mut builder = Builder::new("quantize");
    let input = builder.input(&[x.len()], DType::F32, Quant::None).unwrap();
    let output = builder
        .convert("q", Op::Quantize, input, DType::I8, quant(scale, zero))
        .unwrap();
    let blob = builder.finish(&[output], None).unwrap();
    signed(&run(&blob, bytemuck::cast_slice(x))[0])
}

fn run_dequantize(x: &[i8], scale: f32, zero: i32) -> Vec<f32> {
    let mut builder = Builder::new("dequantize");
    let input = builder
        .input(&[x.len()], DType::I8, quant(scale, zero))
        .unwrap();
    let output = builder
        .convert("d", Op::Dequantize, input, DType::F32, Quant::None)
        .unwrap();
    let blob = builder.finish(&[output], None).unwrap();
    tests::network::floats(&run(&blob, bytemuck::cast_slice(x))[0])
}

// --- TensorFlow Lite's answers: tests/golden/int8.json, made by int8.py beside it.

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Golden {
    Conv2d(GoldenLayer),
    Dense(GoldenLayer),
    #[serde(rename = "max_pool2d")]
    MaxPool(GoldenPool),
    #[serde(rename = "avg_pool2d")]
    AvgPool(GoldenPool),
    Sigmoid(GoldenFunction),
    Tanh(GoldenFunction),
    Softmax(GoldenFunction),
    Quantize {
        scale: f32,
        zero: i32,
        x: Vec<f32>,
        y: Vec<i8>,
    },
    Dequantize {
        scale: f32,
        zero: i32,
        x: Vec<i8>,
        y: Vec<f32>,
    },
}

#[derive(Debug, Deserialize)]
struct GoldenLayer {
    x_shape: Vec<usize>,
    x_scale: f32,
    x_zero: i32,
    y_scale: f32,
    y_zero: i32,
    w_shape: Vec<usize>,
    w_scales: Vec<f32>,
    w: Vec<i8>,
    bias: Vec<i32>,
    stride: [usize; 2],
    padding: [usize; 4],
    relu: bool,
    x: Vec<i8>,
    y: Vec<i8>,
}

#[derive(Debug, Deserialize)]
struct GoldenPool {
    x_shape: [usize; 3],
    x_zero: i32,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    x: Vec<i8>,
    y: Vec<i8>,
}

#[derive(Debug, Deserialize)]
struct GoldenFunction {
    x_scale: f32,
    x_zero: i32,
    x: Vec<i8>,
    y: Vec<i8>,
}

fn check_layer(golden: &GoldenLayer, dense: bool, case: usize) {
    let multiplier = |&w_scale: &f32| {
        let products = f64::from(golden.x_scale) * f64::from(w_scale);
        quantize_multiplier(products / f64::from(golden.y_scale))
    };
    let layer = int8::Layer {
        window: if dense {
            Window::square(1, 1)
        } else {
            Window {
                kernel: [golden.w_shape[1], golden.w_shape[2]],
                stride: golden.stride,
                padding: golden.padding,
            }
        },
        weight: golden.w.clone(),
        bias: golden.bias.clone(),
        multipliers: golden.w_scales.iter().map(multiplier).collect(),
        x_zero: golden.x_zero,
        y_zero: golden.y_zero,
        relu: golden.relu,
    };
    let shape = match golden.x_shape[..] {
        [height, width, channels] => [height, width, channels],
        _ => [1, 1, golden.x_shape[0]],
    };
    assert_eq!(layer.forward(&golden.x, shape), golden.y, "case {case}");
    let found = run_layer(&layer, &golden.x, shape, dense);
    assert_eq!(found, golden.y, "case {case}");
}

fn check_pool(golden: &GoldenPool, max: bool, case: usize) {
    let window = Window {
        kernel: golden.kernel,
        stride: golden.stride,
        padding: golden.padding,
    };
    let wanted = int8::pool(&window, max, &golden.x, golden.x_shape);
    assert_eq!(wanted, golden.y, "case {case}");
    let found = run_pool(&window, max, &golden.x, golden.x_shape, golden.x_zero);
    assert_eq!(found, golden.y, "case {case}");
}

fn check_function(golden: &GoldenFunction, function: Function, case: usize) {
    let (x, scale, zero) = (&golden.x, golden.x_scale, golden.x_zero);
    let wanted = match function {
        Function::Sigmoid => int8::sigmoid(x, scale, zero),
        Function::Tanh => int8::tanh(x, scale, zero),
        Function::Softmax => int8::softmax(x, scale),
    };
    assert_eq!(wanted, golden.y, "case {case}, {function:?}, scale {scale}");
    let found = run_function(function, x, scale, zero);
    assert_eq!(found, golden.y, "case {case}, {function:?}, scale {scale}");
}

#[test]
fn tensorflow_lite_says_the_same() {
    // MOTE_GOLDEN_INT8 names a larger file that int8.py made, with another seed and more rounds.
    let path = std::env::var_os("MOTE_GOLDEN_INT8").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/golden/int8.json").into(),
        std::path::PathBuf::from,
    );
    let text = std::fs::read_to_string(&path).expect("the golden file");
    let cases: Vec<Golden> = serde_json::from_str(&text).expect("its form");
    assert!(cases.len() >= 45);
    for (case, golden) in cases.iter().enumerate() {
        match golden {
            Golden::Conv2d(layer) => check_layer(layer, false, case),
            Golden::Dense(layer) => check_layer(layer, true, case),
            Golden::MaxPool(pool) => check_pool(pool, true, case),
            Golden::AvgPool(pool) => check_pool(pool, false, case),
            Golden::Sigmoid(function) => check_function(function, Function::Sigmoid, case),
            Golden::Tanh(function) => check_function(function, Function::Tanh, case),
            Golden::Softmax(function) => check_function(function, Function::Softmax, case),
            Golden::Quantize { scale, zero, x, y } => {
                assert_eq!(&run_quantize(x, *scale, *zero), y, "case {case}");
            }
            Golden::Dequantize { scale, zero, x, y } => {
                assert_eq!(&run_dequantize(x, *scale, *zero), y, "case {case}");
            }
        }
    }
}

// --- Random layers against the reference.

/// A zero point, often at the ends of its range.
fn zero_point() -> impl Strategy<Value = i32> {
    prop_oneof![Just(-128), Just(127), Just(0), -128..=127]
}

/// How numbers are drawn: anywhere, or at the ends.
fn draw(random: &mut Random, count: usize, low: i64, ends: bool) -> Vec<i8> {
    (0..count)
        .map(|_| {
            if ends {
                random.pick(&[low as i8, 127])
            } else {
                random.within(low, 127) as i8
            }
        })
        .collect()
}

fn layer(
    window: Window,
    terms: usize,
    outputs: usize,
    (x_zero, y_zero): (i32, i32),
    (relu, ends): (bool, bool),
    random: &mut Random,
) -> int8::Layer {
    // A sum is about 74 · 90 · √terms; the output then spreads over the int8 range, or far past it.
    let spread = 6_660.0 * (terms as f64).sqrt();
    let multiplier = |random: &mut Random| match random.size(0, 9) {
        0 => (0, 0),
        // Any that a blob may hold.
        1 => (
            random.within(1 << 30, i64::from(i32::MAX)) as i32,
            random.within(-31, 30) as i32,
        ),
        _ => quantize_multiplier(60.0 / spread * f64::from(1.1 + random.unit())),
    };
    int8::Layer {
        window,
        weight: draw(random, outputs * terms, -127, ends),
        bias: (0..outputs)
            .map(|_| match random.size(0, 9) {
                0 => random.pick(&[i32::MIN, i32::MAX]),
                _ => random.within(-(spread as i64), spread as i64) as i32,
            })
            .collect(),
        multipliers: (0..outputs).map(|_| multiplier(random)).collect(),
        x_zero,
        y_zero,
        relu,
    }
}

prop_compose! {
    fn window(largest: usize)(
        kernel in prop::array::uniform2(1..=largest),
        stride in prop::array::uniform2(1..=3usize),
        share in prop::array::uniform4(0.0..1.0f64),
        padded in any::<bool>(),
    ) -> Window {
        let padding = std::array::from_fn(|i| {
            if padded { (share[i] * kernel[i % 2] as f64) as usize } else { 0 }
        });
        Window { kernel, stride, padding }
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn convolutions(
        window in window(5),
        extra in prop::array::uniform2(0..6usize),
        channels in 1..=9usize,
        // Past 4, so that a block of channels and a rest are both met.
        outputs in 1..=9usize,
        zeros in (zero_point(), zero_point()),
        flags in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let shape = [window.kernel[0] + extra[0], window.kernel[1] + extra[1], channels];
        let terms = window.kernel[0] * window.kernel[1] * channels;
        let layer = layer(window, terms, outputs, zeros, flags, random);
        let x = draw(random, shape.iter().product(), -128, flags.1);
        prop_assert_eq!(run_layer(&layer, &x, shape, false), layer.forward(&x, shape));
    }

    #[test]
    fn dense_layers(
        inputs in 1..=70usize,
        outputs in 1..=11usize,
        zeros in (zero_point(), zero_point()),
        flags in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let shape = [1, 1, inputs];
        let layer = layer(Window::square(1, 1), inputs, outputs, zeros, flags, random);
        let x = draw(random, inputs, -128, flags.1);
        prop_assert_eq!(run_layer(&layer, &x, shape, true), layer.forward(&x, shape));
    }

    #[test]
    fn poolings(
        window in window(5),
        extra in prop::array::uniform2(0..6usize),
        channels in 1..=5usize,
        zero in zero_point(),
        flags in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let (max, ends) = flags;
        let shape = [window.kernel[0] + extra[0], window.kernel[1] + extra[1], channels];
        let x = draw(random, shape.iter().product(), -128, ends);
        prop_assert_eq!(run_pool(&window, max, &x, shape, zero), int8::pool(&window, max, &x, shape));
    }

    #[test]
    fn sigmoid_and_tanh(exponent in -12.0..1.0f32, zero in zero_point()) {
        let scale = exponent.exp2();
        let x: Vec<i8> = (-128..=127).collect();
        prop_assert_eq!(run_function(Function::Sigmoid, &x, scale, zero), int8::sigmoid(&x, scale, zero));
        prop_assert_eq!(run_function(Function::Tanh, &x, scale, zero), int8::tanh(&x, scale, zero));
    }

    #[test]
    fn softmax(
        exponent in -12.0..3.0f32,
        zero in zero_point(),
        x in prop::collection::vec(any::<i8>(), 1..50),
    ) {
        let scale = exponent.exp2();
        prop_assert_eq!(run_function(Function::Softmax, &x, scale, zero), int8::softmax(&x, scale));
    }

    #[test]
    fn relu(x in prop::collection::vec(any::<i8>(), 1..50), zero in zero_point()) {
        let mut builder = Builder::new("relu");
        let input = builder.input(&[x.len()], DType::I8, quant(0.1, zero)).unwrap();
        let output = builder.same("relu", Op::Relu, input).unwrap();
        let blob = builder.finish(&[output], None).unwrap();
        let wanted: Vec<i8> = x.iter().map(|&x| x.max(zero as i8)).collect();
        prop_assert_eq!(signed(&run(&blob, bytemuck::cast_slice(&x))[0]), wanted);
    }

    #[test]
    fn quantize(
        x in prop::collection::vec(prop_oneof![
            (-40_000..40_000i32).prop_map(|x| x as f32 / 256.0),
            any::<f32>().prop_filter("a number", |x| !x.is_nan()),
        ], 1..50),
        exponent in -8..3i32,
        factor in 0.5..1.0f32,
        zero in zero_point(),
    ) {
        for scale in [(exponent as f32).exp2(), factor * (exponent as f32).exp2()] {
            let wanted: Vec<i8> = x.iter().map(|&x| int8::quantize(x, scale, zero)).collect();
            prop_assert_eq!(run_quantize(&x, scale, zero), wanted);
        }
    }

    #[test]
    fn dequantize(exponent in -20.0..10.0f32, zero in zero_point()) {
        let scale = exponent.exp2();
        let x: Vec<i8> = (-128..=127).collect();
        let wanted: Vec<f32> = x
            .iter()
            .map(|&x| (f64::from(scale) * f64::from(i32::from(x) - zero)) as f32)
            .collect();
        prop_assert_eq!(run_dequantize(&x, scale, zero), wanted);
    }
}

#[test]
fn quantize_makes_the_zero_point_of_what_is_no_number() {
    assert_eq!(run_quantize(&[f32::NAN], 0.1, 17), [17]);
    assert_eq!(
        run_quantize(&[f32::INFINITY, f32::NEG_INFINITY], 0.1, 17),
        [127, -128]
    );
}

#[test]
fn int8_functions_are_near_the_real_ones() {
    // The fixed-point functions are good to half a step of the output, and a little.
    let x: Vec<i8> = (-128..=127).collect();
    for (scale, zero) in [(1.0 / 16.0, 0), (0.02, -40), (0.1, 127)] {
        let real = |x: i8| f64::from(scale) * f64::from(i32::from(x) - zero);
        for (&x, y) in x
            .iter()
            .zip(run_function(Function::Sigmoid, &x, scale, zero))
        {
            let wanted = 256.0 / (1.0 + (-real(x)).exp()) - 128.0;
            assert!((f64::from(y) - wanted.min(127.0)).abs() < 0.51);
        }
        for (&x, y) in x.iter().zip(run_function(Function::Tanh, &x, scale, zero)) {
            let wanted = 128.0 * real(x).tanh();
            assert!((f64::from(y) - wanted.min(127.0)).abs() < 0.51);
        }
    }
}
