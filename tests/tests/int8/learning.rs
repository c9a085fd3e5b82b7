//! Learning in int8, bit for bit, against a reference in wide integers, written from the formulas in `docs/numerics.md`;
//! and its gradients against those of the same network in f32.

use host::export::{AlignedBytes, Builder, Int8Layer};
use nn_core::fixed_point::rescale;
use nn_core::kernels::packed::Layout;
use nn_core::model::Model;
use nn_core::ops::{Activation, Conv2d, Op, Pool2d};
use nn_core::scalar::XorShift32;
use nn_core::tensor::{DType, Quant, TensorId};
use nn_core::train::{
    Clip, Loss, Part, Rounding, Target, TrainError, TrainSpec, Trainable, Trainer,
};
use tests::int8::quantize_multiplier;
use tests::network::{floats, poisoned_arena};
use tests::random::Random;

const SEED: u32 = 77;

/// What a layer does.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Dense,
    Conv(Conv2d, [usize; 2]),
    MaxPool(Pool2d),
    Flatten,
    Relu,
}

/// A layer with its weights, `[out, taps · in / groups]` (depthwise too), and shapes `[height, width, channels]`.
#[derive(Debug, Clone)]
struct Layer {
    kind: Kind,
    input: [usize; 3],
    output: [usize; 3],
    /// Scale and zero point before and behind.
    quants: [(f32, i32); 2],
    activation: Activation,
    weights: Vec<i64>,
    biases: Vec<i64>,
    scales: Vec<f32>,
}

fn count([height, width, channels]: [usize; 3]) -> usize {
    height * width * channels
}

/// A gradient: scale, mantissas.
type Gradient = (f32, Vec<i64>);

fn two_to(exponent: i64) -> f32 {
    f32::powi(2.0, exponent as i32)
}

/// x / 2^shift, halves up.
fn shifted(x: i64, shift: u32) -> i64 {
    (x + ((1i64 << shift) >> 1)) >> shift
}

impl Layer {
    fn factors(&self) -> Vec<(i64, i64)> {
        let [(x, _), (y, _)] = self.quants;
        let factors = self.scales.iter().map(|scale| {
            let (multiplier, shift) =
                quantize_multiplier(f64::from(x) * f64::from(*scale) / f64::from(y));
            (i64::from(multiplier), i64::from(shift))
        });
        factors.collect()
    }

    fn range(&self) -> [i64; 2] {
        let (scale, zero) = self.quants[1];
        match self.activation {
            Activation::Relu => [i64::from(zero), 127],
            Activation::Relu6 => {
                let six = (6.0 / scale).round() as i64 + i64::from(zero);
                [i64::from(zero), six.min(127)]
            }
            _ => [-128, 127],
        }
    }

    /// For each output: for each of its products the input and the weight.
    fn products(&self) -> Vec<Vec<(usize, usize)>> {
        let [height, width, channels] = self.input;
        match &self.kind {
            Kind::Dense => {
                let inputs = channels;
                let vectors = height * width;
                let outputs = self.output[2];
                let of = |vector: usize, output: usize| {
                    let products = 0..inputs;
                    products
                        .map(|i| (vector * inputs + i, output * inputs + i))
                        .collect()
                };
                let vectors = 0..vectors;
                vectors
                    .flat_map(|vector| (0..outputs).map(move |output| of(vector, output)))
                    .collect()
            }
            Kind::Conv(conv, kernel) => {
                let [rows, columns, outputs] = self.output;
                let groups = usize::from(conv.groups);
                let (group_in, group_out) = (channels / groups, outputs / groups);
                let mut all = Vec::new();
                for row in 0..rows {
                    for column in 0..columns {
                        for output in 0..outputs {
                            let mut products = Vec::new();
                            for i in 0..kernel[0] {
                                for j in 0..kernel[1] {
                                    let at = |o: usize, tap: usize, axis: usize| {
                                        (o * usize::from(conv.stride[axis])
                                            + tap * usize::from(conv.dilation[axis]))
                                        .checked_sub(usize::from(conv.padding[axis]))
                                    };
                                    let (Some(y), Some(x)) = (at(row, i, 0), at(column, j, 1))
                                    else {
                                        continue;
                                    };
                                    if y >= height || x >= width {
                                        continue;
                                    }
                                    for c in 0..group_in {
                                        let channel = output / group_out * group_in + c;
                                        let weight = ((output * kernel[0] + i) * kernel[1] + j)
                                            * group_in
                                            + c;
                                        let input = (y * width + x) * channels + channel;
                                        products.push((input, weight));
                                    }
                                }
                            }
                            all.push(products);
                        }
                    }
                }
                all
            }
            _ => Vec::new(),
        }
    }

