//! `mote device save`, `restore`, `reset`, `read` and `write`: what was learnt.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use host::blob::Blob;
use host::device::Device;
use host::package::Key;
use host::paths::write_whole;
use host::ui::Ui;
use nn_core::link::StoreReport;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::Serialize;

use super::{AnyAgent, At};

const KEEP: &str = "\
Examples:
  mote device save --on serial:/dev/ttyACM0
  mote device restore --on serial:/dev/ttyACM0 --json

Keys of --json: on, digest (FNV-1a 64 of all that is learnt), store (state, generation, model_crc32, capacity; null where
there is no flash for it).";

/// Arguments of `mote device save`, `restore` and `reset`.
#[derive(clap::Args)]
#[command(after_help = KEEP)]
pub(crate) struct Keep {
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct KeepReport {
    on: String,
    digest: String,
    store: Option<StoreReport>,
}

/// Runs `mote device save`.
pub(super) fn save(args: Keep, ui: &Ui) -> anyhow::Result<()> {
    keep(&args, "saved", ui, |agent| {
        agent.served()?.save()?;
        Ok(())
    })
}

/// Runs `mote device restore`.
pub(super) fn restore(args: Keep, ui: &Ui) -> anyhow::Result<()> {
    keep(&args, "restored", ui, |agent| Ok(agent.restore()?))
}

/// Runs `mote device reset`.
pub(super) fn reset(args: Keep, ui: &Ui) -> anyhow::Result<()> {
    keep(&args, "reset", ui, |agent| Ok(agent.served()?.reset()?))
}

fn keep(
    args: &Keep,
    done: &str,
    ui: &Ui,
    act: impl FnOnce(&mut AnyAgent) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut agent = args.at.open(ui)?;
    act(&mut agent)?;
    let mut device = agent.served()?;
    let digest = format!("{:016x}", device.weights_digest()?);
    let store = device.store()?;
    device.finish()?;
    if args.json {
        let on = args.at.on.to_string();
        ui.json(&KeepReport { on, digest, store })?;
    } else {
        ui.result(format_args!(
            "{}: {done}; digest of the learnt weights {digest}",
            args.at.on
        ));
    }
    Ok(())
}

/// The tensor of a file of weights, and what is told beside it.
const TENSOR: &str = "learnt";
const CRC32: &str = "model_crc32";
const DIGEST: &str = "digest";

const READ: &str = "\
Examples:
  mote device read learnt.safetensors --on serial:/dev/ttyACM0
  mote device read learnt.bin --on serial:/dev/ttyACM0              # the bytes alone
  mote device read tuned.mote --model models/mnist-cnn-head.mote --on serial:/dev/ttyACM0

A .safetensors has one tensor of bytes, `learnt`, and the model's CRC-32 and the digest beside it.
Keys of --json: on, path, bytes, model_crc32, digest.";

/// Arguments of `mote device read`.
#[derive(clap::Args)]
#[command(after_help = READ)]
pub(crate) struct Read {
    /// The file: .safetensors, .mote (with --model), or any other for the bytes alone.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// The model that is served, to be written with what was learnt.
    #[arg(long, value_name = "MODEL.mote")]
    model: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct WeightsReport {
    on: String,
    path: String,
    bytes: usize,
    model_crc32: String,
    digest: String,
}

/// Runs `mote device read`.
pub(super) fn read(args: Read, ui: &Ui) -> anyhow::Result<()> {
    let model = args.model.as_deref().map(Blob::open).transpose()?;
    let is_model = args.out.extension().is_some_and(|end| end == "mote");
    ensure!(
        is_model == model.is_some(),
        "a .mote wants --model MODEL.mote, the one that is served, and --model writes a .mote"
    );
    let mut agent = args.at.open(ui)?;
    let mut device = match &model {
        Some(blob) => agent.device(&blob.model())?,
        None => agent.served()?,
    };
    let weights = device.read_weights()?;
    let digest = format!("{:016x}", device.weights_digest()?);
    let model_crc32 = format!("{:08x}", device.info().model_crc32);
    device.finish()?;
    let bytes = match &model {
        Some(blob) => host::tune::with_weights(blob, &weights)?.bytes().to_vec(),
        None if is_safetensors(&args.out) => {
            let view = TensorView::new(Dtype::U8, vec![weights.len()], &weights)?;
            let beside = HashMap::from([
                (CRC32.to_owned(), model_crc32.clone()),
                (DIGEST.to_owned(), digest.clone()),
            ]);
            serialize([(TENSOR, view)], Some(beside))?
        }
        None => weights.clone(),
    };
    write_whole(&args.out, &bytes)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    report(
        args.json,
        WeightsReport {
            on: args.at.on.to_string(),
            path: args.out.display().to_string(),
            bytes: weights.len(),
            model_crc32,
            digest,
        },
        ui,
    )
}

const WRITE: &str = "\
Examples:
  mote device write learnt.safetensors --model models/mnist-cnn-head.mote --on serial:/dev/ttyACM0
  mote device write learnt.bin --model models/mnist-cnn-head.mote --on serial:/dev/ttyACM0 --key release.pem --save

A locked agent runs written weights only once they are signed (--key). --save keeps them in its flash.
Keys of --json: on, path, bytes, model_crc32, digest.";

/// Arguments of `mote device write`.
#[derive(clap::Args)]
#[command(after_help = WRITE)]
pub(crate) struct Write {
    /// What `mote device read` wrote: a .safetensors, or the bytes alone.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The model that is served.
    #[arg(long, value_name = "MODEL.mote")]
    model: PathBuf,
    #[command(flatten)]
    at: At,
    /// Sign them with this key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Keep them in the agent's flash.
    #[arg(long)]
    save: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote device write`.
pub(super) fn write(args: Write, ui: &Ui) -> anyhow::Result<()> {
    let blob = Blob::open(&args.model)?;
    let model = blob.model();
    let weights = weights_of(&args.file, model.header().crc)?;
    let key = args.key.as_deref().map(Key::read).transpose()?;
    let mut agent = args.at.open(ui)?;
    agent.write_weights(&model, &weights, key.as_ref())?;
    let mut device = agent.device(&model)?;
    if args.save {
        device.save()?;
    }
    let digest = format!("{:016x}", device.weights_digest()?);
    device.finish()?;
    report(
        args.json,
        WeightsReport {
            on: args.at.on.to_string(),
            path: args.file.display().to_string(),
            bytes: weights.len(),
            model_crc32: format!("{:08x}", model.header().crc),
            digest,
        },
        ui,
    )
}

fn report(json: bool, report: WeightsReport, ui: &Ui) -> anyhow::Result<()> {
    if json {
        ui.json(&report)?;
    } else {
        ui.result(format_args!(
            "{}: {} bytes of learnt weights, digest {}",
            report.path, report.bytes, report.digest
        ));
    }
    Ok(())
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "safetensors")
}

/// The weights in a file, which are to be those of the model with this CRC-32.
fn weights_of(path: &Path, crc32: u32) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !is_safetensors(path) {
        return Ok(bytes);
    }
    let named = || format!("{} is none that `mote device read` wrote", path.display());
    let (_, metadata) = SafeTensors::read_metadata(&bytes).with_context(named)?;
    let of = metadata
        .metadata()
        .as_ref()
        .and_then(|beside| beside.get(CRC32));
    let wanted = format!("{crc32:08x}");
    match of {
        Some(found) if *found != wanted => bail!(
            "{} holds weights of the model with CRC-32 {found}, wanted {wanted}",
            path.display()
        ),
        _ => {}
    }
    let tensors = SafeTensors::deserialize(&bytes).with_context(named)?;
    Ok(tensors.tensor(TENSOR).with_context(named)?.data().to_vec())
}
