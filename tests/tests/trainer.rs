//! What a trainer refuses, and that nothing has changed when it did.

use host::export::Builder;
use nn_core::model::Model;
use nn_core::ops::{Activation, Op};
use nn_core::scalar::{Q16, Scalar};
use nn_core::tensor::{DType, Quant};
use nn_core::train::{Loss, Sgd, Target, TrainError, TrainSpec, Trainable, Trainer};
use tests::network::{Layer, Network, poisoned_arena};
use tests::random::Random;

const SGD: Sgd = Sgd {
    learning_rate: 0.1,
    momentum: 0.0,
    weight_decay: 0.0,
};

/// Three inputs, four classes, 16 weights that learn.
fn with_trainer(momentum: f32, check: impl FnOnce(&mut Trainer)) {
    let network = Network {
        input: vec![3],
        layers: vec![Layer::dense(4, Activation::None), Layer::Softmax],
    };
    let parameters = network.draw_parameters(&mut Random::new(6));
    let spec = TrainSpec::with_rates(Trainable::All, Loss::CrossEntropy, Sgd { momentum, ..SGD });
    let blob = network.blob(&parameters, Some(spec));
    let model = Model::load(&blob).unwrap();
    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
    fill(&mut trainer, [0.5, -0.25, 1.0]);
    check(&mut trainer);
}

fn fill(trainer: &mut Trainer, x: [f32; 3]) {
    let input = trainer.input_mut(0).unwrap();
    input.copy_from_slice(bytemuck::cast_slice(&x));
}

#[test]
fn targets_that_do_not_fit() {
    with_trainer(0.0, |trainer| {
        let before = trainer.weights_digest();
        let mut refused = |target, error| {
            assert_eq!(trainer.step(target), Err(error));
            assert_eq!(trainer.weights_digest(), before);
        };
        for found in [4, 5, u16::MAX] {
            let (wanted, class) = (4, usize::from(found));
            let error = TrainError::Class {
                wanted,
                found: class,
            };
            refused(Target::Class(found), error);
        }
        for values in [&[][..], &[0.0; 3], &[0.0; 5], &[0.0, 1.0, f32::NAN, 0.0]] {
            let (wanted, found) = (4, values.len());
            refused(Target::Values(values), TrainError::Values { wanted, found });
        }
        trainer.step(Target::Class(3)).unwrap();
        assert_ne!(trainer.weights_digest(), before);
    });
}

#[test]
fn what_is_not_finite_teaches_nothing() {
    with_trainer(0.0, |trainer| {
        let before = trainer.weights_digest();
        for x in [f32::NAN, f32::INFINITY, f32::MAX] {
            fill(trainer, [x, x, -x]);
            assert_eq!(trainer.step(Target::Class(1)), Err(TrainError::Diverged));
            assert_eq!(trainer.weights_digest(), before);
        }
        fill(trainer, [1.0, 2.0, 3.0]);
        trainer.step(Target::Class(1)).unwrap();
    });
}

#[test]
fn rates() {
    with_trainer(0.0, |trainer| {
        for wrong in [-0.1, f32::NAN, f32::INFINITY] {
            for sgd in [
                Sgd {
                    learning_rate: wrong,
                    ..SGD
                },
                Sgd {
                    momentum: wrong,
                    ..SGD
                },
                Sgd {
                    weight_decay: wrong,
                    ..SGD
                },
            ] {
                assert_eq!(trainer.set_sgd(sgd), Err(TrainError::Rate));
            }
        }
        let momentum = |momentum| Sgd { momentum, ..SGD };
        assert_eq!(trainer.set_sgd(momentum(1.0)), Err(TrainError::Rate));
        assert_eq!(
            trainer.set_sgd(momentum(0.5)),
            Err(TrainError::NoVelocities)
        );
        assert_eq!(trainer.sgd(), SGD);
        // A rate of 0 learns nothing.
        let before = trainer.weights_digest();
        let still = Sgd {
            learning_rate: 0.0,
            ..SGD
        };
        trainer.set_sgd(still).unwrap();
        trainer.step(Target::Class(0)).unwrap();
        assert_eq!(trainer.weights_digest(), before);
    });
    with_trainer(0.9, |trainer| {
        let other = Sgd {
            momentum: 0.5,
            ..SGD
        };
        trainer.set_sgd(other).unwrap();
        assert_eq!(trainer.sgd(), other);
    });
}

#[test]
fn weights_that_do_not_fit() {
    with_trainer(0.0, |trainer| {
        let before = trainer.weights().to_vec();
        assert_eq!(before.len(), 4 * 16);
        let refused = |result: Result<(), TrainError>| {
            assert!(matches!(result, Err(TrainError::Values { .. })));
        };
        refused(trainer.load_weights(&before[4..]));
        refused(trainer.load_weights(&[&before[..], &[0; 4]].concat()));
        for (offset, len) in [
            (0, 3),
            (2, 4),
            (64, 4),
            (60, 8),
            (usize::MAX, 4),
            (usize::MAX - 3, 4),
        ] {
            refused(trainer.write_weights(offset, &vec![0; len]));
        }
        for value in [f32::NAN, f32::INFINITY] {
            refused(trainer.write_weights(8, &value.to_le_bytes()));
        }
        assert_eq!(trainer.weights(), before);
        trainer.write_weights(8, &2.5f32.to_le_bytes()).unwrap();
        assert_eq!(trainer.weights()[8..12], 2.5f32.to_le_bytes());
        assert_eq!(trainer.weights()[12..], before[12..]);
    });
}

#[test]
fn weights_are_taken_over_from_a_trainer_of_the_same_model() {
    with_trainer(0.5, |learner| {
        with_trainer(0.5, |answers| {
            learner.write_weights(8, &2.5f32.to_le_bytes()).unwrap();
            assert_ne!(answers.weights(), learner.weights());
            answers.take_weights(learner).unwrap();
            assert_eq!(answers.weights(), learner.weights());
        });
    });
}

/// Fixed point saturates: a rate above 1 is not looked at, and least of all as if its bits were those of an f32.
#[test]
fn fixed_point_learns_at_any_rate() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Builder::new("q16");
    let x = builder.input(&[3], DType::Q16, Quant::None)?;
    let weights: Vec<f32> = (0..12u8).map(|i| f32::from(i) / 16.0 - 0.4).collect();
    let x = builder.dense("dense", x, &weights, &[0.0; 4], Activation::None)?;
    let y = builder.same("softmax", Op::Softmax(None), x)?;
    let spec = TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, 4.0);
    let blob = builder.finish(&[y], Some(spec))?;
    let model = Model::load(&blob)?;
    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice())?;
    let before = trainer.weights_digest();
    let bits = [0.5, -0.25, 1.0].map(|x| <Q16 as Scalar>::from_f32(x).to_bits());
    let input = trainer.input_mut(0).ok_or("no input")?;
    input.copy_from_slice(bytemuck::cast_slice(&bits));
    let first = trainer.step(Target::Class(1))?;
    assert_ne!(trainer.weights_digest(), before);
    let second = trainer.step(Target::Class(1))?;
    assert!(second.loss < first.loss);
    Ok(())
}