    /// The most products that a number of the input may meet.
    fn count(&self) -> i64 {
        let count = match &self.kind {
            Kind::Conv(conv, kernel) => {
                kernel[0] * kernel[1] * self.output[2] / usize::from(conv.groups)
            }
            _ => self.output[2],
        };
        count as i64
    }

    /// For each output of a pooling the inputs of its window.
    fn windows(&self, pool: &Pool2d) -> Vec<Vec<usize>> {
        let [height, width, channels] = self.input;
        let [rows, columns, _] = self.output;
        let mut windows = Vec::new();
        for row in 0..rows {
            for column in 0..columns {
                for channel in 0..channels {
                    let mut window = Vec::new();
                    for i in 0..usize::from(pool.kernel[0]) {
                        for j in 0..usize::from(pool.kernel[1]) {
                            let at = |o: usize, tap: usize, axis: usize| {
                                (o * usize::from(pool.stride[axis]) + tap)
                                    .checked_sub(usize::from(pool.padding[axis]))
                            };
                            if let (Some(y), Some(x)) = (at(row, i, 0), at(column, j, 1))
                                && y < height
                                && x < width
                            {
                                window.push((y * width + x) * channels + channel);
                            }
                        }
                    }
                    windows.push(window);
                }
            }
        }
        windows
    }

    fn forward(&self, x: &[i64]) -> Vec<i64> {
        let [(_, x_zero), (_, y_zero)] = self.quants;
        match &self.kind {
            Kind::Flatten => x.to_vec(),
            Kind::Relu => x.iter().map(|x| *x.max(&i64::from(x_zero))).collect(),
            Kind::MaxPool(pool) => {
                let windows = self.windows(pool).into_iter();
                windows
                    .map(|window| window.into_iter().map(|at| x[at]).max().unwrap())
                    .collect()
            }
            _ => {
                let factors = self.factors();
                let [low, high] = self.range();
                let outputs = self.output[2];
                let products = self.products().into_iter().enumerate();
                products
                    .map(|(index, products)| {
                        let output = index % outputs;
                        let sum = products
                            .into_iter()
                            .map(|(i, w)| (x[i] - i64::from(x_zero)) * self.weights[w]);
                        let sum = sum.sum::<i64>() + self.biases[output];
                        let (multiplier, shift) = factors[output];
                        let y = rescale(sum as i32, multiplier as i32, shift as i32);
                        (i64::from(y) + i64::from(y_zero)).clamp(low, high)
                    })
                    .collect()
            }
        }
    }

