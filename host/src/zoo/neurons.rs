//! Single neurons, and what a few of them compute together.

use std::collections::BTreeSet;

use nn_core::ops::Activation;
use nn_core::train::{Loss, TrainSpec, Trainable};

use super::lab::{Lab, Net, Numbers};
use super::{Figure, ZooError};

/// The inputs of a function of two bits, in the order of the slides.
const BITS: [[f32; 2]; 4] = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];

const AND: [f64; 4] = [0.0, 0.0, 0.0, 1.0];
const OR: [f64; 4] = [0.0, 1.0, 1.0, 1.0];
const XOR: [f64; 4] = [0.0, 1.0, 1.0, 0.0];
const XNOR: [f64; 4] = [1.0, 0.0, 0.0, 1.0];

/// A neuron of two inputs: their weights, and the bias.
type Neuron = [f32; 3];

const AND_NEURON: Neuron = [2.0, 2.0, -3.0];
const OR_NEURON: Neuron = [2.0, 2.0, -1.0];
const NAND_NEURON: Neuron = [-2.0, -2.0, 3.0];
const NOR_NEURON: Neuron = [-2.0, -2.0, 1.0];

/// 1 for true.
fn bit(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// A figure for each row of a table of bits.
fn table(
    name: &str,
    net: &mut Net,
    wanted: [f64; 4],
    figures: &mut Vec<Figure>,
) -> Result<(), ZooError> {
    for (x, wanted) in BITS.iter().zip(wanted) {
        let y = net.run(x)?[0];
        figures.push(Figure::exact(
            format!("{name} ({}, {})", x[0], x[1]),
            wanted,
            y,
        ));
    }
    Ok(())
}

/// McCulloch and Pitts' neuron: 1 where the weighted sum reaches the threshold, else 0.
pub(super) fn neuron(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let mut figures = Vec::new();
    for numbers in Numbers::ALL {
        for (name, [a, b, bias], wanted) in [("AND", AND_NEURON, AND), ("OR", OR_NEURON, OR)] {
            let mut net = lab.net(name, numbers, &[2], None, |builder, x| {
                builder.dense(name, x, &[a, b], &[bias], Activation::Step)
            })?;
            let name = format!("{}: {name}", numbers.name());
            table(&name, &mut net, wanted, &mut figures)?;
            net.finish()?;
        }
        let mut net = lab.net("NOT", numbers, &[1], None, |builder, x| {
            builder.dense("NOT", x, &[-2.0], &[1.0], Activation::Step)
        })?;
        for (x, wanted) in [(0.0, 1.0), (1.0, 0.0)] {
            let name = format!("{}: NOT {x}", numbers.name());
            figures.push(Figure::exact(name, wanted, net.run(&[x])?[0]));
        }
        net.finish()?;
    }
    Ok(figures)
}

/// The rate of the perceptron's rule.
const RATE: f32 = 0.5;

/// Passes over the four samples before one gives up.
const PASSES: usize = 50;

/// What a perceptron learnt.
struct Learnt {
    /// Passes until one made no mistake; `None` where none did.
    passes: Option<usize>,
    /// Two weights and the bias.
    weights: Vec<f64>,
    /// Of the four rows, those that are right at the end.
    right: usize,
}

/// Rosenblatt's rule, Δw = η (t − ŷ) x, from `start`, over the samples in `order`.
///
/// nn-core takes it as a step of gradient descent of the neuron before its threshold: with z that sum and the squared error
/// (z − target)², whose slope is 2 (z − target), the target z − (ŷ − t) / 2 makes the slope ŷ − t. All numbers are
/// multiples of a quarter, so that every sum is exact.
fn teach(
    lab: &mut Lab,
    numbers: Numbers,
    start: Neuron,
    order: [usize; 4],
    wanted: [f64; 4],
) -> Result<Learnt, ZooError> {
    let [a, b, bias] = start;
    let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, RATE);
    let mut net = lab.net("perceptron", numbers, &[2], Some(spec), |builder, x| {
        builder.dense("sum", x, &[a, b], &[bias], Activation::None)
    })?;
    let step = |z: f64| bit(z >= 0.0);
    let mut passes = None;
    for pass in 1..=PASSES {
        let mut mistakes = 0;
        for index in order {
            let z = net.run(&BITS[index])?[0];
            let error = step(z) - wanted[index];
            if error != 0.0 {
                mistakes += 1;
                // Exact: see above.
                net.train(&BITS[index], &[(z - error / 2.0) as f32])?;
            }
        }
        if mistakes == 0 {
            passes = Some(pass);
            break;
        }
    }
    let mut right = 0;
    for (x, wanted) in BITS.iter().zip(wanted) {
        right += usize::from(step(net.run(x)?[0]) == wanted);
    }
    let weights = net.weights()?;
    net.finish()?;
    Ok(Learnt {
        passes,
        weights,
        right,
    })
}

