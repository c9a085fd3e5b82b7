//! The model that is served: planned in the arena, with what it has learnt and where that is kept.

use core::{marker::PhantomData, ops::Range};

use embedded_storage::nor_flash::NorFlash;
use nn_core::{
    SetupError,
    link::{
        ErrorCode, StoreState,
        agent::{AgentError, Slot, SlotState, Status},
    },
    model::Model,
    ops::OpSet,
    session::{RunError, Session},
    tensor::{DType, Tensor},
    train::{StepReport, Trainer},
};

use super::{
    report,
    verify::{Package, set_up_refusal, word},
};
use crate::{
    engine::Engine,
    flash::{Shared, Worn},
    server::ModelCard,
    store::{Keep, Store},
};

/// A model that was planned on the device. Where `K` lets nothing learn, no code that does is linked in.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and nothing allocates"
)]
pub(super) enum Planned<'m, K> {
    /// It has no training plan, or the agent lets none learn.
    Runs(Session<'m>, PhantomData<K>),
    /// It learns.
    Learns(Trainer<'m>),
}

impl<'m, K: OpSet> Engine<'m> for Planned<'m, K> {
    const TRAINS: bool = K::TRAIN;

    fn input_mut(&mut self) -> Option<&mut [u8]> {
        self.input_mut(0)
    }

    fn run(&mut self) -> Result<(), RunError> {
        match self {
            Planned::Runs(session, _) => session.run(),
            Planned::Learns(trainer) if K::TRAIN => trainer.run(),
            Planned::Learns(_) => Err(RunError::Memory),
        }
    }

    fn output(&self) -> Option<&[u8]> {
        match self {
            Planned::Runs(session, _) => session.output(0),
            Planned::Learns(trainer) => trainer.output(0),
        }
    }

    #[inline]
    fn trainer(&mut self) -> Result<&mut Trainer<'m>, ErrorCode> {
        match self {
            Planned::Learns(trainer) if K::TRAIN => Ok(trainer),
            _ => Err(ErrorCode::NoTrainPlan),
        }
    }
}

impl<'m, K: OpSet> Planned<'m, K> {
    /// Plans `model` in `arena`.
    fn new(model: Model<'m>, arena: &'m mut [u8]) -> Result<Self, SetupError> {
        if K::TRAIN && model.learns() {
            Trainer::with::<K>(model, arena).map(Planned::Learns)
        } else {
            let session = Session::with::<K>(model, arena)?;
            Ok(Planned::Runs(session, PhantomData))
        }
    }

    pub(super) fn input_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        match self {
            Planned::Runs(session, _) => session.input_mut(index),
            Planned::Learns(trainer) => trainer.input_mut(index),
        }
    }

    pub(super) fn model(&self) -> Model<'m> {
        match self {
            Planned::Runs(session, _) => session.model(),
            Planned::Learns(trainer) => trainer.model(),
        }
    }

    /// Runs it, and calls `observe` after each node.
    pub(super) fn run_observed(&mut self, mut observe: impl FnMut(usize)) -> Result<(), RunError> {
        match self {
            Planned::Runs(session, _) => session.run_observed(|node, _| observe(node)),
            Planned::Learns(trainer) if K::TRAIN => trainer.run_observed(|node, _| observe(node)),
            Planned::Learns(_) => Err(RunError::Memory),
        }
    }

    /// The place of the largest number in output 0, the first of equals.
    pub(super) fn prediction(&self) -> Option<u16> {
        let dtype = self.model().output(0)?.dtype;
        let bytes = self.output()?;
        let words = || bytes.as_chunks::<4>().0.iter();
        let place = match dtype {
            DType::F32 => largest(words().map(|bytes| f32::from_le_bytes(*bytes))),
            DType::I8 => largest(bytes.iter().map(|byte| byte.cast_signed())),
            _ => largest(words().map(|bytes| i32::from_le_bytes(*bytes))),
        };
        u16::try_from(place).ok()
    }
}

fn largest<T: PartialOrd + Copy>(mut values: impl Iterator<Item = T>) -> usize {
    let Some(mut most) = values.next() else {
        return 0;
    };
    let mut best = 0;
    for (place, value) in (1..).zip(values) {
        if value > most {
            (best, most) = (place, value);
        }
    }
    best
}

