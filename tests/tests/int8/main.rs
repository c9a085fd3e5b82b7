//! nn-core's int8 operators, bit for bit: against TensorFlow Lite's answers, and against a reference over random layers.

mod convolutions;
mod functions;
mod golden;
mod learning;
mod operators;
mod random;
mod recurrent;

use host::export::{Builder, Int8Layer};
use nn_core::fixed_point::InputRescale;
use nn_core::ops::{Activation, Op};
use nn_core::tensor::{DType, Quant};
use tests::int8::{self, input_rescale};
use tests::network::{Window, run};

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
