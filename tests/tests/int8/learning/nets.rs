//! Networks of int8 layers, drawn at random: as a blob has them, and a step of the reference through all layers.

use host::export::{AlignedBytes, Builder, Int8Layer};
use nn_core::fixed_point::Rescale;
use nn_core::kernels::packed::Layout;
use nn_core::ops::{Activation, Conv2d, Op, Pool2d};
use nn_core::scalar::XorShift32;
use nn_core::tensor::{DType, Quant, Shape, Tensor, TensorId};
use nn_core::train::{Loss, TrainSpec, Trainable};
use tests::int8::quantize_multiplier;
use tests::random::Random;

use super::SEED;
use super::reference::{Kind, Layer, count, two_to};

/// A network of int8 layers, its outputs dequantized.
#[derive(Debug, Clone)]
pub(super) struct Net {
    pub(super) layers: Vec<Layer>,
}

impl Net {
    /// Convolutions, poolings and dense layers, drawn.
    pub(super) fn draw(random: &mut Random) -> Self {
        let mut layers: Vec<Layer> = Vec::new();
        let mut shape = [random.size(3, 9), random.size(3, 9), random.size(1, 4)];
        let mut quant = (
            0.01 + random.unit().abs() * 0.02,
            random.within(-128, 20) as i32,
        );
        for _ in 0..random.size(0, 2) {
            let Some(conv) = draw_conv(random, shape, quant) else {
                continue;
            };
            (shape, quant) = (conv.output, conv.quants[1]);
            layers.push(conv);
            if random.once_in(2) {
                let kernel = [random.size(1, 2), random.size(1, 3)];
                let stride = match random.once_in(3) {
                    true => [1, 1],
                    false => kernel,
                };
                if shape[0] >= kernel[0] && shape[1] >= kernel[1] {
                    let output = [0, 1].map(|axis| (shape[axis] - kernel[axis]) / stride[axis] + 1);
                    let pool = Pool2d {
                        kernel: kernel.map(|k| k as u16),
                        stride: stride.map(|s| s as u16),
                        padding: [0; 4],
                    };
                    let output = [output[0], output[1], shape[2]];
                    let kind = match random.once_in(3) {
                        true => Kind::AvgPool(pool),
                        false => Kind::MaxPool(pool),
                    };
                    layers.push(plain(kind, shape, output, quant));
                    shape = output;
                }
            }
        }
        let vectors = random.once_in(3);
        if random.once_in(4) {
            let output = [1, 1, shape[2]];
            let cells = f64::from(u32::try_from(shape[0] * shape[1]).unwrap());
            let own = (quant.0 * 0.7, random.within(-128, 20) as i32);
            let factor = f64::from(quant.0) / f64::from(own.0) / cells;
            let (multiplier, shift) = quantize_multiplier(factor);
            let kind = Kind::Mean((multiplier.into(), shift.into()));
            let mut mean = plain(kind, shape, output, quant);
            mean.quants[1] = own;
            layers.push(mean);
            (shape, quant) = (output, own);
        } else if !vectors {
            let output = [1, 1, count(shape)];
            layers.push(plain(Kind::Flatten, shape, output, quant));
            shape = output;
        }
        for last in [false, true] {
            if !last && random.once_in(4) {
                layers.push(plain(Kind::Relu, shape, shape, quant));
            }
            let output = [shape[0], shape[1], random.size(2, 9)];
            let activation = match last {
                true => Activation::None,
                false => random.pick(&[Activation::Relu, Activation::Relu6, Activation::None]),
            };
            let dense = weighted(
                random,
                Kind::Dense,
                (shape, output),
                quant,
                shape[2],
                activation,
            );
            (shape, quant) = (output, dense.quants[1]);
            layers.push(dense);
        }
        Self { layers }
    }

