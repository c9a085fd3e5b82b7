//! `mote store`: what a device keeps in flash of what it learnt.

use std::path::PathBuf;

use anyhow::Context;
use host::blob::Blob;
use host::ui::Ui;
use nn_core::link::{ErrorCode, StoreState};
use serde::Serialize;

use super::samples::Where;

const EXAMPLES: &str = "\
Examples:
  mote tune models/mnist-cnn-head.mote --on qemu:an386 --store flash.bin --keep --shift rot90
  mote store models/mnist-cnn-head.mote --on qemu:an386 --store flash.bin --json
  mote store models/mnist-cnn-head.mote --on serial:/dev/ttyACM0 --forget

A device starts with the weights that it keeps, if they belong to its model and are whole; else with the
model's own. The states: empty, kept (restored at the start), other-model, damaged (neither restored).";

/// Arguments of `mote store`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The device's model, which learns.
    #[arg(value_name = "MODEL.mote")]
    model: PathBuf,
    #[command(flatten)]
    place: Where,
    /// Keep nothing any more, and go back to the model's own weights.
    #[arg(long)]
    forget: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'r> {
    model: String,
    on: String,
    state: StoreState,
    generation: u32,
    kept_crc32: &'r str,
    model_crc32: &'r str,
    capacity: u32,
    weights_bytes: usize,
    digest: &'r str,
}

/// Runs `mote store`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let blob = Blob::open(&args.model)?;
    let mut device = args.place.open(&blob, ui)?;
    let mut report = device
        .store()?
        .with_context(|| format!("{}: {}", args.place.on, ErrorCode::NoStore))?;
    if args.forget {
        report = device.forget()?;
        device.reset()?;
    }
    let digest = format!("{:016x}", device.weights_digest()?);
    let info = device.info();
    let (weights_bytes, model_crc32) = (info.weights_len, format!("{:08x}", info.model_crc32));
    device.finish()?;
    let kept_crc32 = format!("{:08x}", report.model_crc32);
    if args.json {
        ui.json(&Report {
            model: args.model.display().to_string(),
            on: args.place.on.to_string(),
            state: report.state,
            generation: report.generation,
            kept_crc32: &kept_crc32,
            model_crc32: &model_crc32,
            capacity: report.capacity,
            weights_bytes,
            digest: &digest,
        })?;
        return Ok(());
    }
    let state = match report.state {
        StoreState::Absent => "has no flash for it".to_owned(),
        StoreState::Empty => "keeps nothing".to_owned(),
        StoreState::Kept => format!("keeps what it learnt, generation {}", report.generation),
        StoreState::OtherModel => format!(
            "keeps weights of another model, CRC-32 {kept_crc32}; this one has {model_crc32}"
        ),
        StoreState::Damaged => "keeps something that cannot be read whole".to_owned(),
    };
    ui.result(format_args!(
        "{} on {} {state}, in {} bytes of flash; digest of the learnt weights {digest}",
        blob.model().name(),
        args.place.on,
        report.capacity,
    ));
    Ok(())
}
