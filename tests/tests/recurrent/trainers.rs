//! Learning.

use nn_core::train::{List, Part, Target, TrainRule, Trainer};

use super::*;

fn trainer<'a>(blob: &'a AlignedBytes, arena: &'a mut AlignedBytes) -> Trainer<'a> {
    *arena = poisoned_arena(Model::load(blob).unwrap().arena_train());
    Trainer::new(Model::load(blob).unwrap(), arena.as_mut_slice()).unwrap()
}

fn step(trainer: &mut Trainer, inputs: &[Vec<f32>], target: Target) -> f32 {
    for (index, input) in inputs.iter().enumerate() {
        let dtype = trainer.model().input(index).expect("an input").dtype;
        let bytes = trainer.input_mut(index).expect("an input");
        bytes.copy_from_slice(&bytes_of(dtype, input));
    }
    trainer.step(target).expect("a step").loss
}

/// The mean squared error's gradient, by central differences.
fn gradient(graph: &Graph, parameters: &[f64], inputs: &[Vec<f64>], target: &[f64]) -> Vec<f64> {
    let mut moved = parameters.to_vec();
    let mut loss = |index: usize, value: f64| {
        let before = std::mem::replace(&mut moved[index], value);
        let y = graph.evaluate(&moved, inputs);
        moved[index] = before;
        let errors = y.iter().zip(target).map(|(y, t)| (y - t).powi(2));
        errors.sum::<f64>() / y.len() as f64
    };
    const STEP: f64 = 1e-5;
    let each = parameters.iter().enumerate();
    each.map(|(index, w)| (loss(index, w + STEP) - loss(index, w - STEP)) / (2.0 * STEP))
        .collect()
}

