use std::vec;
use std::vec::Vec;

use super::*;
use crate::ops::dense::{Weights, backward_bias};
use crate::ops::draw::{Draw, Geometry, tensor, wide};
use crate::scalar::Rounder;
use crate::tensor::Shape;
use crate::train::{Rule, Update};

#[test]
fn vertical_edges_of_a_6x6_image() {
    // Left half 10, right half 0, the kernel 1 0 −1 on each row: 0 30 30 0.
    let image: Vec<f32> = (0..36)
        .map(|i| if i % 6 < 3 { 10.0 } else { 0.0 })
        .collect();
    let kernel = [1.0, 0.0, -1.0].repeat(3);
    let case = Case {
        geometry: Geometry {
            rank: 3,
            frames: 1,
            input: [6, 6],
            output: [4, 4],
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            padding: [0; 4],
        },
        groups: 1,
        group_inputs: 1,
        group_outputs: 1,
    };
    let mut y = [0.0; 16];
    case.step(DType::F32)
        .forward(&image, &kernel, &[], Activation::None, &mut y);
    assert_eq!(y, [0.0, 30.0, 30.0, 0.0].repeat(4)[..]);
}

/// A convolution of any geometry.
#[derive(Debug)]
struct Case {
    geometry: Geometry,
    groups: usize,
    group_inputs: usize,
    group_outputs: usize,
}

impl Case {
    /// All ranks; one group, several, depthwise with a multiplier; blocks of outputs that are full and that are not.
    fn draw(draw: &mut Draw, seed: u32) -> Self {
        let geometry = Geometry::draw(draw, 2 + seed as usize % 3, seed.is_multiple_of(2));
        let (groups, group_inputs) = match draw.size(0, 3) {
            0 | 1 => (1, draw.size(1, 4)),
            2 => (draw.size(2, 3), draw.size(2, 3)),
            _ => (draw.size(2, 17), 1),
        };
        let widths = [1, 2, 3, 8, 11];
        let most = if groups == 1 { 4 } else { 2 };
        Self {
            geometry,
            groups,
            group_inputs,
            group_outputs: widths[draw.size(0, most)],
        }
    }

    fn inputs(&self) -> usize {
        self.groups * self.group_inputs
    }

    fn outputs(&self) -> usize {
        self.groups * self.group_outputs
    }

    fn weights(&self) -> usize {
        self.geometry.taps() * self.group_inputs * self.outputs()
    }

    /// Through the operator's parameters, and by the shapes that it tells.
    fn step(&self, dtype: DType) -> ConvStep {
        let geometry = self.geometry;
        let conv = Conv2d {
            weight: 0,
            bias: None,
            requant: None,
            stride: geometry.stride.map(|s| s as u16),
            padding: geometry.padding.map(|p| p as u8),
            dilation: geometry.dilation.map(|d| d as u8),
            groups: self.groups as u16,
            activation: Activation::None,
        };
        let [height, width] = geometry.kernel;
        let weight = tensor(
            &match dtype {
                DType::I8 if self.is_depthwise() => [1, height, width, self.outputs()],
                DType::I8 => [self.outputs(), height, width, self.group_inputs],
                _ => [height, width, self.group_inputs, self.outputs()],
            },
            dtype,
        );
        let input = geometry.x_shape(self.inputs());
        let output = conv.output_shape(input, &weight);
        assert_eq!(output, Some(geometry.y_shape(self.outputs())), "{self:?}");
        ConvStep::new(&conv, input, &weight).unwrap()
    }

    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.group_inputs == 1
    }

    /// The input channel that weight row `c` of output `o` reads.
    fn channel(&self, c: usize, o: usize) -> usize {
        o / self.group_outputs * self.group_inputs + c
    }

    /// Place of a weight in HWIO.
    fn hwio(&self, tap: usize, c: usize, o: usize) -> usize {
        (tap * self.group_inputs + c) * self.outputs() + o
    }

    /// Calls `each(pixel, output, tap, row of weights, input cell · channel)` in the documented order.
    fn each(&self, mut each: impl FnMut(usize, usize, usize, usize, usize)) {
        for pixel in 0..self.geometry.pixels() {
            for o in 0..self.outputs() {
                for tap in 0..self.geometry.taps() {
                    let Some(cell) = self.geometry.cell(pixel, tap) else {
                        continue;
                    };
                    for c in 0..self.group_inputs {
                        each(pixel, o, tap, c, cell * self.inputs() + self.channel(c, o));
                    }
                }
            }
        }
    }

    /// y without an activation, each sum from its bias in the documented order.
    fn naive<T: Copy>(
        &self,
        x: &[T],
        weight: &[T],
        bias: &[T],
        mul_acc: impl Fn(T, T, T) -> T,
    ) -> Vec<T> {
        let mut y: Vec<T> = bias.repeat(self.geometry.pixels());
        self.each(|pixel, o, tap, c, at| {
            let y = &mut y[pixel * self.outputs() + o];
            *y = mul_acc(*y, x[at], weight[self.hwio(tap, c, o)]);
        });
        y
    }
}

