use std::vec;
use std::vec::Vec;

use super::*;
use crate::ops::Activation;
use crate::ops::argmax::packed;
use crate::ops::draw::{Draw, Geometry, tensor, wide};
use crate::scalar::Rounder;
use crate::train::{Rule, Update};

/// A layer of any geometry.
#[derive(Debug)]
struct Case {
    geometry: Geometry,
    groups: usize,
    group_inputs: usize,
    group_outputs: usize,
    pool: [usize; 2],
}

impl Case {
    /// All ranks; runs of every length that the kernels tell apart; windows of one, four and more cells.
    fn draw(draw: &mut Draw, seed: u32) -> Self {
        let geometry = Geometry::draw(draw, 2 + seed as usize % 3, seed.is_multiple_of(4));
        let (groups, group_inputs) = match draw.size(0, 3) {
            0 | 1 => (1, draw.size(1, 9)),
            2 => (draw.size(2, 3), draw.size(2, 3)),
            _ => (draw.size(2, 9), 1),
        };
        let pool = geometry
            .output
            .map(|cells| draw.size(1, 3).min(cells.max(1)));
        Self {
            geometry,
            groups,
            group_inputs,
            group_outputs: draw.size(1, 3),
            pool,
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

    fn step(&self) -> PooledStep {
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
        let dims = [height, width, self.group_inputs, self.outputs()];
        let weight = tensor(&dims, DType::F32);
        let input = geometry.x_shape(self.inputs());
        let pool = self.pool.map(|cells| cells as u8);
        let layer = ConvPool2d { conv, pool };
        let shape = layer.output_shape(input, &weight).unwrap();
        assert_eq!(shape.elements(), Some(self.numbers()), "{self:?}");
        PooledStep {
            conv: ConvStep::new(&conv, input, &weight).unwrap(),
            pool,
        }
    }

    /// Rows and columns of the output.
    fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.geometry.output[axis] / self.pool[axis])
    }

    fn cells(&self) -> usize {
        let [height, width] = self.output();
        self.geometry.frames * height * width
    }

    /// Numbers of the output.
    fn numbers(&self) -> usize {
        self.cells() * self.outputs()
    }

    /// The pixel of the convolution that is tap `tap` of output cell `cell`.
    fn pixel(&self, cell: usize, tap: usize) -> usize {
        let [height, width] = self.output();
        let (frame, row, column) = (cell / width / height, cell / width % height, cell % width);
        let row = row * self.pool[0] + tap / self.pool[1];
        let column = column * self.pool[1] + tap % self.pool[1];
        (frame * self.geometry.output[0] + row) * self.geometry.output[1] + column
    }

    /// Calls `each(input number, weight, place among the weights of an output)` for what output `o` of a pixel sees, in
    /// the documented order.
    fn each(&self, pixel: usize, o: usize, mut each: impl FnMut(usize, usize)) {
        for tap in 0..self.geometry.taps() {
            let Some(cell) = self.geometry.cell(pixel, tap) else {
                continue;
            };
            for c in 0..self.group_inputs {
                let channel = o / self.group_outputs * self.group_inputs + c;
                let weight = (tap * self.group_inputs + c) * self.outputs() + o;
                each(cell * self.inputs() + channel, weight);
            }
        }
    }
}

fn cases(count: u32) -> impl Iterator<Item = (Draw, Case)> {
    (0..count).map(|seed| {
        let mut draw = Draw::new(seed ^ 0xC0);
        let case = Case::draw(&mut draw, seed);
        (draw, case)
    })
}

