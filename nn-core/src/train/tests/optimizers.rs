//! Optimizers: PyTorch's steps, in place and from sums; channels, biases, and what fixed point does to it.

use super::*;
use crate::scalar::{FixedRate, Q16, Rounder};
use crate::train::{ChannelMask, Clip, MAX_COPIES, Method, Optimizer, Pace, Rule, Sums, Update};

const START: [f64; 3] = [0.5, -1.0, 0.25];
/// Exact in Q16 up to the last number.
const GRADIENTS: [[f64; 3]; 6] = [
    [0.5, -0.25, 0.125],
    [0.75, 0.5, 0.0],
    [-0.5, 0.25, -0.0625],
    [1.0, -1.0, 0.03125],
    [0.25, 0.25, -0.5],
    [-2.0, 3.0, 0.0078125],
];

const MOMENTUM: Method = Method::Sgd {
    momentum: 0.9,
    nesterov: false,
};
const NESTEROV: Method = Method::Sgd {
    momentum: 0.9,
    nesterov: true,
};

fn decayed(optimizer: Optimizer, weight_decay: f32) -> Optimizer {
    Optimizer {
        weight_decay,
        ..optimizer
    }
}

/// How the gradients come.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Way {
    /// As finished gradients.
    Step,
    /// As products x · δ.
    Outer,
    /// Summed over so many samples of the same gradient, then averaged.
    Sums(u16),
}

/// Some weights and what is kept for them.
struct Learner<S> {
    weight: Vec<S>,
    copies: [Vec<S>; MAX_COPIES],
    optimizer: Optimizer,
    clip: Clip,
    rounder: Rounder,
    steps: u32,
}

impl<S: Scalar> Learner<S> {
    fn new(start: &[f64], optimizer: Optimizer, clip: Clip, accumulates: bool) -> Self {
        let weight = narrow(start);
        let kept = optimizer.copies() + usize::from(accumulates);
        let copies = core::array::from_fn(|copy| {
            let len = if copy < kept { weight.len() } else { 0 };
            std::vec![S::ZERO; len]
        });
        Self {
            weight,
            copies,
            optimizer,
            clip,
            rounder: Rounder::stochastic(3),
            steps: 0,
        }
    }

    /// Calls `act` with an update of the next step.
    fn with(&mut self, accumulates: bool, rate: f32, act: impl FnOnce(Update<S>)) {
        let pace = Pace {
            rate,
            step: self.steps + 1,
        };
        let mut rule = Rule::new(&self.optimizer, self.clip, accumulates, pace, self.rounder);
        let copies = self.copies.each_mut().map(Vec::as_mut_slice);
        act(Update::with_copies(&mut self.weight, copies, &mut rule));
        self.rounder = rule.rounder();
    }

    fn step(&mut self, way: Way, rate: f32, gradient: &[f64]) {
        let accumulates = matches!(way, Way::Sums(_));
        let samples = if let Way::Sums(samples) = way {
            samples
        } else {
            1
        };
        for _ in 0..samples {
            self.with(accumulates, rate, |mut update| match way {
                Way::Outer => update.outer(0, S::ONE, &narrow(gradient)),
                _ => {
                    let gradient: Vec<S> = narrow(gradient);
                    let gradient: Vec<S::Acc> = gradient.iter().map(|g| g.widen()).collect();
                    let (first, rest) = gradient.split_at(1);
                    update.step(0, first);
                    update.step(1, rest);
                }
            });
        }
        if accumulates {
            let mut sums = Sums::default();
            sums.add(&self.copies[0]);
            let factor = sums.factor(samples, self.clip);
            self.with(true, rate, |mut update| update.step_from_sums(factor));
            assert!(self.copies[0].iter().all(|sum| *sum == S::ZERO));
        }
        self.steps += 1;
    }
}

/// Six steps in each way; `tolerance` after each.
#[track_caller]
fn compare<S: Scalar>(
    optimizer: Optimizer,
    clip: Clip,
    wanted: &[[f64; 3]; 6],
    ways: &[Way],
    tolerance: f64,
) {
    for way in ways {
        let mut learner = Learner::<S>::new(&START, optimizer, clip, matches!(way, Way::Sums(_)));
        for (gradient, wanted) in GRADIENTS.iter().zip(wanted) {
            learner.step(*way, 0.125, gradient);
            let what = std::format!("{optimizer:?} {way:?} {}", core::any::type_name::<S>());
            assert_near(&wide(&learner.weight), wanted, tolerance, &what);
        }
    }
}

