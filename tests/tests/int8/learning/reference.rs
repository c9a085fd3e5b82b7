//! A step of an int8 layer in wide integers, written from the formulas in `docs/numerics.md`.

use nn_core::fixed_point::rescale;
use nn_core::ops::{Activation, Conv2d, Pool2d};
use nn_core::scalar::XorShift32;
use tests::int8::quantize_multiplier;

/// What a layer does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Dense,
    Conv(Conv2d, [usize; 2]),
    MaxPool(Pool2d),
    AvgPool(Pool2d),
    /// The mean of each channel, with its factor.
    Mean((i64, i64)),
    Flatten,
    Relu,
}

/// A layer with its weights, `[out, taps · in / groups]` (depthwise too), and shapes `[height, width, channels]`.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) kind: Kind,
    pub(super) input: [usize; 3],
    pub(super) output: [usize; 3],
    /// Scale and zero point before and behind.
    pub(super) quants: [(f32, i32); 2],
    pub(super) activation: Activation,
    pub(super) weights: Vec<i64>,
    pub(super) biases: Vec<i64>,
    pub(super) scales: Vec<f32>,
}

pub(super) fn count([height, width, channels]: [usize; 3]) -> usize {
    height * width * channels
}

/// A gradient: scale, mantissas.
pub(super) type Gradient = (f32, Vec<i64>);

pub(super) fn two_to(exponent: i64) -> f32 {
    f32::powi(2.0, exponent as i32)
}

/// x / 2^shift, halves up.
pub(super) fn shifted(x: i64, shift: u32) -> i64 {
    (x + ((1i64 << shift) >> 1)) >> shift
}

impl Layer {
    pub(super) fn factors(&self) -> Vec<(i64, i64)> {
        let [(x, _), (y, _)] = self.quants;
        let factors = self.scales.iter().map(|scale| {
            let (multiplier, shift) =
                quantize_multiplier(f64::from(x) * f64::from(*scale) / f64::from(y));
            (i64::from(multiplier), i64::from(shift))
        });
        factors.collect()
    }

    pub(super) fn range(&self) -> [i64; 2] {
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
    pub(super) fn products(&self) -> Vec<Vec<(usize, usize)>> {
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
    pub(super) fn count(&self) -> i64 {
        let count = match &self.kind {
            Kind::Conv(conv, kernel) => {
                kernel[0] * kernel[1] * self.output[2] / usize::from(conv.groups)
            }
            _ => self.output[2],
        };
        count as i64
    }

    /// For each output of a pooling the inputs of its window.
    pub(super) fn windows(&self, pool: &Pool2d) -> Vec<Vec<usize>> {
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

    pub(super) fn forward(&self, x: &[i64]) -> Vec<i64> {
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
            Kind::AvgPool(pool) => {
                let windows = self.windows(pool).into_iter();
                windows
                    .map(|window| {
                        let (count, sum) = (window.len() as i64, window.iter().map(|at| x[*at]));
                        let sum: i64 = sum.sum();
                        // Halves away from zero.
                        (sum.abs() * 2 + count) / (2 * count) * sum.signum()
                    })
                    .collect()
            }
            Kind::Mean((multiplier, shift)) => {
                let channels = self.output[2];
                let rows = (x.len() / channels) as i64;
                let sums = (0..channels).map(|channel| {
                    let cells = x.iter().skip(channel).step_by(channels);
                    cells.sum::<i64>() - rows * i64::from(x_zero)
                });
                let means = sums.map(|sum| {
                    let mean = rescale(sum as i32, *multiplier as i32, *shift as i32);
                    (i64::from(mean) + i64::from(y_zero)).clamp(-128, 127)
                });
                means.collect()
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
    pub(super) fn backward(
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
            Kind::AvgPool(pool) => {
                let windows = self.windows(pool);
                let mut held = vec![0usize; x.len()];
                windows.iter().flatten().for_each(|at| held[*at] += 1);
                let most = held.into_iter().max().unwrap();
                let least = windows.iter().map(Vec::len).min().unwrap();
                let bits = 15 + i64::from(least.ilog2());
                let shift = (0..).find(|shift| most <= 1 << shift).unwrap();
                let mut sums = vec![0; x.len()];
                for (window, delta) in windows.into_iter().zip(delta) {
                    let count = window.len() as i64;
                    let weight = ((1 << bits) + count / 2) / count;
                    for at in window {
                        sums[at] += shifted(delta * weight, shift);
                        assert!(i32::try_from(sums[at]).is_ok(), "an overflow");
                    }
                }
                hold(&mut sums, x, clamp);
                return narrow(&sums, scale * two_to(i64::from(shift) - bits));
            }
            Kind::Mean(_) => {
                let rows = x.len() / delta.len();
                let mut mantissas = delta.repeat(rows);
                hold(&mut mantissas, x, clamp);
                return (scale / rows as f32, mantissas);
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
        hold(&mut sums, x, clamp);
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

/// 0 where a gradient does not pass: see `Net::made`.
fn hold(sums: &mut [i64], x: &[i64], clamp: Option<([i64; 2], bool)>) {
    let Some(([low, high], closed)) = clamp else {
        return;
    };
    for (sum, x) in sums.iter_mut().zip(x) {
        let stays = (*x <= low && (closed || *sum >= 0)) || (*x > low && *x >= high && *sum <= 0);
        if stays {
            *sum = 0;
        }
    }
}

/// The mantissas of sums that each count `scale`.
pub(super) fn narrow(sums: &[i64], scale: f32) -> Gradient {
    let most = sums.iter().map(|sum| sum.abs()).max().unwrap_or(0);
    let shift = (0..).find(|shift| most >> shift < 1 << 15).unwrap();
    let mantissas = sums
        .iter()
        .map(|sum| shifted(*sum, shift).clamp(-32_767, 32_767));
    (scale * two_to(shift.into()), mantissas.collect())
}

/// A step as a whole number of `bits` bits over a power of two up to `most`.
pub(super) fn fraction(value: f32, bits: i32, most: i32) -> (i64, u32) {
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
pub(super) fn rounded(number: i64, (mantissa, shift): (i64, u32), rng: &mut XorShift32) -> i128 {
    let draw = i128::from(rng.draw());
    let draw = match shift {
        0..=32 => draw % (1 << shift),
        _ => draw << (shift - 32),
    };
    (i128::from(number) * i128::from(mantissa) + draw).div_euclid(1 << shift)
}

pub(super) fn learn(weight: &mut i64, number: i64, step: (i64, u32), rng: &mut XorShift32) {
    if number != 0 && step.0 != 0 {
        let step = rounded(number, step, rng).clamp(-1000, 1000) as i64;
        *weight = (*weight - step).clamp(-127, 127);
    }
}
