//! `mote device info`, `status` and `profile`.

use std::path::PathBuf;

use anyhow::ensure;
use host::blob::Blob;
use host::device::agent::AgentInfo;
use host::package::id_digits;
use host::ui::Ui;
use nn_core::link::agent::{Slot, SlotState, Status as Served, Unit};
use serde::Serialize;

use super::At;

const INFO: &str = "\
Example:
  mote device info --on serial:/dev/ttyACM0 --json

Keys of --json: on, board, core, clock (Hz; 0 where nobody knows), version, protocol, math, format, ops (bit n: operator n),
flash, slot_len, arena, frame_max (bytes), unlocked, key (null where it is unlocked), floor, active (a slot, or null), starts,
slots (slot, state: empty, loading, loaded, standby, active; version, blob_len, blob_crc32, inference, training).";

/// Arguments of `mote device info`.
#[derive(clap::Args)]
#[command(after_help = INFO)]
pub(crate) struct Info {
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A slot as JSON has it.
#[derive(Serialize)]
pub(crate) struct SlotReport {
    slot: u8,
    state: SlotState,
    version: u32,
    blob_len: u32,
    blob_crc32: String,
    inference: String,
    training: Option<String>,
}

impl From<Slot> for SlotReport {
    fn from(slot: Slot) -> Self {
        Self {
            slot: slot.slot,
            state: slot.state,
            version: slot.version,
            blob_len: slot.blob_len,
            blob_crc32: format!("{:08x}", slot.blob_crc32),
            inference: format!("{:016x}", slot.inference),
            training: (slot.training != 0).then(|| format!("{:016x}", slot.training)),
        }
    }
}

#[derive(Serialize)]
struct InfoReport<'r> {
    on: String,
    board: &'r str,
    core: &'r str,
    clock: u32,
    version: &'r str,
    protocol: u16,
    math: &'r str,
    format: u16,
    ops: u64,
    flash: u32,
    slot_len: u32,
    arena: u32,
    frame_max: u32,
    unlocked: bool,
    key: Option<String>,
    floor: u32,
    active: Option<u8>,
    starts: u32,
    slots: [SlotReport; 2],
}

/// Runs `mote device info`.
pub(super) fn info(args: Info, ui: &Ui) -> anyhow::Result<()> {
    let mut agent = args.at.open(ui)?;
    let slots = [agent.slot(0)?, agent.slot(1)?];
    agent.finish()?;
    let info = agent.info();
    let key = (info.key != 0).then(|| id_digits(info.key));
    if args.json {
        ui.json(&InfoReport {
            on: args.at.on.to_string(),
            board: &info.board,
            core: &info.core,
            clock: info.clock,
            version: &info.version,
            protocol: info.protocol,
            math: &info.math,
            format: info.format,
            ops: info.ops,
            flash: info.flash,
            slot_len: info.slot_len,
            arena: info.arena,
            frame_max: info.frame_max,
            unlocked: info.key == 0,
            key,
            floor: info.floor,
            active: info.active,
            starts: info.starts,
            slots: slots.map(SlotReport::from),
        })?;
        return Ok(());
    }
    ui.result(described(info, key.as_deref()));
    let header = [
        "slot",
        "state",
        "version",
        "bytes",
        "CRC-32",
        "inference",
        "training",
    ];
    let mut table = ui.table(&header, &[2, 3]);
    for slot in slots {
        let SlotReport {
            slot,
            state,
            version,
            blob_len,
            blob_crc32,
            inference,
            training,
        } = slot.into();
        let mut row = vec![slot.to_string(), state_name(state).to_owned()];
        if state != SlotState::Empty {
            row.extend([
                version.to_string(),
                blob_len.to_string(),
                blob_crc32,
                inference,
            ]);
            row.push(training.unwrap_or_else(|| "none".to_owned()));
        }
        table.add_row(row);
    }
    ui.result(table);
    Ok(())
}

/// The agent in some lines.
fn described(info: &AgentInfo, key: Option<&str>) -> String {
    let clock = match info.clock {
        0 => String::new(),
        clock => format!(" at {} MHz", f64::from(clock) / 1e6),
    };
    let lock = key.map_or_else(
        || "unlocked: it takes any model".to_owned(),
        |key| format!("locked: it takes what key {key} has signed"),
    );
    format!(
        "{}, {}{clock}, agent {} (link {}, format {}), {lock}\n  flash {} bytes, models of at most {}; RAM for a model {}; \
         frames of at most {}; floor {}; start {}",
        info.board,
        info.core,
        info.version,
        info.protocol,
        info.format,
        info.flash,
        info.slot_len,
        info.arena,
        info.frame_max,
        info.floor,
        info.starts,
    )
}

