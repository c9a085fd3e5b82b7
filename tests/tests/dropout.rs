//! Dropout in a whole model: nothing at inference; when training the mask that the documented hash tells, forward
//! and backward, over the layer's own memory and apart from it.

use nn_core::model::Model;
use nn_core::ops::{Activation, Dense, Dropout, Op};
use nn_core::scalar::hash;
use nn_core::tensor::{DType, TensorId};
use nn_core::train::{Loss, Sgd, Target, TrainSpec, Trainable, Trainer};
use tests::graph::{Net, bytes_of, run, values_of};
use tests::network::poisoned_arena;
use tests::random::Random;

const INPUTS: usize = 4;
const HIDDEN: usize = 40;
const OUTPUTS: usize = 3;
/// A quarter: 1 / (1 − p) has more than 15 bits, so that Q16 rounds it.
const DROPOUT: Dropout = Dropout {
    probability: 1 << 14,
};

/// Dense, dropout, dense; the first has this activation.
fn net(dtype: DType, activation: Activation, dropout: bool) -> (Net, TensorId) {
    let mut random = Random::new(8);
    let mut net = Net::new(dtype);
    let x = net.input(&[INPUTS]);
    let mut dense = |net: &mut Net, x, inputs: usize, outputs: usize, activation| {
        let op = Op::Dense(Dense {
            weight: net.weight(&[inputs, outputs], &random.values(inputs * outputs, 0.5)),
            bias: None,
            requant: None,
            activation,
        });
        net.node(op, &[x], &[outputs])
    };
    let mut y = dense(&mut net, x, INPUTS, HIDDEN, activation);
    if dropout {
        y = net.node(Op::Dropout(DROPOUT), &[y], &[HIDDEN]);
    }
    y = dense(&mut net, y, HIDDEN, OUTPUTS, Activation::None);
    (net, y)
}

/// What each hidden number is multiplied by in training step `step`; the dropout is node 1.
fn mask(seed: u32, step: u32) -> Vec<f64> {
    let seed = hash(hash(seed, step), 1);
    let kept = 65536.0 / (65536.0 - f64::from(DROPOUT.probability));
    let drops = |index| hash(seed, index) >> 16 < u32::from(DROPOUT.probability);
    (0..HIDDEN as u32)
        .map(|index| if drops(index) { 0.0 } else { kept })
        .collect()
}

/// One step of gradient descent of rate 1 by the mean squared error, in f64.
fn descend(weights: &mut [f64], x: &[f64], target: &[f64], tanh: bool, mask: &[f64]) {
    let (first, second) = weights.split_at_mut(INPUTS * HIDDEN);
    let hidden: Vec<f64> = (0..HIDDEN)
        .map(|h| {
            let sum: f64 = (0..INPUTS).map(|i| x[i] * first[i * HIDDEN + h]).sum();
            if tanh { sum.tanh() } else { sum.max(0.0) }
        })
        .collect();
    let delta: Vec<f64> = (0..OUTPUTS)
        .map(|o| {
            let products = (0..HIDDEN).map(|h| hidden[h] * mask[h] * second[h * OUTPUTS + o]);
            2.0 / OUTPUTS as f64 * (products.sum::<f64>() - target[o])
        })
        .collect();
    for h in 0..HIDDEN {
        let row = &mut second[h * OUTPUTS..(h + 1) * OUTPUTS];
        let products = row.iter().zip(&delta).map(|(w, delta)| w * delta);
        let slope = match (tanh, hidden[h] > 0.0) {
            (true, _) => 1.0 - hidden[h] * hidden[h],
            (false, above) => f64::from(u8::from(above)),
        };
        let gradient = products.sum::<f64>() * mask[h] * slope;
        for (w, delta) in row.iter_mut().zip(&delta) {
            *w -= hidden[h] * mask[h] * delta;
        }
        for (i, x) in x.iter().enumerate() {
            first[i * HIDDEN + h] -= x * gradient;
        }
    }
}

/// f32 within 1e-5. Q16 within 2⁻¹⁶ times 200: two steps of sums over 40 hidden numbers, each rounded, whose weights'
/// error the second step multiplies.
#[test]
fn the_mask_is_the_documented_one_forward_and_backward() {
    const SEED: u32 = 77;
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::Q16, 200.0 / 65536.0)] {
        for activation in [Activation::Relu, Activation::Tanh] {
            let (net, y) = net(dtype, activation, true);
            let spec = TrainSpec::with_rates(
                Trainable::All,
                Loss::MeanSquaredError,
                Sgd {
                    learning_rate: 1.0,
                    momentum: 0.0,
                    weight_decay: 0.0,
                },
            );
            let blob = net.finish(&[y], Some(spec.with_seed(SEED)));
            let model = Model::load(&blob).unwrap();
            let mut arena = poisoned_arena(model.arena_train());
            let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
            let values = |bytes: &[u8]| -> Vec<f64> {
                let values = values_of(dtype, bytes);
                values.into_iter().map(f64::from).collect()
            };
            let x = bytes_of(dtype, &[0.5, -0.75, 1.0, 0.25]);
            let target = [0.5, -0.25, 0.125];
            let mut wanted = values(trainer.weights());
            let masks = [mask(SEED, 0), mask(SEED, 1)];
            assert_ne!(masks[0], masks[1]);
            for mask in masks {
                assert!(mask.contains(&0.0));
                trainer.input_mut(0).unwrap().copy_from_slice(&x);
                trainer.step(Target::Values(&target)).unwrap();
                let target = target.map(f64::from);
                let tanh = activation == Activation::Tanh;
                descend(&mut wanted, &values(&x), &target, tanh, &mask);
                for (found, wanted) in values(trainer.weights()).iter().zip(&wanted) {
                    let error = (found - wanted).abs();
                    assert!(error < tolerance, "{dtype:?} {activation:?}: {error}");
                }
            }
        }
    }
}

#[test]
fn inference_drops_nothing() {
    for dtype in [DType::F32, DType::Q16] {
        let (with, y) = net(dtype, Activation::Tanh, true);
        let (without, z) = net(dtype, Activation::Tanh, false);
        let (with, without) = (with.finish(&[y], None), without.finish(&[z], None));
        let x = vec![vec![0.5, -0.75, 1.0, 0.25]];
        assert_eq!(run(&with, &x), run(&without, &x));
    }
}
