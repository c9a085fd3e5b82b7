//! A training that is planned ahead learns as one that is planned in its arena: every operator in every number format,
//! every optimizer, and every model.

use host::export::{AlignedBytes, Builder};
use host::paths;
use nn_core::conformance::{Draw, RUNS, STEPS};
use nn_core::model::Model;
use nn_core::ops::{Activation, AllOps, Op, OpSet};
use nn_core::program::{
    BackStep, BackStepSource, Chain, Entry, HeadStep, Learnt, Link, Pick, Program, ProgramError,
    Slot, Step, TrainProgram, TrainSource,
};
use nn_core::tensor::{DType, Quant};
use nn_core::train::{Loss, MAX_HEADS, Sgd, Target, TrainSpec, Trainable, Trainer};
use tests::conformance::cases;

/// A program's tables, as an image's constants have them.
struct Tables {
    steps: Vec<Step>,
    back_steps: Vec<BackStep>,
    slots: Vec<Slot>,
    picks: Vec<Pick>,
    heads: Vec<HeadStep>,
    learnt: Vec<Learnt>,
    /// The layers of a chain, and what its loss counts.
    links: Vec<Link>,
    weight: Option<f32>,
}

impl Tables {
    fn of<K: OpSet>(source: &TrainSource) -> Option<Self> {
        let (mut steps, mut back_steps) = (Vec::new(), Vec::new());
        source
            .forward()
            .each_step(|step| steps.push(Step::planned::<K>(&step)));
        source.each_back_step(|step| back_steps.push(BackStep::planned::<K>(&step)));
        let mut links = Vec::new();
        let weight = source.each_link(|link| links.push(link));
        Some(Self {
            steps: steps.into_iter().collect::<Option<_>>()?,
            back_steps: back_steps.into_iter().collect::<Option<_>>()?,
            slots: read(source.slots(), Slot::planned)?,
            picks: read(source.picks(), Pick::planned)?,
            heads: read(source.heads(), HeadStep::planned)?,
            learnt: read(source.learnt(), Learnt::planned)?,
            links: read(&links, Link::planned)?,
            weight,
        })
    }

    fn program<'t>(&'t self, source: &TrainSource<'_, 't>, crc: u32) -> TrainProgram<'t> {
        let forward = source.forward();
        let [inputs, outputs] = forward.endpoints();
        TrainProgram {
            forward: Program {
                steps: &self.steps,
                operands: forward.operands(),
                inputs,
                outputs,
                weights: forward.weights(),
                arena: forward.arena(),
                crc,
            },
            back_steps: &self.back_steps,
            slots: &self.slots,
            picks: &self.picks,
            heads: &self.heads,
            learnt: &self.learnt,
            weights: source.weights(),
            copies: source.copies(),
            accumulates: source.accumulates(),
            chain: self.weight.map(|weight| Chain::new(&self.links, weight)),
        }
    }
}

/// Entries by their stored bytes.
fn read<E: Entry>(entries: &[E], planned: impl Fn(&[u8]) -> Option<E>) -> Option<Vec<E>> {
    let stored = entries.iter().map(Entry::stored);
    stored.map(|stored| planned(stored.bytes())).collect()
}

/// Teaches `model` both ways; gives the bytes of arena that either takes.
fn compare(name: &str, model: Model) -> [usize; 2] {
    let mut arena = AlignedBytes::zeroed(model.arena_train());
    let planning = Trainer::new(model, arena.as_mut_slice()).unwrap();
    let source = TrainSource::new(&planning);
    let tables = Tables::of::<AllOps>(&source).unwrap_or_else(|| panic!("{name}: no program"));
    let program = tables.program(&source, model.header().crc);
    let mut own = AlignedBytes::zeroed(program.forward.arena);
    // What lies in RAM at power-on must not show.
    own.as_mut_slice().fill(0xA5);
    let mut planned = Trainer::planned(model, &program, own.as_mut_slice()).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
    let mut draw = Draw::new();
    let outputs = (0..MAX_HEADS).filter_map(|index| model.output(index));
    let mut room = vec![0.0; outputs.map(|output| output.elements()).sum()];
    for step in 0..2 * STEPS + RUNS {
        if step == STEPS {
            trainer.reset();
            planned.reset();
        }
        for index in 0..model.inputs().as_slice().len() {
            let dtype = model.input(index).unwrap().dtype;
            let bytes = trainer.input_mut(index).unwrap();
            draw.fill(dtype, bytes);
            planned.input_mut(index).unwrap().copy_from_slice(bytes);
        }
        if step < 2 * STEPS {
            let mut targets = [Target::Class(0); MAX_HEADS];
            let heads = draw.targets(&model, &mut room, &mut targets).unwrap();
            let wanted = trainer.step_heads(&targets[..heads]);
            let found = planned.step_heads(&targets[..heads]);
            assert_eq!(wanted, found, "{name}: step {step}");
        } else {
            trainer.run().unwrap();
            planned.run().unwrap();
            for index in 0..model.outputs().as_slice().len() {
                assert_eq!(
                    trainer.output(index).unwrap(),
                    planned.output(index).unwrap(),
                    "{name}: output {index}"
                );
            }
        }
        assert_eq!(trainer.weights(), planned.weights(), "{name}: step {step}");
    }
    assert_eq!(trainer.flush(), planned.flush());
    assert_eq!(trainer.weights(), planned.weights(), "{name}");
    [model.arena_train(), program.forward.arena]
}