/// A state's word.
pub(super) fn state_name(state: SlotState) -> &'static str {
    match state {
        SlotState::Empty => "empty",
        SlotState::Loading => "loading",
        SlotState::Loaded => "loaded",
        SlotState::Standby => "standby",
        SlotState::Active => "active",
    }
}

const STATUS: &str = "\
Example:
  mote device status --on serial:/dev/ttyACM0 --json

What was served since the model was set up, at a start or an activation.
Keys of --json: on, runs, steps, judged (samples of a known class), right (of them), accuracy (null where none was judged),
loss (of the last step; null before the first), unsaved.";

/// Arguments of `mote device status`.
#[derive(clap::Args)]
#[command(after_help = STATUS)]
pub(crate) struct Status {
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct StatusReport {
    on: String,
    runs: u32,
    steps: u32,
    judged: u32,
    right: u32,
    accuracy: Option<f64>,
    loss: Option<f32>,
    unsaved: bool,
}

/// Runs `mote device status`.
pub(super) fn status(args: Status, ui: &Ui) -> anyhow::Result<()> {
    let mut agent = args.at.open(ui)?;
    let Served {
        runs,
        steps,
        judged,
        right,
        loss,
        unsaved,
    } = agent.status()?;
    agent.finish()?;
    let accuracy = (judged > 0).then(|| f64::from(right) / f64::from(judged));
    let loss = (steps > 0).then(|| f32::from_bits(loss));
    if args.json {
        ui.json(&StatusReport {
            on: args.at.on.to_string(),
            runs,
            steps,
            judged,
            right,
            accuracy,
            loss,
            unsaved,
        })?;
        return Ok(());
    }
    let share = accuracy.map_or_else(String::new, |share| format!(" ({:.2} %)", 100.0 * share));
    let loss = loss.map_or_else(String::new, |loss| {
        format!(", the last with loss {loss:.4}")
    });
    let unsaved = if unsaved {
        "; something learnt is not saved"
    } else {
        ""
    };
    ui.result(format_args!(
        "{runs} runs, {steps} training steps{loss}; {right} of {judged} samples right{share}{unsaved}"
    ));
    Ok(())
}

const PROFILE: &str = "\
Example:
  mote device profile models/mnist-cnn-head.mote --on qemu:an386 --flash board.flash --json

The agent runs the model on an input drawn at random, and counts cycles of its clock; in QEMU instructions. Keys of --json: on, model, unit (cycles or instructions), total, layers (index, name, count).";

/// Arguments of `mote device profile`.
#[derive(clap::Args)]
#[command(after_help = PROFILE)]
pub(crate) struct Profile {
    /// The model that is served: it names the layers.
    #[arg(value_name = "MODEL.mote")]
    model: PathBuf,
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Layer<'r> {
    index: usize,
    name: &'r str,
    count: u32,
}

#[derive(Serialize)]
struct ProfileReport<'r> {
    on: String,
    model: &'r str,
    unit: Unit,
    total: u64,
    layers: Vec<Layer<'r>>,
}

/// Runs `mote device profile`.
pub(super) fn profile(args: Profile, ui: &Ui) -> anyhow::Result<()> {
    let blob = Blob::open(&args.model)?;
    let model = blob.model();
    let mut agent = args.at.open_with(true, ui)?;
    // The model that is served has to be the one that names the layers.
    agent.device(&model)?;
    let profile = agent.profile()?;
    agent.finish()?;
    let names: Vec<&str> = model.nodes().iter().map(|node| node.name).collect();
    ensure!(
        names.len() == profile.counts.len(),
        "the agent counted {} layers, {} has {}",
        profile.counts.len(),
        args.model.display(),
        names.len()
    );
    let layers: Vec<Layer> = std::iter::zip(names, &profile.counts)
        .enumerate()
        .map(|(index, (name, &count))| Layer { index, name, count })
        .collect();
    let total = layers.iter().map(|layer| u64::from(layer.count)).sum();
    if args.json {
        ui.json(&ProfileReport {
            on: args.at.on.to_string(),
            model: model.name(),
            unit: profile.unit,
            total,
            layers,
        })?;
        return Ok(());
    }
    let mut table = ui.table(&["layer", unit_name(profile.unit)], &[1]);
    for layer in layers {
        table.add_row([layer.name.to_owned(), layer.count.to_string()]);
    }
    table.add_row(["total".to_owned(), total.to_string()]);
    ui.result(table);
    Ok(())
}

/// A unit's word.
pub(super) fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Instructions => "instructions",
        Unit::Cycles => "cycles",
    }
}