/// The perceptron's rule learns what a line divides, one of many solutions by start and order, and nothing else.
pub(super) fn perceptron(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    const STARTS: [Neuron; 2] = [[0.0; 3], [-1.5, 1.0, 0.5]];
    const ORDERS: [[usize; 4]; 2] = [[0, 1, 2, 3], [3, 2, 1, 0]];
    let mut figures = Vec::new();
    for numbers in Numbers::ALL {
        let of = numbers.name();
        // NOT, of the first input.
        let not = [1.0, 1.0, 0.0, 0.0];
        for (name, wanted) in [("AND", AND), ("OR", OR), ("NOT", not)] {
            let mut solutions = BTreeSet::new();
            for start in STARTS {
                for order in ORDERS {
                    let learnt = teach(lab, numbers, start, order, wanted)?;
                    let name = format!("{of}: {name}, rows right, from {start:?} by {order:?}");
                    figures.push(Figure::exact(name, 4.0, learnt.right as f64));
                    let text = learnt.weights.iter().map(f64::to_string);
                    solutions.insert(text.collect::<Vec<_>>().join(" "));
                }
            }
            // The slides say that there are several, and name what they depend on.
            let differ = bit(solutions.len() > 1);
            figures.push(Figure::exact(
                format!("{of}: {name}, solutions differ"),
                1.0,
                differ,
            ));
        }
        let learnt = teach(lab, numbers, STARTS[0], ORDERS[0], XOR)?;
        let converges = bit(learnt.passes.is_some());
        figures.push(Figure::exact(
            format!("{of}: XOR, converges within {PASSES} passes"),
            0.0,
            converges,
        ));
    }
    Ok(figures)
}

/// Two neurons, and one that reads them.
fn three(
    lab: &mut Lab,
    name: &str,
    numbers: Numbers,
    [first, second, last]: [Neuron; 3],
    activation: Activation,
) -> Result<Net, ZooError> {
    lab.net(name, numbers, &[2], None, |builder, x| {
        let weights = [first[0], second[0], first[1], second[1]];
        let biases = [first[2], second[2]];
        let hidden = builder.dense("hidden", x, &weights, &biases, activation)?;
        let [a, b, bias] = last;
        builder.dense("output", hidden, &[a, b], &[bias], activation)
    })
}

/// Three step neurons: AND and NOR under a NOR; OR and NAND under an AND.
pub(super) fn xor(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let mut figures = Vec::new();
    for numbers in Numbers::ALL {
        for (name, neurons) in [
            ("AND, NOR, NOR", [AND_NEURON, NOR_NEURON, NOR_NEURON]),
            ("OR, NAND, AND", [OR_NEURON, NAND_NEURON, AND_NEURON]),
        ] {
            let mut net = three(lab, "xor", numbers, neurons, Activation::Step)?;
            let name = format!("{}: {name}", numbers.name());
            table(&name, &mut net, XOR, &mut figures)?;
            net.finish()?;
        }
    }
    Ok(figures)
}

/// Sigmoid units: AND and NOR under an OR.
///
/// The slides take f(5) for 1 and f(−5) for 0, so the table is of outputs of at least a half.
pub(super) fn xnor(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    const UNITS: [Neuron; 3] = [
        [15.0, 15.0, -20.0],
        [-10.0, -10.0, 5.0],
        [20.0, 20.0, -15.0],
    ];
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let mut figures = Vec::new();
    for numbers in Numbers::ALL {
        let mut net = three(lab, "xnor", numbers, UNITS, Activation::Sigmoid)?;
        for (x, wanted) in BITS.iter().zip(XNOR) {
            let of = format!("{}: ({}, {})", numbers.name(), x[0], x[1]);
            let y = net.run(x)?[0];
            let is_one = bit(y >= 0.5);
            figures.push(Figure::exact(format!("{of} is 1"), wanted, is_one));
            let unit = |[a, b, bias]: Neuron, x: [f64; 2]| {
                sigmoid(f64::from(a) * x[0] + f64::from(b) * x[1] + f64::from(bias))
            };
            let x = x.map(f64::from);
            let exact = unit(UNITS[2], [unit(UNITS[0], x), unit(UNITS[1], x)]);
            // The last unit multiplies errors of the first two by at most 20 / 4 each.
            let within = 16.0 * numbers.few_roundings();
            figures.push(Figure::near(format!("{of}, against f64"), exact, y, within));
        }
        net.finish()?;
    }
    Ok(figures)
}
