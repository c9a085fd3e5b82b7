//! Any bytes as a blob: it is refused, or it is set up, runs and learns, all within its memory and without a panic.
//!
//! With `MOTE_SEEDS` the program writes blobs to begin with into that folder instead, a small one of every operator in every
//! number format.
#![no_main]

mod memory;

use std::{fs, path::Path, process};

use libfuzzer_sys::fuzz_target;
use memory::Aligned;
use nn_core::{
    conformance::Draw,
    model::{self, Model},
    session::Session,
    train::{MAX_HEADS, Target, Trainer},
};

/// Bytes of the largest arena; a model that wants more is only looked at.
const ARENA: usize = 1 << 20;
/// Multiply-accumulates of the largest model that is run: a slow run finds no more than a fast one.
const MACS: u64 = 1 << 20;
/// Bytes of the largest output: a model can write without multiplying.
const ELEMENTS: usize = 1 << 18;

fuzz_target!(
    init: {
        if let Some(folder) = std::env::var_os("MOTE_SEEDS") {
            write_seeds(Path::new(&folder));
            process::exit(0);
        }
    },
    |bytes: &[u8]| {
        let mut blob = Aligned::from(bytes);
        try_out(&blob);
        // With the checksum that goes with it, which no mutation finds.
        if model::reseal(&mut blob).is_ok() {
            try_out(&blob);
        }
    }
);

fn try_out(blob: &[u8]) {
    let Ok(model) = Model::load(blob) else { return };
    let spec = model.train_spec();
    assert_eq!(spec.is_some(), model.learns());
    let macs = model
        .nodes()
        .iter()
        .map(|node| model::cost(&model, &node).macs);
    let macs = macs.fold(0, u64::saturating_add);
    let elements = model.tensors().iter().map(|tensor| tensor.elements()).max();
    if macs > MACS || elements.is_some_and(|elements| elements > ELEMENTS) {
        return;
    }
    let arena = |len: usize| (len <= ARENA).then(|| Aligned::zeroed(len));
    if let Some(mut arena) = arena(model.arena_infer()) {
        if let Ok(mut session) = Session::new(model, &mut arena) {
            let mut draw = Draw::new();
            for _ in 0..2 {
                for index in 0..model.inputs().as_slice().len() {
                    let dtype = model.input(index).expect("an input that it names").dtype;
                    let input = session.input_mut(index);
                    draw.fill(dtype, input.expect("an input that it names"));
                }
                session.run().ok();
                for index in 0..model.outputs().as_slice().len() {
                    session.output(index).expect("an output that it names");
                }
            }
        }
    }
    if !model.learns() {
        return;
    }
    if let Some(mut arena) = arena(model.arena_train()) {
        if let Ok(mut trainer) = Trainer::new(model, &mut arena) {
            let mut draw = Draw::new();
            let outputs = 0..model.outputs().as_slice().len();
            let outputs = outputs.filter_map(|index| model.output(index));
            let mut room = vec![0.0; outputs.map(|output| output.elements()).sum()];
            for _ in 0..2 {
                for index in 0..model.inputs().as_slice().len() {
                    let dtype = model.input(index).expect("an input that it names").dtype;
                    let input = trainer.input_mut(index);
                    draw.fill(dtype, input.expect("an input that it names"));
                }
                let mut targets = [Target::Class(0); MAX_HEADS];
                let Ok(heads) = draw.targets(&model, &mut room, &mut targets) else {
                    return;
                };
                trainer.step_heads(&targets[..heads]).ok();
                trainer.weights_digest();
            }
        }
    }
}

#[cfg(feature = "host")]
fn write_seeds(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder for the seeds");
    for (index, case) in tests::conformance::cases().iter().enumerate() {
        let blob: &[u8] = &case.blob;
        fs::write(folder.join(format!("case-{index:03}.mote")), blob).expect("a seed is written");
    }
}

#[cfg(not(feature = "host"))]
fn write_seeds(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder for the seeds");
}