const ALL_WAYS: [Way; 5] = [
    Way::Step,
    Way::Outer,
    Way::Sums(1),
    Way::Sums(4),
    // 1/3 is no f32, and no f32's sum of three is exact.
    Way::Sums(3),
];

/// f32 within 2^−20: six steps of a few roundings each, on weights below 4. Q16: each step stores a weight, a velocity
/// and up to four sums, each less than a step of 2^−16 off, and a velocity's error stays for ten steps (1 / (1 − 0.9)):
/// within 2^−11.
#[track_caller]
fn compare_all(optimizer: Optimizer, wanted: &[[f64; 3]; 6]) {
    compare::<f32>(optimizer, Clip::None, wanted, &ALL_WAYS, 2f64.powi(-20));
    compare::<Q16>(optimizer, Clip::None, wanted, &ALL_WAYS, 2f64.powi(-11));
}

#[test]
fn pytorch_takes_the_same_steps() {
    use super::golden;
    let sgd = Optimizer::SGD;
    compare_all(sgd, &golden::SGD);
    compare_all(decayed(sgd, 0.25), &golden::SGD_DECAY);
    let momentum = Optimizer::new(MOMENTUM);
    compare_all(decayed(momentum, 0.25), &golden::MOMENTUM);
    compare_all(Optimizer::new(NESTEROV), &golden::NESTEROV);
}

/// β and ε as f32 differ from PyTorch's f64 by up to 1.3·10⁻⁵ of 1 − β₂; what is left of that after the bias
/// correction, and the roundings, is below 10⁻⁵ of steps of about the learning rate, 0.125, but RMSprop's first steps
/// are as large as 1.25 (g / √(0.01 g²) · 0.125). Q16 adds its weight's roundings and 2^−15 of each step.
#[test]
fn pytorch_adapts_the_same() {
    use super::golden;
    let all = |optimizer: Optimizer, wanted: &[[f64; 3]; 6], f32_tolerance: f64| {
        compare::<f32>(optimizer, Clip::None, wanted, &ALL_WAYS, f32_tolerance);
        compare::<Q16>(optimizer, Clip::None, wanted, &ALL_WAYS, 2f64.powi(-11));
    };
    all(Optimizer::ADAM, &golden::ADAM, 3e-6);
    all(decayed(Optimizer::ADAM, 0.25), &golden::ADAM_DECAY, 3e-6);
    all(Optimizer::adam_w(0.25), &golden::ADAM_W, 3e-6);
    all(Optimizer::RMS_PROP, &golden::RMS_PROP, 1e-5);
    let epsilon = 0.25;
    let adam = Optimizer::new(Method::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon,
        decoupled: false,
    });
    all(adam, &golden::ADAM_EPSILON, 3e-6);
    let rms_prop = Optimizer::new(Method::RmsProp {
        alpha: 0.99,
        epsilon,
    });
    all(rms_prop, &golden::RMS_PROP_EPSILON, 3e-6);
}

#[test]
fn pytorch_clips_the_same() {
    use super::golden;
    let sums = [Way::Sums(1), Way::Sums(3), Way::Sums(4)];
    let (sgd, norm) = (Optimizer::SGD, Clip::Norm(0.75));
    compare::<f32>(sgd, norm, &golden::CLIP_NORM, &sums, 2f64.powi(-20));
    compare::<Q16>(sgd, norm, &golden::CLIP_NORM, &sums, 2f64.powi(-11));
    let (momentum, value) = (Optimizer::new(MOMENTUM), Clip::Value(0.375));
    compare::<f32>(
        momentum,
        value,
        &golden::CLIP_VALUE,
        &ALL_WAYS,
        2f64.powi(-20),
    );
    compare::<Q16>(
        momentum,
        value,
        &golden::CLIP_VALUE,
        &ALL_WAYS,
        2f64.powi(-11),
    );
}

