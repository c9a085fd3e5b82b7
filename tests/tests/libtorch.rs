//! libtorch, live: outputs, losses and gradients of random networks by autograd. Built with the feature `train`.

use serde_json::json;
use tch::{Kind, Reduction, Tensor};
use tests::cases::{Answer, Case, frozen};
use tests::network::{Layer, Network, Window};
use tests::random::Random;
use tests::torch::activate;

use nn_core::train::Loss;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    Tensor::from_slice(values).view(&shape[..])
}

fn vec_of(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.flatten(0, -1)).expect("numbers")
}

fn pair(values: [usize; 2]) -> [i64; 2] {
    values.map(|v| v as i64)
}

fn pad(x: &Tensor, window: &Window, value: f64) -> Tensor {
    let [top, left, bottom, right] = window.padding.map(|p| p as i64);
    x.pad([left, right, top, bottom], "constant", value)
}

/// NHWC without a batch to NCHW with one.
fn nchw(x: &Tensor) -> Tensor {
    x.permute([2, 0, 1]).unsqueeze(0)
}

fn nhwc(x: &Tensor) -> Tensor {
    x.squeeze_dim(0).permute([1, 2, 0])
}

fn layer(layer: &Layer, x: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Tensor {
    match layer {
        Layer::Dense { activation, .. } => {
            let y = weight.expect("weights").tr().mv(x);
            let y = bias.map_or(y.shallow_clone(), |bias| &y + bias);
            activate(&y, *activation)
        }
        Layer::Conv {
            window, activation, ..
        } => {
            let padded = pad(&nchw(x), window, 0.0);
            // HWIO to OIHW.
            let weight = weight.expect("weights").permute([3, 2, 0, 1]);
            let y = padded.conv2d(&weight, bias, pair(window.stride), [0, 0], [1, 1], 1);
            activate(&nhwc(&y), *activation)
        }
        Layer::MaxPool(window) => {
            let padded = pad(&nchw(x), window, f64::NEG_INFINITY);
            let (kernel, stride) = (pair(window.kernel), pair(window.stride));
            nhwc(&padded.max_pool2d(kernel, stride, [0, 0], [1, 1], false))
        }
        Layer::AvgPool(window) => {
            let sum = |x: &Tensor| {
                let (kernel, stride) = (pair(window.kernel), pair(window.stride));
                pad(&nchw(x), window, 0.0).avg_pool2d(kernel, stride, [0, 0], false, true, 1)
            };
            // Padding is not counted.
            nhwc(&(sum(x) / sum(&x.ones_like())))
        }
        Layer::Flatten => x.reshape([-1]),
        Layer::Activation(activation) => activate(x, *activation),
        Layer::Softmax => x.softmax(-1, Kind::Float),
    }
}

fn answer(case: &Case) -> Answer {
    let mut x = tensor(&case.x, &case.network.input);
    let mut shape = case.network.input.clone();
    let mut rest = &case.parameters[..];
    let mut learnt = Vec::new();
    for each in &case.network.layers {
        let (weights, biases) = each.parameters(&shape);
        let dims = match each {
            Layer::Dense { outputs, .. } => vec![shape[0], *outputs],
            Layer::Conv {
                window, outputs, ..
            } => vec![window.kernel[0], window.kernel[1], shape[2], *outputs],
            _ => vec![0],
        };
        let mut parameter = |count: usize, dims: &[usize]| {
            let (values, tail) = rest.split_at(count);
            rest = tail;
            (count > 0).then(|| tensor(values, dims).set_requires_grad(true))
        };
        let weight = parameter(weights, &dims);
        let bias = parameter(biases, &[biases]);
        x = layer(each, &x, weight.as_ref(), bias.as_ref());
        shape = each.output(&shape);
        learnt.extend([weight, bias].into_iter().flatten());
    }
    let target = tensor(&case.target, &[case.target.len()]);
    let loss = match case.loss {
        Loss::CrossEntropy => -(x.log() * target).sum(Kind::Float),
        Loss::MeanSquaredError => (&x - target).square().mean(Kind::Float),
        Loss::BinaryCrossEntropy => {
            x.binary_cross_entropy::<Tensor>(&target, None, Reduction::Mean)
        }
        Loss::MeanAbsoluteError => x.l1_loss(&target, Reduction::Mean),
        Loss::Huber { delta } => x.huber_loss(&target, Reduction::Mean, f64::from(delta)),
    };
    loss.backward();
    Answer {
        output: vec_of(&x),
        loss: loss.double_value(&[]) as f32,
        gradient: learnt.iter().flat_map(|w| vec_of(&w.grad())).collect(),
    }
}

#[test]
fn random_networks() {
    for seed in 0..150 {
        let mut random = Random::new(90_000 + seed);
        let mut network = Network::draw(&mut random);
        let loss = if random.once_in(2) {
            network.layers.push(Layer::Softmax);
            Loss::CrossEntropy
        } else {
            Loss::MeanSquaredError
        };
        let case = Case::new(&format!("seed {seed}"), network, loss, seed);
        case.hold_to(&answer(&case));
    }
}

/// The frozen answers are libtorch's. `MOTE_BLESS=1` writes them anew.
#[test]
fn the_frozen_answers_are_libtorch_s() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/libtorch.json");
    let lines = frozen().into_iter().map(|case| {
        let answer = answer(&case);
        json!({
            "name": case.name,
            "output": answer.output,
            "loss": answer.loss,
            "gradient": answer.gradient,
        })
        .to_string()
    });
    let text = format!("[\n{}\n]\n", lines.collect::<Vec<_>>().join(",\n"));
    if std::env::var_os("MOTE_BLESS").is_some() {
        std::fs::write(path, &text).expect("the file");
    }
    let parse =
        |text: &str| -> Vec<serde_json::Value> { serde_json::from_str(text).expect("JSON") };
    let frozen = std::fs::read_to_string(path).expect("MOTE_BLESS=1 writes the file");
    // Another version or processor may sum in another order.
    for (frozen, live) in parse(&frozen).iter().zip(parse(&text)) {
        for part in ["output", "gradient"] {
            let numbers = |value: &serde_json::Value| -> Vec<f64> {
                let values = value[part].as_array().expect("numbers");
                values
                    .iter()
                    .map(|v| v.as_f64().expect("a number"))
                    .collect()
            };
            let (frozen, live) = (numbers(frozen), numbers(&live));
            assert_eq!(frozen.len(), live.len());
            for (frozen, live) in frozen.iter().zip(live) {
                assert!((frozen - live).abs() < 1e-5, "{part}: {frozen}, now {live}");
            }
        }
    }
}