    /// The gradient at x, of which `clamp` says what made it, and what the layer learns.
    fn backward(
        &mut self,
        x: &[i64],
        y: &[i64],
        (scale, delta): &Gradient,
        clamp: Option<([i64; 2], bool)>,
        (rate, rng): (f32, &mut XorShift32),
    ) -> Gradient {
        let [(x_scale, x_zero), (y_scale, _)] = self.quants;
        match &self.kind {
            Kind::Flatten | Kind::Relu => return (*scale, delta.clone()),
            Kind::MaxPool(pool) => {
                let mut sums = vec![0; x.len()];
                for ((window, y), delta) in self.windows(pool).into_iter().zip(y).zip(delta) {
                    let winner = window.into_iter().find(|at| x[*at] == *y);
                    sums[winner.unwrap()] += delta;
                }
                let apart = pool.stride[0] >= pool.kernel[0] && pool.stride[1] >= pool.kernel[1];
                return match apart {
                    true => (*scale, sums),
                    false => narrow(&sums, *scale),
                };
            }
            _ => {}
        }
        let (factors, products) = (self.factors(), self.products());
        let outputs = self.output[2];
        let largest = factors
            .iter()
            .filter(|(m, _)| *m > 0)
            .map(|(_, s)| *s)
            .max();
        let largest = largest.unwrap_or(0);
        let weight = |output: usize| {
            let (multiplier, shift) = factors[output];
            multiplier >> (16 + (largest - shift).min(15))
        };
        // The gradient at x, with the weights from before.
        let products_of = delta.iter().enumerate();
        let most = products_of
            .map(|(index, delta)| delta.abs() * weight(index % outputs))
            .max();
        let limit = (i64::from(i32::MAX) / 127 / self.count()).clamp(1, 32_767);
        let shift = (0..).find(|shift| most.unwrap() >> shift < limit).unwrap();
        let mut sums = vec![0; x.len()];
        for ((index, delta), products) in delta.iter().enumerate().zip(&products) {
            let share = shifted(delta * weight(index % outputs), shift);
            for (i, w) in products {
                sums[*i] += self.weights[*w] * share;
                assert!(i32::try_from(sums[*i]).is_ok(), "an overflow");
            }
        }
        if let Some(([low, high], closed)) = clamp {
            for (sum, x) in sums.iter_mut().zip(x) {
                let stays =
                    (*x <= low && (closed || *sum >= 0)) || (*x > low && *x >= high && *sum <= 0);
                if stays {
                    *sum = 0;
                }
            }
        }
        let counts = scale * (y_scale / x_scale) * two_to(i64::from(shift) + largest - 15);
        let below = narrow(&sums, counts);
        // What is learnt: weights, then biases.
        let of_output = |output: usize| (output..delta.len()).step_by(outputs);
        let filter = self.weights.len() / outputs;
        let vector = delta.len() == outputs && matches!(self.kind, Kind::Dense);
        for (output, &(multiplier, factor_shift)) in factors.iter().enumerate() {
            let factor = multiplier as f32 * two_to(factor_shift - 31);
            if multiplier == 0 {
                continue;
            }
            let step = |scale: f32| (rate * scale * x_scale) * (x_scale / y_scale) / factor;
            let own = output * filter..(output + 1) * filter;
            if vector {
                if delta[output] == 0 {
                    continue;
                }
                let step = fraction(step(*scale) * delta[output] as f32, 22, 30);
                for (i, w) in &products[output] {
                    let x = x[*i] - i64::from(x_zero);
                    learn(&mut self.weights[*w], x, step, rng);
                }
                continue;
            }
            let magnitudes: i64 = of_output(output).map(|index| delta[index].abs()).sum();
            if magnitudes == 0 {
                continue;
            }
            let shift = (64 - magnitudes.leading_zeros()).saturating_sub(22);
            let mut gradient = vec![0; self.weights.len()];
            for index in of_output(output) {
                let delta = shifted(delta[index], shift);
                for (i, w) in &products[index] {
                    gradient[*w] += (x[*i] - i64::from(x_zero)) * delta;
                    assert!(i32::try_from(gradient[*w]).is_ok(), "an overflow");
                }
            }
            let step = fraction(step(scale * two_to(shift.into())), 24, 62);
            for w in own {
                learn(&mut self.weights[w], gradient[w], step, rng);
            }
        }
        for (output, (multiplier, factor_shift)) in factors.into_iter().enumerate() {
            if multiplier == 0 {
                continue;
            }
            let factor = multiplier as f32 * two_to(factor_shift - 31);
            let sum: i64 = of_output(output).map(|index| delta[index]).sum();
            let step = fraction(rate * scale / y_scale / factor, 24, 62);
            if sum != 0 && step.0 != 0 {
                let most = i128::from(2i64 << 30);
                let step = rounded(sum, step, rng).clamp(-most, most) as i64;
                self.biases[output] = (self.biases[output] - step).clamp(-(1 << 30), 1 << 30);
            }
        }
        below
    }
}

/// The mantissas of sums that each count `scale`.
fn narrow(sums: &[i64], scale: f32) -> Gradient {
    let most = sums.iter().map(|sum| sum.abs()).max().unwrap_or(0);
    let shift = (0..).find(|shift| most >> shift < 1 << 15).unwrap();
    let mantissas = sums
        .iter()
        .map(|sum| shifted(*sum, shift).clamp(-32_767, 32_767));
    (scale * two_to(shift.into()), mantissas.collect())
}

