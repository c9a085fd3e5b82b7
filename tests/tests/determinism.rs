//! The same numbers in the same order: forward bits against a reference in the documented order, training digests frozen.

use nn_core::model::Model;
use nn_core::ops::Activation;
use nn_core::train::{Loss, Sgd, Target, TrainSpec, Trainable, Trainer};
use tests::network::{Layer, Network, Window, poisoned_arena, run_f32};
use tests::random::Random;
use tests::reference;

#[test]
fn forward_sums_in_the_documented_order() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut network = Network::draw(&mut random);
        if random.once_in(2) {
            network.layers.push(Layer::Softmax);
        }
        let parameters = network.draw_parameters(&mut random);
        let x = random.values(network.inputs(), 4.0);
        let outputs = reference::forward(&network, &parameters, &x);
        let wanted: Vec<u32> = outputs
            .last()
            .unwrap()
            .iter()
            .map(|y| y.to_bits())
            .collect();
        let found = run_f32(&network.blob(&parameters, None), &x);
        let found: Vec<u32> = found.iter().map(|y| y.to_bits()).collect();
        assert_eq!(found, wanted, "seed {seed}: {network:#?}");
    }
}

/// Digest of the learnt weights after `steps` steps on random samples.
fn train(network: &Network, spec: TrainSpec, steps: usize) -> u64 {
    let mut random = Random::new(2026);
    let parameters = network.draw_parameters(&mut random);
    let blob = network.blob(&parameters, Some(spec));
    let model = Model::load(&blob).unwrap();
    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
    let classes = network.output()[0] as i64;
    for _ in 0..steps {
        let x = random.values(network.inputs(), 1.0);
        let input = trainer.input_mut(0).unwrap();
        input.copy_from_slice(bytemuck::cast_slice(&x));
        let class = random.within(0, classes - 1) as u16;
        trainer.step(Target::Class(class)).unwrap();
    }
    trainer.weights_digest()
}

/// One of each operator that learns or passes a gradient.
fn network() -> Network {
    Network {
        input: vec![9, 8, 2],
        layers: vec![
            Layer::conv(
                Window {
                    kernel: [3, 4],
                    stride: [1, 1],
                    padding: [1, 2, 1, 1],
                },
                9,
                Activation::Relu,
            ),
            Layer::MaxPool(Window::square(2, 2)),
            Layer::conv(Window::square(2, 1), 3, Activation::Tanh),
            Layer::AvgPool(Window::square(2, 1)),
            Layer::Flatten,
            Layer::dense(11, Activation::Sigmoid),
            Layer::dense(4, Activation::None),
            Layer::Softmax,
        ],
    }
}

fn spec(loss: Loss, momentum: f32, weight_decay: f32) -> TrainSpec {
    TrainSpec::with_rates(
        Trainable::All,
        loss,
        Sgd {
            learning_rate: 0.05,
            momentum,
            weight_decay,
        },
    )
}

/// The digests that every machine must reach. They change when the order of a reduction does, and that is a new
/// version of the contract in `docs/numerics.md`: never mend them for another reason.
#[test]
fn fifty_steps_end_in_the_frozen_weights() {
    let digests = [
        spec(Loss::CrossEntropy, 0.0, 0.0),
        spec(Loss::CrossEntropy, 0.9, 0.001),
        spec(Loss::MeanSquaredError, 0.0, 0.01),
    ]
    .map(|spec| format!("{:016x}", train(&network(), spec, 50)));
    assert_eq!(
        digests,
        ["c50aaba4909058fc", "004a3342178c162f", "b560d7fbd67815b5"]
    );
}

#[test]
fn the_same_training_twice_ends_alike_and_another_does_not() {
    let plain = spec(Loss::CrossEntropy, 0.0, 0.0);
    let once = train(&network(), plain, 20);
    assert_eq!(train(&network(), plain, 20), once);
    assert_ne!(train(&network(), plain, 21), once);
    let faster = spec(Loss::CrossEntropy, 0.1, 0.0);
    assert_ne!(train(&network(), faster, 20), once);
}

#[test]
fn reset_and_restored_weights_learn_as_the_first_time() {
    let mut random = Random::new(3);
    let network = network();
    let parameters = network.draw_parameters(&mut random);
    let blob = network.blob(&parameters, Some(spec(Loss::CrossEntropy, 0.9, 0.0)));
    let model = Model::load(&blob).unwrap();
    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
    let x = random.values(network.inputs(), 1.0);
    let learn = |trainer: &mut Trainer| {
        for class in [0, 3, 1, 2, 0] {
            let input = trainer.input_mut(0).unwrap();
            input.copy_from_slice(bytemuck::cast_slice(&x));
            trainer.step(Target::Class(class)).unwrap();
        }
        trainer.weights_digest()
    };
    let start = trainer.weights().to_vec();
    let first = learn(&mut trainer);
    trainer.reset();
    assert_eq!(trainer.weights(), start);
    assert_eq!(learn(&mut trainer), first);
    trainer.load_weights(&start).unwrap();
    assert_eq!(learn(&mut trainer), first);
    // Without forgetting the velocities it would end elsewhere.
    assert_ne!(learn(&mut trainer), first);
}
