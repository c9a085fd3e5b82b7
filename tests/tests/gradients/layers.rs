//! One layer after the other.

use nn_core::model::Model;
use nn_core::ops::Activation;
use nn_core::train::{Loss, Target, Trainer};
use tests::network::{ACTIVATIONS, Layer, Network, Window, floats, poisoned_arena};
use tests::random::Random;
use tests::reference;

use crate::{all, chain, compare, sandwich};

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

pub(crate) fn map_network(layers: Vec<Layer>) -> Network {
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
