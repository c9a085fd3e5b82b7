//! Whoever is at one of the ends goes away, or the flash wears out.

use std::{path::Path, time::Duration};

use nn_core::link::{
    Bytes, ErrorCode, Input, LabelBytes, Request,
    agent::{AgentError, AgentRequest, Tagged},
};

use super::{
    Bad, FaultError, Outcome, Trials,
    bench::{Bench, CHUNK, Known, PATIENCE, Start, frame, learn},
};
use crate::device::{Device, DeviceError, Port, Qemu, agent::Agent};

/// The emulator's status when power fails (`firmware/src/boards/memory_flash.rs`).
const NO_POWER: i32 = 86;
/// The page that a load has to erase: the model before is served from slot 0.
const LOADED: &str = "slot 1";
/// More operations than any of these has.
const OPERATIONS: u32 = 20_000;
/// Moments after a request at which the device is reset.
const MOMENTS: u32 = 12;
const MOMENT: Duration = Duration::from_micros(700);
/// Transfers that are begun: the journal has to make room in between.
const BEGUN: u32 = 120;

/// The host is gone after each chunk, and in the middle of the next; another one goes on where it stood.
pub(super) fn host_killed(bench: &Bench) -> Result<Trials, FaultError> {
    let flash = bench.flash(false)?;
    let mut port = bench.power(&flash.0, Start::default())?;
    let mut trials = Trials::default();
    let blob = bench.new.package.blob.bytes();
    for chunks in 0..=blob.len().div_ceil(CHUNK) {
        // Of a version of its own, so that it begins anew.
        let package = bench.new.release(10 + chunks as u32);
        let mut agent = Agent::greet_with(port, PATIENCE)?;
        let sent = (|| {
            agent.begin(&package.manifest)?;
            for (index, chunk) in blob.chunks(CHUNK).take(chunks).enumerate() {
                agent.chunk((index * CHUNK) as u32, chunk)?;
            }
            Ok::<_, DeviceError>(())
        })();
        port = agent.into_port();
        let offset = (chunks * CHUNK) as u32;
        if let Some(bytes) = blob.chunks(CHUNK).nth(chunks) {
            let bytes = Bytes(bytes);
            let wire = frame(9, &Tagged(&AgentRequest::Chunk { offset, bytes }));
            port.send(&wire[..wire.len() / 2]).ok();
        }
        let mut agent = Agent::greet_with(port, PATIENCE)?;
        let resume = || -> Outcome {
            sent?;
            let wanted = offset.min(blob.len() as u32);
            let found = agent.begin(&package.manifest)?.offset;
            if found != wanted {
                return Err(Bad::Failed(format!(
                    "the transfer stands at byte {found}, wanted {wanted}"
                )));
            }
            agent.load_in(&package, CHUNK, |_| {})?;
            agent.activate()?;
            bench.serves(&mut agent, &[(&bench.new, Some(bench.new.own))])?;
            Ok(())
        };
        let outcome = resume();
        trials.count(format_args!("after {chunks} chunks"), outcome);
        port = agent.into_port();
    }
    Ok(trials)
}

/// The device is reset after each chunk, by its button and by request; the model before is served, and the transfer
/// gets through.
pub(super) fn reset_mid_load(bench: &Bench) -> Result<Trials, FaultError> {
    let blob = bench.new.package.blob.bytes();
    let chunks = blob.len().div_ceil(CHUNK) + 1;
    bench.side_by_side(|lane, lanes| {
        let start = Start {
            lane,
            ..Start::default()
        };
        let mut trials = Trials::default();
        for trial in (lane..2 * chunks).step_by(lanes) {
            let (sent, by_request) = (trial / 2, trial % 2 == 1);
            let flash = bench.flash(false)?;
            let try_it = || -> Outcome {
                let mut agent = bench.boot(&flash.0, start)?;
                agent.begin(&bench.new.package.manifest)?;
                for (index, chunk) in blob.chunks(CHUNK).take(sent).enumerate() {
                    agent.chunk((index * CHUNK) as u32, chunk)?;
                }
                if by_request {
                    agent.restart()?;
                } else {
                    drop(agent);
                    agent = bench.boot(&flash.0, start)?;
                }
                bench.serves_before(&mut agent)?;
                bench.takes_new(&mut agent)?;
                Ok(agent.finish()?)
            };
            let outcome = try_it();
            trials.count(
                format_args!("after {sent} chunks, by request: {by_request}"),
                outcome,
            );
        }
        Ok(trials)
    })
}

