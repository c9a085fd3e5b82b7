//! Random dense layers of f32, one by one and upon each other, against loops in the order that the contract names: equal to
//! the bit.

use nn_core::kernels::{Layers, Link};
use nn_core::ops::Activation;
use nn_core::scalar::{Rounder, Scalar};

use super::{Outcome, Room, Trials};

/// The most layers of a chain.
const LAYERS: usize = 3;
/// In the gradient of a leaky ReLU.
const SLOPE: f32 = 0.25;

impl Trials {
    /// 1 to 20, and more often what has kernels of its own.
    fn size(&mut self) -> usize {
        match self.below(4) {
            0 => 8,
            1 => 16,
            _ => 1 + self.below(20),
        }
    }

    /// Between −1 and 1; one in four is 0, of either sign.
    fn number(&mut self) -> f32 {
        let drawn = self.rng.draw();
        match drawn & 7 {
            0 => 0.0,
            1 => -0.0,
            // 16 bits.
            _ => ((drawn >> 8) & 0xFFFF) as f32 / 32768.0 - 1.0,
        }
    }

    fn numbers(&mut self, values: &mut [f32]) {
        for value in values {
            *value = self.number();
        }
    }

    /// A chain forward and backward.
    pub fn chain(&mut self, room: &mut Room) -> Outcome {
        let count = 1 + self.below(LAYERS as u32);
        let mut sizes = [0; LAYERS + 1];
        for size in &mut sizes[..=count] {
            *size = self.size();
        }
        let pairs = || sizes[..=count].windows(2).map(|pair| [pair[0], pair[1]]);
        let weights: usize = pairs()
            .map(|[inputs, outputs]| (inputs + 1) * outputs)
            .sum();
        let total = weights + sizes.iter().sum::<usize>();
        if total > room.scratch.len() {
            return Outcome::Refused;
        }
        let none = Activation::None;
        let mut layers = [Layer::default(); LAYERS];
        let (mut weight, mut x, mut below) = (0, weights, None);
        for (index, ([inputs, outputs], layer)) in pairs().zip(&mut layers).enumerate() {
            let activation = match self.below(3) {
                _ if index + 1 == count => none,
                0 => none,
                1 => Activation::Relu,
                _ => Activation::LeakyRelu(SLOPE),
            };
            *layer = Layer {
                weight,
                x: [x, inputs],
                y: [x + inputs, outputs],
                activation,
                below,
            };
            weight += (inputs + 1) * outputs;
            (x, below) = (x + inputs, Some(activation));
        }
        let layers = &layers[..count];
        let links = core::array::from_fn(|index| layers.get(index).unwrap_or(&layers[0]).link());
        let links: [Link; LAYERS] = links;

        let memory: &mut [f32] = bytemuck::cast_slice_mut(&mut room.scratch[..total]);
        let naive: &mut [f32] = bytemuck::cast_slice_mut(&mut room.words[..total]);
        self.numbers(memory);
        naive.copy_from_slice(memory);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(memory);
        let Some(placed) = Layers::new(&links[..count], 4 * weights, bytes) else {
            return Outcome::Different(total);
        };
        let Some(mut entered) = placed.enter(bytes) else {
            return Outcome::Different(total);
        };
        entered.forward();
        for layer in layers {
            layer.forward(naive);
        }
        // Its numbers but for −0, which no gradient of a loss has.
        let delta = entered.outputs();
        let last = naive.len() - delta.len();
        if let Some(at) = difference(delta, &naive[last..]) {
            return Outcome::Different(at);
        }
        for delta in delta.iter_mut() {
            *delta = self.number() + 0.0;
        }
        naive[last..].copy_from_slice(delta);
        let rate = 0.5 + self.number() / 4.0;
        entered.backward(rate);
        for layer in layers.iter().rev() {
            layer.backward(naive, rate);
        }
        match difference(bytemuck::cast_slice(bytes), naive) {
            Some(at) => Outcome::Different(at),
            None => Outcome::Equal,
        }
    }