#[test]
fn every_graph_learns_by_its_gradient() {
    for (seed, kind) in (1..).zip(KINDS) {
        for (name, graph) in graphs(kind) {
            let mut random = Random::new(seed);
            let parameters = graph.draw(&mut random);
            let inputs = draw_inputs(&graph, &mut random);
            let outputs = graph.shapes().last().unwrap().iter().product();
            let target = random.values(outputs, 1.0);
            let inputs_64: Vec<Vec<f64>> = inputs.iter().map(|input| wide(input)).collect();
            let wanted = gradient(&graph, &wide(&parameters), &inputs_64, &wide(&target));

            // Weights and gradients are at most about 1. In f32 sums of some tens of terms, through a few layers and up
            // to 15 steps; in Q16 every number on the way is off by 2⁻¹⁷, and a weight that learnt by up to 2⁻¹⁶.
            for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::Q16, 1e-3)] {
                let spec = spec(Loss::MeanSquaredError, 1.0);
                let blob = graph.blob(dtype, &parameters, Some(spec));
                let mut arena = AlignedBytes::zeroed(0);
                let mut trainer = trainer(&blob, &mut arena);
                let before = values_of(dtype, trainer.weights());
                step(&mut trainer, &inputs, Target::Values(&target));
                let after = values_of(dtype, trainer.weights());
                assert_eq!(after.len(), parameters.len());
                let learnt = before.iter().zip(&after);
                for (index, ((before, after), wanted)) in learnt.zip(&wanted).enumerate() {
                    let found = f64::from(*before) - f64::from(*after);
                    assert!(
                        (found - wanted).abs() < tolerance,
                        "{name}, {kind:?}, {dtype:?}, parameter {index}: {found} instead of {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn chosen_units_learn_in_all_their_gates() {
    for kind in KINDS {
        let graph = Graph::chain(&[6, 3], vec![recurrent(kind, 5, Gives::Last)]);
        let mut random = Random::new(14);
        let parameters = graph.draw(&mut random);
        let inputs = draw_inputs(&graph, &mut random);
        let target = random.values(5, 1.0);
        let learnt = |part| {
            let mut spec = spec(Loss::MeanSquaredError, 1.0);
            spec.rules = List::one(TrainRule {
                nodes: Trainable::All,
                part,
            });
            let blob = graph.blob(DType::F32, &parameters, Some(spec));
            let mut arena = AlignedBytes::zeroed(0);
            let mut trainer = trainer(&blob, &mut arena);
            step(&mut trainer, &inputs, Target::Values(&target));
            values_of(DType::F32, trainer.weights())
        };
        let all = learnt(Part::All);
        // Units 1 and 3; the two of the largest errors.
        let window = Part::Channels {
            first: 1,
            mask: 0b101,
        };
        let y = graph.evaluate(&wide(&parameters), &[wide(&inputs[0])]);
        let error = |unit: usize| (y[unit] - f64::from(target[unit])).abs();
        let mut order: Vec<usize> = (0..5).collect();
        order.sort_by(|a, b| error(*b).total_cmp(&error(*a)));
        let top = Part::TopChannels {
            count: 2,
            decay: 0.0,
        };
        for (part, units) in [(window, [1, 3]), (top, [order[0], order[1]])] {
            let found = learnt(part);
            for (index, found) in found.iter().enumerate() {
                // Each row and each bias holds a number of each unit for each gate.
                let learns = units.contains(&(index % 5));
                let wanted = if learns {
                    all[index]
                } else {
                    parameters[index]
                };
                assert_eq!(*found, wanted, "{kind:?}, {part:?}, {index}");
            }
        }
        assert!(
            all.iter()
                .zip(&parameters)
                .all(|(after, before)| after != before)
        );
    }
}

#[test]
fn a_frozen_layer_passes_the_gradient_on() {
    for kind in KINDS {
        let layers = vec![
            dense(4, Activation::Tanh),
            reversed(recurrent(kind, 5, Gives::Whole)),
            recurrent(kind, 4, Gives::Last),
        ];
        let graph = Graph::chain(&[6, 3], layers);
        let mut random = Random::new(12);
        let parameters = graph.draw(&mut random);
        let inputs = draw_inputs(&graph, &mut random);
        let target = random.values(4, 1.0);
        let inputs_64: Vec<Vec<f64>> = inputs.iter().map(|input| wide(input)).collect();
        let wanted = gradient(&graph, &wide(&parameters), &inputs_64, &wide(&target));
        // The first learns through two that do not; the middle one alone; the first and the last.
        for mask in [0b001, 0b010, 0b101] {
            let mut spec = spec(Loss::MeanSquaredError, 1.0);
            spec.rules = List::one(Trainable::Nodes(mask).into());
            let blob = graph.blob(DType::F32, &parameters, Some(spec));
            let mut arena = AlignedBytes::zeroed(0);
            let mut trainer = trainer(&blob, &mut arena);
            step(&mut trainer, &inputs, Target::Values(&target));
            let mut after = values_of(DType::F32, trainer.weights()).into_iter();
            let mut index = 0;
            for (node, shapes) in graph.parameters().iter().enumerate() {
                let count: usize = shapes
                    .iter()
                    .map(|shape| shape.iter().product::<usize>())
                    .sum();
                for index in index..index + count {
                    if mask >> node & 1 == 1 {
                        let after = after.next().unwrap();
                        let found = f64::from(parameters[index]) - f64::from(after);
                        assert!((found - wanted[index]).abs() < 1e-5, "{kind:?}, {mask:#b}");
                    }
                }
                index += count;
            }
            assert_eq!(after.next(), None);
        }
    }
}

#[test]
fn truncated_it_learns_as_from_the_state_before_the_last_steps() {
    // Of 7 steps the last 3 count: the same as 3 steps that begin in the state after the first 4.
    for kind in KINDS {
        let layer = |truncate| Layer::Recurrent {
            kind,
            units: 5,
            gives: Gives::Last,
            reverse: false,
            stateful: false,
            truncate,
        };
        let cut = Graph::chain(&[7, 2], vec![layer(3)]);
        let mut random = Random::new(8);
        let parameters = cut.draw(&mut random);
        let x = random.values(14, 1.0);
        let target = random.values(5, 1.0);

        let first = Graph::chain(&[4, 2], vec![stateful(kind, 5, Gives::Last)]);
        let blob = first.blob(DType::F32, &parameters, None);
        let mut arena = infer_arena(&blob);
        let mut session = Session::new(Model::load(&blob).unwrap(), arena.as_mut_slice()).unwrap();
        run(&mut session, DType::F32, &[x[..8].to_vec()]);
        let state = values_of(DType::F32, session.state(0));

        let states = state.len() / 5;
        let rest = Graph {
            inputs: [vec![vec![3, 2]], vec![vec![5]; states]].concat(),
            nodes: vec![(layer(0), (0..=states).collect())],
        };
        let learnt = |graph: &Graph, inputs: &[Vec<f32>]| {
            let spec = spec(Loss::MeanSquaredError, 0.5);
            let blob = graph.blob(DType::F32, &parameters, Some(spec));
            let mut arena = AlignedBytes::zeroed(0);
            let mut trainer = trainer(&blob, &mut arena);
            step(&mut trainer, inputs, Target::Values(&target));
            values_of(DType::F32, trainer.weights())
        };
        let mut inputs = vec![x[8..].to_vec()];
        inputs.extend(state.chunks(5).map(<[f32]>::to_vec));
        let (found, wanted) = (
            learnt(&cut, std::slice::from_ref(&x)),
            learnt(&rest, &inputs),
        );
        // The steps before add +0 or −0 to each sum.
        assert_eq!(found, wanted);
        let all = Graph::chain(&[7, 2], vec![layer(0)]);
        assert_ne!(found, learnt(&all, &[x]));
    }
}

#[test]
fn stateful_it_learns_from_window_to_window() {
    // With the rate 0, the outputs of two windows are those of one sequence of both.
    for kind in KINDS {
        let graph = Graph::chain(&[3, 2], vec![stateful(kind, 4, Gives::Whole)]);
        let mut random = Random::new(6);
        let parameters = graph.draw(&mut random);
        let x = random.values(12, 1.0);
        let both = Graph::chain(&[6, 2], vec![recurrent(kind, 4, Gives::Whole)]);
        let wanted = both.evaluate(&wide(&parameters), &[wide(&x)]);

        let spec = spec(Loss::MeanSquaredError, 0.0);
        let blob = graph.blob(DType::F32, &parameters, Some(spec));
        let mut arena = AlignedBytes::zeroed(0);
        let mut trainer = trainer(&blob, &mut arena);
        for _ in 0..2 {
            for (window, wanted) in x.chunks(6).zip(wanted.chunks(12)) {
                // The loss of a target of 0 is the mean of the squares.
                let loss = step(&mut trainer, &[window.to_vec()], Target::Values(&[0.0; 12]));
                let squares: f64 = wanted.iter().map(|y| y * y).sum::<f64>() / 12.0;
                assert!((f64::from(loss) - squares).abs() < 1e-6);
            }
            trainer.reset_state();
        }
    }
}

#[test]
fn it_tells_which_of_two_symbols_came_first() {
    // Sequence to one with cross-entropy, from the graph alone: the session of what was learnt is right.
    for (kind, rate) in KINDS.into_iter().zip([0.1, 0.3, 0.3, 0.3]) {
        let layers = vec![
            recurrent(kind, 8, Gives::Last),
            dense(2, Activation::None),
            Layer::Softmax,
        ];
        let graph = Graph::chain(&[6, 2], layers);
        let mut random = Random::new(3);
        let spec = spec(Loss::CrossEntropy, rate);
        let blob = graph.blob(DType::F32, &graph.draw(&mut random), Some(spec));
        let mut arena = AlignedBytes::zeroed(0);
        let mut trainer = trainer(&blob, &mut arena);
        let mut sample = || {
            let class = random.size(0, 1);
            let mut x = vec![0.0; 12];
            x[class] = 1.0;
            x[2 * random.size(1, 5) + 1 - class] = 1.0;
            (x, class as u16)
        };
        for _ in 0..1500 {
            let (x, class) = sample();
            step(&mut trainer, &[x], Target::Class(class));
        }
        let mut right = 0;
        for _ in 0..100 {
            let (x, class) = sample();
            let input = trainer.input_mut(0).unwrap();
            input.copy_from_slice(bytemuck::cast_slice(&x));
            trainer.run().unwrap();
            let y = trainer.output_f32(0).unwrap();
            right += usize::from((y[1] > y[0]) == (class == 1));
        }
        assert!(right >= 99, "{kind:?}: {right} of 100");
    }
}
