//! nn-core's backward passes and its gradient descent, held to central differences of an f64 reference.

use host::export::AlignedBytes;
use nn_core::model::Model;
use nn_core::ops::Activation;
use nn_core::train::{Loss, Sgd, Target, TrainSpec, Trainable, Trainer};
use tests::network::{ACTIVATIONS, Layer, Network, Window, floats, poisoned_arena, run_f32};
use tests::random::Random;
use tests::reference;

const PLAIN: Sgd = Sgd {
    learning_rate: 1.0,
    momentum: 0.0,
    weight_decay: 0.0,
};

/// Which parameters a training plan lets learn: told here from the rule, not by nn-core.
fn learning(network: &Network, trainable: Trainable) -> Vec<bool> {
    let counts = network.parameters();
    let with_weights: Vec<usize> = (0..counts.len()).filter(|&i| counts[i].0 > 0).collect();
    let nodes: Vec<usize> = match trainable {
        Trainable::All => with_weights,
        Trainable::Last(count) => {
            let frozen = with_weights.len().saturating_sub(usize::from(count));
            with_weights[frozen..].to_vec()
        }
        Trainable::Nodes(mask) => with_weights
            .into_iter()
            .filter(|i| mask >> i & 1 == 1)
            .collect(),
    };
    let each = counts.iter().enumerate();
    each.flat_map(|(i, (w, b))| vec![nodes.contains(&i); w + b])
        .collect()
}

/// Trains `steps` steps on nn-core and on the reference, and compares all parameters that learn, and the losses.
fn compare(network: &Network, seed: u64, spec: TrainSpec, steps: usize) {
    let mut random = Random::new(seed);
    let parameters = network.draw_parameters(&mut random);
    let blob = network.blob(&parameters, Some(spec));
    let model = Model::load(&blob).expect("a valid blob");
    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).expect("a trainer");

    let learns = learning(network, spec.trainable);
    let mut expected: Vec<f64> = parameters.iter().map(|&w| f64::from(w)).collect();
    let mut velocities = vec![0.0; expected.len()];
    let outputs: usize = network.output().iter().product();
    for step in 0..steps {
        let mut x = random.values(network.inputs(), 1.0);
        // Real inputs have zeros, which the update leaves out.
        x.iter_mut().step_by(3).for_each(|x| *x = 0.0);
        let class = random.size(0, outputs - 1);
        let values = random.values(outputs, 1.0);
        let (target, wanted): (Target, Vec<f64>) = match spec.loss {
            Loss::CrossEntropy => (
                Target::Class(class as u16),
                (0..outputs).map(|o| f64::from(o == class)).collect(),
            ),
            Loss::MeanSquaredError => (
                Target::Values(&values),
                values.iter().map(|&v| f64::from(v)).collect(),
            ),
        };
        let x64: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let loss = reference::loss(network, &expected, &x64, &wanted, spec.loss);
        let gradient = reference::gradient(network, &expected, &x64, &wanted, spec.loss);
        reference::descend(&mut expected, &mut velocities, &gradient, &learns, spec.sgd);

        let input = trainer.input_mut(0).expect("an input");
        input.copy_from_slice(bytemuck::cast_slice(&x));
        let report = trainer.step(target).expect("a step");
        let context = || format!("seed {seed}, step {step}, {spec:?}\n{network:#?}");
        assert!(
            (f64::from(report.loss) - loss).abs() <= 1e-5 * loss.abs().max(1.0),
            "loss {} instead of {loss}; {}",
            report.loss,
            context()
        );
        let learnt = expected.iter().zip(&learns).filter(|(_, learns)| **learns);
        let learnt: Vec<f64> = learnt.map(|(w, _)| *w).collect();
        let found = floats(trainer.weights());
        assert_eq!(found.len(), learnt.len(), "{}", context());
        for (index, (found, wanted)) in found.iter().zip(&learnt).enumerate() {
            // Weights and gradients are about 1. A sum of n terms in f32 is off by up to n · 2⁻²⁴; the networks sum
            // up to some hundred terms in a few layers, and later steps start from slightly other weights.
            let tolerance = 2e-5 * (step + 1) as f64 * wanted.abs().max(1.0);
            assert!(
                (f64::from(*found) - wanted).abs() <= tolerance,
                "learnt parameter {index}: {found} instead of {wanted}; {}",
                context()
            );
        }
    }
}

fn all(loss: Loss) -> TrainSpec {
    TrainSpec {
        trainable: Trainable::All,
        loss,
        sgd: PLAIN,
    }
}