fn cases(count: u32) -> impl Iterator<Item = (Draw, Case)> {
    (0..count).map(|seed| {
        let mut draw = Draw::new(seed);
        let case = Case::draw(&mut draw, seed);
        (draw, case)
    })
}

#[test]
fn f32_forward_is_the_documented_sum_to_the_bit() {
    for (mut draw, case) in cases(400) {
        let x = draw.values::<f32>(case.geometry.cells() * case.inputs());
        let weight = draw.values::<f32>(case.weights());
        let bias = draw.values::<f32>(case.outputs());
        let wanted = case.naive(&x, &weight, &bias, |y, x, w| y + x * w);
        for activation in [Activation::None, Activation::Relu] {
            let mut y = vec![f32::NAN; wanted.len()];
            let step = case.step(DType::F32);
            step.forward(&x, &weight, &bias, activation, &mut y);
            for (y, wanted) in y.iter().zip(&wanted) {
                let wanted = activation.apply(*wanted);
                assert_eq!(y.to_bits(), wanted.to_bits(), "{case:?}");
            }
        }
    }
}

/// Half a unit in the last place: products and sums of the values drawn are exact, and one rounding follows.
const HALF: f64 = 0.5 / 65536.0;

#[test]
fn q16_forward_rounds_once() {
    for (mut draw, case) in cases(200) {
        let x = draw.values::<Q16>(case.geometry.cells() * case.inputs());
        let weight = draw.values::<Q16>(case.weights());
        let bias = draw.values::<Q16>(case.outputs());
        let wanted = case.naive(&wide(&x), &wide(&weight), &wide(&bias), |y, x, w| y + x * w);
        let mut y = vec![Q16::ONE; wanted.len()];
        let step = case.step(DType::Q16);
        step.forward(&x, &weight, &bias, Activation::None, &mut y);
        for (y, wanted) in y.iter().zip(&wanted) {
            assert!((y.to_num::<f64>() - wanted).abs() <= HALF, "{case:?}");
        }
    }
}

#[test]
fn int8_forward_against_64_bits() {
    for (mut draw, case) in cases(400) {
        let x = draw.bytes(case.geometry.cells() * case.inputs());
        let weight = draw.bytes(case.weights());
        let zero = i32::from(draw.bytes(1)[0]);
        let bias: Vec<i32> = draw
            .bytes(case.outputs())
            .iter()
            .map(|b| i32::from(*b) * 100)
            .collect();
        // Factors from 2^−12 to 2^−9.
        let multipliers =
            (0..case.outputs()).map(|_| (1 << 30) + (draw.0.draw() & 0x3FFF_FFFF).cast_signed());
        let mut table: Vec<i32> = multipliers.collect();
        table.extend((0..case.outputs()).map(|o| -11 + (o % 3) as i32));
        let requant = Requant::new(&table, &bias, -7, [-100, 110]);
        let (x64, w64): (Vec<i64>, Vec<i64>) = (
            x.iter().map(|x| i64::from(*x) - i64::from(zero)).collect(),
            weight.iter().map(|w| i64::from(*w)).collect(),
        );
        let b64: Vec<i64> = bias.iter().map(|b| i64::from(*b)).collect();
        let sums = case.naive(&x64, &w64, &b64, |y, x, w| y + x * w);
        // To the layout of int8.
        let mut laid = vec![0; weight.len()];
        for tap in 0..case.geometry.taps() {
            for c in 0..case.group_inputs {
                for o in 0..case.outputs() {
                    let at = if case.is_depthwise() {
                        tap * case.outputs() + o
                    } else {
                        (o * case.geometry.taps() + tap) * case.group_inputs + c
                    };
                    laid[at] = weight[case.hwio(tap, c, o)];
                }
            }
        }
        let mut y = vec![0; sums.len()];
        let step = case.step(DType::I8);
        step.forward_i8::<{ super::form::ANY }>(&x, &laid, zero, &requant, &mut y);
        for (index, (y, sum)) in y.iter().zip(&sums).enumerate() {
            let channel = index % case.outputs();
            let sum = i32::try_from(*sum).unwrap();
            assert_eq!(*y, requant.apply(channel, sum), "{case:?}");
        }
    }
}

