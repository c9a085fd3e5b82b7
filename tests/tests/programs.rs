//! A program, planned ahead, gives what a session gives: every operator in every number format, and every model.

use host::export::AlignedBytes;
use host::paths;
use nn_core::conformance::{Draw, RUNS};
use nn_core::model::Model;
use nn_core::ops::{AllOps, OpSet};
use nn_core::program::{Program, ProgramError, Runner, Source, Step};
use nn_core::session::Session;
use nn_core::tensor::DType;
use tests::conformance::cases;

/// The steps of a source, as an image's constants have them.
fn steps<K: OpSet>(source: &Source) -> Option<Vec<Step>> {
    let mut steps = Some(Vec::new());
    source.each_step(|step| {
        let step = Step::planned::<K>(&step);
        steps = steps.take().and_then(|mut steps| {
            steps.push(step?);
            Some(steps)
        });
    });
    steps
}

/// Runs `blob` both ways; gives the bytes of arena that either takes.
fn compare(name: &str, blob: &[u8]) -> [usize; 2] {
    let model = Model::load(blob).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let planned = Session::new(model, arena.as_mut_slice()).unwrap();
    let source = Source::new(&planned);
    let steps = steps::<AllOps>(&source).unwrap_or_else(|| panic!("{name}: no program"));
    let [inputs, outputs] = source.endpoints();
    let program = Program {
        steps: &steps,
        operands: source.operands(),
        inputs,
        outputs,
        weights: source.weights(),
        arena: source.arena(),
        crc: model.header().crc,
    };
    let mut own = AlignedBytes::zeroed(program.arena);
    // What lies in RAM at power-on must not show.
    own.as_mut_slice().fill(0xA5);
    let mut runner = Runner::new(&program, blob, own.as_mut_slice()).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    let mut draw = Draw::new();
    for run in 0..2 * RUNS {
        if run == RUNS {
            session.reset();
            runner.reset();
        }
        for index in 0..model.inputs().as_slice().len() {
            let tensor = model.input(index).unwrap();
            let bytes = session.input_mut(index).unwrap();
            draw.fill(tensor.dtype, bytes);
            runner.input_mut(index).unwrap().copy_from_slice(bytes);
        }
        session.run().unwrap();
        runner.run().unwrap();
        for index in 0..model.outputs().as_slice().len() {
            assert_eq!(
                session.output(index).unwrap(),
                runner.output(index).unwrap(),
                "{name}: output {index} of run {run}"
            );
        }
        assert!(session.output(9).is_none() && runner.output(9).is_none());
    }
    [model.arena_infer(), program.arena]
}

#[test]
fn every_case_gives_the_same() {
    for case in cases() {
        let [session, runner] = compare(&case.name, &case.blob);
        assert!(
            runner < session,
            "{}: {runner} of {session} bytes",
            case.name
        );
    }
}

#[test]
fn every_model_gives_the_same() {
    let mut count = 0;
    for entry in std::fs::read_dir(paths::workspace_root().join("models")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "mote")
        {
            let blob = AlignedBytes::copy_of(&std::fs::read(&path).unwrap());
            compare(&path.display().to_string(), &blob);
            count += 1;
        }
    }
    assert!(count > 5, "{count} models");
}

nn_core::op_set!(NoSoftmax: DENSE | FLATTEN, i8, f32);

#[test]
fn what_does_not_fit_is_refused() {
    let path = paths::workspace_root().join("models/mnist-mlp-i8.mote");
    let mut blob = AlignedBytes::copy_of(&std::fs::read(path).unwrap());
    let model = Model::load(&blob).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let session = Session::new(model, arena.as_mut_slice()).unwrap();
    let source = Source::new(&session);
    assert!(steps::<NoSoftmax>(&source).is_none());
    // Sizes that are cut, or longer.
    source.each_step(|step| {
        let longer = [step.sizes, &[0]].concat();
        let changed = nn_core::program::StepSource {
            sizes: &longer,
            ..step
        };
        assert!(Step::planned::<AllOps>(&step).is_some());
        assert!(Step::planned::<AllOps>(&changed).is_none());
    });
    assert_eq!(model.input(0).unwrap().dtype, DType::I8);

    let (steps, operands) = (
        steps::<AllOps>(&source).unwrap(),
        source.operands().to_vec(),
    );
    let [inputs, outputs] = source.endpoints();
    let program = Program {
        steps: &steps,
        operands: &operands,
        inputs,
        outputs,
        weights: source.weights(),
        arena: source.arena(),
        crc: model.header().crc,
    };
    let wanted = program.arena;
    let mut own = AlignedBytes::zeroed(wanted + 16);
    let own = own.as_mut_slice();
    assert!(Runner::new(&program, &blob, &mut own[..wanted]).is_ok());
    let refused = |blob: &[u8], arena: &mut [u8]| Runner::new(&program, blob, arena).unwrap_err();
    assert_eq!(
        refused(&blob, &mut own[..wanted - 1]),
        ProgramError::Arena {
            wanted,
            found: wanted - 1
        }
    );
    assert_eq!(
        refused(&blob, &mut own[8..wanted + 8]),
        ProgramError::Misaligned
    );
    assert_eq!(
        refused(&blob[..blob.len() - 1], own),
        ProgramError::Truncated
    );
    let last = blob.len() - 1;
    blob.as_mut_slice()[last] ^= 1;
    let ProgramError::Crc { wanted, found } = refused(&blob, own) else {
        panic!("damaged, and taken");
    };
    assert!(wanted == program.crc && found != wanted);
}
