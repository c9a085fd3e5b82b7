use tch::{Device, Kind, nn};

use super::*;
use crate::recipe::{Adam, Sgd};

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
    let mut optimizer = Optimizer::new(kind, &parameters).unwrap();
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
