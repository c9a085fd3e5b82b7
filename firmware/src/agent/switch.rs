//! Which model is served: found at a start, checked, tested, switched.

use core::ops::Range;

use nn_core::{
    link::{
        agent::{AgentError, Status},
        package::MANIFEST_LEN,
    },
    ops::OpSet,
    train::Optimizer,
};

use super::{
    Agent, Lap,
    desk::{Desk, DeskOver, Weights},
    journal::Held,
    other,
    verify::{Package, Rules},
};
use crate::{engine::Engine as _, flash::Mapped, log::log, store::Store};

impl<'f, F: Mapped, K: OpSet, C: Lap> Agent<'f, F, K, C> {
    /// The package in `slot`.
    pub(super) fn package<'m>(&self, slot: u8) -> Result<Package<'m>, AgentError> {
        let place = self.place(slot)?;
        // SAFETY: a slot is erased and written only while it is not the one that is served, and no package that was read
        // from it outlives the request that asks for it.
        let bytes = unsafe { self.flash.bytes(place) };
        Package::read(bytes.ok_or(AgentError::Internal)?)
    }

    pub(super) fn place(&self, slot: u8) -> Result<Range<u32>, AgentError> {
        let place = self.site.places.slots.get(usize::from(slot));
        place.cloned().ok_or(AgentError::NoSlot)
    }

    pub(super) fn rules(&self) -> Rules {
        let [slot, _] = &self.site.places.slots;
        Rules {
            slot: (slot.end - slot.start).saturating_sub(MANIFEST_LEN as u32),
            floor: self.journal.record().floor,
            key: self.site.key,
        }
    }

    /// Puts the model that is active in its place; that of the other slot where its blob is damaged and the other was served
    /// once. A function of its own, as those that it calls: what they need of the stack is free again afterwards.
    #[inline(never)]
    pub(super) fn open<'m>(
        &mut self,
        ram: &'m mut [u8],
        place: &mut Option<DeskOver<'m, 'f, F, K>>,
    ) {
        let record = self.journal.record();
        let Some(active) = record.active else { return };
        let mut slots = [active, other(active)].into_iter();
        let Some(slot) = slots.find(|slot| self.is_sound(*slot, active, ram.len())) else {
            return;
        };
        if slot != active {
            let mut record = record.with(active, Held::Empty);
            record.active = Some(slot);
            // It is served even where the journal cannot say so.
            self.journal.set(record).ok();
        }
        let stores = &self.site.places.stores;
        let (Ok(package), Some(store)) = (self.package(slot), stores.get(usize::from(slot))) else {
            return;
        };
        let desk = Desk::set_up(slot, package, ram, self.flash, store.clone(), place);
        if let Err(_error) = desk {
            log!(error, "slot {=u8}: {}", slot, _error);
        }
    }

    /// Whether a start can serve what `slot` holds.
    #[inline(never)]
    fn is_sound(&self, slot: u8, active: u8, ram: usize) -> bool {
        if self.journal.record().held(slot) != Held::Served {
            return false;
        }
        let sound = self.package(slot).and_then(|package| {
            // As at its activation, but for the hash: the CRC-32 tells of damage.
            if slot != active {
                self.rules().check(&package.manifest)?;
            }
            package.model::<K>(ram).map(|_| ())
        });
        if let Err(_error) = sound {
            log!(error, "slot {=u8}: {}", slot, _error);
        }
        sound.is_ok()
    }

    /// Whether what `slot` holds may be served: all checks that want no arena.
    #[inline(never)]
    pub(super) fn check(&self, slot: u8, ram: usize) -> Result<(), AgentError> {
        let package = self.package(slot)?;
        self.rules().check(&package.manifest)?;
        package.check_hash()?;
        package.model::<K>(ram).map(|_| ())
    }

    /// Tests the model of `slot`, which was checked, and makes it the one that is served.
    #[inline(never)]
    pub(super) fn switch(&mut self, slot: u8, ram: &mut [u8]) -> Result<(), AgentError> {
        let package = self.package(slot)?;
        package.test::<K>(ram)?;
        let record = self.journal.record();
        if record.held(slot) == Held::Begun {
            self.discard(slot, package.manifest.blob_crc32)?;
        }
        let mut record = record.with(slot, Held::Served);
        record.active = Some(slot);
        record.floor = record.floor.max(package.manifest.floor);
        self.journal.set(record)?;
        self.loading = None;
        log!(info, "slot {=u8} is served", slot);
        Ok(())
    }

    /// What a model of the same CRC-32 learnt in this slot, before it was loaded anew, does not count for this one.
    fn discard(&self, slot: u8, model: u32) -> Result<(), AgentError> {
        let Some(place) = self.site.places.stores.get(usize::from(slot)) else {
            return Ok(());
        };
        let offset = place.start;
        match Store::new(self.flash, place.clone(), model) {
            Some(mut store) => store.discard().map_err(|_| AgentError::Flash { offset }),
            None => Ok(()),
        }
    }
}

/// What a model that is served on loses while another one is tested.
pub(super) struct Aside {
    weights: Weights,
    status: Status,
    optimizer: Option<(Optimizer, f32)>,
}

impl Aside {
    pub(super) fn of<F: Mapped, K: OpSet>(desk: &mut DeskOver<'_, '_, F, K>) -> Self {
        let trainer = desk.engine.trainer().ok();
        Self {
            weights: desk.weights,
            status: desk.status,
            optimizer: trainer.map(|trainer| (trainer.optimizer(), trainer.learning_rate())),
        }
    }

    pub(super) fn put_back<F: Mapped, K: OpSet>(self, desk: &mut DeskOver<'_, '_, F, K>) {
        desk.status = self.status;
        if let Ok(trainer) = desk.engine.trainer() {
            if self.weights == Weights::Blobs {
                trainer.reset();
                desk.weights = Weights::Blobs;
            }
            if let Some((optimizer, rate)) = self.optimizer {
                // They were its own.
                trainer.set_optimizer(optimizer).ok();
                trainer.set_learning_rate(rate).ok();
            }
        }
    }
}
