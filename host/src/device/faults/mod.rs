//! The list of faults that an agent has to survive, each tried on a real image in QEMU.
//!
//! A trial is survived when the model that was served before, or the one that was to be served, answers afterwards with its
//! own digests, the agent answers within one time-out, and the emulator did not end with a fault. Lost is one after which
//! neither is served. What a row tries stands at its function.

mod bench;
mod blobs;
mod line;
mod port;
mod power;
mod round;
mod signatures;
mod strangers;

use std::{io, path::PathBuf};

use serde::Serialize;

use super::{
    BuildError, DeviceError, StoreFileError,
    boards::{self, Board},
};
use crate::{blob::BlobError, export, package::PackageError, ui::Ui};
use bench::Bench;

/// Why the faults cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The device, before any fault.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is no image.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A flash file cannot be used.
    #[error(transparent)]
    StoreFile(#[from] StoreFileError),
    /// A model for the trials cannot be made.
    #[error(transparent)]
    Model(#[from] export::BuildError),
    /// The same.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Its package cannot be made.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A file of the trials cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A thread of the trials panicked.
    #[error("a thread of the trials ended early: a defect of this program")]
    Thread,
    /// The board has no flash for models.
    #[error("{0} has no flash for an agent's models: take one of {1}")]
    NoAgent(&'static str, String),
}

/// A fault, and how often it was tried and survived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What went wrong.
    pub name: &'static str,
    /// How often.
    pub tried: u32,
    /// How often the agent did as it should.
    pub survived: u32,
    /// How often no model was left to serve.
    pub lost: u32,
}

impl Fault {
    /// Whether every trial was survived.
    pub fn passes(&self) -> bool {
        self.tried > 0 && self.survived == self.tried && self.lost == 0
    }
}

/// What one trial came to, where it was not survived.
#[derive(Debug)]
enum Bad {
    /// Neither the model before nor the new one is served.
    Lost(String),
    /// Anything else that should not be.
    Failed(String),
}

impl<E: Into<FaultError>> From<E> for Bad {
    fn from(error: E) -> Self {
        Bad::Failed(error.into().to_string())
    }
}

type Outcome = Result<(), Bad>;

/// The trials of a row, and words for those that were not survived.
#[derive(Debug, Default)]
struct Trials {
    tried: u32,
    survived: u32,
    lost: u32,
    words: Vec<String>,
}

impl Trials {
    /// One trial, called `what`.
    fn count(&mut self, what: impl std::fmt::Display, outcome: Outcome) {
        self.count_all(1, what, outcome);
    }

    /// Several trials that came to the same.
    fn count_all(&mut self, trials: u32, what: impl std::fmt::Display, outcome: Outcome) {
        self.tried += trials;
        match outcome {
            Ok(()) => self.survived += trials,
            Err(Bad::Lost(why)) => {
                self.lost += trials;
                self.words.push(format!("{what}: lost: {why}"));
            }
            Err(Bad::Failed(why)) => self.words.push(format!("{what}: {why}")),
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.tried += other.tried;
        self.survived += other.survived;
        self.lost += other.lost;
        self.words.extend(other.words);
        self
    }
}

type Row = (&'static str, fn(&Bench) -> Result<Trials, FaultError>);

/// The list: one row a fault.
const ROWS: &[Row] = &[
    ("bytes corrupted", line::corrupted),
    ("bytes dropped", line::dropped),
    ("bytes duplicated", line::duplicated),
    ("bytes reordered", line::reordered),
    ("answers damaged", line::answers),
    ("host killed mid-load", power::host_killed),
    ("device reset mid-load", power::reset_mid_load),
    ("device reset mid-save", power::reset_mid_save),
    ("device reset mid-train", power::reset_mid_train),
    ("power cut during load and activation", power::cut_load),
    ("power cut during save", power::cut_save),
    ("page worn", power::worn),
    ("blob too large", blobs::too_large),
    ("blob of another format version", blobs::format_version),
    ("blob of unknown kernels", blobs::unknown_kernels),
    ("blob with a wrong arena size", blobs::arena_size),
    ("blob truncated", blobs::truncated),
    ("blob with a wrong hash or CRC-32", blobs::damaged),
    ("package unsigned", signatures::unsigned),
    ("package signed by another key", signatures::other_key),
    ("package altered after signing", signatures::altered),
    ("package below the floor", signatures::below_floor),
    ("weights unsigned or altered", signatures::weights),
    ("flood of frames", strangers::flood),
    ("frames from a stranger", strangers::noise),
    ("another protocol version", strangers::protocol),
    ("round trip", round::trip),
];

/// The names of all faults.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|(name, _)| *name)
}

/// What to try.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan<'p> {
    /// A fixed sample of positions, instead of all.
    pub quick: bool,
    /// Only faults whose names have this in them.
    pub only: Option<&'p str>,
}

/// Tries the faults of `plan` on the agent of `board` in QEMU. `seen` gets each as soon as it is tried.
///
/// # Errors
///
/// Where it cannot be tried: no QEMU, no image, no room for files.
pub fn run(
    board: &'static Board,
    plan: Plan<'_>,
    ui: &Ui,
    mut seen: impl FnMut(&Fault),
) -> Result<Vec<Fault>, FaultError> {
    if board.agent.is_none() {
        return Err(FaultError::NoAgent(board.name, boards::with_agents()));
    }
    let wanted = |name: &str| plan.only.is_none_or(|only| name.contains(only));
    let bench = Bench::set_up(board, plan.quick, ui)?;
    let mut faults = Vec::new();
    for &(name, try_it) in ROWS.iter().filter(|(name, _)| wanted(name)) {
        let started = std::time::Instant::now();
        let trials = try_it(&bench)?;
        let fault = Fault {
            name,
            tried: trials.tried,
            survived: trials.survived,
            lost: trials.lost,
        };
        ui.detail(format_args!(
            "{name}: {} tried in {:.1} s",
            fault.tried,
            started.elapsed().as_secs_f64()
        ));
        for words in trials.words.iter().take(10) {
            ui.note(format_args!("{name}: {words}"));
        }
        seen(&fault);
        faults.push(fault);
    }
    Ok(faults)
}