/// A step as a whole number of `bits` bits over a power of two up to `most`.
fn fraction(value: f32, bits: i32, most: i32) -> (i64, u32) {
    if value == 0.0 {
        return (0, 0);
    }
    let exact = f64::from(value).abs();
    // 2^(exponent − 1) ≤ exact < 2^exponent.
    let exponent = (exact.to_bits() >> 52) as i32 - 1022;
    let nearest = |exact: f64| (exact + 0.5).floor();
    let shift = bits - exponent;
    let mantissa = nearest(exact * 2f64.powi(shift));
    let (mantissa, shift) = if shift < 0 {
        (2f64.powi(bits), 0)
    } else if shift > most {
        (nearest(mantissa / 2f64.powi(shift - most)), most)
    } else {
        (mantissa, shift)
    };
    let mantissa = mantissa as i64;
    (if value < 0.0 { -mantissa } else { mantissa }, shift as u32)
}

/// number · step, up or down with the odds of the remainder.
fn rounded(number: i64, (mantissa, shift): (i64, u32), rng: &mut XorShift32) -> i128 {
    let draw = i128::from(rng.draw());
    let draw = match shift {
        0..=32 => draw % (1 << shift),
        _ => draw << (shift - 32),
    };
    (i128::from(number) * i128::from(mantissa) + draw).div_euclid(1 << shift)
}

fn learn(weight: &mut i64, number: i64, step: (i64, u32), rng: &mut XorShift32) {
    if number != 0 && step.0 != 0 {
        let step = rounded(number, step, rng).clamp(-1000, 1000) as i64;
        *weight = (*weight - step).clamp(-127, 127);
    }
}

/// A network of int8 layers, its outputs dequantized.
#[derive(Debug, Clone)]
struct Net {
    layers: Vec<Layer>,
}

