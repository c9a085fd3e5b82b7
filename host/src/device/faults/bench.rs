//! What all faults are tried with: images, models, keys, flash files, and emulators that run side by side.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nn_core::{
    link::{agent::SlotState, encode},
    ops::Activation,
    tensor::{DType, Quant},
    train::{Loss, Target, TrainSpec, Trainable},
};
use serde::Serialize;

use super::{Bad, FaultError, Outcome, Trials};
use crate::{
    blob::Blob,
    device::{
        Device, DeviceError, FlashFile, Here, Image, Patience, Port, Qemu, QemuOptions,
        agent::Agent,
        boards::Board,
        firmware::{self, AGENT, Content},
        store::agent_file,
    },
    export::Builder,
    package::{Key, Package},
    ui::Ui,
};

/// Bytes of a chunk: small, so that a transfer has several.
pub(super) const CHUNK: usize = 64;
/// Training steps before something is saved.
const STEPS: usize = 3;
/// Emulators at a time, at most.
const LANES: usize = 4;

/// An emulator answers at once; what is lost is to be asked for again soon.
pub(super) const PATIENCE: Patience = Patience {
    small: Duration::from_millis(200),
    flash: Duration::from_millis(400),
    run: Duration::from_millis(800),
    activation: Duration::from_secs(4),
    attempts: 8,
};

/// A model, and what it answers.
pub(super) struct Known {
    /// Not signed.
    pub(super) package: Package,
    /// What it gives for [`probe`].
    output: Vec<u8>,
    /// Of its own weights, and of those after [`STEPS`] steps.
    pub(super) own: u64,
    pub(super) learnt: u64,
}

/// What every model is asked.
fn probe() -> Vec<u8> {
    [0.5f32, -1.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect()
}

/// Two numbers in, two out; learns. The smallest that does, so that every byte of it can be tried.
fn blob(name: &str, scale: f32) -> Result<Blob, FaultError> {
    let mut builder = Builder::new(name);
    let x = builder.input(&[2], DType::F32, Quant::None)?;
    let weight = [0.5, -0.25, 1.0, 0.75].map(|weight| weight * scale);
    let y = builder.dense("dense", x, &weight, &[0.1, -0.2], Activation::None)?;
    let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.1);
    let bytes = builder.finish(&[y], Some(spec))?;
    let path = PathBuf::from(format!("{name}.mote"));
    Ok(Blob::new(&path, bytes)?)
}

impl Known {
    fn new(name: &str, scale: f32, version: u32) -> Result<Self, FaultError> {
        let blob = blob(name, scale)?;
        let mut here = Here::new(&blob)?;
        let output = here.infer(&probe())?;
        let own = here.weights_digest()?;
        learn(&mut here)?;
        let learnt = here.weights_digest()?;
        Ok(Self {
            package: Package::new(blob, version, 0)?,
            output,
            own,
            learnt,
        })
    }

    /// The same model as another release.
    pub(super) fn release(&self, version: u32) -> Package {
        let mut package = self.package.clone();
        package.manifest.version = version;
        package
    }
}

/// Some steps of training, the same everywhere.
pub(super) fn learn(device: &mut dyn Device) -> Result<(), DeviceError> {
    for step in 0..STEPS {
        let target = [step as f32 * 0.5, 0.25];
        device.train(&probe(), Target::Values(&target))?;
    }
    Ok(())
}

/// What all faults are tried with.
pub(super) struct Bench {
    pub(super) board: &'static Board,
    /// A fixed sample of positions, instead of all.
    pub(super) quick: bool,
    pub(super) ui: Ui,
    open: Image,
    locked: Image,
    /// The key of the locked image, and one that is none of its.
    pub(super) key: Key,
    pub(super) stranger: Key,
    /// The model that is served before, and the one that is loaded.
    pub(super) before: Known,
    pub(super) new: Known,
    folder: Folder,
    /// Flash in which `before` is served; of the open and of the locked image.
    template: PathBuf,
    locked_template: PathBuf,
}

/// A folder that goes with the bench.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Where an emulator starts from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Start {
    /// The image that wants signatures.
    pub(super) locked: bool,
    /// The operation at which power fails.
    pub(super) cut: Option<u32>,
    /// The page that can no longer be erased.
    pub(super) worn: Option<u32>,
    /// Which of several emulators it is.
    pub(super) lane: usize,
}

impl Bench {
    pub(super) fn set_up(board: &'static Board, quick: bool, ui: &Ui) -> Result<Self, FaultError> {
        let [key, stranger] = [7, 8].map(|byte| Key::of_secret(&[byte; 32]));
        let image = |key| firmware::build(board, AGENT, Content::Agent(key), ui);
        let folder = std::env::temp_dir().join(format!("mote-faults-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|source| FaultError::File {
            path: folder.clone(),
            source,
        })?;
        let bench = Self {
            board,
            quick,
            ui: *ui,
            open: image(None)?,
            locked: image(Some(key.public()))?,
            key,
            stranger,
            before: Known::new("before", 1.0, 1)?,
            new: Known::new("new", -2.0, 2)?,
            template: folder.join("template.flash"),
            locked_template: folder.join("locked.flash"),
            folder: Folder(folder),
        };
        for (locked, path) in [(false, &bench.template), (true, &bench.locked_template)] {
            let start = Start {
                locked,
                ..Start::default()
            };
            let mut agent = bench.boot(path, start)?;
            let package = match locked {
                true => bench.before.package.clone().signed(&bench.key),
                false => bench.before.package.clone(),
            };
            agent.load(&package, |_| {})?;
            agent.activate()?;
            agent.finish()?;
        }
        Ok(bench)
    }

