//! A model in this process: the same nn-core, in an arena of exactly the size that a device has.

use nn_core::{
    scalar::MATH,
    session::Session,
    train::{Sgd, StepReport, Target, Trainer},
};
use self_cell::{MutBorrow, self_cell};

use super::{Device, DeviceError, DeviceInfo};
use crate::{blob::Blob, export::AlignedBytes};

#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is as large as the larger"
)]
enum Engine<'a> {
    Session(Session<'a>),
    Trainer(Trainer<'a>),
}

struct Memory {
    blob: Blob,
    arena: MutBorrow<AlignedBytes>,
}

self_cell!(
    struct Running {
        owner: Memory,
        #[not_covariant]
        dependent: Engine,
    }
);

/// A model in this process.
pub struct Here {
    running: Running,
    info: DeviceInfo,
}

impl Here {
    /// Sets the model of `blob` up: to learn when its blob says how, else to run.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Setup`] when its plan and its header disagree.
    pub fn new(blob: &Blob) -> Result<Self, DeviceError> {
        let model = blob.model();
        let learns = model.train_spec().is_some();
        let arena = if learns {
            model.arena_train()
        } else {
            model.arena_infer()
        };
        let mut info = DeviceInfo {
            board: "host".into(),
            core: std::env::consts::ARCH.into(),
            model: model.name().into(),
            model_crc32: model.header().crc,
            arena_infer: model.arena_infer(),
            arena_train: model.arena_train(),
            arena,
            weights_len: 0,
            input_len: model.input(0).map_or(0, |tensor| tensor.bytes()),
            output_len: model.output(0).map_or(0, |tensor| tensor.bytes()),
            math: MATH.into(),
        };
        let memory = Memory {
            blob: blob.clone(),
            arena: MutBorrow::new(AlignedBytes::zeroed(arena)),
        };
        let mut running = Running::try_new(memory, |memory| {
            let model = memory.blob.model();
            let arena = memory.arena.borrow_mut().as_mut_slice();
            Ok::<_, DeviceError>(if learns {
                Engine::Trainer(Trainer::new(model, arena)?)
            } else {
                Engine::Session(Session::new(model, arena)?)
            })
        })?;
        info.weights_len = running.with_dependent_mut(|_, engine| match engine {
            Engine::Session(_) => 0,
            Engine::Trainer(trainer) => trainer.weights().len(),
        });
        Ok(Here { running, info })
    }

    fn trainer<T>(
        &mut self,
        work: impl FnOnce(&mut Trainer<'_>) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        self.running.with_dependent_mut(|_, engine| match engine {
            Engine::Session(_) => Err(DeviceError::NoTrainPlan),
            Engine::Trainer(trainer) => work(trainer),
        })
    }
}

fn put(to: Option<&mut [u8]>, input: &[u8]) -> Result<(), DeviceError> {
    let to = to.unwrap_or_default();
    if to.len() != input.len() {
        return Err(DeviceError::Input {
            wanted: to.len(),
            found: input.len(),
        });
    }
    to.copy_from_slice(input);
    Ok(())
}

impl Device for Here {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn infer(&mut self, input: &[u8]) -> Result<Vec<u8>, DeviceError> {
        self.running.with_dependent_mut(|_, engine| {
            let output = match engine {
                Engine::Session(session) => {
                    put(session.input_mut(0), input)?;
                    session.run()?;
                    session.output(0)
                }
                Engine::Trainer(trainer) => {
                    put(trainer.input_mut(0), input)?;
                    trainer.run()?;
                    trainer.output(0)
                }
            };
            Ok(output.unwrap_or_default().to_vec())
        })
    }

    fn train(&mut self, input: &[u8], target: Target<'_>) -> Result<StepReport, DeviceError> {
        self.trainer(|trainer| {
            put(trainer.input_mut(0), input)?;
            Ok(trainer.step(target)?)
        })
    }

    fn set_sgd(&mut self, sgd: Sgd) -> Result<(), DeviceError> {
        self.trainer(|trainer| Ok(trainer.set_sgd(sgd)?))
    }

    fn weights_digest(&mut self) -> Result<u64, DeviceError> {
        self.trainer(|trainer| Ok(trainer.weights_digest()))
    }

    fn read_weights(&mut self) -> Result<Vec<u8>, DeviceError> {
        self.trainer(|trainer| Ok(trainer.weights().to_vec()))
    }

    fn write_weights(&mut self, weights: &[u8]) -> Result<(), DeviceError> {
        self.trainer(|trainer| Ok(trainer.load_weights(weights)?))
    }

    fn reset(&mut self) -> Result<(), DeviceError> {
        self.trainer(|trainer| {
            trainer.reset();
            Ok(())
        })
    }
}
