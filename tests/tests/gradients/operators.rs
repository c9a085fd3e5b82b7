//! Every operator that hands a gradient on, and every loss, held to central differences of its own loss in f32.
//!
//! The graphs are those in which devices are held to the host. Random masks depend on a seed, so they are the same in
//! each evaluation.

use std::collections::BTreeSet;

use nn_core::model::Model;
use nn_core::ops::number;
use nn_core::tensor::DType;
use nn_core::train::{Clip, Head, Loss, Method, Part, Schedule, Target, TrainSpec, Trainer};
use tests::conformance::{Case, cases};
use tests::network::{floats, poisoned_arena};
use tests::random::Random;

/// Of each case so many parameters are moved, spread over all of them.
const PROBES: usize = 60;
/// How far: the loss, about 1, has a rounding error of 1e-7, which half of 1/MOVE makes 1e-5 of the slope; the third
/// derivative adds its sixth part times 1e-4.
const MOVE: f32 = 1e-2;
/// Share of the steepest slope of the case.
const TOLERANCE: f32 = 2e-3;

enum Wanted {
    Classes(Vec<u16>),
    Values(Vec<f32>),
}

/// One evaluation: fresh memory, these inputs and targets.
struct Probe<'c> {
    model: Model<'c>,
    inputs: Vec<Vec<u8>>,
    wanted: Vec<Wanted>,
}

impl<'c> Probe<'c> {
    fn new(case: &'c Case, spec: &TrainSpec) -> Self {
        let mut random = Random::new(41);
        let model = case.model();
        let inputs = 0..model.inputs().as_slice().len();
        let inputs = inputs.map(|index| {
            let tensor = model.input(index).expect("an input");
            let count = tensor.elements();
            if tensor.dtype == DType::F32 {
                bytemuck::cast_slice(&random.values(count, 1.0)).to_vec()
            } else {
                let ids: Vec<u32> = (0..count).map(|_| random.size(0, 3) as u32).collect();
                bytemuck::cast_slice(&ids).to_vec()
            }
        });
        let inputs = inputs.collect();
        let wanted = spec.heads.as_slice().iter().map(|head: &Head| {
            let output = model.output(head.output.into()).expect("an output");
            let last = *output.shape.dims().last().expect("a vector") as usize;
            match head.loss {
                Loss::CrossEntropy => Wanted::Classes(
                    (0..output.elements() / last)
                        .map(|_| random.size(0, last - 1) as u16)
                        .collect(),
                ),
                Loss::BinaryCrossEntropy => Wanted::Values(
                    (0..output.elements())
                        .map(|index| f32::from(u8::from(index % 2 == 0)))
                        .collect(),
                ),
                _ => Wanted::Values(random.values(output.elements(), 1.0)),
            }
        });
        let wanted = wanted.collect();
        Self {
            model,
            inputs,
            wanted,
        }
    }

    /// The loss with `weights`, or with the blob's own; and the weights before and after a step.
    fn step(&self, weights: Option<&[f32]>) -> (f32, Vec<f32>, Vec<f32>) {
        let mut arena = poisoned_arena(self.model.arena_train());
        let mut trainer = Trainer::new(self.model, arena.as_mut_slice()).expect("a trainer");
        if let Some(weights) = weights {
            let bytes = bytemuck::cast_slice(weights);
            trainer.write_weights(0, bytes).expect("as many");
        }
        let before = floats(trainer.weights());
        for (index, input) in self.inputs.iter().enumerate() {
            let place = trainer.input_mut(index).expect("an input");
            place.copy_from_slice(input);
        }
        let targets = self.wanted.iter().map(|wanted| match wanted {
            Wanted::Classes(classes) => match classes[..] {
                [class] => Target::Class(class),
                _ => Target::Classes(classes),
            },
            Wanted::Values(values) => Target::Values(values),
        });
        let targets: Vec<Target> = targets.collect();
        let report = trainer.step_heads(&targets).expect("a step");
        (report.loss, before, floats(trainer.weights()))
    }

    /// The slope of the loss along weight `index`, by a difference of `distance` to either side.
    fn slope(&self, weights: &[f32], index: usize, distance: f32) -> f32 {
        let loss = |at: f32| {
            let mut moved = weights.to_vec();
            moved[index] += at;
            self.step(Some(&moved)).0
        };
        (loss(distance) - loss(-distance)) / (2.0 * distance)
    }
}

/// Plans whose first step is −rate · gradient in every weight.
fn is_plain(spec: &TrainSpec) -> bool {
    let optimizer = spec.optimizer;
    let rules = spec.rules.as_slice().iter();
    optimizer.weight_decay == 0.0
        && optimizer.l1 == 0.0
        && matches!(
            optimizer.method,
            Method::Sgd {
                nesterov: false,
                ..
            }
        )
        && spec.schedule == Schedule::default()
        && spec.clip == Clip::default()
        && spec.accumulate <= 1
        && rules.clone().all(|rule| rule.part == Part::All)
}

/// Calls `visit(case, spec)` for each case in f32 with a plain plan whose gradient is the whole one.
fn each_plain(mut visit: impl FnMut(&Case, TrainSpec)) {
    for case in cases() {
        let model = case.model();
        let float = case
            .operators()
            .iter()
            .all(|(_, dtype)| matches!(dtype, DType::F32 | DType::I32));
        // Truncated in time, a gradient is not that of the loss.
        if !float || case.name.contains("stateful") {
            continue;
        }
        if let Some(spec) = model.train_spec().filter(is_plain) {
            visit(&case, spec);
        }
    }
}

#[test]
fn every_operator_is_probed() {
    let mut probed = BTreeSet::new();
    each_plain(|case, _| probed.extend(case.operators().into_iter().map(|(number, _)| number)));
    // Views, and all that hand a gradient on in f32.
    let all = 0..=number::EMBEDDING;
    let without = [number::QUANTIZE, number::DEQUANTIZE];
    for number in all.filter(|number| !without.contains(number)) {
        assert!(probed.contains(&number), "operator {number}");
    }
}

#[test]
fn the_gradient_of_every_operator_is_that_of_its_loss() {
    let (mut probes, mut kinks) = (0, 0);
    each_plain(|case, spec| {
        let probe = Probe::new(case, &spec);
        let (_, before, after) = probe.step(None);
        let gradients = before.iter().zip(&after);
        let gradients: Vec<f32> = gradients
            .map(|(before, after)| (before - after) / spec.learning_rate)
            .collect();
        let steepest = gradients.iter().fold(0.0f32, |most, g| most.max(g.abs()));
        assert!(steepest > 1e-3, "{}: nothing learns", case.name);
        let tolerance = TOLERANCE * steepest.max(0.1);
        let every = gradients.len().div_ceil(PROBES);
        for index in (0..gradients.len()).step_by(every) {
            let found = gradients[index];
            let wanted = probe.slope(&before, index, MOVE);
            probes += 1;
            if (found - wanted).abs() <= tolerance {
                continue;
            }
            // A bend within reach of the move, as of a ReLU or of the largest in a window: closer by, there is none.
            let near = probe.slope(&before, index, MOVE / 8.0);
            kinks += 1;
            assert!(
                (found - near).abs() <= 4.0 * tolerance,
                "{}, weight {index}: gradient {found}, differences {wanted}, closer {near}",
                case.name
            );
        }
    });
    assert!(probes > 500, "{probes} probes");
    assert!(kinks * 20 < probes, "{kinks} of {probes} near a bend");
}