/// The orders that `docs/numerics.md` states, to the bit.
#[test]
fn the_order_of_f32_is_kept() {
    let mut draw = Draw(5);
    for _ in 0..200 {
        let w = draw.value(1.0) as f32;
        let v = draw.value(1.0) as f32;
        let (x, d) = (draw.value(3.0) as f32, draw.value(3.0) as f32);
        let (rate, decay, momentum) = (0.037f32, 0.013f32, 0.87f32);
        let updated = |optimizer: Optimizer, outer: bool| {
            let velocity = optimizer.copies();
            let (mut w, mut v) = ([w], [v]);
            let pace = Pace::first(rate);
            let rounder = Rounder::stochastic(1);
            let mut rule = Rule::new(&optimizer, Clip::None, false, pace, rounder);
            let mut update = Update::new(&mut w, &mut v[..velocity], &mut rule);
            if outer {
                update.outer(0, x, &[d]);
            } else {
                update.step(0, &[x * d]);
            }
            (w[0], v[0])
        };
        let sgd = Optimizer::SGD;
        assert_eq!(updated(sgd, true), (w - (rate * x) * d, v));
        assert_eq!(updated(sgd, false), (w - rate * (x * d), v));
        let g = x * d + decay * w;
        for outer in [false, true] {
            assert_eq!(updated(decayed(sgd, decay), outer), (w - rate * g, v));
            let method = Method::Sgd {
                momentum,
                nesterov: false,
            };
            let next = momentum * v + g;
            let optimizer = decayed(Optimizer::new(method), decay);
            assert_eq!(updated(optimizer, outer), (w - rate * next, next));
        }
    }
}

/// Rows of every length, whole runs or not: each weight as if it were alone.
#[test]
fn a_row_learns_number_by_number() {
    let mut draw = Draw(9);
    for len in 0..40 {
        let w: Vec<f32> = narrow(&draw.values(len + 3, 1.0));
        let d: Vec<f32> = narrow(&draw.values(len, 1.0));
        let (x, rate) = (draw.value(1.0) as f32, 0.037f32);
        let mut learnt = w.clone();
        let mut rule = Rule::plain(rate, Rounder::stochastic(1));
        Update::new(&mut learnt, &mut [], &mut rule).outer(2, x, &d);
        let mut wanted = w.clone();
        for (w, d) in wanted[2..].iter_mut().zip(&d) {
            *w -= (rate * x) * d;
        }
        assert_eq!(learnt, wanted);
        // A row that goes past the last weight.
        let mut short = w[..len].to_vec();
        Update::new(&mut short, &mut [], &mut rule).outer(2, x, &d);
        assert_eq!(short, wanted[..len]);
    }
}

#[test]
fn a_plan_with_velocities_keeps_them_at_momentum_0() {
    let (mut w, mut v) = ([1.0f32], [7.0]);
    let mut rule = Rule::plain(0.5, Rounder::stochastic(1));
    Update::new(&mut w, &mut v, &mut rule).outer(0, 2.0, &[0.25]);
    assert_eq!((w, v), ([0.75], [0.5]), "v ← 0 · v + g");
}

#[test]
fn penalties_leave_biases_alone_where_they_should() {
    for (decay_bias, wanted) in [
        (true, [0.5 - 0.125 * (0.25 * 0.5 + 0.5); 2]),
        (false, [0.5; 2]),
    ] {
        let optimizer = Optimizer {
            weight_decay: 0.25,
            l1: 0.5,
            decay_bias,
            ..Optimizer::SGD
        };
        let mut bias = [0.5f32; 2];
        let rounder = Rounder::stochastic(1);
        let mut rule = Rule::new(&optimizer, Clip::None, false, Pace::first(0.125), rounder);
        let mut update = Update::new(&mut bias, &mut [], &mut rule).biases();
        update.step(0, &[0.0]);
        update.outer(1, 0.0, &[1.0]);
        assert_eq!(bias, wanted);
    }
}

