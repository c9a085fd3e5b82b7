//! Random softmaxes, sums and products, against the reference's formulas with its rounding.

use nn_core::fixed_point::{
    InputRescale, Rescale, doubling_high_mul, rescale, rounding_shift_right,
};
use nn_core::ops::add::AddStep;
use nn_core::ops::mul::MulStep;
use nn_core::ops::{AddRequant, add, lookup, mul, sigmoid, softmax, tanh};

use super::{Outcome, Room, Trials};

/// Numbers of the longest vector.
const LENGTH: u32 = 200;

impl Trials {
    /// A factor; `above` says whether it may be above 1.
    fn factor(&mut self, above: bool) -> Rescale {
        let multiplier = match self.below(8) {
            0 => 0,
            1 => i32::MAX,
            2 => 1 << 30,
            _ => (self.rng.draw() >> 2 | 1 << 30) as i32,
        };
        let shift = match self.below(4) {
            0 if above => self.below(12) as i8,
            0 | 1 => 0,
            2 => -(self.below(12) as i8),
            _ => -(self.below(32) as i8),
        };
        Rescale { multiplier, shift }
    }

    /// Two operands in `room.x` and `room.weight`, a copy of the first in `room.y`; their lengths.
    fn operands(&mut self, room: &mut Room) -> [usize; 2] {
        let columns = match self.below(3) {
            0 => 1,
            _ => 1 + self.below(LENGTH / 4),
        };
        let len = columns * (1 + self.below(LENGTH / columns as u32));
        self.fill(&mut room.x[..len], -128);
        self.fill(&mut room.weight[..columns], -128);
        room.y[..len].copy_from_slice(&room.x[..len]);
        [len, columns]
    }

    /// A sum of two tensors.
    pub fn add(&mut self, room: &mut Room) -> Outcome {
        let [len, columns] = self.operands(room);
        // Factors that are powers of two give halves.
        let power = |shift: usize| Rescale {
            multiplier: 1 << 30,
            shift: -(shift as i8),
        };
        let requant = match self.below(3) {
            0 => AddRequant {
                x0: power(self.below(3)),
                x1: power(self.below(3)),
                y: power(17 + self.below(5)),
            },
            _ => AddRequant {
                x0: self.factor(false),
                x1: self.factor(false),
                y: self.factor(false),
            },
        };
        let [zero_0, zero_1] = self.zeros();
        let [zero, _] = self.zeros();
        let range = self.range(zero);
        let step = AddStep::new(&requant, [zero_0, zero_1, zero], range);
        let (x0, x1, y) = (&room.x[..len], &room.weight[..columns], &mut room.y[..len]);
        add::forward_i8(y, x1, &step);
        let scaled = |x: i8, zero: i8, factor: Rescale| {
            factor.apply((i32::from(x) - i32::from(zero)) << add::LEFT_SHIFT)
        };
        equal(y, |index| {
            let x1 = x1[index % columns];
            let sum = scaled(x0[index], zero_0, requant.x0) + scaled(x1, zero_1, requant.x1);
            held(requant.y.apply(sum) + i32::from(zero), range)
        })
    }

    /// A product of two tensors.
    pub fn mul(&mut self, room: &mut Room) -> Outcome {
        let [len, columns] = self.operands(room);
        let factor = self.factor(true);
        let [zero_0, zero_1] = self.zeros();
        let [zero, _] = self.zeros();
        let range = self.range(zero);
        let step = MulStep {
            rescale: factor,
            zeros: [zero_0, zero_1, zero],
            range,
        };
        let (x0, x1, y) = (&room.x[..len], &room.weight[..columns], &mut room.y[..len]);
        mul::forward_i8(y, x1, &step);
        equal(y, |index| {
            let (x0, x1) = (i32::from(x0[index]), i32::from(x1[index % columns]));
            let product = (x0 - i32::from(zero_0)) * (x1 - i32::from(zero_1));
            held(factor.apply(product) + i32::from(zero), range)
        })
    }

    /// A softmax.
    pub fn softmax(&mut self, room: &mut Room) -> Outcome {
        let len = 1 + self.below(LENGTH);
        let x = &mut room.x[..len];
        self.fill(x, -128);
        let shift = self.below(27) as i8;
        let input = InputRescale {
            multiplier: self.factor(false).multiplier.max(1 << 30),
            shift,
            // The reference's: 31 · 2^26 in steps of the input.
            radius: (31 << 26) >> shift,
        };
        let y = &mut room.y[..len];
        y.copy_from_slice(x);
        softmax::forward_i8(y, &input);
        let largest = x.iter().fold(i8::MIN, |largest, x| largest.max(*x));
        let exponential = |x: i8| {
            let difference = i32::from(x) - i32::from(largest);
            let fixed = || rescale(difference, input.multiplier, i32::from(shift));
            (difference >= -input.radius).then(|| exponential(fixed(), 5))
        };
        let sum = x.iter().filter_map(|x| exponential(*x));
        let sum = sum.fold(0, |sum, e| sum + rounding_shift_right(e, 12));
        let headroom = sum.leading_zeros();
        let mantissa = ((sum as u32) << headroom).wrapping_sub(1 << 31);
        let scale = one_over_one_plus(mantissa as i32);
        equal(y, |index| {
            let share = exponential(x[index]).map_or(0, |e| {
                rounding_shift_right(doubling_high_mul(scale, e), 12 + 31 - 8 - headroom)
            });
            held(share - 128, [-128, 127])
        })
    }
}