    pub(super) fn blob(&self, rate: f32, layout: Option<Layout>) -> AlignedBytes {
        let mut builder = Builder::new("learning");
        let first = &self.layers[0];
        let quant = |(scale, zero_point)| Quant::PerTensor { scale, zero_point };
        let input = quant(first.quants[0]);
        let mut x = builder.input(&first.input, DType::I8, input).unwrap();
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.add(&mut builder, &format!("layer{index}"), x);
        }
        let mut outputs = [x];
        builder.real_outputs(&mut outputs).unwrap();
        let mut outputs = outputs.to_vec();
        if let Some(layout) = layout {
            let all: Vec<usize> = (0..self.layers.len()).collect();
            let packed = builder.to_packed_but(layout, &outputs, &all).unwrap();
            (builder, outputs) = (packed.builder, packed.outputs);
        }
        let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, rate);
        builder
            .finish(&outputs, Some(spec.with_seed(SEED)))
            .unwrap()
    }

    /// The outputs of all layers, from the input on.
    pub(super) fn forward(&self, x: &[i8]) -> Vec<Vec<i64>> {
        let mut all = vec![x.iter().map(|x| i64::from(*x)).collect::<Vec<_>>()];
        for layer in &self.layers {
            all.push(layer.forward(all.last().unwrap()));
        }
        all
    }

    /// What made the output of layer `index`: its range, and whether the lower end is an activation's.
    pub(super) fn made(&self, index: usize) -> ([i64; 2], bool) {
        let layer = &self.layers[index];
        match layer.kind {
            Kind::Flatten | Kind::MaxPool(_) if index > 0 => self.made(index - 1),
            Kind::Flatten | Kind::MaxPool(_) => ([-128, 127], false),
            Kind::Relu => ([i64::from(layer.quants[1].1), 127], true),
            _ => (layer.range(), layer.activation != Activation::None),
        }
    }

    pub(super) fn step(&mut self, x: &[i8], target: &[f32], rate: f32, rng: &mut XorShift32) {
        let values = self.forward(x);
        let (scale, zero) = self.layers.last().unwrap().quants[1];
        let logits = values.last().unwrap();
        let factor = 2.0 / logits.len() as f32;
        let real = logits.iter().map(|y| scale * (y - i64::from(zero)) as f32);
        let delta: Vec<f32> = real.zip(target).map(|(y, t)| (y - t) * factor).collect();
        let most = delta
            .iter()
            .fold(0.0, |most: f32, delta| most.max(delta.abs()));
        let exponent = ((most.to_bits() >> 23) as i64 - 127).max(-110);
        let unit = two_to(exponent - 14);
        let ([low, high], closed) = self.made(self.layers.len() - 1);
        let mantissas = delta.iter().zip(logits).map(|(delta, y)| {
            let mantissa = (delta / unit).round() as i64;
            let blocked = (*y <= low && (closed || mantissa >= 0))
                || (*y > low && *y >= high && mantissa <= 0);
            if blocked {
                0
            } else {
                mantissa.clamp(-32_767, 32_767)
            }
        });
        let mut gradient = (unit, mantissas.collect());
        // Below the first layer that learns no gradient is wanted.
        for index in (0..self.layers.len()).rev() {
            let clamp = index.checked_sub(1).map(|below| self.made(below));
            let (x, y) = (&values[index], &values[index + 1]);
            gradient = self.layers[index].backward(x, y, &gradient, clamp, (rate, rng));
        }
    }

    /// As a trainer gives them.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for layer in self.layers.iter().filter(|layer| !layer.weights.is_empty()) {
            bytes.extend(layer.stored().iter().map(|w| *w as u8));
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(layer.biases.iter().flat_map(|b| (*b as i32).to_le_bytes()));
        }
        bytes
    }
}

/// A layer without weights.
pub(super) fn plain(kind: Kind, input: [usize; 3], output: [usize; 3], quant: (f32, i32)) -> Layer {
    Layer {
        kind,
        input,
        output,
        quants: [quant; 2],
        activation: Activation::None,
        weights: Vec::new(),
        biases: Vec::new(),
        scales: Vec::new(),
    }
}

pub(super) fn weighted(
    random: &mut Random,
    kind: Kind,
    (input, output): ([usize; 3], [usize; 3]),
    quant: (f32, i32),
    filter: usize,
    activation: Activation,
) -> Layer {
    let outputs = output[2];
    let weights = (0..outputs * filter).map(|_| random.within(-127, 127));
    let weights = weights.collect();
    let biases = (0..outputs).map(|_| random.within(-3000, 3000)).collect();
    let scales: Vec<f32> = (0..outputs)
        .map(|_| 0.001 + random.unit().abs() * 0.01)
        .collect();
    // So narrow that some outputs saturate.
    let spread = 127.0 * 0.004 * (filter as f32).sqrt() * 100.0 * quant.0;
    let y_scale = spread * (0.3 + random.unit().abs()) / 127.0;
    let zero = random.within(-128, 100) as i32;
    Layer {
        kind,
        input,
        output,
        quants: [quant, (y_scale, zero)],
        activation,
        weights,
        biases,
        scales,
    }
}