#[test]
fn every_case_learns_the_same() {
    let mut count = 0;
    for case in cases() {
        let model = Model::load(&case.blob).unwrap();
        if model.learns() {
            let [trainer, planned] = compare(&case.name, model);
            let name = &case.name;
            assert!(planned < trainer, "{name}: {planned} of {trainer} bytes");
            count += 1;
        }
    }
    assert!(count > 50, "{count} cases");
}

#[test]
fn every_model_learns_the_same() {
    let mut count = 0;
    for entry in std::fs::read_dir(paths::workspace_root().join("models")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "mote")
        {
            let blob = AlignedBytes::copy_of(&std::fs::read(&path).unwrap());
            let model = Model::load(&blob).unwrap();
            if model.learns() {
                compare(&path.display().to_string(), model);
                count += 1;
            }
        }
    }
    assert!(count > 5, "{count} models");
}

fn refused<'a>(
    program: &'a TrainProgram<'a>,
    model: Model<'a>,
    arena: &'a mut [u8],
) -> ProgramError {
    let trainer = Trainer::planned(model, program, arena);
    trainer.map(|_| ()).unwrap_err()
}

/// Dense layers with these activations, the first `frozen` of which do not learn, and a softmax.
fn layers(draw: &mut Draw, activations: &[Activation], frozen: usize) -> AlignedBytes {
    let mut builder = Builder::new("layers");
    let mut values = |count: usize| -> Vec<f32> {
        let mut bytes = vec![0; 4 * count];
        draw.fill(DType::F32, &mut bytes);
        let (words, _) = bytes.as_chunks::<4>();
        words.iter().map(|word| f32::from_le_bytes(*word)).collect()
    };
    let mut sizes = vec![5];
    let mut x = builder.input(&[5], DType::F32, Quant::None).unwrap();
    for (index, &activation) in activations.iter().enumerate() {
        let inputs = *sizes.last().unwrap();
        let outputs = 1 + (7 * index + 3 * activations.len() + frozen) % 19;
        let (weight, bias) = (values(inputs * outputs), values(outputs));
        x = builder
            .dense(&format!("dense_{index}"), x, &weight, &bias, activation)
            .unwrap();
        sizes.push(outputs);
    }
    let output = builder.same("softmax", Op::Softmax(None), x).unwrap();
    let learning = u8::try_from(activations.len() - frozen).unwrap();
    let spec = TrainSpec::sgd(Trainable::Last(learning), Loss::CrossEntropy, 0.25);
    builder.finish(&[output], Some(spec)).unwrap()
}

