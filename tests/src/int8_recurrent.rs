//! int8 recurrent layers in wide integers: written from the formulas in `docs/numerics.md`. The 16-bit functions are
//! nn-core's own, which `tests/golden/lstm_i8.json` holds through the LSTMs, and nn-core's tests to the real functions.

use nn_core::fixed_point::{logistic_i16, tanh_i16};

use crate::int8::rescale;

/// Which cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Simple, with tanh.
    Tanh,
    /// Simple, with ReLU.
    Relu,
    /// Gates i, f, g, o.
    Lstm,
    /// Gates r, z, n.
    Gru,
}

impl Kind {
    /// How many gates.
    pub fn gates(self) -> usize {
        match self {
            Self::Tanh | Self::Relu => 1,
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }
}

/// A layer, with its table as a blob carries it.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Which cell.
    pub kind: Kind,
    /// Numbers of h.
    pub units: usize,
    /// `[gates · units, inputs]`.
    pub kernel: Vec<i8>,
    /// `[gates · units, units]`.
    pub recurrent: Vec<i8>,
    /// `[gates · units]`.
    pub bias: Vec<i32>,
    /// `[gates · units]` or nothing.
    pub recurrent_bias: Vec<i32>,
    /// The table of factors.
    pub table: Vec<i32>,
    /// Of x and of h.
    pub zeros: [i32; 2],
}

fn sat(value: i64) -> i64 {
    value.clamp(-(1 << 15), (1 << 15) - 1)
}

fn logistic(z: i64) -> i64 {
    i64::from(logistic_i16(z as i16))
}

fn tanh(z: i64, exponent: i32) -> i64 {
    i64::from(tanh_i16(z as i16, exponent))
}

/// To nearest, halves up.
fn over_2_15(value: i64) -> i64 {
    (2 * value + (1 << 15)).div_euclid(1 << 16)
}

impl Layer {
    fn factor(&self, index: usize, x: i64) -> i64 {
        rescale(x, self.table[2 * index], self.table[2 * index + 1])
    }

    /// The product of a row with x or with h, in the gate's steps.
    fn product(&self, row: usize, values: &[i8], hidden: bool) -> i64 {
        let (weight, bias, zero) = match hidden {
            false => (&self.kernel, &self.bias, self.zeros[0]),
            true => (&self.recurrent, &self.recurrent_bias, self.zeros[1]),
        };
        let weights = &weight[row * values.len()..][..values.len()];
        let mut sum = bias.get(row).map_or(0, |&bias| i64::from(bias));
        for (&w, &x) in weights.iter().zip(values) {
            sum += i64::from(w) * (i64::from(x) - i64::from(zero));
        }
        // 32-bit sums, which wrap.
        let index = 2 * (row / self.units) + usize::from(hidden);
        sat(self.factor(index, i64::from(sum as i32)))
    }

    /// h after each step of x, `[steps, inputs]`.
    pub fn forward(&self, x: &[i8]) -> Vec<i8> {
        let units = self.units;
        let inputs = self.kernel.len() / (self.kind.gates() * units);
        let mut h = vec![self.zeros[1] as i8; units];
        let mut wide = vec![0i64; units];
        let mut y = Vec::new();
        for x in x.chunks(inputs) {
            let mut next = Vec::new();
            #[expect(clippy::needless_range_loop, reason = "it indexes several lists")]
            for unit in 0..units {
                let row = |gate: usize| gate * units + unit;
                let sum = |gate| {
                    let [a, b] = [
                        self.product(row(gate), x, false),
                        self.product(row(gate), &h, true),
                    ];
                    sat(a + b)
                };
                let output = match self.kind {
                    Kind::Tanh => self.factor(2, tanh(sum(0), -12)),
                    Kind::Relu => self.factor(2, sum(0).max(0)),
                    Kind::Lstm => {
                        let (exponent, clip) = (self.table[18], i64::from(self.table[19]));
                        let [i, f, o] = [0, 1, 3].map(|gate| logistic(sum(gate)));
                        let kept = sat(rescale(f * wide[unit], 1 << 30, -14));
                        let new = sat(rescale(i * tanh(sum(2), -12), 1 << 30, -29 - exponent));
                        let clip = if clip == 0 { 1 << 15 } else { clip };
                        wide[unit] = sat(kept + new).clamp(-clip, clip);
                        self.factor(8, o * tanh(wide[unit], exponent))
                    }
                    Kind::Gru => {
                        let [r, z] = [0, 1].map(|gate| logistic(sum(gate)));
                        let p = self.product(row(2), x, false);
                        let q = self.product(row(2), &h, true);
                        let n = tanh(sat(p + over_2_15(r * q)), -12);
                        wide[unit] = sat(over_2_15(z * wide[unit] + (32_768 - z) * n));
                        self.factor(6, wide[unit])
                    }
                };
                let output = i64::from((output as i32).wrapping_add(self.zeros[1]));
                next.push(output.clamp(-128, 127) as i8);
            }
            h = next;
            y.extend(&h);
        }
        y
    }
}
