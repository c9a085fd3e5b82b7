//! What should work, works: from a blob on the host to weights that outlast a loss of power.

use super::{
    Bad, FaultError, Outcome, Trials,
    bench::{Bench, Start, learn},
};
use crate::{
    blob::Blob,
    device::{Device, DeviceError, Here},
    package::Package,
    paths,
};

/// A model that is a product's rather than a test's.
const REAL: &str = "mnist-lstm-head.mote";

/// A blob made on the host is loaded, activated, gives the host's digests, is fine-tuned to the host's digest, saved,
/// and after a loss of power restored with the same digest; then the model before is gone back to, and forth.
pub(super) fn trip(bench: &Bench) -> Result<Trials, FaultError> {
    let mut trials = Trials::default();
    let known = &bench.new;
    trials.count("the small model", round(bench, &known.package));
    match Blob::open(&paths::models_dir().join(REAL)) {
        Ok(blob) => trials.count(REAL, round(bench, &Package::new(blob, 3, 0)?)),
        Err(error) => bench.ui.note(format_args!("{REAL} is left out: {error}")),
    }
    Ok(trials)
}

fn round(bench: &Bench, package: &Package) -> Outcome {
    let flash = bench.flash(false)?;
    let blob = &package.blob;
    let model = blob.model();
    let mut agent = bench.boot(&flash.0, Start::default())?;
    agent.load(package, |_| {})?;
    let slot = agent.activate()?;
    let manifest = package.manifest;
    let digests = (slot.inference, slot.training);
    if digests != (manifest.inference, manifest.training) {
        return Err(Bad::Failed(format!("the self-test gave {digests:x?}")));
    }
    let mut here = Here::new(blob)?;
    let wanted = tuned(&mut here, blob)?;
    let mut there = agent.device(&model)?;
    let found = tuned(&mut there, blob)?;
    if found != wanted {
        return Err(Bad::Failed(format!(
            "the digest of what was learnt is {found:016x} there, {wanted:016x} here"
        )));
    }
    there.save()?;
    // Power is gone without a word.
    drop(agent);
    let mut agent = bench.boot(&flash.0, Start::default())?;
    let restored = agent.device(&model)?.weights_digest()?;
    if restored != wanted {
        return Err(Bad::Lost(format!(
            "restored with digest {restored:016x}, wanted {wanted:016x}"
        )));
    }
    agent.rollback()?;
    bench.serves_before(&mut agent)?;
    agent.rollback()?;
    let kept = agent.device(&model)?.weights_digest()?;
    if kept != wanted {
        return Err(Bad::Lost(format!(
            "after going back and forth the digest is {kept:016x}, wanted {wanted:016x}"
        )));
    }
    Ok(agent.finish()?)
}

/// The digest after some steps.
fn tuned(device: &mut dyn Device, blob: &Blob) -> Result<u64, DeviceError> {
    let model = blob.model();
    let Some(input) = model.input(0) else {
        return Err(DeviceError::NoTrainPlan);
    };
    if input.bytes() == 8 {
        learn(device)?;
    } else {
        let mut draw = nn_core::conformance::Draw::new();
        let mut bytes = vec![0; input.bytes()];
        for step in 0..10u16 {
            draw.fill(input.dtype, &mut bytes);
            device.train(&bytes, nn_core::train::Target::Class(step % 10))?;
        }
    }
    device.weights_digest()
}
