//! A line that damages what it carries.

use super::{
    Bad, FaultError, Outcome, Trials,
    bench::{Bench, CHUNK, PATIENCE, Start},
    port::{Damage, Faulty, Kind, Way},
};
use crate::device::{Qemu, agent::Agent};

/// The longest frame of a transfer is that with the manifest; chunks are shorter.
const LONGEST: usize = 275;
const LONGEST_CHUNK: usize = CHUNK + 20;
/// The longest answer that a transfer gets.
const LONGEST_ANSWER: usize = 48;

/// A bit of every byte of every frame of a transfer is turned; each frame has to get through at its second try.
pub(super) fn corrupted(bench: &Bench) -> Result<Trials, FaultError> {
    to_device(bench, Kind::Corrupt)
}

/// The same with bytes that are gone; the one that ends a frame costs a time-out.
pub(super) fn dropped(bench: &Bench) -> Result<Trials, FaultError> {
    to_device(bench, Kind::Drop)
}

/// The same with bytes that come twice.
pub(super) fn duplicated(bench: &Bench) -> Result<Trials, FaultError> {
    to_device(bench, Kind::Duplicate)
}

/// The same with bytes that the next one overtakes.
pub(super) fn reordered(bench: &Bench) -> Result<Trials, FaultError> {
    to_device(bench, Kind::Reorder)
}

fn to_device(bench: &Bench, kind: Kind) -> Result<Trials, FaultError> {
    each(bench, LONGEST, |at| Damage {
        kind,
        way: Way::ToDevice,
        at,
    })
}

/// Every byte of every answer of a transfer is turned, dropped or doubled: what was done is not done twice.
pub(super) fn answers(bench: &Bench) -> Result<Trials, FaultError> {
    let kinds = [Kind::Corrupt, Kind::Drop, Kind::Duplicate];
    each(bench, LONGEST_ANSWER * kinds.len(), |place| Damage {
        kind: kinds[place % kinds.len()],
        way: Way::ToHost,
        at: place / kinds.len(),
    })
}

fn each(
    bench: &Bench,
    places: usize,
    damage: impl Fn(usize) -> Damage + Sync,
) -> Result<Trials, FaultError> {
    bench.side_by_side(|lane, lanes| {
        let flash = bench.flash(false)?;
        let start = Start {
            lane,
            ..Start::default()
        };
        let port = Faulty::new(bench.power(&flash.0, start)?);
        let mut agent = Agent::greet_with(port, PATIENCE)?;
        let mut trials = Trials::default();
        let own = |index: &usize| index % lanes == lane;
        for (index, place) in bench.positions(places).enumerate() {
            if !own(&index) {
                continue;
            }
            let damage = damage(place);
            let before = agent.port().damaged;
            agent.port().damage = Some(damage);
            let done = transfer(bench, &mut agent, place);
            agent.port().damage = None;
            let damaged = agent.port().damaged - before;
            let outcome = done.and_then(|()| {
                let whole = [
                    (&bench.before, Some(bench.before.own)),
                    (&bench.new, Some(bench.new.own)),
                ];
                bench.serves(&mut agent, &whole).map(|_| ())
            });
            trials.count_all(damaged, format_args!("{damage:?}"), outcome);
        }
        Ok(trials)
    })
}

/// Loads the new model as another release each time, so that all of it is written; activates it.
fn transfer(bench: &Bench, agent: &mut Agent<Faulty<Qemu>>, place: usize) -> Outcome {
    // Versions from 10 on.
    let package = bench.new.release(10 + place as u32);
    let at = agent.port().damage.map_or(0, |damage| damage.at);
    if at >= LONGEST_CHUNK {
        // Only the manifest's frame has so many bytes.
        let loading = agent.begin(&package.manifest)?;
        return match loading.offset {
            0 => Ok(()),
            offset => Err(Bad::Failed(format!(
                "a new transfer stands at byte {offset}"
            ))),
        };
    }
    let loading = agent.load_in(&package, CHUNK, |_| {})?;
    if loading.offset != loading.len {
        return Err(Bad::Failed(format!("it stands at {loading:?}")));
    }
    let slot = agent.activate()?;
    match (slot.version, slot.inference) == (package.manifest.version, package.manifest.inference) {
        true => Ok(()),
        false => Err(Bad::Failed(format!("{slot:?} is active"))),
    }
}