impl Net {
    /// Convolutions, poolings and dense layers, drawn.
    fn draw(random: &mut Random) -> Self {
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
                    layers.push(plain(Kind::MaxPool(pool), shape, output, quant));
                    shape = output;
                }
            }
        }
        let vectors = random.once_in(3);
        if !vectors {
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

    fn blob(&self, rate: f32, layout: Option<Layout>) -> AlignedBytes {
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
    fn forward(&self, x: &[i8]) -> Vec<Vec<i64>> {
        let mut all = vec![x.iter().map(|x| i64::from(*x)).collect::<Vec<_>>()];
        for layer in &self.layers {
            all.push(layer.forward(all.last().unwrap()));
        }
        all
    }

    /// What made the output of layer `index`: its range, and whether the lower end is an activation's.
    fn made(&self, index: usize) -> ([i64; 2], bool) {
        let layer = &self.layers[index];
        match layer.kind {
            Kind::Flatten | Kind::MaxPool(_) if index > 0 => self.made(index - 1),
            Kind::Flatten | Kind::MaxPool(_) => ([-128, 127], false),
            Kind::Relu => ([i64::from(layer.quants[1].1), 127], true),
            _ => (layer.range(), layer.activation != Activation::None),
        }
    }

    fn step(&mut self, x: &[i8], target: &[f32], rate: f32, rng: &mut XorShift32) {
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
    fn bytes(&self) -> Vec<u8> {
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
fn plain(kind: Kind, input: [usize; 3], output: [usize; 3], quant: (f32, i32)) -> Layer {
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

fn weighted(
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

fn draw_conv(random: &mut Random, shape: [usize; 3], quant: (f32, i32)) -> Option<Layer> {
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
    fn is_depthwise(&self) -> bool {
        matches!(&self.kind, Kind::Conv(conv, _)
            if self.input[2] > 1 && usize::from(conv.groups) == self.input[2])
    }

    /// The weights as a blob has them: depthwise with the channels last.
    fn stored(&self) -> Vec<i8> {
        let filter = self.weights.len() / self.output[2];
        let order: Vec<usize> = match self.is_depthwise() {
            true => (0..filter)
                .flat_map(|tap| (0..self.output[2]).map(move |o| o * filter + tap))
                .collect(),
            false => (0..self.weights.len()).collect(),
        };
        order.into_iter().map(|at| self.weights[at] as i8).collect()
    }

    fn add(&self, builder: &mut Builder, name: &str, x: TensorId) -> TensorId {
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
            Kind::Flatten => builder.flatten(name, x),
            Kind::Relu => builder.same(name, Op::Relu, x),
        };
        made.unwrap()
    }
}

fn trainer<'a>(blob: &'a AlignedBytes, arena: &'a mut AlignedBytes) -> Trainer<'a> {
    let model = Model::load(blob).unwrap();
    *arena = poisoned_arena(model.arena_train());
    Trainer::new(model, arena.as_mut_slice()).unwrap()
}

/// Steps in int8, apart and with poolings in their convolutions, are those of the reference.
#[test]
fn a_step_is_that_of_the_reference() {
    let (mut fused, mut moved) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut net = Net::draw(&mut random);
        let rate = [1e-6, 0.001, 0.05, 1.0, 1e4, 1e30][seed as usize % 6];
        let blobs = [None, Some(Layout::Armv7em)].map(|layout| net.blob(rate, layout));
        let of = |blob| Model::load(blob).unwrap().nodes().len();
        fused += of(&blobs[0]) - of(&blobs[1]);
        let mut arenas = [AlignedBytes::zeroed(0), AlignedBytes::zeroed(0)];
        let [plain, packed] = &mut arenas;
        let mut trainers = [trainer(&blobs[0], plain), trainer(&blobs[1], packed)];
        let mut rng = XorShift32::new(SEED);
        let before = net.bytes();
        assert_eq!(trainers[0].weights(), before, "seed {seed}");
        for step in 0..3 {
            let x: Vec<i8> = (0..count(net.layers[0].input))
                .map(|_| match random.once_in(3) {
                    true => net.layers[0].quants[0].1 as i8,
                    false => random.within(-128, 127) as i8,
                })
                .collect();
            let outputs = count(net.layers.last().unwrap().output);
            let target = random.values(outputs, 4.0);
            net.step(&x, &target, rate, &mut rng);
            for trainer in &mut trainers {
                let input = trainer.input_mut(0).unwrap();
                input.copy_from_slice(bytemuck::cast_slice(&x));
                // An absurd loss is refused in f32 only.
                trainer.step(Target::Values(&target)).unwrap();
                let wanted = net.bytes();
                assert_eq!(
                    trainer.weights(),
                    wanted,
                    "seed {seed}, step {step}: {net:#?}"
                );
            }
        }
        moved += usize::from(net.bytes() != before);
    }
    assert!(fused > 40 && moved > 300, "{fused} poolings, {moved} nets");
}

/// How a layer's weights are told: scales, and `[out, rest]` of `[rest, out]`.
fn real_steps(model: &Model, before: &[u8], after: &[f64]) -> Vec<Vec<f64>> {
    let (mut at, mut all) = (0, Vec::new());
    for node in model.nodes() {
        let ids: Vec<TensorId> = node.op.parameters().collect();
        let [weight, bias] = ids[..] else { continue };
        let [weight, bias] = [weight, bias].map(|id| model.tensor(id).unwrap());
        let outputs = bias.elements();
        let Quant::PerChannel { scales } = weight.quant else {
            continue;
        };
        let scales = model.weight_bytes(&model.tensor(scales).unwrap());
        let scales = floats(scales);
        let filter = weight.elements() / outputs;
        // As the f32 model has them: the output channel last.
        let steps = (0..filter).flat_map(|k| (0..outputs).map(move |o| (k, o)));
        let steps = steps.map(|(k, o)| {
            let place = at + o * filter + k;
            (f64::from(before[place] as i8) - after[place]) * f64::from(scales[o])
        });
        all.push(steps.collect());
        at += weight.bytes().next_multiple_of(4) + bias.bytes();
    }
    all
}

/// The mean of many steps on one sample is the step of the same network in f32: rounding at random has no drift, and the
/// gradients are right. What is left is what int8 makes of activations, and the odds of so many draws.
#[test]
fn the_mean_step_is_that_of_f32() {
    const DRAWS: usize = 256;
    const RATE: f32 = 0.01;
    for network in ["mlp", "cnn"] {
        let model = |format| {
            let file = format!("../models/mnist-{network}-{format}.mote");
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let blob = host::blob::Blob::open(&path).unwrap();
            let (mut builder, outputs) = Builder::of(&blob.model());
            let mut outputs = outputs;
            builder.real_outputs(&mut outputs).unwrap();
            let spec = TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, RATE);
            builder.finish(&outputs, Some(spec)).unwrap()
        };
        // A ring of ink, which a nine is not.
        let ink = |at: usize| {
            let [row, column] = [at / 28, at % 28].map(|cell| cell as f64 - 13.5);
            let away = (row * row + column * column).sqrt() - 7.0;
            (255.0 * (1.0 - away.abs() / 2.5).clamp(0.0, 1.0)) as u8
        };
        let target = Target::Class(9);
        let real = model("f32");
        let mut arena = AlignedBytes::zeroed(0);
        let mut f32_trainer = trainer(&real, &mut arena);
        let pixels: Vec<f32> = (0..784).map(|at| f32::from(ink(at)) / 255.0).collect();
        let input = f32_trainer.input_mut(0).unwrap();
        input.copy_from_slice(bytemuck::cast_slice(&pixels));
        let before = floats(f32_trainer.weights());
        f32_trainer.step(target).unwrap();
        let after = floats(f32_trainer.weights());
        let f32_model = f32_trainer.model();
        let mut wanted: Vec<Vec<f64>> = Vec::new();
        let mut at = 0;
        for node in f32_model.nodes() {
            for (place, id) in node.op.parameters().enumerate() {
                let len = f32_model.tensor(id).unwrap().elements();
                let steps = (at..at + len).map(|at| f64::from(before[at]) - f64::from(after[at]));
                if place == 0 {
                    wanted.push(steps.collect());
                }
                at += len;
            }
        }
        let int8 = model("i8");
        let mut arena = AlignedBytes::zeroed(0);
        let mut trainer = trainer(&int8, &mut arena);
        let before = trainer.weights().to_vec();
        let pixels: Vec<u8> = (0..784).map(|at| ink(at).wrapping_sub(128)).collect();
        let mut mean = vec![0.0; before.len()];
        for _ in 0..DRAWS {
            trainer.load_weights(&before).unwrap();
            trainer.input_mut(0).unwrap().copy_from_slice(&pixels);
            trainer.step(target).unwrap();
            for (mean, weight) in mean.iter_mut().zip(trainer.weights()) {
                *mean += f64::from(*weight as i8) / DRAWS as f64;
            }
        }
        let found = real_steps(&trainer.model(), &before, &mean);
        assert_eq!(found.len(), wanted.len());
        for (layer, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let square = product(wanted, wanted);
            let along = product(found, wanted) / square;
            let cosine = product(found, wanted) / (product(found, found) * square).sqrt();
            println!("{network}, layer {layer}: along {along:.3}, cosine {cosine:.4}");
            assert!(
                (0.9..1.1).contains(&along),
                "{network}, layer {layer}: {along}"
            );
            assert!(cosine > 0.95, "{network}, layer {layer}: {cosine}");
        }
    }
}

/// A net with tensors whose bytes are no whole words, and its blob.
fn odd() -> Net {
    let nets = (0..).map(|seed| Net::draw(&mut Random::new(seed)));
    let mut nets = nets.filter(|net| {
        let learnt = net.layers.iter().filter(|layer| !layer.weights.is_empty());
        learnt.filter(|layer| layer.weights.len() % 4 != 0).count() > 1
    });
    nets.next().unwrap()
}

fn teach(trainer: &mut Trainer, net: &Net, random: &mut Random) {
    let x: Vec<i8> = (0..count(net.layers[0].input))
        .map(|_| random.within(-128, 127) as i8)
        .collect();
    let target = random.values(count(net.layers.last().unwrap().output), 4.0);
    let input = trainer.input_mut(0).unwrap();
    input.copy_from_slice(bytemuck::cast_slice(&x));
    trainer.step(Target::Values(&target)).unwrap();
}

/// Weights of any length are kept in parts, go back, and into a blob.
#[test]
fn what_is_learnt_can_be_kept() {
    let net = odd();
    let blob = net.blob(1.0, None);
    let mut arenas = [AlignedBytes::zeroed(0), AlignedBytes::zeroed(0)];
    let [first, second] = &mut arenas;
    let (mut learner, mut other) = (trainer(&blob, first), trainer(&blob, second));
    let own = learner.weights().to_vec();
    teach(&mut learner, &net, &mut Random::new(5));
    assert_ne!(learner.weights(), own);
    assert!(learner.weights_are_finite());
    let changes: Vec<(usize, Vec<u8>)> = learner
        .changes(8)
        .map(|(at, part)| (at, part.to_vec()))
        .collect();
    for (at, part) in &changes {
        other.write_weights(*at, part).unwrap();
    }
    assert_eq!(learner.weights(), other.weights());
    let path = std::path::Path::new("odd");
    let file = host::blob::Blob::new(path, AlignedBytes::copy_of(&blob)).unwrap();
    let learnt = host::tune::with_weights(&file, learner.weights()).unwrap();
    let mut arena = AlignedBytes::zeroed(0);
    assert_eq!(
        trainer(&AlignedBytes::copy_of(learnt.bytes()), &mut arena).weights(),
        learner.weights()
    );
    other.reset();
    assert_eq!(other.weights(), own);
}

/// What goes beyond plain descent is refused by name, when the model is built and later.
#[test]
fn other_optimizers_are_refused() {
    let net = odd();
    let blob = net.blob(0.1, None);
    let model = Model::load(&blob).unwrap();
    let plan = |spec: TrainSpec| {
        let (builder, outputs) = Builder::of(&model);
        let error = builder.finish(&outputs, Some(spec)).err();
        error.map_or_else(String::new, |error| error.to_string())
    };
    let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.1);
    assert_eq!(plan(spec), "");
    for (spec, wanted) in [
        (spec.with_momentum(0.9), "a momentum"),
        (spec.with_weight_decay(0.1), "a weight decay"),
        (spec.with_l1(0.1), "an L1 penalty"),
        (spec.with_rounding(Rounding::Nearest), "rounding to nearest"),
        (spec.with_accumulation(2), "accumulation"),
        (spec.with_clip(Clip::Value(1.0)), "clipping"),
        (spec.with_clip(Clip::Norm(1.0)), "clipping"),
        (
            TrainSpec::adam(Trainable::All, Loss::MeanSquaredError, 0.1),
            "Adam",
        ),
    ] {
        let error = plan(spec);
        assert!(error.contains(wanted) && error.contains("int8"), "{error}");
    }
    let channels = Part::Channels { first: 0, mask: 1 };
    assert!(plan(spec.with_part(channels)).contains("output channels"));
    let mut arena = AlignedBytes::zeroed(0);
    let mut trainer = trainer(&blob, &mut arena);
    let setting = trainer.set_optimizer(spec.with_weight_decay(0.1).optimizer);
    assert_eq!(
        setting,
        Err(TrainError::Int8 {
            setting: "a weight decay"
        })
    );
}

/// Under a head of real numbers int8 stays as it is, unless a plan names it.
#[test]
fn a_backbone_learns_where_it_is_named() {
    let mut builder = Builder::new("backbone");
    let net = odd();
    let last = net.layers.last().unwrap();
    let quant = |(scale, zero_point)| Quant::PerTensor { scale, zero_point };
    let input = quant(net.layers[0].quants[0]);
    let mut x = builder
        .input(&net.layers[0].input, DType::I8, input)
        .unwrap();
    for (index, layer) in net.layers.iter().enumerate() {
        x = layer.add(&mut builder, &format!("layer{index}"), x);
    }
    let x = builder
        .convert("real", Op::Dequantize, x, DType::F32, Quant::None)
        .unwrap();
    let weight = vec![0.1; last.output[2] * 3];
    let x = builder
        .dense("head", x, &weight, &[0.0; 3], Activation::None)
        .unwrap();
    let learnt = |nodes| {
        let spec = TrainSpec::sgd(nodes, Loss::MeanSquaredError, 0.1);
        let blob = builder.finish(&[x], Some(spec)).unwrap();
        let mut arena = AlignedBytes::zeroed(0);
        let mut trainer = trainer(&blob, &mut arena);
        let before = trainer.weights().to_vec();
        let pixels = (0..count(net.layers[0].input)).map(|at| (at * 7 % 256) as u8);
        let pixels: Vec<u8> = pixels.collect();
        trainer.input_mut(0).unwrap().copy_from_slice(&pixels);
        let outputs = trainer.model().output(0).unwrap().elements();
        trainer.step(Target::Values(&vec![300.0; outputs])).unwrap();
        let moved = trainer
            .weights()
            .iter()
            .zip(&before)
            .filter(|(a, b)| a != b);
        (before.len(), moved.count())
    };
    let head = (weight.len() + 3) * 4;
    for nodes in [Trainable::All, Trainable::Last(1), Trainable::Last(4)] {
        assert_eq!(learnt(nodes).0, head);
    }
    let named = net.layers.len() - 1;
    let own = last.weights.len().next_multiple_of(4) + 4 * last.biases.len();
    let (len, moved) = learnt(Trainable::Node(named as u16));
    assert_eq!(len, own);
    assert!(moved > own / 8, "{moved} of {own} bytes");
    // All of it, head and backbone.
    let (len, _) = learnt(Trainable::Nodes(u64::MAX));
    assert_eq!(len, head + net.bytes().len());
}
