//! What a locked agent refuses.

use nn_core::link::{
    ErrorCode,
    agent::{AgentError, Delta},
    package::MANIFEST_LEN,
};

use super::{
    Bad, FaultError, Outcome, Trials,
    bench::{Bench, CHUNK, Start},
    blobs::refused,
};
use crate::{
    device::{Device, DeviceError, Qemu, agent::Agent},
    package::sha512,
};

fn locked(
    bench: &Bench,
    work: impl FnOnce(&mut Agent<Qemu>, &mut Trials) -> Result<(), FaultError>,
) -> Result<Trials, FaultError> {
    let flash = bench.flash(true)?;
    let start = Start {
        locked: true,
        ..Start::default()
    };
    let mut agent = bench.boot(&flash.0, start)?;
    let mut trials = Trials::default();
    work(&mut agent, &mut trials)?;
    agent.finish()?;
    Ok(trials)
}

/// `outcome`, and the model before is served.
fn and_serves(bench: &Bench, agent: &mut Agent<Qemu>, outcome: Outcome) -> Outcome {
    outcome.and_then(|()| bench.serves_before(agent))
}

/// A package without a signature; and one that names the key, but has none.
pub(super) fn unsigned(bench: &Bench) -> Result<Trials, FaultError> {
    locked(bench, |agent, trials| {
        let mut manifest = bench.new.package.manifest;
        let begun = agent.begin(&manifest).map(|_| ());
        let outcome = refused(begun, |error| *error == AgentError::Unsigned);
        trials.count("no signature", and_serves(bench, agent, outcome));
        manifest.key = bench.key.public().id();
        let begun = agent.begin(&manifest).map(|_| ());
        let outcome = refused(begun, |error| *error == AgentError::Signature);
        trials.count(
            "a key without a signature",
            and_serves(bench, agent, outcome),
        );
        Ok(())
    })
}

/// A package that another key has signed; and one that says it was this one.
pub(super) fn other_key(bench: &Bench) -> Result<Trials, FaultError> {
    locked(bench, |agent, trials| {
        let package = bench.new.package.clone().signed(&bench.stranger);
        let begun = agent.begin(&package.manifest).map(|_| ());
        let outcome = refused(begun, |error| matches!(error, AgentError::Key { .. }));
        trials.count("another key", and_serves(bench, agent, outcome));
        let mut manifest = bench.new.package.manifest;
        manifest.key = bench.key.public().id();
        manifest.signature = bench.stranger.sign(&manifest.signed());
        let begun = agent.begin(&manifest).map(|_| ());
        let outcome = refused(begun, |error| *error == AgentError::Signature);
        trials.count(
            "another key under its name",
            and_serves(bench, agent, outcome),
        );
        Ok(())
    })
}

/// A bit of the manifest, or of the blob, is another than was signed.
pub(super) fn altered(bench: &Bench) -> Result<Trials, FaultError> {
    locked(bench, |agent, trials| {
        let package = bench.new.package.clone().signed(&bench.key);
        for at in bench.positions(MANIFEST_LEN) {
            let mut bytes = package.manifest.encode();
            bytes[at] ^= 1 << (at % 8);
            let begun = agent.begin_raw(&bytes).map(|_| ());
            let outcome = refused(begun, |error| {
                matches!(
                    error,
                    AgentError::Manifest
                        | AgentError::Signature
                        | AgentError::TooLong { .. }
                        | AgentError::Floor { .. }
                        | AgentError::Key { .. }
                        | AgentError::Unsigned
                )
            });
            let outcome = and_serves(bench, agent, outcome);
            trials.count(format_args!("byte {at} of the manifest"), outcome);
        }
        let blob = package.blob.bytes();
        for at in bench.positions(blob.len()).step_by(7) {
            let mut bytes = blob.to_vec();
            bytes[at] ^= 1 << (at % 8);
            agent.abort()?;
            agent.begin(&package.manifest)?;
            for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
                agent.chunk((index * CHUNK) as u32, chunk)?;
            }
            let activated = agent.activate().map(|_| ());
            let outcome = refused(activated, |error| *error == AgentError::Hash);
            let outcome = and_serves(bench, agent, outcome);
            trials.count(format_args!("byte {at} of the blob"), outcome);
        }
        Ok(())
    })
}