#[test]
fn an_l1_penalty_draws_towards_0() {
    let optimizer = Optimizer {
        l1: 0.5,
        ..Optimizer::SGD
    };
    let mut learner = Learner::<f32>::new(&[0.5, -1.0, 0.0], optimizer, Clip::None, false);
    learner.step(Way::Step, 0.25, &[0.0; 3]);
    assert_eq!(learner.weight, [0.375, -0.875, 0.0]);
    // Q16, at a penalty of which a step is far below the format's: 2^−20 · 2^−3 a step of 2^−16, on the average.
    let optimizer = Optimizer {
        l1: 2f32.powi(-20),
        ..Optimizer::SGD
    };
    let mut learner = Learner::<Q16>::new(&[0.5; 64], optimizer, Clip::None, false);
    for _ in 0..1000 {
        learner.step(Way::Step, 0.125, &[0.0; 64]);
    }
    let fall = 0.5 - wide(&learner.weight).iter().sum::<f64>() / 64.0;
    // 1000 draws of odds 1/128 for each of 64: 500 ± 22 steps of 2^−16 in all; four of that.
    let wanted = 1000.0 * 2f64.powi(-23);
    assert!((fall / wanted - 1.0).abs() < 0.18, "{fall} of {wanted}");
}

/// What stays, stays to the bit; what learns, learns as if all did.
#[test]
fn only_chosen_channels_learn() {
    fn check<S: Scalar>(optimizer: Optimizer, accumulates: bool) {
        const CHANNELS: usize = 10;
        const ROWS: usize = 3;
        let bits = [0b10_0110_1001];
        let masks = [
            ChannelMask::Bits(&bits),
            ChannelMask::Window {
                first: 3,
                mask: 0b1_0011,
            },
        ];
        for mask in masks {
            let mut draw = Draw(3);
            let start = draw.values(ROWS * CHANNELS, 1.0);
            let delta: Vec<S> = narrow(&draw.values(CHANNELS, 1.0));
            let x = S::from_f32(0.7);
            let learner = || Learner::<S>::new(&start, optimizer, Clip::None, accumulates);
            let teach = |learner: &mut Learner<S>, mask: Option<ChannelMask>| {
                let only = |update: Update<S>, act: &dyn Fn(&mut Update<S>)| {
                    let mut update = match mask {
                        Some(mask) => update.only(CHANNELS, mask),
                        None => update,
                    };
                    act(&mut update);
                };
                learner.with(accumulates, 0.125, |update| {
                    only(update, &|update| {
                        for row in 0..ROWS {
                            update.outer(row * CHANNELS, x, &delta);
                        }
                        // A block that begins within a row.
                        let block: Vec<S::Acc> = delta[..4].iter().map(|d| d.widen()).collect();
                        update.step(CHANNELS + 6, &block);
                    });
                });
                if accumulates {
                    // What rests adds nothing to a norm over the sums.
                    for (index, sum) in learner.copies[0].iter().enumerate() {
                        let learns = mask.is_none_or(|mask| mask.holds(index % CHANNELS));
                        assert_eq!(*sum != S::ZERO, learns, "sum {index}");
                    }
                    learner.with(true, 0.125, |update| {
                        only(update, &|update| update.step_from_sums(1.0));
                    });
                }
            };
            let (mut some, mut all) = (learner(), learner());
            teach(&mut some, Some(mask));
            teach(&mut all, None);
            let (some, all, start) = (wide(&some.weight), wide(&all.weight), start.clone());
            let start = wide(&narrow::<S>(&start));
            for (index, weight) in some.iter().enumerate() {
                if mask.holds(index % CHANNELS) {
                    assert_ne!(*weight, start[index], "{index} rests");
                    // f32 to the bit; fixed point draws other random numbers: up to four roundings.
                    let tolerance = if core::any::type_name::<S>() == "f32" {
                        0.0
                    } else {
                        8e-5
                    };
                    assert_near(&[*weight], &[all[index]], tolerance, "as if all learnt");
                } else {
                    assert_eq!(*weight, start[index], "{index} learns");
                }
            }
        }
    }
    for accumulates in [false, true] {
        for optimizer in [Optimizer::SGD, Optimizer::new(MOMENTUM), Optimizer::ADAM] {
            check::<f32>(optimizer, accumulates);
            check::<Q16>(optimizer, accumulates);
        }
    }
}

#[test]
fn the_norm_is_over_all_tensors() {
    let mut sums = Sums::default();
    sums.add(&[3.0f32]);
    sums.add(&[Q16::from_num(-4)]);
    // The mean of 2 samples has the norm 2.5, by the √ in use.
    assert_eq!(sums.factor(2, Clip::Norm(5.0)), 0.5);
    let norm = Scalar::sqrt(25.0f32) * 0.5;
    let wanted = 0.5 * (0.5 / (norm + 1e-6));
    assert_eq!(sums.factor(2, Clip::Norm(0.5)), wanted);
    assert_eq!(sums.factor(2, Clip::Value(0.5)), 0.5);
    assert_eq!(Sums::default().factor(1, Clip::Norm(0.5)), 1.0);
}

