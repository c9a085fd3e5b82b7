//! Backpropagation worked out by hand: every number of the slides, in f64, and by nn-core in f32 and Q16.

use nn_core::ops::Activation;
use nn_core::train::{Loss, Part, TrainSpec, Trainable};

use super::lab::{Lab, Net, Numbers};
use super::{Figure, ZooError};

const RATE: f64 = 0.5;

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// One input, one hidden and one output neuron, both sigmoid: w_h, b_h, w_o, b_o.
#[derive(Debug, Clone, Copy)]
struct Chain([f64; 4]);

impl Chain {
    const START: Self = Self([0.2, 0.1, 0.3, 0.2]);
    const X: f64 = 1.0;
    const Y: f64 = 0.8;

    /// One step down half the squared error. Each neuron's output goes through `keep` first: the slides round it.
    fn step(self, keep: impl Fn(f64) -> f64) -> Self {
        let Self([w_h, b_h, w_o, b_o]) = self;
        let h = keep(sigmoid(w_h * Self::X + b_h));
        let o = keep(sigmoid(w_o * h + b_o));
        let delta_o = (o - Self::Y) * o * (1.0 - o);
        let delta_h = delta_o * w_o * h * (1.0 - h);
        Self([
            w_h - RATE * delta_h * Self::X,
            b_h - RATE * delta_h,
            w_o - RATE * delta_o * h,
            b_o - RATE * delta_o,
        ])
    }
}

/// The slides compute with neurons' outputs of two digits, and give four: so does the first column here. nn-core, which
/// rounds nothing so early, is held to the same step in f64.
pub(super) fn one_one_one(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let to_two_digits = |y: f64| (y * 100.0).round() / 100.0;
    let Chain(slides) = Chain::START.step(to_two_digits);
    let Chain(exact) = Chain::START.step(|y| y);
    const NAMES: [&str; 4] = ["w_h", "b_h", "w_o", "b_o"];
    const DECK: [&str; 4] = ["0.2019", "0.1019", "0.3145", "0.2254"];
    let mut figures: Vec<Figure> = NAMES
        .iter()
        .zip(DECK)
        .zip(slides)
        .map(|((name, deck), ours)| Figure::rounded(format!("{name} as on the slide"), deck, ours))
        .collect();
    for numbers in Numbers::ALL {
        // Of one output the mean of squares is the square, and half of it is a loss that weighs a half.
        let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, RATE as f32 / 2.0);
        let mut net = lab.net("backprop-1-1-1", numbers, &[1], Some(spec), |builder, x| {
            let [w_h, b_h, w_o, b_o] = Chain::START.0.map(|w| w as f32);
            let h = builder.dense("hidden", x, &[w_h], &[b_h], Activation::Sigmoid)?;
            builder.dense("output", h, &[w_o], &[b_o], Activation::Sigmoid)
        })?;
        net.train(&[Chain::X as f32], &[Chain::Y as f32])?;
        for ((name, exact), ours) in NAMES.iter().zip(exact).zip(net.weights()?) {
            let name = format!("{}: {name}, against f64", numbers.name());
            figures.push(Figure::near(name, exact, ours, numbers.few_roundings()));
        }
        net.finish()?;
    }
    Ok(figures)
}

/// Two inputs, two hidden and two output neurons, all sigmoid: w1 to w8 in the order of the slides. The biases stay.
#[derive(Debug, Clone, Copy)]
struct Square([f64; 8]);

/// What a pass forward gives.
struct Pass {
    hidden: [f64; 2],
    output: [f64; 2],
    error: f64,
}

impl Square {
    const START: Self = Self([0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55]);
    const BIASES: [f64; 2] = [0.35, 0.60];
    const X: [f64; 2] = [0.05, 0.10];
    const Y: [f64; 2] = [0.01, 0.99];
    const STEPS: usize = 10_000;

