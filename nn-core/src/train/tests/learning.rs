//! XOR from random weights, by pure functions alone: dense, tanh, dense, and a loss.

use super::*;
use crate::ops::Activation;
use crate::ops::dense::{self, Weights};
use crate::scalar::{Q16, Rounder};
use crate::train::{
    Clip, Course, Criterion, Ending, Loss, MAX_COPIES, Optimizer, Pace, Rounding, Rule, Schedule,
    Sums, Target, TrainSpec, Trainable, Update,
};

const HIDDEN: usize = 6;

/// A parameter and the numbers kept for it.
struct Parameter<S> {
    weight: Vec<S>,
    copies: [Vec<S>; MAX_COPIES],
}

impl<S: Scalar> Parameter<S> {
    fn new(weight: Vec<S>, spec: &TrainSpec) -> Self {
        let copies = core::array::from_fn(|copy| {
            let len = if copy < spec.copies() {
                weight.len()
            } else {
                0
            };
            std::vec![S::ZERO; len]
        });
        Self { weight, copies }
    }

    fn update<'w>(&'w mut self, rule: &'w mut Rule<S>) -> Update<'w, S> {
        let copies = self.copies.each_mut().map(Vec::as_mut_slice);
        Update::with_copies(&mut self.weight, copies, rule)
    }
}

/// The largest error of a probability, after learning.
fn xor<S: Scalar>(spec: &TrainSpec, ending: Ending, steps: u32) -> f64 {
    assert_eq!(spec.check(), Ok(()));
    let outputs = if ending == Ending::Sigmoid { 1 } else { 2 };
    let mut draw = Draw(11);
    let mut drawn = |len| Parameter::<S>::new(narrow(&draw.values(len, 0.7)), spec);
    let mut parameters = [
        drawn(2 * HIDDEN),
        drawn(HIDDEN),
        drawn(HIDDEN * outputs),
        drawn(outputs),
    ];
    let loss = spec.heads.as_slice()[0].loss;
    let criterion = Criterion::new(loss, ending);
    let mut rounder = match spec.optimizer.rounding {
        Rounding::Stochastic => Rounder::stochastic(spec.seed),
        Rounding::Nearest => Rounder::NEAREST,
    };
    let (mut taken, mut summed) = (0, 0);
    let mut worst = 0.0f64;
    for step in 0..steps + 4 {
        let bits = [step & 1, (step >> 1) & 1];
        let answer = bits[0] ^ bits[1];
        let x = bits.map(|bit| S::from_f32(bit as f32));
        let [w1, b1, w2, b2] = &mut parameters;
        let mut h = [S::ZERO; HIDDEN];
        dense::forward(&x, &w1.weight, &b1.weight, Activation::Tanh, &mut h);
        let mut y = std::vec![S::ZERO; outputs];
        dense::forward(&h, &w2.weight, &b2.weight, Activation::None, &mut y);
        match ending {
            Ending::Sigmoid => y[0] = y[0].sigmoid(),
            Ending::LogSoftmax => S::log_softmax(&mut y),
            _ => S::softmax(&mut y),
        }
        if step >= steps {
            let p = f64::from(y[outputs - 1].to_f32());
            let p = if ending == Ending::LogSoftmax {
                p.exp()
            } else {
                p
            };
            worst = worst.max((p - f64::from(answer)).abs());
            continue;
        }
        let value = [answer as f32];
        let target = if ending == Ending::Sigmoid {
            Target::Values(&value)
        } else {
            Target::Class(answer as u16)
        };
        let mut delta = y;
        criterion.gradient(&mut delta, &target, Activation::None);
        let pace = Pace {
            rate: spec.schedule.rate(spec.learning_rate, taken),
            step: taken + 1,
        };
        let mut rule = Rule::new(
            &spec.optimizer,
            spec.clip,
            spec.accumulates(),
            pace,
            rounder,
        );
        let mut weights = Weights::Learning(w2.update(&mut rule));
        dense::backward(&mut h, Some(Activation::Tanh), &mut weights, &delta);
        dense::backward_bias(&mut b2.update(&mut rule).biases(), &delta);
        let mut x = x;
        let mut weights = Weights::Learning(w1.update(&mut rule));
        dense::backward(&mut x, None, &mut weights, &h);
        dense::backward_bias(&mut b1.update(&mut rule).biases(), &h);
        summed += 1;
        if !spec.accumulates() {
            taken += 1;
        } else if summed == spec.accumulate {
            let mut sums = Sums::default();
            for parameter in &parameters {
                sums.add(&parameter.copies[0]);
            }
            let factor = sums.factor(summed, spec.clip);
            for parameter in &mut parameters {
                parameter.update(&mut rule).step_from_sums(factor);
            }
            (taken, summed) = (taken + 1, 0);
        }
        rounder = rule.rounder();
    }
    worst
}

/// Each optimizer, in f32 and Q16: 0 or 1 to within a tenth.
#[test]
fn xor_converges_in_every_format_with_every_optimizer() {
    let entropy =
        |optimizer, rate| TrainSpec::new(Trainable::All, Loss::CrossEntropy, optimizer, rate);
    let sgd = entropy(Optimizer::SGD, 0.2);
    let adam = entropy(Optimizer::ADAM, 0.02);
    let binary = TrainSpec::sgd(Trainable::All, Loss::BinaryCrossEntropy, 0.2);
    let specs = [
        (sgd, Ending::Softmax),
        (sgd.with_rounding(Rounding::Nearest), Ending::Softmax),
        (sgd, Ending::LogSoftmax),
        (binary, Ending::Sigmoid),
        (
            entropy(Optimizer::SGD, 0.02).with_momentum(0.9),
            Ending::Softmax,
        ),
        (
            entropy(Optimizer::SGD, 0.02).with_nesterov(0.9),
            Ending::Softmax,
        ),
        (sgd.with_clip(Clip::Value(0.25)), Ending::Softmax),
        (sgd.with_accumulation(4), Ending::Softmax),
        (
            sgd.with_accumulation(4).with_clip(Clip::Norm(0.5)),
            Ending::Softmax,
        ),
        (adam, Ending::Softmax),
        (adam.with_accumulation(4), Ending::Softmax),
        (entropy(Optimizer::adam_w(1e-3), 0.02), Ending::Softmax),
        (entropy(Optimizer::RMS_PROP, 0.01), Ending::Softmax),
        (
            sgd.with_schedule(
                Schedule::from(Course::Cosine {
                    period: 8000,
                    floor: 0.1,
                    restart: false,
                })
                .with_warm_up(100),
            ),
            Ending::Softmax,
        ),
    ];
    for (spec, ending) in specs {
        let (float, fixed) = (
            xor::<f32>(&spec, ending, 8000),
            xor::<Q16>(&spec, ending, 8000),
        );
        assert!(float < 0.1, "f32: {float} with {spec:?}");
        assert!(fixed < 0.1, "Q16: {fixed} with {spec:?}");
    }
}
