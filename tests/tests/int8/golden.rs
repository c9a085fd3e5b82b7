//! TensorFlow Lite's answers: `tests/golden/int8.json`, made by `int8.py` beside it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tests::int8::{self, quantize_multiplier};
use tests::network::Window;

use crate::{Function, run_dequantize, run_function, run_layer, run_pool, run_quantize};

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

#[derive(Debug, Deserialize)]
struct GoldenConversion<X, Y> {
    scale: f32,
    zero: i32,
    x: Vec<X>,
    y: Vec<Y>,
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
    // Not by an enum with a tag: serde loses numbers behind one where serde_json keeps them as text.
    let cases: Vec<Value> = serde_json::from_str(&text).expect("its form");
    assert!(cases.len() >= 45);
    for (case, golden) in cases.into_iter().enumerate() {
        let op = golden["op"].as_str().expect("an operator").to_owned();
        match op.as_str() {
            "conv2d" => check_layer(&of(golden), false, case),
            "dense" => check_layer(&of(golden), true, case),
            "max_pool2d" => check_pool(&of(golden), true, case),
            "avg_pool2d" => check_pool(&of(golden), false, case),
            "sigmoid" => check_function(&of(golden), Function::Sigmoid, case),
            "tanh" => check_function(&of(golden), Function::Tanh, case),
            "softmax" => check_function(&of(golden), Function::Softmax, case),
            "quantize" => {
                let golden: GoldenConversion<f32, i8> = of(golden);
                let found = run_quantize(&golden.x, golden.scale, golden.zero);
                assert_eq!(found, golden.y, "case {case}");
            }
            "dequantize" => {
                let golden: GoldenConversion<i8, f32> = of(golden);
                let found = run_dequantize(&golden.x, golden.scale, golden.zero);
                assert_eq!(found, golden.y, "case {case}");
            }
            other => panic!("operator {other}"),
        }
    }
}

fn of<T: DeserializeOwned>(golden: Value) -> T {
    serde_json::from_value(golden).expect("its form")
}
