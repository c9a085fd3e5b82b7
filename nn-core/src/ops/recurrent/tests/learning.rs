//! A recurrent layer under a dense one learns: a forecast, and to remember.

use super::*;
use crate::ops::dense;
use crate::scalar::Q16;

/// A recurrent layer that hands its last h to a dense layer, trained at batch 1 by plain descent.
struct Network<S: Scalar> {
    kind: Kind,
    walk: Walk,
    layer: Numbers<S>,
    weight: Vec<S>,
    bias: Vec<S>,
    rate: f32,
    rule: Rule<S>,
}

impl<S: Scalar> Network<S> {
    fn new(kind: Kind, walk: Walk, outputs: usize, rate: f32, keep: f64) -> Self {
        let mut draw = Draw::new(1);
        let mut layer = draw.layer(kind, &walk);
        layer.state.fill(0.0);
        layer.bias.fill(0.0);
        layer.recurrent_bias.fill(0.0);
        let scale = 1.0 / (walk.units as f64).sqrt();
        for values in [&mut layer.kernel, &mut layer.recurrent] {
            values.iter_mut().for_each(|v| *v *= scale / 0.8);
        }
        if !matches!(kind, Kind::Rnn(_)) {
            // How little it forgets at first: f of the LSTM, z of the GRU.
            layer.bias[walk.units..][..walk.units].fill(keep);
        }
        let narrow = |v: f64| S::from_f32(v as f32);
        let weight = draw.values(walk.units * outputs, scale);
        Self {
            kind,
            walk,
            layer: layer.map(narrow),
            weight: weight.into_iter().map(narrow).collect(),
            bias: vec![S::ZERO; outputs],
            rate,
            rule: Rule::plain(rate, Rounder::stochastic(5)),
        }
    }

    fn predict(&mut self, x: &[S]) -> Vec<S> {
        self.layer.x = x.to_vec();
        let (h, _) = infer(self.kind, &self.walk, &self.layer);
        let mut y = vec![S::ZERO; self.bias.len()];
        dense::forward(&h, &self.weight, &self.bias, Activation::None, &mut y);
        y
    }

    /// One step; `delta` makes the gradient at the output of the output.
    fn learn(&mut self, x: &[S], delta: impl Fn(&mut [S])) {
        let mut y = self.predict(x);
        delta(&mut y);
        let (mut h, _) = infer(self.kind, &self.walk, &self.layer);
        let weight = Update::new(&mut self.weight, &mut [], &mut self.rule);
        let mut weight = Weights::Learning(weight);
        dense::backward(&mut h, Some(Activation::None), &mut weight, &y);
        dense::backward_bias(
            &mut Update::new(&mut self.bias, &mut [], &mut self.rule),
            &y,
        );
        let (kind, walk, rate) = (self.kind, &self.walk, self.rate);
        let (_, after) = train(kind, walk, &self.layer, &h, None, ALL, rate);
        self.layer = Numbers {
            state: self.layer.state.clone(),
            ..after
        };
    }
}

/// The mean squared error of the next value of a sine of random phase, after learning.
fn sine_error<S: Scalar>(kind: Kind) -> f64 {
    const STEPS: usize = 12;
    let walk = Walk {
        steps: STEPS,
        inputs: 1,
        units: 8,
        whole: false,
        ..PLAIN
    };
    let mut network = Network::<S>::new(kind, walk, 1, 0.05, 0.0);
    let mut draw = Draw::new(99);
    let mut sample = move || -> (Vec<S>, S) {
        let phase = draw.values(1, core::f64::consts::PI)[0];
        let wave = |t: usize| S::from_f32((phase + 0.5 * t as f64).sin() as f32);
        ((0..STEPS).map(wave).collect(), wave(STEPS))
    };
    for _ in 0..2000 {
        let (x, target) = sample();
        network.learn(&x, |y| y[0] = y[0].sub(target));
    }
    let mut error = 0.0;
    for _ in 0..100 {
        let (x, target) = sample();
        let y = network.predict(&x)[0];
        error += f64::from(y.sub(target).to_f32()).powi(2) / 100.0;
    }
    error
}

/// How many of 100 symbols are told right, `steps` − 1 steps after they were shown.
fn recalled<S: Scalar>(kind: Kind, steps: usize) -> usize {
    const SYMBOLS: usize = 4;
    let walk = Walk {
        steps,
        // The symbols, and one that means nothing.
        inputs: SYMBOLS + 1,
        units: 12,
        whole: false,
        ..PLAIN
    };
    let mut network = Network::<S>::new(kind, walk, SYMBOLS, 0.2, 2.0);
    let mut draw = Draw::new(77);
    let mut sample = move || -> (Vec<S>, usize) {
        let symbol = draw.0.draw() as usize % SYMBOLS;
        let mut x = vec![S::ZERO; steps * (SYMBOLS + 1)];
        x[symbol] = S::ONE;
        for row in x.chunks_mut(SYMBOLS + 1).skip(1) {
            row[SYMBOLS] = S::ONE;
        }
        (x, symbol)
    };
    for _ in 0..3000 {
        let (x, symbol) = sample();
        network.learn(&x, |y| {
            S::softmax(y);
            y[symbol] = y[symbol].sub(S::ONE);
        });
    }
    let tell = |_| {
        let (x, symbol) = sample();
        let y = network.predict(&x);
        let told = (0..SYMBOLS).max_by(|a, b| y[*a].partial_cmp(&y[*b]).unwrap());
        told == Some(symbol)
    };
    (0..100).map(tell).filter(|right| *right).count()
}

#[test]
fn each_cell_forecasts_a_sine() {
    for kind in KINDS {
        // Their power is 0.5, and the last value differs from the next by 0.12 in the mean of squares.
        let errors = [sine_error::<f32>(kind), sine_error::<Q16>(kind)];
        assert!(
            errors.iter().all(|error| *error < 0.001),
            "{kind:?}: {errors:?}"
        );
    }
}

#[test]
fn each_cell_remembers() {
    for (kind, steps) in KINDS.into_iter().zip([5, 3, 10, 10, 10]) {
        let right = [recalled::<f32>(kind, steps), recalled::<Q16>(kind, steps)];
        // By chance 25.
        assert!(
            right.iter().all(|right| *right >= 99),
            "{kind:?}: {right:?}"
        );
    }
}
