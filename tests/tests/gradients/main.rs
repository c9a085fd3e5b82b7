//! nn-core's backward passes and its gradient descent, held to central differences of an f64 reference.

mod layers;
mod operators;
mod plans;

use nn_core::model::Model;
use nn_core::ops::Activation;
use nn_core::train::{Loss, Sgd, Target, TrainSpec, Trainable, Trainer};
use tests::network::{Layer, Network, floats, poisoned_arena};
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
        Trainable::Node(node) => vec![usize::from(node)],
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

    let learns = learning(network, spec.nodes());
    let mut expected: Vec<f64> = parameters.iter().map(|&w| f64::from(w)).collect();
    let mut velocities = vec![0.0; expected.len()];
    let outputs: usize = network.output().iter().product();
    for step in 0..steps {
        let mut x = random.values(network.inputs(), 1.0);
        // Real inputs have zeros, which the update leaves out.
        x.iter_mut().step_by(3).for_each(|x| *x = 0.0);
        let class = random.size(0, outputs - 1);
        let values = random.values(outputs, 1.0);
        let (target, wanted): (Target, Vec<f64>) = match spec.loss() {
            Loss::CrossEntropy => (
                Target::Class(class as u16),
                (0..outputs).map(|o| f64::from(o == class)).collect(),
            ),
            _ => (
                Target::Values(&values),
                values.iter().map(|&v| f64::from(v)).collect(),
            ),
        };
        let x64: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let loss = reference::loss(network, &expected, &x64, &wanted, spec.loss());
        let gradient = reference::gradient(network, &expected, &x64, &wanted, spec.loss());
        reference::descend(
            &mut expected,
            &mut velocities,
            &gradient,
            &learns,
            spec.rates(),
        );

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
    TrainSpec::with_rates(Trainable::All, loss, PLAIN)
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