    /// A flash file of its own, in which `before` is served.
    pub(super) fn flash(&self, locked: bool) -> Result<FlashCopy, FaultError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.0.join(format!("{count}.flash"));
        let template = match locked {
            true => &self.locked_template,
            false => &self.template,
        };
        match std::fs::copy(template, &path) {
            Ok(_) => Ok(FlashCopy(path)),
            Err(source) => Err(FaultError::File { path, source }),
        }
    }

    /// An emulator over this flash.
    pub(super) fn power(&self, flash: &Path, start: Start) -> Result<Qemu, DeviceError> {
        let image = match start.locked {
            true => &self.locked,
            false => &self.open,
        };
        let options = QemuOptions {
            agent: Some(FlashFile {
                path: agent_file(flash, self.board)?,
                cut: start.cut,
                worn: start.worn,
            }),
            lane: start.lane,
            ..QemuOptions::default()
        };
        Qemu::start(self.board, image, options, &self.ui)
    }

    /// An agent over this flash.
    pub(super) fn boot(&self, flash: &Path, start: Start) -> Result<Agent<Qemu>, DeviceError> {
        Agent::greet_with(self.power(flash, start)?, PATIENCE)
    }

    /// The agent answers, and serves one of these models, with these weights where it says which. Gives its place.
    pub(super) fn serves<P: Port>(
        &self,
        agent: &mut Agent<P>,
        wanted: &[(&Known, Option<u64>)],
    ) -> Result<usize, Bad> {
        // What a fault left on the line may cost one time-out, and no more.
        agent.set_patience(Patience {
            attempts: 2,
            ..PATIENCE
        });
        let info = agent.ask_info().cloned();
        agent.set_patience(PATIENCE);
        let Some(active) = info?.active else {
            return Err(Bad::Lost("no model is served".into()));
        };
        let slot = agent.slot(active)?;
        let found = wanted.iter().position(|(known, _)| {
            let manifest = &known.package.manifest;
            slot.state == SlotState::Active
                && slot.blob_crc32 == manifest.blob_crc32
                && slot.inference == manifest.inference
                && slot.training == manifest.training
        });
        let Some(found) = found else {
            return Err(Bad::Lost(format!("another model is served: {slot:?}")));
        };
        let (known, digest) = wanted[found];
        let mut device = agent.device(&known.package.blob.model())?;
        let weights = device.weights_digest()?;
        if digest.is_some_and(|digest| digest != weights) {
            return Err(Bad::Lost(format!(
                "the weights' digest is {weights:016x}, wanted {:016x}",
                digest.unwrap_or(0)
            )));
        }
        if weights == known.own && device.infer(&probe())? != known.output {
            return Err(Bad::Lost("it computes other bits".into()));
        }
        Ok(found)
    }

    /// The model before is served, with its own weights.
    pub(super) fn serves_before<P: Port>(&self, agent: &mut Agent<P>) -> Outcome {
        self.serves(agent, &[(&self.before, Some(self.before.own))])?;
        Ok(())
    }

    /// The new model can be loaded, and is served then.
    pub(super) fn takes_new<P: Port>(&self, agent: &mut Agent<P>) -> Outcome {
        agent.load_in(&self.new.package, CHUNK, |_| {})?;
        agent.activate()?;
        self.serves(agent, &[(&self.new, Some(self.new.own))])?;
        Ok(())
    }

    /// Positions below `end`: all of them, or a fixed sample.
    pub(super) fn positions(&self, end: usize) -> impl Iterator<Item = usize> {
        // A prime: it meets every place within words and frames.
        (0..end).step_by(if self.quick { 23 } else { 1 })
    }

    /// `work` on as many emulators side by side as there are processors; it gets its number, and how many there are.
    pub(super) fn side_by_side(
        &self,
        work: impl Fn(usize, usize) -> Result<Trials, FaultError> + Sync,
    ) -> Result<Trials, FaultError> {
        let lanes = std::thread::available_parallelism().map_or(1, |count| count.get());
        let lanes = lanes.min(LANES);
        let done = std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..lanes)
                .map(|lane| scope.spawn(move || work(lane, lanes)))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Trials, FaultError>>| {
                thread.join().unwrap_or(Err(FaultError::Thread))
            };
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        let mut trials = Trials::default();
        for lane in done {
            trials = trials.and(lane?);
        }
        Ok(trials)
    }
}

/// A flash file that goes when it is no longer used.
pub(super) struct FlashCopy(pub(super) PathBuf);

impl Drop for FlashCopy {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// A frame as it stands on the wire.
pub(super) fn frame(seq: u8, message: &impl Serialize) -> Vec<u8> {
    let mut wire = Vec::new();
    encode(seq, message, |bytes| {
        wire.extend_from_slice(bytes);
        Ok::<(), std::convert::Infallible>(())
    })
    .expect("a Vec takes all bytes, and every length in a request is known");
    wire
}
