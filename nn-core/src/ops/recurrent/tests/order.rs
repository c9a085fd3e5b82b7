//! The order of every sum, as docs/numerics.md gives it: naive loops in the same numbers give the same bits.

use super::*;
use crate::scalar::Q16;

/// What one step leaves, in naive loops: the gates, and the state after it.
struct Step<S> {
    /// i, f, g, o; or r, z, n, and h · U + b′ of n or r · h; or nothing.
    gates: Vec<S>,
    state: Vec<S>,
}

struct Naive<'n, S: Scalar> {
    kind: Kind,
    walk: Walk,
    numbers: &'n Numbers<S>,
    columns: usize,
}

impl<S: Scalar> Naive<'_, S> {
    fn x(&self, step: usize) -> &[S] {
        let time = self.time(step);
        let row = if self.walk.repeat { 0 } else { time };
        &self.numbers.x[row * self.walk.inputs..][..self.walk.inputs]
    }

    fn time(&self, step: usize) -> usize {
        if self.walk.reverse {
            self.walk.steps - 1 - step
        } else {
            step
        }
    }

    fn add_x(&self, mut sum: S::Acc, x: &[S], c: usize) -> S::Acc {
        for (k, x) in x.iter().enumerate() {
            sum = S::mul_acc(sum, *x, self.numbers.kernel[k * self.columns + c]);
        }
        sum
    }

    fn add_h(&self, mut sum: S::Acc, h: &[S], c: usize) -> S::Acc {
        for (j, h) in h.iter().enumerate() {
            sum = S::mul_acc(sum, *h, self.numbers.recurrent[j * self.columns + c]);
        }
        sum
    }

    fn bias(&self, c: usize) -> S::Acc {
        self.numbers.bias[c].widen()
    }

    fn step(&self, x: &[S], state: &[S]) -> Step<S> {
        let units = self.walk.units;
        let h = &state[..units];
        let z = |gate: usize, j: usize| {
            let c = gate * units + j;
            let mut sum = self.bias(c);
            if let Some(bias) = self.numbers.recurrent_bias.get(c) {
                sum = S::add_acc(sum, *bias);
            }
            S::narrow(self.add_h(self.add_x(sum, x, c), h, c))
        };
        let of = |f: &dyn Fn(usize) -> S| -> Vec<S> { (0..units).map(f).collect() };
        match self.kind {
            Kind::Rnn(activation) => Step {
                gates: vec![],
                state: of(&|j| activation.apply(z(0, j))),
            },
            Kind::Lstm => {
                let i = of(&|j| z(0, j).sigmoid());
                let f = of(&|j| z(1, j).sigmoid());
                let g = of(&|j| z(2, j).tanh());
                let o = of(&|j| z(3, j).sigmoid());
                let c = of(&|j| {
                    let kept = S::mul_acc(S::ZERO_ACC, f[j], state[units + j]);
                    S::narrow(S::mul_acc(kept, i[j], g[j]))
                });
                let h = of(&|j| o[j].mul(c[j].tanh()));
                Step {
                    gates: [i, f, g, o].concat(),
                    state: [h, c].concat(),
                }
            }
            Kind::Gru { reset_after } => {
                let r = of(&|j| z(0, j).sigmoid());
                let keep = of(&|j| z(1, j).sigmoid());
                let extra = of(&|j| {
                    let c = 2 * units + j;
                    if reset_after {
                        S::narrow(self.add_h(self.numbers.recurrent_bias[c].widen(), h, c))
                    } else {
                        r[j].mul(h[j])
                    }
                });
                let n = of(&|j| {
                    let c = 2 * units + j;
                    let sum = self.add_x(self.bias(c), x, c);
                    let sum = if reset_after {
                        S::mul_acc(sum, r[j], extra[j])
                    } else {
                        self.add_h(sum, &extra, c)
                    };
                    S::narrow(sum).tanh()
                });
                let state = of(&|j| {
                    let new = S::mul_acc(S::ZERO_ACC, S::ONE.sub(keep[j]), n[j]);
                    S::narrow(S::mul_acc(new, keep[j], h[j]))
                });
                Step {
                    gates: [r, keep, n, extra].concat(),
                    state,
                }
            }
        }
    }

    /// The gradients at the sums with x and b, those at the products with h and b′, and the factors of U's gradient;
    /// all of one step. `delta` is the gradient of the state after it, and becomes that of the state before.
    #[allow(clippy::type_complexity)]
    fn step_back(&self, step: &Step<S>, before: &[S], delta: &mut [S]) -> (Vec<S>, Vec<S>) {
        let units = self.walk.units;
        let (sigmoid, tanh) = (Activation::Sigmoid, Activation::Tanh);
        let gate = |gate: usize, j: usize| step.gates[gate * units + j];
        let mut direct = vec![S::ZERO; units];
        let (mut at_x, mut at_h) = (vec![S::ZERO; self.columns], vec![S::ZERO; self.columns]);
        for j in 0..units {
            let dh = delta[j];
            match self.kind {
                Kind::Rnn(activation) => at_x[j] = activation.derivative(dh, step.state[j]),
                Kind::Lstm => {
                    let [i, f, g, o] = [0, 1, 2, 3].map(|index| gate(index, j));
                    let s = step.state[units + j].tanh();
                    let dc = delta[units + j].add(tanh.derivative(dh.mul(o), s));
                    at_x[j] = sigmoid.derivative(dc.mul(g), i);
                    at_x[units + j] = sigmoid.derivative(dc.mul(before[units + j]), f);
                    at_x[2 * units + j] = tanh.derivative(dc.mul(i), g);
                    at_x[3 * units + j] = sigmoid.derivative(dh.mul(s), o);
                    delta[units + j] = dc.mul(f);
                }
                Kind::Gru { .. } => {
                    let [_, z, n, _] = [0, 1, 2, 3].map(|index| gate(index, j));
                    at_x[units + j] = sigmoid.derivative(dh.mul(before[j].sub(n)), z);
                    at_x[2 * units + j] = tanh.derivative(dh.mul(S::ONE.sub(z)), n);
                    direct[j] = dh.mul(z);
                }
            }
        }
        at_h.copy_from_slice(&at_x);
        let row = |j: usize| &self.numbers.recurrent[j * self.columns..][..self.columns];
        if let Kind::Gru { reset_after } = self.kind {
            for j in 0..units {
                let [r, _, _, extra] = [0, 1, 2, 3].map(|index| gate(index, j));
                let dn = at_x[2 * units + j];
                let mut rho = dn;
                let mut factor = extra;
                if !reset_after {
                    let dn = &at_x[2 * units..];
                    let products = row(j)[2 * units..].iter().zip(dn);
                    rho = S::narrow(
                        products.fold(S::ZERO_ACC, |sum, (u, d)| S::mul_acc(sum, *u, *d)),
                    );
                    factor = before[j];
                    direct[j] = direct[j].add(rho.mul(r));
                }
                at_x[j] = sigmoid.derivative(rho.mul(factor), r);
                at_h[j] = at_x[j];
                if reset_after {
                    at_h[2 * units + j] = dn.mul(r);
                }
            }
        }
        let through = match self.kind {
            Kind::Gru { reset_after: false } => 2 * units,
            _ => self.columns,
        };
        for j in 0..units {
            let products = row(j)[..through].iter().zip(&at_h);
            let sum = products.fold(direct[j].widen(), |sum, (u, d)| S::mul_acc(sum, *u, *d));
            delta[j] = S::narrow(sum);
        }
        (at_x, at_h)
    }
}