pub(super) fn draw_conv(
    random: &mut Random,
    shape: [usize; 3],
    quant: (f32, i32),
) -> Option<Layer> {
    let [height, width, channels] = shape;
    let kernel = [random.size(1, 3), random.size(1, 3)];
    let dilation = [random.size(1, 2), random.size(1, 2)];
    let span = [0, 1].map(|axis| (kernel[axis] - 1) * dilation[axis] + 1);
    let padding = [0, 1, 0, 1].map(|axis| random.size(0, span[axis] - 1));
    let stride = [random.size(1, 2), random.size(1, 2)];
    let axis = |size: usize, axis: usize| {
        let padded = size + padding[axis] + padding[axis + 2];
        Some((padded.checked_sub(span[axis])?) / stride[axis] + 1)
    };
    let groups = match random.size(0, 2) {
        0 => channels,
        _ => 1,
    };
    let outputs = groups * random.size(1, 5);
    let output = [axis(height, 0)?, axis(width, 1)?, outputs];
    let conv = Conv2d {
        weight: 0,
        bias: None,
        requant: None,
        stride: stride.map(|s| s as u16),
        padding: padding.map(|p| p as u8),
        dilation: dilation.map(|d| d as u8),
        groups: groups as u16,
        activation: random.pick(&[Activation::Relu, Activation::None]),
    };
    let filter = kernel[0] * kernel[1] * channels / groups;
    let kind = Kind::Conv(conv, kernel);
    Some(weighted(
        random,
        kind,
        (shape, output),
        quant,
        filter,
        conv.activation,
    ))
}

impl Layer {
    pub(super) fn is_depthwise(&self) -> bool {
        matches!(&self.kind, Kind::Conv(conv, _)
            if self.input[2] > 1 && usize::from(conv.groups) == self.input[2])
    }

    /// The weights as a blob has them: depthwise with the channels last.
    pub(super) fn stored(&self) -> Vec<i8> {
        let filter = self.weights.len() / self.output[2];
        let order: Vec<usize> = match self.is_depthwise() {
            true => (0..filter)
                .flat_map(|tap| (0..self.output[2]).map(move |o| o * filter + tap))
                .collect(),
            false => (0..self.weights.len()).collect(),
        };
        order.into_iter().map(|at| self.weights[at] as i8).collect()
    }

    pub(super) fn add(&self, builder: &mut Builder, name: &str, x: TensorId) -> TensorId {
        let (scale, zero_point) = self.quants[1];
        let [outputs, filter] = [self.output[2], self.weights.len() / self.output[2].max(1)];
        let factors = self.factors();
        let layer = |shape| Int8Layer {
            weight: self.stored(),
            shape,
            scales: self.scales.clone(),
            bias: self.biases.iter().map(|b| *b as i32).collect(),
            multipliers: factors.iter().map(|f| f.0 as i32).collect(),
            shifts: factors.iter().map(|f| f.1 as i32).collect(),
            output: Quant::PerTensor { scale, zero_point },
            activation: self.activation,
        };
        let made = match &self.kind {
            Kind::Dense => builder.dense_i8(name, x, &layer(vec![outputs, filter])),
            Kind::Conv(conv, [height, width]) => {
                let shape = match self.is_depthwise() {
                    true => vec![1, *height, *width, outputs],
                    false => vec![outputs, *height, *width, filter / height / width],
                };
                builder.conv2d_i8_of(name, x, &layer(shape), *conv)
            }
            Kind::MaxPool(pool) => builder.max_pool2d(name, x, *pool),
            Kind::AvgPool(pool) => builder.avg_pool2d(name, x, *pool),
            Kind::Mean((multiplier, shift)) => {
                let rescale = Rescale {
                    multiplier: *multiplier as i32,
                    shift: *shift as i8,
                };
                // Of one map its channels alone.
                let shape = Shape::vector(outputs as u32);
                let quant = Quant::PerTensor { scale, zero_point };
                let mean = Tensor::activation(shape, DType::I8, quant);
                builder.node_of(name, Op::GlobalAvgPool(Some(rescale)), &[x], mean)
            }
            Kind::Flatten => builder.flatten(name, x),
            Kind::Relu => builder.same(name, Op::Relu, x),
        };
        made.unwrap()
    }
}