fn chain(input: &[usize], layers: Vec<Layer>) -> Network {
    Network {
        input: input.to_vec(),
        layers,
    }
}

/// Layer `middle` between two dense layers that learn, so that its gradient has to pass.
fn sandwich(middle: Vec<Layer>) -> Network {
    let mut layers = vec![Layer::dense(7, Activation::None)];
    layers.extend(middle);
    layers.push(Layer::dense(3, Activation::None));
    chain(&[5], layers)
}

#[test]
fn dense_with_each_fused_activation() {
    for (seed, first) in (0..).zip(ACTIVATIONS) {
        for last in ACTIVATIONS {
            let layers = vec![Layer::dense(9, first), Layer::dense(4, last)];
            compare(&chain(&[6], layers), seed, all(Loss::MeanSquaredError), 1);
        }
    }
}

#[test]
fn activations_as_layers() {
    for (seed, activation) in (0..).zip(&ACTIVATIONS[1..]) {
        for fused in ACTIVATIONS {
            let network = sandwich(vec![
                Layer::dense(8, fused),
                Layer::Activation(*activation),
                Layer::Activation(Activation::Tanh),
            ]);
            compare(&network, seed, all(Loss::MeanSquaredError), 1);
        }
        let last = chain(
            &[4],
            vec![
                Layer::dense(5, Activation::None),
                Layer::Activation(*activation),
            ],
        );
        compare(&last, seed, all(Loss::MeanSquaredError), 1);
    }
}

#[test]
fn softmax_in_the_middle_and_last() {
    for (seed, fused) in (0..).zip(ACTIVATIONS) {
        let middle = sandwich(vec![Layer::dense(6, fused), Layer::Softmax]);
        compare(&middle, seed, all(Loss::MeanSquaredError), 1);
        let twice = sandwich(vec![Layer::Softmax, Layer::Softmax]);
        compare(&twice, seed, all(Loss::MeanSquaredError), 1);
        let layers = vec![Layer::dense(5, fused), Layer::Softmax];
        for loss in [Loss::MeanSquaredError, Loss::CrossEntropy] {
            compare(&chain(&[7], layers.clone()), seed, all(loss), 1);
        }
    }
}

fn map_network(layers: Vec<Layer>) -> Network {
    let mut layers = layers;
    layers.extend([Layer::Flatten, Layer::dense(3, Activation::None)]);
    chain(&[7, 6, 2], layers)
}

fn windows() -> Vec<Window> {
    let window = |kernel, stride, padding| Window {
        kernel,
        stride,
        padding,
    };
    vec![
        Window::square(1, 1),
        Window::square(3, 1),
        Window::square(3, 2),
        window([5, 5], [1, 1], [2; 4]),
        window([2, 3], [1, 2], [0, 1, 1, 2]),
        window([4, 1], [3, 1], [3, 0, 2, 0]),
        window([1, 3], [1, 3], [0, 2, 0, 1]),
        // Larger than the map: only the padding makes it fit.
        window([7, 7], [2, 3], [3, 4, 1, 2]),
    ]
}

#[test]
fn convolutions() {
    for (seed, window) in (0..).zip(windows()) {
        for outputs in [1, 3, 10] {
            let activation = ACTIVATIONS[seed as usize % 4];
            // The first learns without a gradient at its input, the second with one.
            let network = map_network(vec![
                Layer::conv(Window::square(2, 1), 3, activation),
                Layer::conv(
                    Window {
                        padding: window.padding.map(|p| p.min(6)),
                        kernel: window.kernel.map(|k| k.min(5)),
                        ..window
                    },
                    outputs,
                    activation,
                ),
            ]);
            compare(&network, seed, all(Loss::MeanSquaredError), 1);
            let first = map_network(vec![Layer::conv(window, outputs, activation)]);
            compare(&first, seed, all(Loss::MeanSquaredError), 1);
        }
    }
}

#[test]
fn poolings_under_each_activation() {
    for (seed, window) in (0..).zip(windows()) {
        for activation in ACTIVATIONS {
            for pool in [Layer::MaxPool, Layer::AvgPool] {
                let below = Layer::conv(Window::square(3, 1), 2, activation);
                let window = Window {
                    kernel: window.kernel.map(|k| k.min(4)),
                    padding: window.padding.map(|p| p.min(3)),
                    ..window
                };
                let fits = Window {
                    // The padding stays below the kernel.
                    padding: std::array::from_fn(|i| {
                        window.padding[i].min(window.kernel[i % 2] - 1)
                    }),
                    ..window
                };
                let network = map_network(vec![below, pool(fits)]);
                compare(&network, seed, all(Loss::MeanSquaredError), 1);
            }
        }
    }
}