    /// A layer forward and backward, whose inputs may be what its activation never gives.
    pub fn rows(&mut self, room: &mut Room) -> Outcome {
        let [inputs, outputs] = [self.size(), self.size()];
        let total = (inputs + 1) * outputs + inputs + outputs;
        if total > room.scratch.len() {
            return Outcome::Refused;
        }
        let layer = Layer {
            weight: 0,
            x: [(inputs + 1) * outputs, inputs],
            y: [total - outputs, outputs],
            activation: Activation::None,
            below: match self.below(4) {
                0 => None,
                1 => Some(Activation::None),
                2 => Some(Activation::LeakyRelu(SLOPE)),
                _ => Some(Activation::Relu),
            },
        };
        let memory: &mut [f32] = bytemuck::cast_slice_mut(&mut room.scratch[..total]);
        let naive: &mut [f32] = bytemuck::cast_slice_mut(&mut room.words[..total]);
        self.numbers(memory);
        let at = layer.x[0] + self.below(inputs as u32);
        memory[at] = match self.below(6) {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            _ => self.number(),
        };
        naive.copy_from_slice(memory);
        let (weight, rest) = memory.split_at_mut(inputs * outputs);
        let (bias, rest) = rest.split_at_mut(outputs);
        let (x, y) = rest.split_at_mut(inputs);
        f32::vector_matrix(x, weight, bias, y);
        // Without the ReLU at its input, which a layer of a chain is.
        let plain = Layer {
            below: None,
            ..layer
        };
        plain.forward(naive);
        let last = total - outputs;
        if let Some(at) = difference(y, &naive[last..]) {
            return Outcome::Different(at);
        }
        self.numbers(y);
        naive[last..].copy_from_slice(y);
        let rate = 0.5 + self.number() / 4.0;
        let mut rounder = Rounder::NEAREST;
        f32::descend_rows(x, layer.below, weight, y, rate, &mut rounder);
        layer.backward(naive, rate);
        // The biases are not among the rows.
        naive[inputs * outputs..][..outputs].copy_from_slice(bias);
        match difference(memory, naive) {
            Some(at) => Outcome::Different(at),
            None => Outcome::Equal,
        }
    }
}

/// Where the first number lies that differs in a bit; one that is no number is as good as another.
fn difference(found: &[f32], wanted: &[f32]) -> Option<usize> {
    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    found.iter().zip(wanted).position(|pair| !same(pair))
}

/// A layer in naive loops; places are in numbers.
#[derive(Clone, Copy, Default)]
struct Layer {
    weight: usize,
    x: [usize; 2],
    y: [usize; 2],
    activation: Activation,
    below: Option<Activation>,
}

impl Layer {
    fn link(&self) -> Link {
        // Less than the room.
        let [x, y] = [self.x, self.y].map(|place| place.map(|number| number as u32));
        Link::new(self.weight as u32, x, y, self.activation, self.below)
    }

    fn bias(&self) -> usize {
        self.weight + self.x[1] * self.y[1]
    }

    fn forward(&self, numbers: &mut [f32]) {
        for output in 0..self.y[1] {
            let mut sum = numbers[self.bias() + output];
            for input in 0..self.x[1] {
                let x = numbers[self.x[0] + input];
                if x != 0.0 {
                    sum += x * numbers[self.weight + input * self.y[1] + output];
                }
            }
            let y = match self.activation {
                Activation::None => sum,
                Activation::Relu if sum > 0.0 => sum,
                Activation::Relu => 0.0,
                _ if sum > 0.0 => sum,
                _ => sum * SLOPE,
            };
            numbers[self.y[0] + output] = y;
        }
    }

    fn backward(&self, numbers: &mut [f32], rate: f32) {
        for input in 0..self.x[1] {
            let row = self.weight + input * self.y[1];
            let x = numbers[self.x[0] + input];
            let mut gradient = 0.0;
            for output in 0..self.y[1] {
                let delta = numbers[self.y[0] + output];
                gradient += numbers[row + output] * delta;
                if x != 0.0 {
                    numbers[row + output] -= (rate * x) * delta;
                }
            }
            numbers[self.x[0] + input] = match self.below {
                None => x,
                Some(Activation::None) => gradient,
                Some(Activation::Relu) if x > 0.0 => gradient,
                Some(Activation::Relu) => 0.0,
                Some(_) if x > 0.0 => gradient,
                Some(_) => gradient * SLOPE,
            };
        }
        for output in 0..self.y[1] {
            let delta = numbers[self.y[0] + output];
            numbers[self.bias() + output] -= rate * (0.0 + delta);
        }
    }
}