/// 20,000 steps, each 1/10 of the format's step or less: without stochastic rounding nothing would move.
#[test]
fn small_steps_arrive_on_the_average() {
    for optimizer in [
        Optimizer::SGD,
        Optimizer::new(MOMENTUM),
        decayed(Optimizer::SGD, 0.0),
    ] {
        const WEIGHTS: usize = 16;
        const STEPS: u32 = 20_000;
        let mut learner = Learner::<Q16>::new(&[0.0; WEIGHTS], optimizer, Clip::None, false);
        let rate = 0.01f32;
        let gradient = Q16::from_bits(10).to_f32();
        for _ in 0..STEPS {
            learner.step(Way::Step, rate, &[f64::from(gradient); WEIGHTS]);
        }
        let found = -wide(&learner.weight).iter().sum::<f64>() / WEIGHTS as f64;
        // A velocity settles at ten times the gradient; its first steps lack 9/10, 9²/10², …: 9 gradients of ten.
        let factor = if optimizer.copies() == 1 { 10.0 } else { 1.0 };
        let rate = f64::from(FixedRate::new(rate).to_f32());
        let wanted = (f64::from(STEPS) - if factor > 1.0 { 9.0 } else { 0.0 })
            * factor
            * rate
            * f64::from(gradient);
        // A weight's deviation is √20,000 · √(0.1 · 0.9) = 42 steps of 2^−16 (a velocity's noise passes on at most
        // 1/10 · 0.5 of one a step, correlated over ten: as much); of the mean of 16, 11; four of those.
        let tolerance = 44.0 * 2f64.powi(-16);
        assert_near(&[found], &[wanted], tolerance, "the mean of the weights");
    }
}

/// A velocity of one step of the format, which rounding to nearest would keep for ever, dies away.
#[test]
fn a_small_velocity_dies_away() {
    let mut learner = Learner::<Q16>::new(&[0.0; 64], Optimizer::new(MOMENTUM), Clip::None, false);
    learner.copies[0].fill(Q16::from_bits(1));
    for _ in 0..200 {
        learner.step(Way::Step, 0.0, &[0.0; 64]);
    }
    assert!(learner.copies[0].iter().all(|v| *v == Q16::ZERO));
}

/// Adam in Q16 keeps moments far below the format's step: v of a gradient of 2^−16 is 2^−42.
#[test]
fn moments_are_kept_as_f32() {
    let gradient = f64::from(Q16::LEAST.to_f32());
    let mut fixed = Learner::<Q16>::new(&[0.5], Optimizer::ADAM, Clip::None, false);
    let mut float = Learner::<f32>::new(&[0.5], Optimizer::ADAM, Clip::None, false);
    for _ in 0..50 {
        fixed.step(Way::Step, 0.01, &[gradient]);
        float.step(Way::Step, 0.01, &[gradient]);
    }
    // 50 roundings at random, each below 2^−16, and steps of 15 bits.
    assert_near(
        &wide(&fixed.weight),
        &wide(&float.weight),
        50.0 * 2f64.powi(-16),
        "Adam",
    );
    let moment = f32::from_bits(fixed.copies[0][0].to_bits() as u32);
    assert_eq!(moment, float.copies[0][0]);
    assert!(Optimizer::ADAM.keeps_f32() && !Optimizer::SGD.keeps_f32());
}

#[test]
fn what_is_short_is_left_out() {
    // Past the end of the weights nothing happens.
    let mut w = [1.0f32; 2];
    let mut rule = Rule::plain(0.5, Rounder::stochastic(1));
    let mut update = Update::new(&mut w, &mut [], &mut rule);
    update.step(1, &[1.0; 5]);
    update.step(9, &[1.0; 5]);
    update.outer(2, 1.0, &[1.0; 5]);
    assert_eq!(update.values(1, 5), &[] as &[f32]);
    assert_eq!(w, [1.0, 0.5]);
}