/// Versions below a floor that a served package set, signed rightly; and the model before, which lies below it.
pub(super) fn below_floor(bench: &Bench) -> Result<Trials, FaultError> {
    const FLOOR: u32 = 5;
    locked(bench, |agent, trials| {
        let mut package = bench.new.release(FLOOR + 2);
        package.manifest.floor = FLOOR;
        let package = package.signed(&bench.key);
        agent.load_in(&package, CHUNK, |_| {})?;
        agent.activate()?;
        let is_floor =
            |error: &AgentError| matches!(error, AgentError::Floor { wanted: FLOOR, .. });
        let serves_new = |agent: &mut Agent<Qemu>| -> Outcome {
            bench.serves(agent, &[(&bench.new, Some(bench.new.own))])?;
            Ok(())
        };
        let rolled = agent.rollback().map(|_| ());
        let outcome = refused(rolled, is_floor).and_then(|()| serves_new(agent));
        trials.count("rolled back below it", outcome);
        for version in [0, 1, FLOOR - 1] {
            let manifest = bench.before.release(version).signed(&bench.key).manifest;
            let begun = agent.begin(&manifest).map(|_| ());
            let outcome = refused(begun, is_floor).and_then(|()| serves_new(agent));
            trials.count(format_args!("version {version}"), outcome);
        }
        // At the floor it is taken.
        let again = (|| -> Outcome {
            let package = bench.before.release(FLOOR).signed(&bench.key);
            agent.load_in(&package, CHUNK, |_| {})?;
            agent.activate()?;
            bench.serves_before(agent)
        })();
        trials.count("the floor itself", again);
        Ok(())
    })
}

/// Weights that nobody signed, another key signed, or that were changed after signing: neither run nor kept. Then rightly
/// signed ones, and those once more.
pub(super) fn weights(bench: &Bench) -> Result<Trials, FaultError> {
    locked(bench, |agent, trials| {
        let known = &bench.before;
        let model = known.package.blob.model();
        let own = agent.device(&model)?.read_weights()?;
        let mut weights = own.clone();
        // Another number, and finite.
        weights[1] ^= 0x10;
        let delta = |counter, weights: &[u8]| Delta {
            model_crc32: known.package.manifest.blob_crc32,
            counter,
            hash: sha512(weights),
        };
        let written = |agent: &mut Agent<Qemu>| -> Result<(), DeviceError> {
            agent.device(&model)?.write_weights(&weights)
        };

        let outcome = (|| -> Outcome {
            // In one session: with the next the agent forgets them.
            let mut device = agent.device(&model)?;
            device.write_weights(&weights)?;
            match device.infer(&[0; 8]) {
                Err(DeviceError::Refused(ErrorCode::Uncommitted)) => {}
                other => return Err(Bad::Failed(format!("run without a signature: {other:?}"))),
            }
            match device.save() {
                Err(DeviceError::Refused(ErrorCode::Uncommitted)) => {}
                other => return Err(Bad::Failed(format!("saved without one: {other:?}"))),
            }
            bench.serves_before(agent)
        })();
        trials.count("no signature", outcome);

        written(agent)?;
        let committed = agent.commit(&delta(1, &weights), &bench.stranger);
        let outcome = refused(committed, |error| *error == AgentError::Signature);
        trials.count("another key", and_serves(bench, agent, outcome));

        written(agent)?;
        let committed = agent.commit(&delta(1, &own), &bench.key);
        let outcome = refused(committed, |error| *error == AgentError::Signature);
        trials.count("other weights", and_serves(bench, agent, outcome));

        written(agent)?;
        let committed = agent.commit(&delta(1, &weights), &bench.key);
        let read = agent.device(&model)?.read_weights()?;
        let outcome = match (committed, read == weights) {
            (Ok(()), true) => Ok(()),
            (other, _) => Err(Bad::Failed(format!("signed rightly: {other:?}"))),
        };
        trials.count("signed rightly", outcome);

        // The same once more: the counter has passed.
        agent.device(&model)?.reset()?;
        written(agent)?;
        let committed = agent.commit(&delta(1, &weights), &bench.key);
        let outcome = refused(committed, |error| {
            matches!(error, AgentError::Counter { wanted: 2, .. })
        });
        agent.device(&model)?.reset()?;
        trials.count(
            "a counter that has passed",
            and_serves(bench, agent, outcome),
        );
        Ok(())
    })
}
