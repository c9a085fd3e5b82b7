//! nn-core and libtorch on the same graph.

use nn_core::model::Model;
use nn_core::tensor::TensorId;
use nn_core::train::{Loss, Sgd, Target, TrainSpec, Trainable, Trainer};
use tch::Kind;

use crate::graph::{Net, bytes_of, run, values_of};
use crate::network::poisoned_arena;
use crate::random::Random;

/// What nn-core and libtorch say of a graph and a sample.
#[derive(Debug)]
pub struct Compared {
    /// The first output.
    pub outputs: [Vec<f32>; 2],
    /// The gradients of the weights that learn, in the order of `Trainer::weights`.
    pub gradients: [Vec<f32>; 2],
}

/// Runs a graph of one input, and trains one step of gradient descent by the mean squared error at `output`.
pub fn compare(net: &Net, output: TensorId, random: &mut Random) -> Compared {
    let spec = TrainSpec::with_rates(
        Trainable::All,
        Loss::MeanSquaredError,
        Sgd {
            learning_rate: 1.0,
            momentum: 0.0,
            weight_decay: 0.0,
        },
    );
    let blob = net.finish(&[output], Some(spec));
    let model = Model::load(&blob).expect("a valid blob");
    let dtype = net.dtype();
    let input = model.input(0).expect("an input");
    let inputs = [random.values(input.elements(), 1.0)];
    // As the device reads it.
    let inputs: Vec<Vec<f32>> = inputs
        .iter()
        .map(|values| values_of(dtype, &bytes_of(dtype, values)))
        .collect();
    let target = random.values(model.output(0).expect("an output").elements(), 1.0);

    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).expect("a trainer");
    let before = values_of(dtype, trainer.weights());
    let bytes = bytes_of(dtype, &inputs[0]);
    trainer
        .input_mut(0)
        .expect("an input")
        .copy_from_slice(&bytes);
    trainer.step(Target::Values(&target)).expect("a step");
    let after = values_of(dtype, trainer.weights());
    let found = before
        .iter()
        .zip(&after)
        .map(|(before, after)| before - after);

    let torch = super::Torch::new(model);
    let outputs = torch.run(&inputs);
    let target = tch::Tensor::from_slice(&target);
    let loss = (&outputs[0] - target).square().mean(Kind::Float);
    loss.backward();
    Compared {
        outputs: [run(&blob, &inputs).remove(0), super::values(&outputs[0])],
        gradients: [found.collect(), torch.gradient()],
    }
}

/// Holds the first list to the second: each error at most `share` of the largest, and `floor`.
pub fn close(what: &str, [found, wanted]: &[Vec<f32>; 2], share: f32, floor: f32) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let error = (found - wanted).abs();
        assert!(
            error <= share * largest.max(1e-2) + floor,
            "{what} {index}: {found}, libtorch says {wanted}"
        );
    }
}