#[test]
fn pooling_on_pooling_and_on_layers_in_place() {
    let pool = Window::square(2, 1);
    for activation in ACTIVATIONS {
        let conv = Layer::conv(Window::square(2, 1), 3, activation);
        for layers in [
            vec![conv.clone(), Layer::MaxPool(pool), Layer::MaxPool(pool)],
            vec![conv.clone(), Layer::MaxPool(pool), Layer::AvgPool(pool)],
            vec![conv.clone(), Layer::AvgPool(pool), Layer::MaxPool(pool)],
            vec![
                conv.clone(),
                Layer::Activation(Activation::Sigmoid),
                Layer::MaxPool(pool),
                Layer::Activation(Activation::Tanh),
            ],
            vec![
                conv.clone(),
                Layer::MaxPool(pool),
                Layer::conv(pool, 2, Activation::Relu),
                Layer::MaxPool(pool),
            ],
        ] {
            compare(&map_network(layers), 5, all(Loss::MeanSquaredError), 1);
        }
    }
}

#[test]
fn a_pooling_may_be_last() {
    for pool in [Layer::MaxPool, Layer::AvgPool] {
        for activation in ACTIVATIONS {
            let layers = vec![
                Layer::conv(Window::square(2, 1), 2, activation),
                pool(Window::square(2, 2)),
                Layer::Flatten,
            ];
            let network = chain(&[5, 5, 1], layers);
            compare(&network, 9, all(Loss::MeanSquaredError), 1);
        }
    }
}

#[test]
fn max_pooling_sends_the_gradient_to_the_first_of_equals() {
    // A 1x1 convolution of weight 1 over four equal cells: only the first cell's input counts for the weight.
    let network = chain(
        &[2, 2, 2],
        vec![
            Layer::conv(Window::square(1, 1), 1, Activation::None),
            Layer::MaxPool(Window::square(2, 1)),
            Layer::Flatten,
        ],
    );
    let blob = network.blob(&[1.0, 1.0, 0.0], Some(all(Loss::MeanSquaredError)));
    let model = Model::load(&blob).unwrap();
    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
    // Each cell sums to 4, by other parts.
    let x: [f32; 8] = [1.0, 3.0, 2.0, 2.0, 3.0, 1.0, 0.0, 4.0];
    let input = trainer.input_mut(0).unwrap();
    input.copy_from_slice(bytemuck::cast_slice(&x));
    // y = 4, target 3.5: dL/dy = 2 · 0.5 = 1.
    let report = trainer.step(Target::Values(&[3.5])).unwrap();
    assert_eq!(report.loss, 0.25);
    assert_eq!(floats(trainer.weights()), [1.0 - 1.0, 1.0 - 3.0, 0.0 - 1.0]);
}

#[test]
fn soft_targets_of_any_sum() {
    // Cross-entropy of targets that do not sum to 1 has the gradient Σt · p − t.
    let network = chain(
        &[3],
        vec![Layer::dense(4, Activation::None), Layer::Softmax],
    );
    let mut random = Random::new(77);
    let parameters = network.draw_parameters(&mut random);
    let blob = network.blob(&parameters, Some(all(Loss::CrossEntropy)));
    let model = Model::load(&blob).unwrap();
    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
    let x = random.values(3, 1.0);
    let target = [0.5, 0.0, 0.7, 0.3];
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&v| f64::from(v)).collect() };
    let gradient = reference::gradient(
        &network,
        &wide(&parameters),
        &wide(&x),
        &wide(&target),
        Loss::CrossEntropy,
    );
    let input = trainer.input_mut(0).unwrap();
    input.copy_from_slice(bytemuck::cast_slice(&x));
    trainer.step(Target::Values(&target)).unwrap();
    for ((found, before), gradient) in floats(trainer.weights())
        .iter()
        .zip(&parameters)
        .zip(gradient)
    {
        assert!((f64::from(*found) - (f64::from(*before) - gradient)).abs() < 1e-6);
    }
}

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
        let spec = TrainSpec {
            sgd,
            ..all(Loss::MeanSquaredError)
        };
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
            let spec = TrainSpec {
                trainable,
                loss,
                sgd,
            };
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
        let spec = TrainSpec {
            trainable,
            loss,
            sgd: Sgd {
                learning_rate: 0.1,
                momentum: random.pick(&[0.0, 0.8]),
                weight_decay: random.pick(&[0.0, 0.02]),
            },
        };
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
