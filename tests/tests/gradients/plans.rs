//! What learns, with which rates, over steps; random chains.

use host::export::AlignedBytes;
use nn_core::model::Model;
use nn_core::ops::Activation;
use nn_core::train::{Loss, Sgd, TrainSpec, Trainable, Trainer};
use tests::network::{Layer, Network, Window, poisoned_arena, run_f32};
use tests::random::Random;

use crate::layers::map_network;
use crate::{all, chain, compare};

#[test]
fn momentum_and_weight_decay_over_steps() {
    let network = map_network(vec![
        Layer::conv(Window::square(3, 2), 9, Activation::Relu),
        Layer::MaxPool(Window::square(2, 1)),
    ]);
    for (seed, (momentum, weight_decay)) in (0..).zip([(0.9, 0.0), (0.0, 0.1), (0.7, 0.05)]) {
        let sgd = Sgd {
            learning_rate: 0.05,
            momentum,
            weight_decay,
        };
        let spec = TrainSpec::with_rates(Trainable::All, Loss::MeanSquaredError, sgd);
        compare(&network, seed, spec, 6);
    }
}

fn shapes_for_choices() -> Network {
    chain(
        &[6, 6, 1],
        vec![
            Layer::conv(Window::square(3, 1), 3, Activation::Relu), // 0
            Layer::MaxPool(Window::square(2, 2)),                   // 1
            Layer::conv(Window::square(2, 1), 4, Activation::Tanh), // 2
            Layer::Flatten,                                         // 3
            Layer::dense(6, Activation::Sigmoid),                   // 4
            Layer::dense(3, Activation::None),                      // 5
            Layer::Softmax,                                         // 6
        ],
    )
}

#[test]
fn what_learns_is_what_the_plan_names() {
    let network = shapes_for_choices();
    let sgd = Sgd {
        learning_rate: 0.1,
        momentum: 0.5,
        weight_decay: 0.01,
    };
    for trainable in [
        Trainable::Last(1),
        Trainable::Last(2),
        Trainable::Last(3),
        Trainable::Last(200),
        Trainable::All,
        Trainable::Nodes(1 << 0),
        Trainable::Nodes(1 << 2 | 1 << 5),
        Trainable::Nodes(1 << 0 | 1 << 4),
        // Bits of nodes without weights, or past the graph, count for nothing.
        Trainable::Nodes(!(1 << 4)),
    ] {
        for loss in [Loss::CrossEntropy, Loss::MeanSquaredError] {
            let spec = TrainSpec::with_rates(trainable, loss, sgd);
            compare(&network, 3, spec, 4);
        }
    }
}

#[test]
fn random_chains() {
    for seed in 0..300 {
        let mut random = Random::new(1000 + seed);
        let mut network = Network::draw(&mut random);
        let loss = if random.once_in(2) {
            network.layers.push(Layer::Softmax);
            Loss::CrossEntropy
        } else {
            Loss::MeanSquaredError
        };
        let with_weights = network.parameters().iter().filter(|(w, _)| *w > 0).count();
        let trainable = match random.size(0, 2) {
            0 => Trainable::Last(random.size(1, with_weights) as u8),
            _ => Trainable::All,
        };
        let spec = TrainSpec::with_rates(
            trainable,
            loss,
            Sgd {
                learning_rate: 0.1,
                momentum: random.pick(&[0.0, 0.8]),
                weight_decay: random.pick(&[0.0, 0.02]),
            },
        );
        compare(&network, seed, spec, 2);
    }
}

#[test]
fn a_trainer_runs_as_a_session_does() {
    for seed in 0..100 {
        let mut random = Random::new(5000 + seed);
        let network = Network::draw(&mut random);
        let parameters = network.draw_parameters(&mut random);
        let blob: AlignedBytes = network.blob(&parameters, Some(all(Loss::MeanSquaredError)));
        let x = random.values(network.inputs(), 2.0);
        let model = Model::load(&blob).unwrap();
        let mut arena = poisoned_arena(model.arena_train());
        let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
        let input = trainer.input_mut(0).unwrap();
        input.copy_from_slice(bytemuck::cast_slice(&x));
        trainer.run().unwrap();
        assert_eq!(
            trainer.output(0).unwrap(),
            bytemuck::cast_slice::<f32, u8>(&run_f32(&blob, &x)),
            "seed {seed}: {network:#?}"
        );
    }
}