    fn forward(&self) -> Pass {
        let [w1, w2, w3, w4, w5, w6, w7, w8] = self.0;
        let layer = |[a, b]: [f64; 2], x: [f64; 2], bias: f64| sigmoid(a * x[0] + b * x[1] + bias);
        let [first, second] = Self::BIASES;
        let hidden = [[w1, w2], [w3, w4]].map(|w| layer(w, Self::X, first));
        let output = [[w5, w6], [w7, w8]].map(|w| layer(w, hidden, second));
        let squares = [0, 1].map(|k| (Self::Y[k] - output[k]).powi(2) / 2.0);
        Pass {
            hidden,
            output,
            error: squares[0] + squares[1],
        }
    }

    /// ∂E/∂w1 to ∂E/∂w8.
    fn gradient(&self) -> [f64; 8] {
        self.gradient_through(self)
    }

    /// The same where the error comes to the hidden layer through the weights of `above`.
    fn gradient_through(&self, above: &Self) -> [f64; 8] {
        let [.., w5, w6, w7, w8] = above.0;
        let Pass { hidden, output, .. } = self.forward();
        let slope = |y: f64| y * (1.0 - y);
        let d = [0, 1].map(|k| (output[k] - Self::Y[k]) * slope(output[k]));
        let below = [d[0] * w5 + d[1] * w7, d[0] * w6 + d[1] * w8];
        let e = [0, 1].map(|k| below[k] * slope(hidden[k]));
        let [x1, x2] = Self::X;
        let [h1, h2] = hidden;
        [
            e[0] * x1,
            e[0] * x2,
            e[1] * x1,
            e[1] * x2,
            d[0] * h1,
            d[0] * h2,
            d[1] * h1,
            d[1] * h2,
        ]
    }

    /// One step down the gradient.
    fn step(&self) -> Self {
        self.less(self.gradient())
    }

    /// One step in which the output layer learns first, and the hidden layer sees what it has become.
    fn step_in_turn(&self) -> Self {
        self.less(self.gradient_through(&self.step()))
    }

    fn less(&self, gradient: [f64; 8]) -> Self {
        Self(std::array::from_fn(|index| {
            self.0[index] - RATE * gradient[index]
        }))
    }

    /// After so many steps.
    fn after(steps: usize, step: impl Fn(&Self) -> Self) -> Self {
        (0..steps).fold(Self::START, |square, _| step(&square))
    }

    /// The same in nn-core. Half the sum of two squares is their mean.
    fn net(lab: &mut Lab, numbers: Numbers) -> Result<Net, ZooError> {
        let mut spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, RATE as f32);
        spec = spec.with_part(Part::Weight);
        lab.net("backprop-2-2-2", numbers, &[2], Some(spec), |builder, x| {
            let [w1, w2, w3, w4, w5, w6, w7, w8] = Self::START.0.map(|w| w as f32);
            let [first, second] = Self::BIASES.map(|b| b as f32);
            // Rows are inputs.
            let weights = [w1, w3, w2, w4];
            let h = builder.dense("hidden", x, &weights, &[first; 2], Activation::Sigmoid)?;
            let weights = [w5, w7, w6, w8];
            builder.dense("output", h, &weights, &[second; 2], Activation::Sigmoid)
        })
    }
}

/// Each weight after one step.
const STEPPED: [&str; 8] = [
    "0.149780716",
    "0.19956143",
    "0.24975114",
    "0.29950229",
    "0.35891648",
    "0.408666186",
    "0.511301270",
    "0.561370121",
];
/// The error after a step, the outputs after 10,000, and the last error.
const ERROR: &str = "0.291027924";
const OUTPUTS: [&str; 2] = ["0.015912196", "0.984065734"];
const LAST_ERROR: &str = "3.51085e-5";
/// Where nn-core keeps w1 to w8.
const PLACES: [usize; 8] = [0, 2, 1, 3, 4, 6, 5, 7];

