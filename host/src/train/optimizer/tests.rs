use tch::{Device, Kind, nn};

use super::*;
use crate::recipe::{AdaDelta, AdaGrad, Adam, RmsProp, Sgd};

fn adam(weight_decay: f64) -> Adam {
    Adam {
        learning_rate: 0.05,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-6,
        weight_decay,
    }
}

/// Twenty steps of ours and of libtorch's on the same function, side by side.
fn agrees(kind: &OptimizerKind, mut theirs: nn::Optimizer, store: &nn::VarStore) {
    let start = Tensor::from_slice(&[0.5f32, -1.0, 2.0]);
    let target = Tensor::from_slice(&[1.0f32, 1.0, 1.0]);
    let loss = |weight: &Tensor| {
        (weight * weight * weight - &target)
            .square()
            .sum(Kind::Float)
    };

    let weight = store.root().var_copy("weight", &start);
    let ours = start.copy().set_requires_grad(true);
    let mut parameters = [Parameter {
        name: "weight".into(),
        tensor: ours,
    }];
    let mut optimizer = Optimizer::new(kind, Penalty::default(), &parameters).unwrap();
    for _ in 0..20 {
        theirs.backward_step(&loss(&weight));
        let weight = [&parameters[0].tensor];
        let gradients = Tensor::run_backward(&[loss(weight[0])], &weight, false, false);
        optimizer
            .step(&mut parameters, &gradients, kind.learning_rate())
            .unwrap();
    }
    let difference = (&parameters[0].tensor - &weight)
        .abs()
        .max()
        .double_value(&[]);
    // The same formula in another order of f32 operations: some ulp of values near 1, twenty times.
    assert!(difference < 2e-5, "{kind:?} differs by {difference}");
    let moved = (&parameters[0].tensor - &start)
        .abs()
        .min()
        .double_value(&[]);
    assert!(moved > 1e-3, "{kind:?} moved by {moved} only");
}

#[test]
fn sgd_is_libtorchs() {
    use nn::OptimizerConfig;
    for (momentum, weight_decay, nesterov) in [
        (0.0, 0.0, false),
        (0.9, 0.0, false),
        (0.9, 0.01, false),
        (0.8, 0.01, true),
    ] {
        let learning_rate = 0.002;
        let kind = OptimizerKind::Sgd(Sgd {
            learning_rate,
            momentum,
            nesterov,
            weight_decay,
        });
        let store = nn::VarStore::new(Device::Cpu);
        let placeholder = store.root().zeros("unused", &[1]);
        let theirs = nn::sgd(momentum, 0.0, weight_decay, nesterov)
            .build(&store, learning_rate)
            .unwrap();
        drop(placeholder);
        agrees(&kind, theirs, &store);
    }
}

#[test]
fn adam_and_adamw_are_libtorchs() {
    use nn::OptimizerConfig;
    for weight_decay in [0.0, 0.1] {
        let store = nn::VarStore::new(Device::Cpu);
        let theirs = nn::adam(0.9, 0.99, weight_decay)
            .eps(1e-6)
            .build(&store, 0.05)
            .unwrap();
        agrees(&OptimizerKind::Adam(adam(weight_decay)), theirs, &store);
        let store = nn::VarStore::new(Device::Cpu);
        let theirs = nn::adamw(0.9, 0.99, weight_decay)
            .eps(1e-6)
            .build(&store, 0.05)
            .unwrap();
        agrees(&OptimizerKind::AdamW(adam(weight_decay)), theirs, &store);
    }
}

#[test]
fn rmsprop_is_libtorchs() {
    use nn::OptimizerConfig;
    for (momentum, weight_decay) in [(0.0, 0.0), (0.9, 0.0), (0.5, 0.1)] {
        let learning_rate = 0.01;
        let kind = OptimizerKind::RmsProp(RmsProp {
            learning_rate,
            alpha: 0.9,
            epsilon: 1e-6,
            momentum,
            weight_decay,
        });
        let store = nn::VarStore::new(Device::Cpu);
        let theirs = nn::rms_prop(0.9, 1e-6, weight_decay, momentum, false)
            .build(&store, learning_rate)
            .unwrap();
        agrees(&kind, theirs, &store);
    }
}

