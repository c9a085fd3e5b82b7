//! The networks whose answers by libtorch are kept in `tests/golden/libtorch.json`.

use nn_core::model::Model;
use nn_core::ops::Activation;
use nn_core::train::{Loss, Sgd, Target, TrainSpec, Trainable, Trainer};

use crate::network::{Layer, Network, Window, floats, poisoned_arena, run_f32};
use crate::random::Random;

/// A network with a loss, its parameters, and one sample.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it tries.
    pub name: String,
    /// Its layers.
    pub network: Network,
    /// What is minimised.
    pub loss: Loss,
    /// Each weight before its bias.
    pub parameters: Vec<f32>,
    /// The input.
    pub x: Vec<f32>,
    /// What the output should be: for cross-entropy 1 at a class and 0 elsewhere.
    pub target: Vec<f32>,
}

/// What a framework says of a [`Case`].
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The output.
    pub output: Vec<f32>,
    /// The loss.
    pub loss: f32,
    /// Its gradient, in the order of the parameters.
    pub gradient: Vec<f32>,
}

impl Case {
    /// Draws parameters and a sample.
    pub fn new(name: &str, network: Network, loss: Loss, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let parameters = network.draw_parameters(&mut random);
        let x = random.values(network.inputs(), 1.0);
        let outputs: usize = network.output().iter().product();
        let target = match loss {
            Loss::CrossEntropy => {
                let class = random.size(0, outputs - 1);
                (0..outputs)
                    .map(|o| f32::from(u8::from(o == class)))
                    .collect()
            }
            _ => random.values(outputs, 1.0),
        };
        Self {
            name: name.to_owned(),
            network,
            loss,
            parameters,
            x,
            target,
        }
    }

    /// What nn-core says. The gradient is what a step of rate 1 takes off the parameters.
    pub fn answer(&self) -> Answer {
        let spec = TrainSpec::with_rates(
            Trainable::All,
            self.loss,
            Sgd {
                learning_rate: 1.0,
                momentum: 0.0,
                weight_decay: 0.0,
            },
        );
        let blob = self.network.blob(&self.parameters, Some(spec));
        let model = Model::load(&blob).expect("a valid blob");
        let mut arena = poisoned_arena(model.arena_train());
        let mut trainer = Trainer::new(model, arena.as_mut_slice()).expect("a trainer");
        let input = trainer.input_mut(0).expect("an input");
        input.copy_from_slice(bytemuck::cast_slice(&self.x));
        let report = trainer.step(Target::Values(&self.target)).expect("a step");
        let learnt = floats(trainer.weights());
        Answer {
            output: run_f32(&blob, &self.x),
            loss: report.loss,
            gradient: self
                .parameters
                .iter()
                .zip(learnt)
                .map(|(before, after)| before - after)
                .collect(),
        }
    }

    /// Holds nn-core's answer to a framework's: outputs to 10⁻⁵ of the largest, gradients to 10⁻⁴ of the largest.
    ///
    /// Both sum in f32, in other orders; a step of rate 1 adds the rounding of a weight of about 1.
    pub fn hold_to(&self, wanted: &Answer) {
        let found = self.answer();
        let close = |what: &str, found: &[f32], wanted: &[f32], share: f32| {
            assert_eq!(found.len(), wanted.len(), "{}: {what}", self.name);
            let largest = wanted.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
            for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                assert!(
                    (found - wanted).abs() <= share * largest.max(1e-2),
                    "{}: {what} {index} is {found}, libtorch says {wanted}; {:#?}",
                    self.name,
                    self.network
                );
            }
        };
        close("output", &found.output, &wanted.output, 1e-5);
        close("loss", &[found.loss], &[wanted.loss], 1e-5);
        close("gradient", &found.gradient, &wanted.gradient, 1e-4);
    }
}

/// The cases whose answers are frozen.
pub fn frozen() -> Vec<Case> {
    let window = |kernel, stride, padding| Window {
        kernel,
        stride,
        padding,
    };
    let case = |name, input: &[usize], layers, loss| {
        let input = input.to_vec();
        let network = Network { input, layers };
        Case::new(name, network, loss, 40 + input_seed(name))
    };
    vec![
        case(
            "dense, each activation",
            &[5],
            vec![
                Layer::dense(9, Activation::Relu),
                Layer::dense(6, Activation::Sigmoid),
                Layer::dense(4, Activation::Tanh),
                Layer::dense(3, Activation::None),
            ],
            Loss::MeanSquaredError,
        ),
        case(
            "a small LeNet",
            &[9, 8, 1],
            vec![
                Layer::conv(window([3, 3], [1, 1], [1; 4]), 3, Activation::Relu),
                Layer::MaxPool(Window::square(2, 2)),
                Layer::conv(window([3, 3], [1, 1], [1; 4]), 4, Activation::Relu),
                Layer::MaxPool(Window::square(2, 2)),
                Layer::Flatten,
                Layer::dense(7, Activation::Relu),
                Layer::dense(4, Activation::None),
                Layer::Softmax,
            ],
            Loss::CrossEntropy,
        ),
        case(
            "uneven windows, strides and paddings",
            &[7, 6, 2],
            vec![
                Layer::conv(window([2, 3], [1, 2], [0, 1, 1, 2]), 3, Activation::Tanh),
                Layer::AvgPool(window([3, 2], [2, 1], [1, 0, 2, 1])),
                Layer::conv(window([1, 1], [1, 1], [0; 4]), 2, Activation::None),
                Layer::MaxPool(window([2, 2], [1, 1], [1, 1, 0, 0])),
                Layer::Flatten,
                Layer::dense(3, Activation::None),
            ],
            Loss::MeanSquaredError,
        ),
        case(
            "activations as layers, softmax in the middle and under a mean squared error",
            &[6],
            vec![
                Layer::dense(5, Activation::None),
                Layer::Activation(Activation::Sigmoid),
                Layer::Softmax,
                Layer::dense(6, Activation::Relu),
                Layer::Activation(Activation::Tanh),
                Layer::dense(4, Activation::None),
                Layer::Softmax,
            ],
            Loss::MeanSquaredError,
        ),
    ]
}

/// A seed from a name.
fn input_seed(name: &str) -> u64 {
    name.len() as u64
}