/// Output and winners.
fn forward<S: Scalar>(
    case: &Case,
    layer: (&[S], &[S], &[S]),
    activation: Activation,
) -> (Vec<S>, Vec<u8>) {
    let step = case.step();
    let mut row = vec![S::MIN; step.row() + 3];
    let mut y = vec![S::MIN; case.numbers()];
    let taps = case.pool[0] * case.pool[1];
    let mut argmax = vec![0xFF; argmax_bytes(y.len(), taps)];
    let (x, weight, bias) = layer;
    let mut run = |y: &mut [S], argmax: &mut [u8]| {
        let layer = Layer {
            x,
            weight,
            bias,
            activation,
        };
        let mut prepared = Prepared {
            layer,
            row: &mut row,
            y,
            argmax,
        };
        step.forward(&mut prepared);
    };
    run(&mut y, &mut argmax);
    // Winners change nothing.
    let mut inferred = vec![S::MIN; y.len()];
    run(&mut inferred, &mut []);
    assert_eq!(inferred, y);
    (y, argmax)
}

/// What the convolution gives, and then the first of the largest of each window: nothing rounds in between.
fn check_forward<S: Scalar>() {
    for (mut draw, case) in cases(300) {
        let x = draw.values::<S>(case.geometry.cells() * case.inputs());
        let weight = draw.values::<S>(case.weights());
        let bias = draw.values::<S>(case.outputs());
        for activation in [Activation::Relu, Activation::Tanh] {
            let (y, argmax) = forward(&case, (&x, &weight, &bias), activation);
            let mut conv = vec![S::ZERO; case.geometry.pixels() * case.outputs()];
            let step = case.step().conv;
            step.forward(&x, &weight, &bias, activation, &mut conv);
            let taps = case.pool[0] * case.pool[1];
            for (index, y) in y.iter().enumerate() {
                let (cell, o) = (index / case.outputs(), index % case.outputs());
                let values = (0..taps).map(|tap| conv[case.pixel(cell, tap) * case.outputs() + o]);
                let values: Vec<S> = values.collect();
                let mut winner = 0;
                for tap in 1..taps {
                    if values[tap] > values[winner] {
                        winner = tap;
                    }
                }
                assert_eq!(*y, values[winner], "{case:?}");
                let found = packed(&argmax, argmax_bits(taps), index);
                assert_eq!(found, winner, "{case:?}");
            }
        }
    }
}

#[test]
fn forward_is_the_convolution_and_the_first_of_the_largest() {
    check_forward::<f32>();
    check_forward::<Q16>();
}

/// x and weights after a step with a learning rate of 1.
fn learn<S: Scalar>(
    case: &Case,
    (x, weight, delta, argmax): (&[S], &[S], &[S], &[u8]),
    below: Option<Activation>,
    learns: bool,
) -> (Vec<S>, Vec<S>) {
    let step = case.step();
    let mut rule = Rule::plain(1.0, Rounder::stochastic(5));
    let (mut x, mut learnt) = (x.to_vec(), weight.to_vec());
    let inputs = if below.is_some() { x.len() } else { 0 };
    let weights = step.weights_of_one();
    let acc = size_of::<S::Acc>();
    // What nobody sets is no sum. Eights: a buffer is aligned to them, and rounded up.
    let bytes = (weights + inputs) * acc + weights * size_of::<S>();
    let mut room = vec![0xA5A5_A5A5_A5A5_A5A5u64; bytes.div_ceil(8)];
    let room = bytemuck::cast_slice_mut(&mut room);
    let mut scratch = Scratch::carve(room, weights, inputs, learns).unwrap();
    let mut weights = if learns {
        Weights::Learning(Update::new(&mut learnt, &mut [], &mut rule))
    } else {
        Weights::Frozen(weight)
    };
    step.backward(&mut x, below, (delta, argmax), &mut weights, &mut scratch);
    (x, learnt)
}