/// The slides' figures come from two programs. Each weight after a step, and the last error, are those of the gradient; the
/// error after a step and the last outputs are those of a hidden layer that sees the output layer's new weights, which the
/// same slides warn of. The last error is the one that the 10,000th step still sees. nn-core goes down the gradient.
pub(super) fn two_two_two(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let start = Square::START;
    let Pass { output, error, .. } = start.forward();
    let mut figures = vec![
        Figure::rounded("E", "0.298371109", error),
        Figure::rounded("out_o1", "0.75136507", output[0]),
        Figure::rounded("out_o2", "0.772928465", output[1]),
        Figure::rounded("∂E/∂w5", "0.082167041", start.gradient()[4]),
    ];
    let one = start.step();
    for (index, (deck, ours)) in STEPPED.into_iter().zip(one.0).enumerate() {
        let name = format!("w{} after a step", index + 1);
        figures.push(Figure::rounded(name, deck, ours));
    }
    let in_turn = start.step_in_turn().forward();
    let name = "E after a step, layers in turn";
    figures.push(Figure::rounded(name, ERROR, in_turn.error));
    let last = Square::after(Square::STEPS, Square::step_in_turn).forward();
    for (index, (deck, ours)) in OUTPUTS.into_iter().zip(last.output).enumerate() {
        let name = format!("out_o{} after 10,000 steps, layers in turn", index + 1);
        figures.push(Figure::rounded(name, deck, ours));
    }
    let before_last = Square::after(Square::STEPS - 1, Square::step);
    let name = "E in the 10,000th step";
    figures.push(Figure::rounded(
        name,
        LAST_ERROR,
        before_last.forward().error,
    ));
    let exact = [one.forward(), before_last.step().forward()];
    for numbers in Numbers::ALL {
        by_nn_core(lab, numbers, &exact, &mut figures)?;
    }
    Ok(figures)
}

/// A slide's figure, and nn-core's: within the precision of its numbers of what f64 makes by the same rule, `exact`.
fn against(name: String, deck: &str, exact: f64, ours: f64, precision: f64) -> Figure {
    let deck = deck.parse().unwrap_or(f64::NAN);
    Figure::near(name, deck, ours, precision + (deck - exact).abs())
}

/// The same by nn-core, as near as its numbers allow; `exact` after one step and after all.
fn by_nn_core(
    lab: &mut Lab,
    numbers: Numbers,
    exact: &[Pass; 2],
    figures: &mut Vec<Figure>,
) -> Result<(), ZooError> {
    let of = numbers.name();
    let few = numbers.few_roundings();
    let [first, last] = exact;
    let start = Square::START.forward();
    let mut net = Square::net(lab, numbers)?;
    let (x, y) = (Square::X.map(|x| x as f32), Square::Y.map(|y| y as f32));
    let output = net.run(&x)?;
    let decks = ["0.75136507", "0.772928465"];
    for (index, (deck, ours)) in decks.into_iter().zip(output).enumerate() {
        let name = format!("{of}: out_o{}", index + 1);
        figures.push(against(name, deck, start.output[index], ours, few));
    }
    let error = net.train(&x, &y)?;
    figures.push(against(
        format!("{of}: E"),
        "0.298371109",
        start.error,
        error,
        few,
    ));
    let weights = net.weights()?;
    let one = Square::START.step();
    for (index, (deck, place)) in STEPPED.into_iter().zip(PLACES).enumerate() {
        let name = format!("{of}: w{} after a step", index + 1);
        figures.push(against(name, deck, one.0[index], weights[place], few));
    }
    let error = net.train(&x, &y)?;
    let name = format!("{of}: E after a step");
    figures.push(against(name, ERROR, first.error, error, few));
    let progress = lab.progress(of, Square::STEPS as u64);
    for _ in 2..Square::STEPS {
        net.train(&x, &y)?;
        progress.inc(1);
    }
    progress.finish();
    // At the end an output's error of 0.006 comes back as a gradient of 0.0001: seven steps of Q16, each of which counts half
    // a step more or less.
    let precision = match numbers {
        Numbers::F32 => 1e-6,
        Numbers::Q16 => 0.006 / 14.0,
    };
    let output = net.run(&x)?;
    let mut error = 0.0;
    for (index, (deck, ours)) in OUTPUTS.into_iter().zip(output).enumerate() {
        let name = format!("{of}: out_o{} after 10,000 steps", index + 1);
        figures.push(against(name, deck, last.output[index], ours, precision));
        error += (Square::Y[index] - ours).powi(2) / 2.0;
    }
    // dE = (error of an output) · d(output), of both.
    let name = format!("{of}: E after 10,000 steps");
    let precision = 2.0 * 0.006 * precision;
    figures.push(against(name, LAST_ERROR, last.error, error, precision));
    net.finish()
}
