//! Where a model runs: in this process, in QEMU, on a board behind a serial port.
//!
//! All three are a [`Device`], and give the same bits.

pub mod agent;
pub mod boards;
mod emulator;
mod error;
pub mod faults;
pub mod firmware;
mod here;
mod image;
mod line;
mod linked;
pub(crate) mod log;
mod place;
mod qemu;
mod serial;
mod store;
mod tcp;
#[cfg(test)]
mod tests;

pub use emulator::{FlashFile, QemuOptions};
pub use error::{BuildError, DeviceError};
pub use here::Here;
pub use image::Image;
pub use line::{Patience, Port};
pub use linked::Linked;
pub use place::{Place, PlaceError};
pub use qemu::Qemu;
pub use serial::Serial;
pub use store::StoreFileError;
pub use tcp::Tcp;

use std::path::{Path, PathBuf};

use nn_core::{
    link::{ErrorCode, StackUse, StoreReport},
    train::{Sgd, StepReport, Target},
};

use crate::{blob::Blob, package::PublicKey, paths, ui::Ui};
use agent::Agent;
use firmware::{AGENT, Content};

/// What a device says about itself. Lengths are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// Its board, or `host`.
    pub board: String,
    /// Its core.
    pub core: String,
    /// Its model.
    pub model: String,
    /// CRC-32 in the model's header.
    pub model_crc32: u32,
    /// Arena that inference wants.
    pub arena_infer: usize,
    /// Arena that training wants; 0 when the model has no training plan.
    pub arena_train: usize,
    /// Arena that there is.
    pub arena: usize,
    /// Length of all that is learnt; 0 when nothing is.
    pub weights_len: usize,
    /// Length of input 0.
    pub input_len: usize,
    /// Length of output 0.
    pub output_len: usize,
    /// Its functions of f32, [`nn_core::scalar::MATH`]: the host's, or it is refused.
    pub math: String,
}

/// A model somewhere, running and perhaps learning.
///
/// Inputs and outputs are raw little-endian bytes of tensor 0, as in
/// [`Session`](nn_core::session::Session). All methods fail when the device refuses or is gone.
pub trait Device {
    /// What it says about itself.
    fn info(&self) -> &DeviceInfo;
    /// Runs the model on `input`; returns its output.
    fn infer(&mut self, input: &[u8]) -> Result<Vec<u8>, DeviceError>;
    /// One step of SGD on one sample.
    fn train(&mut self, input: &[u8], target: Target<'_>) -> Result<StepReport, DeviceError>;
    /// Changes the rates.
    fn set_sgd(&mut self, sgd: Sgd) -> Result<(), DeviceError>;
    /// FNV-1a 64 of all that is learnt, computed there.
    fn weights_digest(&mut self) -> Result<u64, DeviceError>;
    /// All that is learnt.
    fn read_weights(&mut self) -> Result<Vec<u8>, DeviceError>;
    /// Replaces all that is learnt.
    fn write_weights(&mut self, weights: &[u8]) -> Result<(), DeviceError>;
    /// Back to the blob's weights.
    fn reset(&mut self) -> Result<(), DeviceError>;
    /// Keeps what is learnt in its flash, for its next start.
    fn save(&mut self) -> Result<StoreReport, DeviceError> {
        Err(DeviceError::Refused(ErrorCode::NoStore))
    }
    /// Keeps nothing in its flash any more; what is learnt stays as it is until it is reset or starts again.
    fn forget(&mut self) -> Result<StoreReport, DeviceError> {
        Err(DeviceError::Refused(ErrorCode::NoStore))
    }
    /// What it keeps in its flash, and whether that was restored at its start; `None` where there is none, or no learning.
    fn store(&mut self) -> Result<Option<StoreReport>, DeviceError> {
        Ok(None)
    }
    /// How much of its stack it has used so far; `None` where nobody knows.
    fn stack(&mut self) -> Result<Option<StackUse>, DeviceError> {
        Ok(None)
    }
    /// Ends the session. In QEMU the image's exit code is the verdict; without this call an
    /// emulation is simply killed when the device is dropped.
    fn finish(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// How an agent in QEMU is built and booted.
#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// Its flash, a file, which is made, erased, where there is none; by default one for each board in `target/agent`.
    pub flash: Option<PathBuf>,
    /// It takes only what this key has signed.
    pub key: Option<PublicKey>,
    /// It counts instructions; slower.
    pub counts: bool,
}

/// The agent at `place`. In QEMU its image is built and booted.
///
/// # Errors
///
/// [`DeviceError`]; [`DeviceError::AgentHere`] on the host, [`DeviceError::StorePlace`] of a file for a board that has its own.
pub fn open_agent(
    place: &Place,
    options: &AgentOptions,
    ui: &Ui,
) -> Result<Agent<Box<dyn Port>>, DeviceError> {
    if options.flash.is_some() && !matches!(place, Place::Qemu(_)) {
        return Err(DeviceError::StorePlace(place.to_string()));
    }
    let port: Box<dyn Port> = match place {
        Place::Host => return Err(DeviceError::AgentHere),
        Place::Qemu(board) => {
            let image = firmware::build(board, AGENT, Content::Agent(options.key), ui)?;
            let own = paths::workspace_root().join("target/agent");
            let own = own.join(format!("{}.flash", board.name));
            let path = store::agent_file(options.flash.as_deref().unwrap_or(&own), board)?;
            let options = QemuOptions {
                agent: Some(FlashFile {
                    path,
                    cut: None,
                    worn: None,
                }),
                count_instructions: options.counts,
                ..QemuOptions::default()
            };
            Box::new(Qemu::start(board, &image, options, ui)?)
        }
        Place::Serial { path, baud } => Box::new(Serial::open(path, *baud)?),
        Place::Tcp(address) => Box::new(Tcp::open(address)?),
    };
    Agent::greet(port)
}

/// Puts `blob` where `place` says: builds the image and boots it in QEMU, or greets the board.
///
/// # Errors
///
/// [`DeviceError`]; a board that holds another model is refused.
pub fn open(place: &Place, blob: &Blob, ui: &Ui) -> Result<Box<dyn Device>, DeviceError> {
    open_with_store(place, None, blob, ui)
}

/// The same; an emulated board keeps what it learns in the file `store`, which is made where there is none.
///
/// # Errors
///
/// As [`open`]; [`DeviceError::StorePlace`] where `place` is no emulated board, [`DeviceError::StoreFile`].
pub fn open_with_store(
    place: &Place,
    store: Option<&Path>,
    blob: &Blob,
    ui: &Ui,
) -> Result<Box<dyn Device>, DeviceError> {
    let model = blob.model();
    if store.is_some() && !matches!(place, Place::Qemu(_)) {
        return Err(DeviceError::StorePlace(place.to_string()));
    }
    let store = store.map(|path| store::file(path, &model)).transpose()?;
    Ok(match place {
        Place::Host => Box::new(Here::new(blob)?),
        Place::Qemu(board) => {
            let image = firmware::build(board, "mnist", Content::Model(blob.bytes()), ui)?;
            let options = QemuOptions {
                store,
                ..QemuOptions::default()
            };
            let qemu = Qemu::start(board, &image, options, ui)?;
            Box::new(Linked::greet(qemu, &model)?)
        }
        Place::Serial { path, baud } => {
            Box::new(Linked::greet(Serial::open(path, *baud)?, &model)?)
        }
        Place::Tcp(address) => Box::new(Linked::greet(Tcp::open(address)?, &model)?),
    })
}
