//! int8 layers against the same layers in f64.

use nn_core::model::{Model, Node};
use nn_core::ops::Op;
use nn_core::tensor::{Quant, Tensor};

use super::{fixture, run};
use crate::recipe::Format;
use crate::sample;

fn weights<T: bytemuck::Pod>(model: &Model<'_>, id: u16) -> (Tensor, Vec<T>) {
    let tensor = model.tensor(id).unwrap();
    let words = model.weight_bytes(&tensor).chunks_exact(size_of::<T>());
    (tensor, words.map(bytemuck::pod_read_unaligned).collect())
}

/// Each int8 layer against the same layer in f64, fed with the same int8 input: at most one step
/// apart, as the reference rounds twice (by at most half a step and a trifle each).
#[test]
fn int8_layers_compute_what_their_scales_say() {
    let fixture = fixture();
    let blob = fixture.blob(Format::I8);
    let model = Model::load(&blob).unwrap();
    let mut compared = 0;
    for (image, _) in fixture.set.iter().take(5) {
        let input = sample::encode(&model.input(0).unwrap(), image).unwrap();
        let outputs = run(model, image);
        for (index, node) in model.nodes().iter().enumerate() {
            let x_tensor = model.tensor(node.inputs.first().unwrap()).unwrap();
            let bytes = index.checked_sub(1).map_or(&input, |index| &outputs[index]);
            let x: Vec<f64> = bytes
                .iter()
                .map(|&byte| f64::from(i32::from(byte.cast_signed()) - x_tensor.zero_point()))
                .map(|steps| steps * f64::from(x_tensor.scale()))
                .collect();
            let Some(y) = simulate(&model, &node, &x, x_tensor) else {
                continue;
            };
            let y_tensor = model.tensor(node.output).unwrap();
            for (y, &byte) in y.iter().zip(&outputs[index]) {
                let steps = y / f64::from(y_tensor.scale()) + f64::from(y_tensor.zero_point());
                let found = f64::from(byte.cast_signed());
                let wanted = steps.clamp(-128.0, 127.0);
                assert!(
                    (found - wanted).abs() < 1.0,
                    "{}: {found} {wanted}",
                    node.name
                );
                compared += usize::from(wanted.abs() < 127.0);
            }
        }
    }
    // Most of the outputs must not be saturated for the comparison to mean something.
    assert!(compared > 5 * 300, "{compared}");
}

/// A dense layer's or convolution's real-valued output from its int8 parameters.
fn simulate(model: &Model<'_>, node: &Node<'_>, x: &[f64], x_tensor: Tensor) -> Option<Vec<f64>> {
    let mut parameters = node.op.parameters();
    let (weight, bias) = (parameters.next()?, parameters.next());
    let (tensor, weight) = weights::<i8>(model, weight);
    let (_, bias) = weights::<i32>(model, bias.unwrap());
    let Quant::PerChannel { scales } = tensor.quant else {
        panic!("weights of one scale");
    };
    let (_, scales) = weights::<f32>(model, scales);
    let y = model.tensor(node.output).unwrap();
    let taps = weight.len() / bias.len();
    let row = |channel: usize| {
        let scale = f64::from(scales[channel]);
        let start = f64::from(bias[channel]) * scale * f64::from(x_tensor.scale());
        let weights = &weight[channel * taps..][..taps];
        (start, weights.iter().map(move |&w| f64::from(w) * scale))
    };
    let (relu, y) = match node.op {
        Op::Dense(dense) => {
            let y: Vec<f64> = (0..bias.len())
                .map(|channel| {
                    let (start, weights) = row(channel);
                    start + weights.zip(x).map(|(w, x)| w * x).sum::<f64>()
                })
                .collect();
            (dense.activation, y)
        }
        Op::Conv2d(conv) => {
            let [height, width, inputs] = x_tensor.shape.as_map().unwrap().map(|n| n as usize);
            let [rows, columns, out] = y.shape.as_map().unwrap().map(|n| n as usize);
            let kernel_w = tensor.shape.dims()[2] as usize;
            let mut values = Vec::new();
            for cell in 0..rows * columns * out {
                let (pixel, channel) = (cell / out, cell % out);
                let (start, weights) = row(channel);
                let mut sum = start;
                for (tap, weight) in weights.enumerate() {
                    let (at, input) = (tap / inputs, tap % inputs);
                    let r = pixel / columns * usize::from(conv.stride[0]) + at / kernel_w;
                    let c = pixel % columns * usize::from(conv.stride[1]) + at % kernel_w;
                    let (top, left) = (usize::from(conv.padding[0]), usize::from(conv.padding[1]));
                    if (top..top + height).contains(&r) && (left..left + width).contains(&c) {
                        sum += weight * x[((r - top) * width + c - left) * inputs + input];
                    }
                }
                values.push(sum);
            }
            (conv.activation, values)
        }
        _ => return None,
    };
    let relu = relu == nn_core::ops::Activation::Relu;
    Some(
        y.into_iter()
            .map(|y| if relu { y.max(0.0) } else { y })
            .collect(),
    )
}