/// What one backward step changes.
struct Step<S> {
    x: Vec<S>,
    weight: Vec<S>,
    bias: Vec<S>,
}

/// A step with a learning rate of 1.
fn learn<S: Scalar>(
    case: &Case,
    x: &[S],
    weight: &[S],
    delta: &[S],
    below: Option<Activation>,
) -> Step<S> {
    let step = case.step(DType::F32);
    let mut rule = Rule::plain(1.0, Rounder::stochastic(5));
    let (mut x, mut weight) = (x.to_vec(), weight.to_vec());
    let mut bias = vec![S::ZERO; case.outputs()];
    // What nobody sets is no sum.
    let dirty = S::mul_acc(S::ZERO_ACC, S::ONE, S::ONE);
    let mut plane = vec![
        dirty;
        if below.is_some() {
            case.geometry.cells()
        } else {
            0
        }
    ];
    let update = Update::new(&mut weight, &mut [], &mut rule);
    let mut weights = Weights::Learning(update);
    let mut maps = Maps {
        x: &mut x,
        below,
        delta,
        plane: &mut plane,
    };
    step.backward(&mut maps, &mut weights);
    let mut update = Update::new(&mut bias, &mut [], &mut rule);
    backward_bias(&mut update, delta);
    Step { x, weight, bias }
}

#[test]
fn f32_gradients_are_the_documented_sums_to_the_bit() {
    for (mut draw, case) in cases(250) {
        let x = draw.values::<f32>(case.geometry.cells() * case.inputs());
        let weight = draw.values::<f32>(case.weights());
        let delta = draw.values::<f32>(case.geometry.pixels() * case.outputs());
        let found = learn(&case, &x, &weight, &delta, Some(Activation::None));
        let (mut delta_x, mut delta_w) = (vec![0.0f32; x.len()], vec![0.0f32; weight.len()]);
        let mut delta_b = vec![0.0f32; case.outputs()];
        for pixel in 0..case.geometry.pixels() {
            for (o, sum) in delta_b.iter_mut().enumerate() {
                *sum += delta[pixel * case.outputs() + o];
            }
            for tap in 0..case.geometry.taps() {
                let Some(cell) = case.geometry.cell(pixel, tap) else {
                    continue;
                };
                for channel in 0..case.inputs() {
                    let (group, c) = (channel / case.group_inputs, channel % case.group_inputs);
                    let mut dot = 0.0f32;
                    for o in group * case.group_outputs..(group + 1) * case.group_outputs {
                        let delta = delta[pixel * case.outputs() + o];
                        let at = case.hwio(tap, c, o);
                        dot += weight[at] * delta;
                        delta_w[at] += x[cell * case.inputs() + channel] * delta;
                    }
                    delta_x[cell * case.inputs() + channel] += dot;
                }
            }
        }
        for ((found, before), gradient) in found.weight.iter().zip(&weight).zip(&delta_w) {
            assert_eq!(*found, before - gradient, "{case:?}");
        }
        assert_eq!(found.x, delta_x, "{case:?}");
        let wanted: Vec<f32> = delta_b.iter().map(|sum| 0.0 - sum).collect();
        assert_eq!(found.bias, wanted);
        // Frozen, or with no gradient wanted.
        let step = case.step(DType::F32);
        let (mut frozen, mut plane) = (x.clone(), vec![f32::NAN; case.geometry.cells()]);
        let mut weights = Weights::Frozen(&weight);
        let mut maps = Maps {
            x: &mut frozen,
            below: Some(Activation::None),
            delta: &delta,
            plane: &mut plane,
        };
        step.backward(&mut maps, &mut weights);
        assert_eq!(frozen, delta_x);
        let last = learn(&case, &x, &weight, &delta, None);
        assert_eq!(last.x, x);
        assert_eq!(last.weight, found.weight);
    }
}

