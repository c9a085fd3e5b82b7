//! A training that is planned ahead learns as one that is planned in its arena: every operator in every number format,
//! every optimizer, and every model.

use firmware::conformance::{Draw, RUNS, STEPS};
use host::export::AlignedBytes;
use host::paths;
use nn_core::model::Model;
use nn_core::ops::{AllOps, OpSet};
use nn_core::program::{
    BackStep, BackStepSource, Entry, HeadStep, Learnt, Pick, Program, ProgramError, Slot, Step,
    TrainProgram, TrainSource,
};
use nn_core::train::{MAX_HEADS, Target, Trainer};
use tests::conformance::cases;

/// A program's tables, as an image's constants have them.
struct Tables {
    steps: Vec<Step>,
    back_steps: Vec<BackStep>,
    slots: Vec<Slot>,
    picks: Vec<Pick>,
    heads: Vec<HeadStep>,
    learnt: Vec<Learnt>,
}

impl Tables {
    fn of<K: OpSet>(source: &TrainSource) -> Option<Self> {
        let (mut steps, mut back_steps) = (Vec::new(), Vec::new());
        source
            .forward()
            .each_step(|step| steps.push(Step::planned::<K>(&step)));
        source.each_back_step(|step| back_steps.push(BackStep::planned::<K>(&step)));
        Some(Self {
            steps: steps.into_iter().collect::<Option<_>>()?,
            back_steps: back_steps.into_iter().collect::<Option<_>>()?,
            slots: read(source.slots(), Slot::planned)?,
            picks: read(source.picks(), Pick::planned)?,
            heads: read(source.heads(), HeadStep::planned)?,
            learnt: read(source.learnt(), Learnt::planned)?,
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