/// The device is reset while it saves: afterwards it has what was learnt, or what was there before.
pub(super) fn reset_mid_save(bench: &Bench) -> Result<Trials, FaultError> {
    at_moments(bench, |flash, moment, start| {
        let before = &bench.before;
        let mut agent = bench.boot(flash, start)?;
        learn(&mut agent.served()?)?;
        interrupt(agent, &frame(9, &Request::Save), moment)?;
        let mut agent = bench.boot(flash, start)?;
        let whole = [(before, Some(before.own)), (before, Some(before.learnt))];
        // By their digests: the model is the same.
        let kept = agent.served()?.weights_digest()?;
        let which = usize::from(kept == before.learnt);
        bench.serves(&mut agent, &whole[which..=which])?;
        Ok(agent.finish()?)
    })
}

/// The device is reset while it learns: afterwards it has what was saved before.
pub(super) fn reset_mid_train(bench: &Bench) -> Result<Trials, FaultError> {
    at_moments(bench, |flash, moment, start| {
        let before = &bench.before;
        let mut agent = bench.boot(flash, start)?;
        learn(&mut agent.served()?)?;
        agent.served()?.save()?;
        learn(&mut agent.served()?)?;
        let input = [0x3F; 8];
        let step = Request::Train {
            input: Input::Plain(Bytes(&input)),
            target: LabelBytes::Class(0),
        };
        interrupt(agent, &frame(9, &step).repeat(4), moment)?;
        let mut agent = bench.boot(flash, start)?;
        bench.serves(&mut agent, &[(before, Some(before.learnt))])?;
        Ok(agent.finish()?)
    })
}

/// Sends `wire`, and resets the device a moment later.
fn interrupt(agent: Agent<Qemu>, wire: &[u8], moment: Duration) -> Outcome {
    let mut port = agent.into_port();
    port.send(wire)
        .map_err(|error| Bad::Failed(error.to_string()))?;
    std::thread::sleep(moment);
    Ok(())
}

fn at_moments(
    bench: &Bench,
    try_it: impl Fn(&Path, Duration, Start) -> Outcome + Sync,
) -> Result<Trials, FaultError> {
    let moments = if bench.quick { 2 } else { MOMENTS };
    bench.side_by_side(|lane, lanes| {
        let start = Start {
            lane,
            ..Start::default()
        };
        let mut trials = Trials::default();
        for index in (lane as u32..moments).step_by(lanes) {
            let flash = bench.flash(false)?;
            let moment = MOMENT * index;
            trials.count(
                format_args!("after {moment:?}"),
                try_it(&flash.0, moment, start),
            );
        }
        Ok(trials)
    })
}

/// Power fails at each operation of the flash from a start to an activation: the next start serves the model before or
/// the new one, and the new one can be loaded.
pub(super) fn cut_load(bench: &Bench) -> Result<Trials, FaultError> {
    cuts(
        bench,
        |agent| {
            agent.load_in(&bench.new.package, CHUNK, |_| {})?;
            agent.activate()?;
            Ok(())
        },
        |agent| {
            let (before, new) = (&bench.before, &bench.new);
            bench.serves(agent, &[(before, Some(before.own)), (new, Some(new.own))])?;
            if agent.served()?.info().model_crc32 == new.package.manifest.blob_crc32 {
                return Ok(());
            }
            bench.takes_new(agent)
        },
    )
}

/// Power fails at each operation of a second save: the next start has what was saved first or last, and saves again.
pub(super) fn cut_save(bench: &Bench) -> Result<Trials, FaultError> {
    let Known { own, learnt, .. } = bench.before;
    cuts(
        bench,
        |agent| {
            let mut device = agent.served()?;
            learn(&mut device)?;
            device.save()?;
            device.reset()?;
            device.save()?;
            Ok(())
        },
        |agent| {
            let kept = agent.served()?.weights_digest()?;
            let wanted = if kept == learnt { learnt } else { own };
            bench.serves(agent, &[(&bench.before, Some(wanted))])?;
            let mut device = agent.served()?;
            device.reset()?;
            learn(&mut device)?;
            device.save()?;
            drop(device);
            agent.restart()?;
            bench.serves(agent, &[(&bench.before, Some(learnt))])?;
            Ok(())
        },
    )
}