fn naive<S: Scalar>(
    kind: Kind,
    walk: &Walk,
    numbers: &Numbers<S>,
    delta: &[S],
    rate: f32,
) -> (Vec<S>, Numbers<S>) {
    let columns = kind.gates() * walk.units;
    let (inputs, units) = (walk.inputs, walk.units);
    let layer = Naive {
        kind,
        walk: *walk,
        numbers,
        columns,
    };
    let mut states = vec![numbers.state.clone()];
    let mut steps = vec![];
    let mut y = vec![S::ZERO; walk.y_len()];
    for index in 0..walk.steps {
        let step = layer.step(layer.x(index), states.last().unwrap());
        let at = if walk.whole {
            layer.time(index) * units
        } else {
            0
        };
        y[at..][..units].copy_from_slice(&step.state[..units]);
        states.push(step.state.clone());
        steps.push(step);
    }

    let mut carry = vec![S::ZERO; kind.states() * units];
    let mut gradients = vec![];
    for index in (0..walk.steps).rev() {
        if walk.whole || index + 1 == walk.steps {
            let at = if walk.whole {
                layer.time(index) * units
            } else {
                0
            };
            for j in 0..units {
                carry[j] = carry[j].add(delta[at + j]);
            }
        }
        gradients.insert(
            0,
            layer.step_back(&steps[index], &states[index], &mut carry),
        );
        if walk.truncate > 0 && index > 0 && (walk.steps - index).is_multiple_of(walk.truncate) {
            carry.fill(S::ZERO);
        }
    }

    let mut rounder = Rounder::stochastic(3);
    let rate = S::rate(rate);
    let mut learn = |weights: &[S], sum: &dyn Fn(usize) -> S::Acc| -> Vec<S> {
        let each = weights.iter().enumerate();
        each.map(|(index, w)| w.descend(rate, sum(index), &mut rounder))
            .collect()
    };
    let over_time =
        |term: &dyn Fn(S::Acc, usize) -> S::Acc| (0..walk.steps).fold(S::ZERO_ACC, term);
    let kernel = learn(&numbers.kernel, &|index| {
        let (k, c) = (index / columns, index % columns);
        over_time(&|sum, step| S::mul_acc(sum, layer.x(step)[k], gradients[step].0[c]))
    });
    let recurrent = learn(&numbers.recurrent, &|index| {
        let (j, c) = (index / columns, index % columns);
        let resets = kind == Kind::Gru { reset_after: false } && c >= 2 * units;
        let factor = |step: usize| {
            if resets {
                steps[step].gates[3 * units + j]
            } else {
                states[step][j]
            }
        };
        over_time(&|sum, step| S::mul_acc(sum, factor(step), gradients[step].1[c]))
    });
    let bias = learn(&numbers.bias, &|c| {
        over_time(&|sum, step| S::add_acc(sum, gradients[step].0[c]))
    });
    let recurrent_bias = learn(&numbers.recurrent_bias, &|c| {
        over_time(&|sum, step| S::add_acc(sum, gradients[step].1[c]))
    });
    let mut x = numbers.x.clone();
    for k in 0..inputs {
        let row = &numbers.kernel[k * columns..][..columns];
        let add = |sum: S::Acc, step: usize| {
            let products = row.iter().zip(&gradients[step].0);
            products.fold(sum, |sum, (w, d)| S::mul_acc(sum, *w, *d))
        };
        if walk.repeat {
            x[k] = S::narrow(over_time(&add));
        } else {
            for step in 0..walk.steps {
                x[layer.time(step) * inputs + k] = S::narrow(add(S::ZERO_ACC, step));
            }
        }
    }
    let new = Numbers {
        x,
        kernel,
        recurrent,
        bias,
        recurrent_bias,
        state: carry,
    };
    (y, new)
}

fn compare<S: Scalar>(kind: Kind, walk: &Walk, seed: u32) {
    let mut draw = Draw::new(seed);
    let narrow = |v: f64| S::from_f32(v as f32);
    let numbers = draw.layer(kind, walk).map(narrow);
    let delta = draw.values(walk.y_len(), 0.5);
    let delta: Vec<S> = delta.into_iter().map(narrow).collect();
    let below = Some(Activation::None);
    let found = train(kind, walk, &numbers, &delta, below, ALL, 0.3);
    let wanted = naive(kind, walk, &numbers, &delta, 0.3);
    assert_eq!(found, wanted, "{kind:?}, {walk:?}");
}

#[test]
fn forward_and_backward() {
    for (seed, walk) in (1..).zip(walks()) {
        for kind in KINDS {
            for truncate in [0, 2] {
                let walk = Walk { truncate, ..walk };
                compare::<f32>(kind, &walk, seed);
                compare::<Q16>(kind, &walk, seed);
            }
        }
    }
}