/// Learns as the engine does, at rates that are fine, absurd and 0, with a decay or without, and from inputs that are no numbers; a step that is
/// refused leaves the same weights.
#[test]
fn a_chain_learns_as_its_layers_do() {
    let kinds = [
        Activation::None,
        Activation::Relu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::LeakyRelu(0.25),
        Activation::Relu6,
    ];
    let (mut draw, mut refused, mut taken) = (Draw::new(), 0, 0);
    for round in 0..60 {
        let count = 1 + round % 4;
        let activations: Vec<_> = (0..count)
            .map(|_| kinds[draw.below(kinds.len() as u32) as usize])
            .collect();
        let blob = layers(&mut draw, &activations, round % count);
        let model = Model::load(&blob).unwrap();
        let mut arena = AlignedBytes::zeroed(model.arena_train());
        let planning = Trainer::new(model, arena.as_mut_slice()).unwrap();
        let source = TrainSource::new(&planning);
        let tables = Tables::of::<AllOps>(&source).unwrap();
        assert_eq!(tables.links.len(), count - round % count);
        let program = tables.program(&source, model.header().crc);
        let mut own = AlignedBytes::zeroed(program.forward.arena);
        let mut chain = Trainer::planned(model, &program, own.as_mut_slice()).unwrap();
        // An activation at its end keeps its derivative for itself.
        let is_chain = activations.last() == Some(&Activation::None);
        assert_eq!(chain.has_chain(), is_chain, "{activations:?}");
        let mut arena = AlignedBytes::zeroed(model.arena_train());
        let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
        let classes = model.output(0).unwrap().elements() as u32;
        for step in 0..60 {
            let rate = [0.25, 0.25, 0.0, 2.0, 1e30][draw.below(5) as usize];
            let rate = if step < 20 { 0.25 } else { rate };
            let mut input = [0.0f32; 5];
            draw.fill(DType::F32, bytemuck::cast_slice_mut(&mut input));
            if step > 40 {
                input[1] *= [1.0, 1e6, 1e30, f32::NAN][draw.below(4) as usize];
            }
            // One past the last is refused.
            let class = draw.below(classes + u32::from(step > 50)) as u16;
            let values: Vec<f32> = (0..classes).map(|_| 1.0 / classes as f32).collect();
            let target = match step % 7 {
                5 => Target::Values(&values),
                _ => Target::Class(class),
            };
            let outcomes = [&mut trainer, &mut chain].map(|trainer| {
                let sgd = Sgd {
                    learning_rate: rate,
                    momentum: 0.0,
                    weight_decay: if step % 11 == 3 { 0.01 } else { 0.0 },
                };
                trainer.set_sgd(sgd).unwrap();
                let place = trainer.input_mut(0).unwrap();
                place.copy_from_slice(bytemuck::cast_slice(&input));
                let report = trainer.step(target);
                let bits = report.map(|report| (report.loss.to_bits(), report.prediction));
                (bits, trainer.weights().to_vec())
            });
            assert_eq!(outcomes[0], outcomes[1], "{activations:?}, step {step}");
            match outcomes[0].0 {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
            assert!(chain.weights_are_finite());
        }
    }
    assert!(
        refused > 200 && taken > 1000,
        "{refused} refused, {taken} taken"
    );
}

nn_core::op_set!(NoTraining: DENSE | FLATTEN | SOFTMAX, i8, f32);

#[test]
fn what_does_not_fit_is_refused() {
    let path = paths::workspace_root().join("models/mnist-mlp-f32.mote");
    let blob = AlignedBytes::copy_of(&std::fs::read(path).unwrap());
    let model = Model::load(&blob).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_train());
    let trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
    let source = TrainSource::new(&trainer);
    assert!(Tables::of::<NoTraining>(&source).is_none());
    // Bytes that are cut, or longer.
    source.each_back_step(|step| {
        let longer = [step.stored, &[0]].concat();
        let changed = BackStepSource {
            stored: &longer,
            ..step
        };
        assert!(BackStep::planned::<AllOps>(&step).is_some());
        assert!(BackStep::planned::<AllOps>(&changed).is_none());
    });
    for slot in source.slots() {
        let stored = slot.stored();
        let longer = [stored.bytes(), &[0]].concat();
        assert!(Slot::planned(stored.bytes()).is_some());
        assert!(Slot::planned(&longer).is_none());
    }

    let tables = Tables::of::<AllOps>(&source).unwrap();
    let program = tables.program(&source, model.header().crc);
    let wanted = program.forward.arena;
    let mut own = AlignedBytes::zeroed(wanted + 16);
    let own = own.as_mut_slice();
    assert!(Trainer::planned(model, &program, &mut own[..wanted]).is_ok());
    let found = wanted - 1;
    assert_eq!(
        refused(&program, model, &mut own[..found]),
        ProgramError::Arena { wanted, found }
    );
    assert_eq!(
        refused(&program, model, &mut own[8..wanted + 8]),
        ProgramError::Misaligned
    );
    let (found, wanted) = (model.header().crc, !model.header().crc);
    let other = tables.program(&source, wanted);
    assert_eq!(
        refused(&other, model, own),
        ProgramError::Crc { wanted, found }
    );
    let path = paths::workspace_root().join("models/mnist-mlp-i8.mote");
    let blob = AlignedBytes::copy_of(&std::fs::read(path).unwrap());
    let without = Model::load(&blob).unwrap();
    let other = tables.program(&source, without.header().crc);
    assert_eq!(refused(&other, without, own), ProgramError::NoTrainPlan);
}