/// Twenty steps on (w³ − 1)² from these weights, beside the same formula in f64.
fn follows(
    kind: &OptimizerKind,
    penalty: Penalty,
    shape: &[i64],
    mut formula: impl FnMut(f64, f64, &mut [f64; 2]) -> f64,
) {
    let start = [0.5, -1.0, 2.0];
    let slope = |w: f64| 6.0 * w * w * (w * w * w - 1.0);
    let mut wanted = start;
    let mut states = [[0.0; 2]; 3];
    let tensor = Tensor::from_slice(&start.map(|w| w as f32)).reshape(shape);
    let name = "weight".into();
    let mut parameters = [Parameter { name, tensor }];
    let mut optimizer = Optimizer::new(kind, penalty, &parameters).unwrap();
    for _ in 0..20 {
        let weight = &parameters[0].tensor;
        let cube = weight * weight * weight - 1.0;
        let gradients = [weight * weight * cube * 6.0];
        optimizer
            .step(&mut parameters, &gradients, kind.learning_rate())
            .unwrap();
        for (w, state) in wanted.iter_mut().zip(&mut states) {
            *w = formula(*w, slope(*w), state);
        }
    }
    let found: Vec<f32> = Vec::try_from(parameters[0].tensor.flatten(0, -1)).unwrap();
    for ((found, wanted), start) in found.into_iter().zip(wanted).zip(start) {
        let difference = (f64::from(found) - wanted).abs();
        // Some ulp of f32 in each of twenty steps, of weights and gradients around 1.
        assert!(difference < 1e-4, "{kind:?}: {found}, in f64 {wanted}");
        assert!((wanted - start).abs() > 1e-3, "{kind:?} stays at {start}");
    }
}

#[test]
fn adagrad_and_adadelta_are_their_formulas() {
    for weight_decay in [0.0, 0.1] {
        let (learning_rate, epsilon) = (0.05, 1e-6);
        let kind = OptimizerKind::AdaGrad(AdaGrad {
            learning_rate,
            epsilon,
            weight_decay,
        });
        follows(&kind, Penalty::default(), &[3], |w, slope, [sum, _]| {
            let g = slope + weight_decay * w;
            *sum += g * g;
            w - learning_rate * g / (sum.sqrt() + epsilon)
        });
        let (learning_rate, rho, epsilon) = (0.5, 0.8, 1e-3);
        let kind = OptimizerKind::AdaDelta(AdaDelta {
            learning_rate,
            rho,
            epsilon,
            weight_decay,
        });
        follows(&kind, Penalty::default(), &[3], |w, slope, [v, u]| {
            let g = slope + weight_decay * w;
            *v = rho * *v + (1.0 - rho) * g * g;
            let step = ((*u + epsilon) / (*v + epsilon)).sqrt() * g;
            *u = rho * *u + (1.0 - rho) * step * step;
            w - learning_rate * step
        });
    }
}

/// A penalty takes matrices, and vectors only where it says so.
#[test]
fn penalties_are_slopes_of_magnitudes_and_squares() {
    let learning_rate = 0.002;
    let kind = OptimizerKind::Sgd(Sgd {
        learning_rate,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    });
    let elastic = Penalty {
        l1: 0.5,
        l2: 0.25,
        biases: false,
    };
    let with = |w: f64| elastic.l1 * w.signum() + 2.0 * elastic.l2 * w;
    follows(&kind, elastic, &[3, 1], |w, slope, _| {
        w - learning_rate * (slope + with(w))
    });
    follows(&kind, elastic, &[3], |w, slope, _| {
        w - learning_rate * slope
    });
    let everywhere = Penalty {
        biases: true,
        ..elastic
    };
    follows(&kind, everywhere, &[3], |w, slope, _| {
        w - learning_rate * (slope + with(w))
    });
}
