//! `mote device load`, `activate`, `rollback` and `restart`: which model is served.

use std::path::PathBuf;
use std::time::Instant;

use host::ui::Ui;
use nn_core::link::agent::Slot;
use serde::Serialize;

use super::At;
use super::show::{SlotReport, state_name};
use crate::cli::package::Release;

const LOAD: &str = "\
Examples:
  mote device load models/mnist-cnn-head.mote --on qemu:an386 --flash board.flash
  mote device load models/mnist-cnn-head.mote --on serial:/dev/ttyACM0 --key release.pem --version 7
  mote device load release-7.motp --on serial:/dev/ttyACM0 --no-activate

A transfer that broke off goes on where it stood when the same package is loaded again. The model before is served until the
new one is whole, verified and tested, and stays for `mote device rollback`.
Keys of --json: on, model, bytes, resumed_at (bytes that were there already), seconds, and slot, state, version, blob_len,
blob_crc32, inference, training.";

/// Arguments of `mote device load`.
#[derive(clap::Args)]
#[command(after_help = LOAD)]
pub(crate) struct Load {
    /// A model, or a package (`mote package`).
    #[arg(value_name = "MODEL|PACKAGE")]
    model: PathBuf,
    #[command(flatten)]
    at: At,
    /// Sign it with this key (`mote key new` makes one).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    release: Release,
    /// Load it only: `mote device activate` has it served.
    #[arg(long)]
    no_activate: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct LoadReport<'r> {
    on: String,
    model: &'r str,
    bytes: u32,
    resumed_at: u32,
    seconds: f64,
    #[serde(flatten)]
    slot: SlotReport,
}

/// Runs `mote device load`.
pub(super) fn load(args: Load, ui: &Ui) -> anyhow::Result<()> {
    let package = args.release.package(&args.model, args.key.as_deref())?;
    let mut agent = args.at.open(ui)?;
    let started = Instant::now();
    let len = package.manifest.blob_len;
    let progress = ui.progress("loading", len.into());
    let mut resumed_at = None;
    let loading = agent.load(&package, |loading| {
        if resumed_at.is_none() {
            resumed_at = Some(loading.offset);
            progress.skip(loading.offset.into());
        }
        progress.reach(loading.offset.into());
    })?;
    progress.finish();
    let slot = match args.no_activate {
        true => agent.slot(loading.slot)?,
        false => agent.activate()?,
    };
    agent.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    let model = package.blob.model();
    if args.json {
        ui.json(&LoadReport {
            on: args.at.on.to_string(),
            model: model.name(),
            bytes: len,
            resumed_at: resumed_at.unwrap_or(0),
            seconds,
            slot: slot.into(),
        })?;
        return Ok(());
    }
    ui.result(format_args!(
        "{}: {len} bytes in {seconds:.1} s; {}",
        model.name(),
        told(&slot)
    ));
    Ok(())
}

/// A slot in words.
fn told(slot: &Slot) -> String {
    format!(
        "slot {} is {}: version {}, CRC-32 {:08x}, digests {:016x} {:016x}",
        slot.slot,
        state_name(slot.state),
        slot.version,
        slot.blob_crc32,
        slot.inference,
        slot.training,
    )
}

const SWITCH: &str = "\
Examples:
  mote device activate --on serial:/dev/ttyACM0
  mote device rollback --on serial:/dev/ttyACM0 --json

The model is verified and tested anew; where that fails, the one that is served is served on.
Keys of --json: on, slot, state, version, blob_len, blob_crc32, inference, training.";

/// Arguments of `mote device activate` and `rollback`.
#[derive(clap::Args)]
#[command(after_help = SWITCH)]
pub(crate) struct Switch {
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct SwitchReport {
    on: String,
    #[serde(flatten)]
    slot: SlotReport,
}

/// Runs `mote device activate`.
pub(super) fn activate(args: Switch, ui: &Ui) -> anyhow::Result<()> {
    let mut agent = args.at.open(ui)?;
    let slot = agent.activate()?;
    agent.finish()?;
    tell(&args, slot, ui)
}

/// Runs `mote device rollback`.
pub(super) fn rollback(args: Switch, ui: &Ui) -> anyhow::Result<()> {
    let mut agent = args.at.open(ui)?;
    let slot = agent.rollback()?;
    agent.finish()?;
    tell(&args, slot, ui)
}

fn tell(args: &Switch, slot: Slot, ui: &Ui) -> anyhow::Result<()> {
    if args.json {
        let on = args.at.on.to_string();
        let slot = slot.into();
        ui.json(&SwitchReport { on, slot })?;
    } else {
        ui.result(told(&slot));
    }
    Ok(())
}

const RESTART: &str = "\
Example:
  mote device restart --on serial:/dev/ttyACM0

What was learnt and not saved is lost, as at a loss of power. Keys of --json: on, starts, active.";

/// Arguments of `mote device restart`.
#[derive(clap::Args)]
#[command(after_help = RESTART)]
pub(crate) struct Restart {
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct RestartReport {
    on: String,
    starts: u32,
    active: Option<u8>,
}

/// Runs `mote device restart`.
pub(super) fn restart(args: Restart, ui: &Ui) -> anyhow::Result<()> {
    let mut agent = args.at.open(ui)?;
    agent.restart()?;
    let (starts, active) = (agent.info().starts, agent.info().active);
    agent.finish()?;
    if args.json {
        let on = args.at.on.to_string();
        ui.json(&RestartReport { on, starts, active })?;
        return Ok(());
    }
    let serves = active.map_or_else(
        || "it serves no model".to_owned(),
        |slot| format!("it serves slot {slot}"),
    );
    ui.result(format_args!("{}: start {starts}; {serves}", args.at.on));
    Ok(())
}