impl Trials {
    /// A table of any function.
    pub fn lookup(&mut self, room: &mut Room) -> Outcome {
        let len = 1 + self.below(LENGTH);
        let (x, table) = (&mut room.x[..len], &mut room.weight[..256]);
        self.fill(x, -128);
        self.fill(table, -128);
        let y = &mut room.y[..len];
        y.copy_from_slice(x);
        lookup::forward_i8(y, table);
        equal(y, |index| table[(i32::from(x[index]) + 128) as usize])
    }

    /// A logistic function.
    pub fn sigmoid(&mut self, room: &mut Room) -> Outcome {
        self.curve(room, sigmoid::forward_i8, |x| {
            let positive = one_over_one_plus(exponential(-x.abs(), 4));
            let value = match x {
                0 => 1 << 30,
                1.. => positive,
                _ => i32::MAX - positive,
            };
            rounding_shift_right(value, 23) - 128
        })
    }

    /// A hyperbolic tangent.
    pub fn tanh(&mut self, room: &mut Room) -> Outcome {
        self.curve(room, tanh::forward_i8, |x| {
            let e = exponential(-x.abs(), 5);
            // (1 − e) / (1 + e) is 2 / (1 + e) − 1.
            let positive = shifted(reciprocal(e) - (1 << 29), 2);
            rounding_shift_right(if x == 0 { 0 } else { positive * x.signum() }, 24)
        })
    }

    fn curve(
        &mut self,
        room: &mut Room,
        kernel: fn(&mut [i8], i32, &InputRescale),
        function: fn(i32) -> i32,
    ) -> Outcome {
        // More numbers than there are bytes, too.
        let longest = match self.below(4) {
            0 => 2 * LENGTH,
            _ => 32,
        };
        let len = 1 + self.below(longest);
        let x = &mut room.x[..len];
        self.fill(x, -128);
        let shift = self.below(28) as i8;
        let input = InputRescale {
            multiplier: self.factor(false).multiplier.max(1 << 30),
            shift,
            // The reference's: 15 · 2^27 in steps of the input.
            radius: ((15i64 << 27) >> shift).min(256) as i32,
        };
        let [zero, _] = self.zeros();
        let y = &mut room.y[..len];
        y.copy_from_slice(x);
        kernel(y, zero.into(), &input);
        equal(y, |index| {
            let steps = i32::from(x[index]) - i32::from(zero);
            if steps <= -input.radius {
                i8::MIN
            } else if steps >= input.radius {
                i8::MAX
            } else {
                let fixed = rescale(steps, input.multiplier, i32::from(shift));
                held(function(fixed), [-128, 127])
            }
        })
    }
}

/// Whether each number is the one wanted.
fn equal(y: &[i8], wanted: impl Fn(usize) -> i8) -> Outcome {
    let mut found = y.iter().enumerate();
    let different = found.find(|(index, y)| **y != wanted(*index));
    different.map_or(Outcome::Equal, |(index, _)| Outcome::Different(index))
}

fn held(value: i32, [min, max]: [i8; 2]) -> i8 {
    // Held to a range of 8 bits.
    value.max(i32::from(min)).min(i32::from(max)) as i8
}

/// e^x of x ≤ 0 with so many integer bits, 4 or 5, as gemmlowp forms it.
fn exponential(x: i32, integer_bits: u32) -> i32 {
    if x == 0 {
        return i32::MAX;
    }
    let quarter = 1 << (29 - integer_bits);
    let part = (x & (quarter - 1)) - quarter;
    let a = (part << integer_bits) + (1 << 28);
    let a2 = doubling_high_mul(a, a);
    let a3 = doubling_high_mul(a2, a);
    let a4_over_4 = rounding_shift_right(doubling_high_mul(a2, a2), 2);
    let terms = doubling_high_mul(a4_over_4 + a3, 715_827_883) + a2;
    let terms = rounding_shift_right(terms, 1);
    let eighth = 1_895_147_668;
    let mut result = eighth + doubling_high_mul(eighth, a + terms);
    let factors = [
        1_672_461_947,
        1_302_514_674,
        790_015_084,
        290_630_308,
        39_332_535,
        720_401,
        242,
    ];
    let factors = factors.into_iter().take(2 + integer_bits as usize);
    for (index, factor) in factors.enumerate() {
        if (part - x) & (quarter << index) != 0 {
            result = doubling_high_mul(result, factor);
        }
    }
    result
}

/// 1 / (1 + a) of a in [0, 1], Q0.31, as gemmlowp forms it.
fn one_over_one_plus(a: i32) -> i32 {
    shifted(reciprocal(a), 1)
}

/// 2 / (1 + a) of a in [0, 1], Q0.31, as gemmlowp forms it in Q2.29.
fn reciprocal(a: i32) -> i32 {
    let half = ((i64::from(a) + i64::from(i32::MAX) + 1) / 2) as i32;
    let mut x = 1_515_870_810 + doubling_high_mul(half, -1_010_580_540);
    for _ in 0..3 {
        let rest = (1 << 29) - doubling_high_mul(half, x);
        x += shifted(doubling_high_mul(x, rest), 2);
    }
    x
}

/// To the left, held to 32 bits.
fn shifted(x: i32, by: u32) -> i32 {
    let wide = i64::from(x) << by;
    // Held to 32 bits.
    wide.max(i64::from(i32::MIN)).min(i64::from(i32::MAX)) as i32
}
