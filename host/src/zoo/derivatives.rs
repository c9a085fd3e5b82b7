//! Derivatives, and what they are good for: roots, and automatic differentiation in both orders.

use super::lab::Lab;
use super::{Figure, ZooError};

/// An operation of a graph, by the numbers of what it reads.
#[derive(Debug, Clone, Copy)]
enum Op {
    Input(usize),
    Constant(f64),
    Add(usize, usize),
    Sub(usize, usize),
    Mul(usize, usize),
    Ln(usize),
    Sin(usize),
}

/// A function as a graph: each operation reads earlier ones, the last is the value.
struct Graph(Vec<Op>);

impl Graph {
    /// The value of each operation at `x`.
    fn values(&self, x: &[f64]) -> Vec<f64> {
        let mut v = Vec::with_capacity(self.0.len());
        for op in &self.0 {
            v.push(match *op {
                Op::Input(index) => x[index],
                Op::Constant(value) => value,
                Op::Add(a, b) => v[a] + v[b],
                Op::Sub(a, b) => v[a] - v[b],
                Op::Mul(a, b) => v[a] * v[b],
                Op::Ln(a) => f64::ln(v[a]),
                Op::Sin(a) => f64::sin(v[a]),
            });
        }
        v
    }

    /// The slopes of an operation by what it reads, with the values `v`.
    fn slopes(op: Op, v: &[f64]) -> Vec<(usize, f64)> {
        match op {
            Op::Input(_) | Op::Constant(_) => Vec::new(),
            Op::Add(a, b) => vec![(a, 1.0), (b, 1.0)],
            Op::Sub(a, b) => vec![(a, 1.0), (b, -1.0)],
            Op::Mul(a, b) => vec![(a, v[b]), (b, v[a])],
            Op::Ln(a) => vec![(a, 1.0 / v[a])],
            Op::Sin(a) => vec![(a, v[a].cos())],
        }
    }

    /// Forward accumulation: one sweep from the inputs on gives the slope by one of them.
    fn forward(&self, x: &[f64], by: usize) -> f64 {
        let v = self.values(x);
        let mut tangents: Vec<f64> = Vec::with_capacity(v.len());
        for op in &self.0 {
            tangents.push(match *op {
                Op::Input(index) => f64::from(u8::from(index == by)),
                op => {
                    let slopes = Self::slopes(op, &v);
                    slopes.iter().map(|(a, slope)| slope * tangents[*a]).sum()
                }
            });
        }
        tangents.last().copied().unwrap_or(f64::NAN)
    }

    /// Reverse accumulation: one sweep back from the value gives the slope by every input.
    fn reverse(&self, x: &[f64]) -> Vec<f64> {
        let v = self.values(x);
        let mut adjoints = vec![0.0; v.len()];
        if let Some(last) = adjoints.last_mut() {
            *last = 1.0;
        }
        let mut by = vec![0.0; x.len()];
        for (index, op) in self.0.iter().enumerate().rev() {
            if let Op::Input(input) = *op {
                by[input] += adjoints[index];
            }
            for (a, slope) in Self::slopes(*op, &v) {
                adjoints[a] += slope * adjoints[index];
            }
        }
        by
    }
}

/// x³ − 3x² + 4x, as ((x − 3)·x + 4)·x.
fn cubic() -> Graph {
    use Op::{Add, Constant, Input, Mul, Sub};
    let minus = [Input(0), Constant(3.0), Sub(0, 1), Mul(2, 0)];
    Graph([&minus[..], &[Constant(4.0), Add(3, 4), Mul(5, 0)]].concat())
}

/// x² − 4x + 4, as (x − 4)·x + 4.
fn square() -> Graph {
    use Op::{Add, Constant, Input, Mul, Sub};
    Graph(vec![
        Input(0),
        Constant(4.0),
        Sub(0, 1),
        Mul(2, 0),
        Add(3, 1),
    ])
}

/// ln x₁ + x₁·x₂ − sin x₂: the example of Baydin et al., "Automatic differentiation in machine learning", which the slides
/// cite.
fn example() -> Graph {
    use Op::{Add, Input, Ln, Mul, Sin, Sub};
    Graph(vec![
        Input(0),
        Input(1),
        Ln(0),
        Mul(0, 1),
        Sin(1),
        Add(2, 3),
        Sub(5, 4),
    ])
}

pub(super) fn derivatives(_: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let mut figures = vec![
        Figure::exact(
            "f'(2) of x³ − 3x² + 4x, forward",
            4.0,
            cubic().forward(&[2.0], 0),
        ),
        Figure::exact(
            "f'(2) of x³ − 3x² + 4x, reverse",
            4.0,
            cubic().reverse(&[2.0])[0],
        ),
    ];
    // The slide starts at the root itself, from where nothing moves; from 5 both have work to do.
    for start in [2.0, 5.0] {
        let roots = [("Newton", newton(start)), ("descent", descent(start))];
        for (name, (root, steps)) in roots {
            // A double root: where f is below 10⁻⁶, x is within 10⁻³.
            let name = format!("root of x² − 4x + 4 from {start}, {name}, {steps} steps");
            figures.push(Figure::near(name, 2.0, root, 1e-3));
        }
    }
    let x = [2.0, 5.0];
    let reverse = example().reverse(&x);
    let exact = [1.0 / x[0] + x[1], x[0] - x[1].cos()];
    for (index, (exact, reverse)) in exact.into_iter().zip(reverse).enumerate() {
        let forward = example().forward(&x, index);
        // Chains of three products and sums.
        let within = 4.0 * f64::EPSILON * exact.abs();
        for (order, ours) in [("forward", forward), ("reverse", reverse)] {
            let name = format!("∂/∂x{} of ln x1 + x1·x2 − sin x2, {order}", index + 1);
            figures.push(Figure::near(name, exact, ours, within));
        }
    }
    Ok(figures)
}

/// Where f is this small, a root is found.
const SMALL: f64 = 1e-6;

fn value_and_slope(x: f64) -> (f64, f64) {
    let graph = square();
    let value = graph.values(&[x]).last().copied();
    (value.unwrap_or(f64::NAN), graph.reverse(&[x])[0])
}

/// Newton's iteration: x ← x − f / f′. The root, and how many steps it took.
fn newton(start: f64) -> (f64, usize) {
    let mut x = start;
    for step in 0..100 {
        let (f, slope) = value_and_slope(x);
        if f.abs() < SMALL {
            return (x, step);
        }
        x -= f / slope;
    }
    (f64::NAN, 100)
}

/// Gradient descent at the rate 0.1, which finds the root because it is the function's minimum.
fn descent(start: f64) -> (f64, usize) {
    let mut x = start;
    for step in 0..100 {
        let (f, slope) = value_and_slope(x);
        if f.abs() < SMALL {
            return (x, step);
        }
        x -= 0.1 * slope;
    }
    (f64::NAN, 100)
}