/// How the weights in the arena stand to those in flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    /// They are the blob's.
    Blobs,
    /// They are those that are kept, or the host wants none kept.
    Kept,
    /// Something was learnt since.
    Unsaved,
    /// A host wrote some, and has not signed them yet.
    Uncommitted,
}

/// The model that is served.
pub(super) struct Desk<'m, F: NorFlash, K> {
    pub(super) slot: u8,
    pub(super) package: Package<'m>,
    pub(super) engine: Planned<'m, K>,
    /// Room for a target.
    pub(super) room: &'m mut [f32],
    pub(super) card: ModelCard<'m>,
    pub(super) store: Option<Store<F>>,
    pub(super) weights: Weights,
    /// The number of the last training request, and what came of it.
    pub(super) last_step: Option<(u8, StepReport)>,
    /// The number of the request before, where it is not to be done twice: it ran the model, or saved.
    pub(super) done: Option<u8>,
    pub(super) status: Status,
}

impl<'m, F: NorFlash<Error = Worn>, K: OpSet> Desk<'m, F, K> {
    /// Plans the model of `package` in `ram`, with what it has learnt and kept, and puts it in its place.
    #[inline(never)]
    pub(super) fn set_up(
        slot: u8,
        package: Package<'m>,
        ram: &'m mut [u8],
        flash: F,
        store: Range<u32>,
        place: &mut Option<Self>,
    ) -> Result<(), AgentError> {
        let (model, need) = package.model::<K>(ram.len())?;
        let (arena, room) = need.divide(ram).ok_or(AgentError::Internal)?;
        let [input, output] = [model.input(0), model.output(0)];
        // The room of output 0.
        let len = output.map_or(0, |tensor| tensor.elements());
        let bytes = |tensor: Option<Tensor>| word(tensor.map_or(0, |tensor| tensor.bytes()));
        let desk = place.insert(Self {
            slot,
            package,
            engine: Planned::new(model, arena).map_err(set_up_refusal)?,
            room: room.get_mut(..len).unwrap_or_default(),
            card: ModelCard {
                name: model.name(),
                crc32: model.header().crc,
                arena: [word(model.arena_infer()), word(model.arena_train())],
                input_len: bytes(input),
                output_len: bytes(output),
            },
            store: Store::new(flash, store, model.header().crc),
            weights: Weights::Blobs,
            last_step: None,
            done: None,
            status: Status::default(),
        });
        desk.restore();
        Ok(())
    }

    /// The weights that are kept, or the blob's where none are. `false` where nothing learns.
    pub(super) fn restore(&mut self) -> bool {
        let Ok(trainer) = self.engine.trainer() else {
            return false;
        };
        trainer.reset();
        self.weights = match &mut self.store {
            Some(store) => match store.restore(trainer).state {
                StoreState::Kept => Weights::Kept,
                _ => Weights::Blobs,
            },
            None => Weights::Blobs,
        };
        true
    }

    /// Keeps what was learnt and is not saved.
    pub(super) fn save(&mut self) -> Result<(), AgentError> {
        if self.weights != Weights::Unsaved {
            return Ok(());
        }
        let (Ok(trainer), Some(store)) = (self.engine.trainer(), &mut self.store) else {
            return Err(AgentError::Unsaved);
        };
        store.save(trainer).map_err(|_| AgentError::Unsaved)?;
        self.weights = Weights::Kept;
        Ok(())
    }

    /// What the host is told of its slot.
    pub(super) fn report(&self) -> Slot {
        report(self.slot, SlotState::Active, &self.package.manifest)
    }

    /// What was served.
    pub(super) fn status(&self) -> Status {
        Status {
            unsaved: matches!(self.weights, Weights::Unsaved | Weights::Uncommitted),
            ..self.status
        }
    }

    /// Counts a judged sample, and says whether the prediction is the target's class.
    pub(super) fn judge(&mut self, class: Option<u16>, prediction: u16) -> bool {
        let Some(class) = class else { return false };
        let right = class == prediction;
        self.status.judged = self.status.judged.wrapping_add(1);
        self.status.right = self.status.right.wrapping_add(right.into());
        right
    }
}

/// The desk of an agent over `F`.
pub(super) type DeskOver<'m, 'f, F, K> = Desk<'m, Shared<'f, F>, K>;