/// Central differences of Σ δ·y, in f64. y is linear in x and in W, so that they are exact but for f64's rounding; f32
/// sums of at most a few hundred terms of size 1 are within 1e-4 of that.
#[test]
fn gradients_are_finite_differences() {
    for (mut draw, case) in cases(60) {
        let x = draw.values::<f32>(case.geometry.cells() * case.inputs());
        let weight = draw.values::<f32>(case.weights());
        let delta = draw.values::<f32>(case.geometry.pixels() * case.outputs());
        let found = learn(&case, &x, &weight, &delta, Some(Activation::Tanh));
        let (x, weight, delta) = (wide(&x), wide(&weight), wide(&delta));
        let bias = vec![0.0; case.outputs()];
        let loss = |x: &[f64], weight: &[f64]| -> f64 {
            let y = case.naive(x, weight, &bias, |y, x, w| y + x * w);
            y.iter().zip(&delta).map(|(y, delta)| y * delta).sum()
        };
        let difference = |values: &[f64], index: usize, loss: &dyn Fn(&[f64]) -> f64| {
            let mut moved = values.to_vec();
            moved[index] += 0.5;
            let above = loss(&moved);
            moved[index] -= 1.0;
            above - loss(&moved)
        };
        for (index, found) in found.x.iter().enumerate() {
            let slope = difference(&x, index, &|x| loss(x, &weight));
            let wanted = slope * (1.0 - x[index] * x[index]);
            assert!((f64::from(*found) - wanted).abs() < 1e-4, "{case:?}");
        }
        for (index, found) in found.weight.iter().enumerate() {
            let slope = difference(&weight, index, &|weight| loss(&x, weight));
            let wanted = weight[index] - slope;
            assert!((f64::from(*found) - wanted).abs() < 1e-4, "{case:?}");
        }
    }
}

#[test]
fn q16_gradients_round_once() {
    for (mut draw, case) in cases(150) {
        let x = draw.values::<Q16>(case.geometry.cells() * case.inputs());
        let weight = draw.values::<Q16>(case.weights());
        let delta = draw.values::<Q16>(case.geometry.pixels() * case.outputs());
        let found = learn(&case, &x, &weight, &delta, Some(Activation::None));
        let (mut delta_x, mut new_weight) = (vec![0.0f64; x.len()], wide(&weight));
        let (x, weight, delta) = (wide(&x), wide(&weight), wide(&delta));
        case.each(|pixel, o, tap, c, at| {
            let delta = delta[pixel * case.outputs() + o];
            delta_x[at] += weight[case.hwio(tap, c, o)] * delta;
            new_weight[case.hwio(tap, c, o)] -= x[at] * delta;
        });
        for (found, wanted) in found.x.iter().zip(&delta_x) {
            assert!((found.to_num::<f64>() - wanted).abs() <= HALF, "{case:?}");
        }
        // The update rounds at random, up or down.
        for (found, wanted) in found.weight.iter().zip(&new_weight) {
            assert!(
                (found.to_num::<f64>() - wanted).abs() < 2.0 * HALF,
                "{case:?}"
            );
        }
    }
}

#[test]
fn layouts_and_groups_that_do_not_fit_are_refused() {
    let conv = Conv2d {
        weight: 0,
        bias: None,
        requant: None,
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 4,
        activation: Activation::None,
    };
    let input = Shape::map(5, 5, 4);
    // Depthwise in int8 has a layout of its own; the other is not taken for it.
    assert!(ConvStep::new(&conv, input, &tensor(&[1, 3, 3, 8], DType::I8)).is_some());
    assert!(ConvStep::new(&conv, input, &tensor(&[8, 3, 3, 1], DType::I8)).is_none());
    let outputs = |conv: &Conv2d, dims: &[usize], dtype| {
        ConvStep::new(conv, input, &tensor(dims, dtype)).map(|step| step.outputs)
    };
    assert_eq!(outputs(&conv, &[3, 3, 1, 8], DType::F32), Some(8));
    let two = Conv2d { groups: 2, ..conv };
    assert_eq!(outputs(&two, &[8, 3, 3, 2], DType::I8), Some(8));
    let sequence = Shape::new(&[9, 4]).unwrap();
    assert!(
        conv.output_shape(sequence, &tensor(&[3, 3, 1, 8], DType::F32))
            .is_none()
    );
    assert!(
        conv.output_shape(sequence, &tensor(&[1, 3, 1, 8], DType::F32))
            .is_some()
    );
}