#[test]
fn f32_gradients_are_the_documented_sums_to_the_bit() {
    for (mut draw, case) in cases(300) {
        let x = draw.values::<f32>(case.geometry.cells() * case.inputs());
        let weight = draw.values::<f32>(case.weights());
        let delta = draw.values::<f32>(case.numbers());
        let bias = draw.values::<f32>(case.outputs());
        let (_, argmax) = forward(&case, (&x, &weight, &bias), Activation::None);
        let taps = case.pool[0] * case.pool[1];
        let (mut delta_x, mut delta_w) = (vec![0.0f32; x.len()], vec![0.0f32; weight.len()]);
        for o in 0..case.outputs() {
            for cell in 0..case.cells() {
                let index = cell * case.outputs() + o;
                let winner = packed(&argmax, argmax_bits(taps), index);
                case.each(case.pixel(cell, winner), o, |x_at, w_at| {
                    delta_w[w_at] += x[x_at] * delta[index];
                    delta_x[x_at] += weight[w_at] * delta[index];
                });
            }
        }
        let wanted: Vec<f32> = weight.iter().zip(&delta_w).map(|(w, g)| w - g).collect();
        let layer = (&x[..], &weight[..], &delta[..], &argmax[..]);
        let below = Some(Activation::None);
        assert_eq!(
            learn(&case, layer, below, true),
            (delta_x.clone(), wanted.clone()),
            "{case:?}"
        );
        // Frozen, or with no gradient wanted.
        assert_eq!(learn(&case, layer, below, false), (delta_x, weight.clone()));
        assert_eq!(learn(&case, layer, None, true), (x.clone(), wanted));
        assert_eq!(
            learn(&case, layer, None, false),
            (x.clone(), weight.clone())
        );
    }
}

/// Half a unit in the last place: products and sums of the values drawn are exact, and one rounding follows.
const HALF: f64 = 0.5 / 65536.0;

#[test]
fn q16_gradients_round_once() {
    for (mut draw, case) in cases(150) {
        let x = draw.values::<Q16>(case.geometry.cells() * case.inputs());
        let weight = draw.values::<Q16>(case.weights());
        let delta = draw.values::<Q16>(case.numbers());
        let bias = draw.values::<Q16>(case.outputs());
        let (_, argmax) = forward(&case, (&x, &weight, &bias), Activation::None);
        let layer = (&x[..], &weight[..], &delta[..], &argmax[..]);
        let (found_x, found_w) = learn(&case, layer, Some(Activation::None), true);
        let taps = case.pool[0] * case.pool[1];
        let (x, weight, delta) = (wide(&x), wide(&weight), wide(&delta));
        let (mut delta_x, mut new_weight) = (vec![0.0f64; x.len()], weight.clone());
        for (index, delta) in delta.iter().enumerate() {
            let (cell, o) = (index / case.outputs(), index % case.outputs());
            let winner = packed(&argmax, argmax_bits(taps), index);
            case.each(case.pixel(cell, winner), o, |x_at, w_at| {
                new_weight[w_at] -= x[x_at] * delta;
                delta_x[x_at] += weight[w_at] * delta;
            });
        }
        for (found, wanted) in wide(&found_x).iter().zip(&delta_x) {
            assert!((found - wanted).abs() <= HALF, "{case:?}");
        }
        // The update rounds at random, up or down.
        for (found, wanted) in wide(&found_w).iter().zip(&new_weight) {
            assert!((found - wanted).abs() < 2.0 * HALF, "{case:?}");
        }
    }
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let conv = Conv2d {
        weight: 0,
        bias: None,
        requant: None,
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
        activation: Activation::None,
    };
    let shape = |pool, dims: &[usize]| {
        let input = Shape::new(dims).unwrap();
        let weight = tensor(&[1, 1, 2, 3], DType::F32);
        ConvPool2d { conv, pool }.output_shape(input, &weight)
    };
    assert_eq!(shape([2, 3], &[5, 7, 2]), Shape::new(&[2, 2, 3]));
    assert_eq!(shape([2, 3], &[4, 5, 7, 2]), Shape::new(&[4, 2, 2, 3]));
    assert_eq!(shape([1, 3], &[7, 2]), Shape::new(&[2, 3]));
    assert_eq!(shape([2, 3], &[7, 2]), None);
    assert_eq!(shape([6, 1], &[5, 7, 2]), None);
    assert_eq!(shape([0, 1], &[5, 7, 2]), None);
    assert_eq!(shape([1, 0], &[5, 7, 2]), None);
}
