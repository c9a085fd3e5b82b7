//! What can go wrong between here and a device.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use nn_core::{
    SetupError,
    link::{ErrorCode, FrameError, agent::AgentError},
    session::RunError,
    train::TrainError,
};

/// Why a device did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The model cannot be set up in this process.
    #[error("the model cannot be set up: {0}")]
    Setup(#[from] SetupError),
    /// The model cannot be run in this process.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Training in this process was refused.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The input has another length than the model's.
    #[error("the model takes {wanted} bytes of input, found {found}")]
    Input {
        /// Bytes that the model takes.
        wanted: usize,
        /// Bytes given.
        found: usize,
    },
    /// The model has nothing to learn.
    #[error("the model has no training plan; take one exported with a trainable head")]
    NoTrainPlan,

    /// A file can only be the flash of an emulated board.
    #[error(
        "--store FILE is the flash of a board in QEMU; {0} has none (a board behind a serial port has its own)"
    )]
    StorePlace(String),
    /// The file cannot be a board's flash.
    #[error(transparent)]
    StoreFile(#[from] super::StoreFileError),

    /// The device refused.
    #[error("the device refuses: {0}")]
    Refused(ErrorCode),
    /// The agent refused.
    #[error("the agent refuses: {0}")]
    Agent(AgentError),
    /// The image is no agent.
    #[error(
        "{0} runs an image with a model of its own, no agent: `mote flash --app agent` makes it one"
    )]
    NoAgent(String),
    /// An agent is a device's image.
    #[error("an agent runs on a device: --on qemu:BOARD, serial:PATH or tcp:HOST:PORT")]
    AgentHere,
    /// The device was silent.
    #[error(
        "no answer from {place} within {:.1} s; is the cable in, the board flashed (`mote flash`) and \
         reset, the port the right one?",
        .patience.as_secs_f64()
    )]
    Silent {
        /// Which device.
        place: String,
        /// How long was waited.
        patience: Duration,
    },
    /// What came is no frame.
    #[error("an answer from {place} arrived damaged: {source}")]
    Frame {
        /// Which device.
        place: String,
        /// What is wrong.
        source: FrameError,
    },
    /// What came is a frame, but no answer to what was asked.
    #[error(
        "{place} gave an answer that does not fit the question; flash an image of this version"
    )]
    Answer {
        /// Which device.
        place: String,
    },
    /// It speaks another version of the protocol.
    #[error("{place} speaks version {found} of the link, wanted {wanted}: `mote flash` it anew")]
    Protocol {
        /// Which device.
        place: String,
        /// This host's version.
        wanted: u16,
        /// The device's.
        found: u16,
    },
    /// It speaks a version of the protocol that knows no numbers yet.
    #[error("{place} speaks an older version of the link than {wanted}: `mote flash` it anew")]
    OldProtocol {
        /// Which device.
        place: String,
        /// This host's version.
        wanted: u16,
    },
    /// The device has another model in flash.
    #[error(
        "{place} holds the model {name} with CRC-32 {found:08x}, wanted {wanted:08x}: `mote flash` \
         it, or name the model that it holds"
    )]
    Model {
        /// Which device.
        place: String,
        /// The device's model.
        name: String,
        /// The CRC-32 of the blob here.
        wanted: u32,
        /// That of the blob there.
        found: u32,
    },
    /// The device's functions of f32 give other bits.
    #[error(
        "{place} has the functions {found:?} of f32, this mote {wanted:?}: their bits differ; `mote \
         flash` it anew, or build mote with, or without, `--features micromath`"
    )]
    Math {
        /// Which device.
        place: String,
        /// The functions here.
        wanted: &'static str,
        /// Those there.
        found: String,
    },
    /// The line to the device failed.
    #[error("the line to {place} failed: {source}")]
    Line {
        /// Which device.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The serial port cannot be opened.
    #[error(
        "cannot open {path}: {source}; `ls /dev/serial/by-id` lists the ports, and the group \
         `dialout` may use them"
    )]
    Port {
        /// The port.
        path: String,
        /// Why.
        source: serialport::Error,
    },

    /// Nobody listens there.
    #[error(
        "cannot connect to {address}: {source}; is the bridge up? QEMU listens with `-serial tcp:{address},server,nowait`"
    )]
    Tcp {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },

    /// QEMU is not installed, or does not start.
    #[error("cannot start {program}: {source}; `scripts/setup` installs it")]
    NoQemu {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// QEMU ended before it was told to.
    #[error("QEMU ended early ({status}){}", last_lines(.log))]
    QemuEnded {
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it said.
        log: Vec<String>,
    },
    /// The image said that it failed.
    #[error("the image in QEMU ended with {status}, wanted success{}", last_lines(.log))]
    Verdict {
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it said.
        log: Vec<String>,
    },

    /// The image was not built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No toolchain here compiles for the board.
    #[error(
        "nothing here compiles for {target} (tried rustup's target and Debian's rust-web-src); \
         `scripts/setup` installs what is missing"
    )]
    NoToolchain {
        /// The target triple.
        target: &'static str,
    },
    /// cargo does not start.
    #[error("cannot start {program}: {source}")]
    Cargo {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image is larger than the board's memory.
    #[error("the image does not fit {board}: {reason}")]
    TooLarge {
        /// The board.
        board: &'static str,
        /// Which memory, wanted and found.
        reason: String,
    },
    /// cargo failed.
    #[error("building the image for {board} failed:\n{log}")]
    Failed {
        /// The board.
        board: &'static str,
        /// What cargo said.
        log: String,
    },
    /// A file of the build cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was built is no image.
    #[error("{path} is no image: {reason}")]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl DeviceError {
    /// Whether a step of learning was refused because it diverged; the weights are those before it.
    pub fn is_divergence(&self) -> bool {
        matches!(
            self,
            Self::Train(TrainError::Diverged) | Self::Refused(ErrorCode::Diverged)
        )
    }
}

fn last_lines(log: &[String]) -> String {
    if log.is_empty() {
        return "; it said nothing".into();
    }
    format!("; its last lines:\n  {}", log.join("\n  "))
}