/// `work` with power that fails at operation 0, 1, 2 … until it is through; after each, `check` over the same flash.
fn cuts(
    bench: &Bench,
    work: impl Fn(&mut Agent<Qemu>) -> Result<(), DeviceError> + Sync,
    check: impl Fn(&mut Agent<Qemu>) -> Outcome + Sync,
) -> Result<Trials, FaultError> {
    let stride = if bench.quick { 13 } else { 1 };
    bench.side_by_side(|lane, lanes| {
        let mut trials = Trials::default();
        for cut in (lane as u32..OPERATIONS)
            .step_by(lanes)
            .map(|cut| cut * stride)
        {
            let flash = bench.flash(false)?;
            let start = Start {
                lane,
                ..Start::default()
            };
            let with_cut = Start {
                cut: Some(cut),
                ..start
            };
            let try_it = || -> Result<(), DeviceError> {
                let mut agent = bench.boot(&flash.0, with_cut)?;
                work(&mut agent)?;
                agent.finish()
            };
            let ended = try_it();
            let by_power = match &ended {
                Ok(()) => break,
                Err(
                    DeviceError::QemuEnded { status, .. } | DeviceError::Verdict { status, .. },
                ) => status.code() == Some(NO_POWER),
                Err(_) => false,
            };
            let again = || -> Outcome {
                if let (false, Err(error)) = (by_power, ended) {
                    return Err(error.into());
                }
                let mut agent = bench.boot(&flash.0, start)?;
                check(&mut agent)?;
                Ok(agent.finish()?)
            };
            let outcome = again();
            trials.count(format_args!("operation {cut}"), outcome);
        }
        Ok(trials)
    })
}

/// A page can no longer be erased: of the slot that is loaded into, of the journal, of the store. The agent says so, or does
/// without; the model before or the new one is served, then and after a start with the same page.
pub(super) fn worn(bench: &Bench) -> Result<Trials, FaultError> {
    let mut trials = Trials::default();
    let Some(places) = bench.board.agent else {
        return Ok(trials);
    };
    let slots = places.journal;
    let stores = slots + 2 * places.slot;
    let pages = [
        ("the journal's first page", 0),
        ("the journal's second page", places.page),
        ("slot 0", slots),
        (LOADED, slots + places.slot),
        ("the first page of store 0", stores),
        ("the second page of store 0", stores + places.page),
        ("the first page of store 1", stores + places.store),
    ];
    for (name, page) in pages {
        let flash = bench.flash(false)?;
        let start = Start {
            worn: Some(page),
            ..Start::default()
        };
        let try_it = || -> Outcome {
            let (before, new) = (&bench.before, &bench.new);
            let mut agent = bench.boot(&flash.0, start)?;
            let whole = [(before, None), (new, None)];
            refused_for_flash(begin_often(bench, &mut agent))?;
            bench.serves(&mut agent, &whole)?;
            refused_for_flash(save(&mut agent))?;
            let loaded = agent.load_in(&new.package, CHUNK, |_| {});
            let loaded = loaded.and_then(|_| agent.activate());
            if loaded.is_ok() && name == LOADED {
                return Err(Bad::Failed("a page that was not erased was taken".into()));
            }
            refused_for_flash(loaded)?;
            bench.serves(&mut agent, &whole)?;
            drop(agent);
            let mut agent = bench.boot(&flash.0, start)?;
            bench.serves(&mut agent, &whole)?;
            Ok(agent.finish()?)
        };
        trials.count(name, try_it());
    }
    Ok(trials)
}

fn begin_often(bench: &Bench, agent: &mut Agent<Qemu>) -> Result<(), DeviceError> {
    let count = if bench.quick { BEGUN / 4 } else { BEGUN };
    for version in 0..count {
        agent.begin(&bench.new.release(100 + version).manifest)?;
    }
    agent.abort()
}

fn save(agent: &mut Agent<Qemu>) -> Result<(), DeviceError> {
    let mut device = agent.served()?;
    learn(&mut device)?;
    device.save()?;
    Ok(())
}

/// It was done, or refused because of the flash.
fn refused_for_flash<T>(done: Result<T, DeviceError>) -> Outcome {
    match done {
        Ok(_)
        | Err(DeviceError::Agent(AgentError::Flash { .. } | AgentError::Unsaved))
        | Err(DeviceError::Refused(ErrorCode::StoreFailed | ErrorCode::StoreFull)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
