//! Packages come, and are made ready to be served.

use nn_core::{
    digest::Fnv1a,
    link::{
        agent::{AgentError, AgentResponse},
        package::{MANIFEST_LEN, Manifest},
    },
    ops::OpSet,
};

use super::{Agent, Lap, Limits, desk::DeskOver, journal::Held, other, slots::Loading};
use crate::flash::Mapped;

impl<'f, F: Mapped, K: OpSet, C: Lap> Agent<'f, F, K, C> {
    /// The slot that a package is loaded into: not the one that is served.
    fn inactive(&self, served: Option<u8>) -> u8 {
        let record = self.journal.record();
        match served.or(record.active) {
            Some(slot) => other(slot),
            None if record.held(1) == Held::Begun => 1,
            None => 0,
        }
    }

    pub(super) fn begin(
        &mut self,
        bytes: &[u8],
        served: Option<u8>,
    ) -> Result<AgentResponse<'static>, AgentError> {
        let manifest = Manifest::decode(bytes).map_err(|_| AgentError::Manifest)?;
        self.rules().check(&manifest)?;
        let slot = self.inactive(served);
        let place = self.place(slot)?;
        if let Some(loading) = &self.loading
            && loading.slot == slot
            && loading.manifest == manifest
        {
            return Ok(progress(loading));
        }
        self.loading = None;
        let mut digest = Fnv1a::new();
        digest.update(bytes);
        let digest = digest.finish();
        let record = self.journal.record();
        let begun = record.held(slot) == Held::Begun && record.manifest == digest;
        if !begun {
            let mut record = record.with(slot, Held::Begun);
            record.manifest = digest;
            record.load = record.load.wrapping_add(1);
            self.journal.set(record)?;
        }
        let mut written = self.journal.progress();
        // A page or more: the manifest is among them.
        if written > 0 && self.package(slot).map(|package| package.manifest) != Ok(manifest) {
            written = 0;
        }
        let mut loading = Loading::new(slot, place.start, manifest, written);
        if written == 0 {
            loading.append(bytes, self.flash, &mut self.journal)?;
        }
        let response = progress(&loading);
        self.loading = Some(loading);
        Ok(response)
    }

    pub(super) fn chunk(
        &mut self,
        offset: u32,
        bytes: &[u8],
    ) -> Result<AgentResponse<'static>, AgentError> {
        let mut loading = self.loading.take().ok_or(AgentError::NotLoading)?;
        let taken = loading.take(offset, bytes, self.flash, &mut self.journal);
        let response = progress(&loading);
        match taken {
            // The page is in doubt: the host begins again, and the load goes on at the last mark.
            Err(AgentError::Flash { .. }) => {}
            _ => self.loading = Some(loading),
        }
        taken.map(|()| response)
    }

    pub(super) fn abort(&mut self) -> Result<AgentResponse<'static>, AgentError> {
        self.loading = None;
        let record = self.journal.record();
        for slot in [0, 1] {
            if record.held(slot) == Held::Begun {
                self.journal.set(record.with(slot, Held::Empty))?;
            }
        }
        Ok(AgentResponse::Done)
    }

    /// All that can be done before the model that is served is given up: gives the slot that is to be served.
    pub(super) fn prepare(
        &mut self,
        held: Held,
        desk: Option<&mut DeskOver<'_, 'f, F, K>>,
        limits: &Limits,
    ) -> Result<u8, AgentError> {
        let prepared = self.try_prepare(held, desk, limits);
        if let Err(error) = prepared {
            self.memo.keep(AgentResponse::Refused(error));
        }
        prepared
    }

    fn try_prepare(
        &mut self,
        held: Held,
        desk: Option<&mut DeskOver<'_, 'f, F, K>>,
        limits: &Limits,
    ) -> Result<u8, AgentError> {
        let slot = self.inactive(desk.as_ref().map(|desk| desk.slot));
        if self.journal.record().held(slot) != held {
            return Err(match held {
                Held::Served => AgentError::NoStandby,
                _ => AgentError::NotLoading,
            });
        }
        if held == Held::Begun {
            self.check_whole(slot)?;
        }
        let checked = self.check(slot, limits.ram as usize);
        if let (Held::Begun, Err(AgentError::Hash | AgentError::Manifest)) = (held, checked) {
            // The bytes will not become right: the next load begins at the first.
            self.abort()?;
        }
        checked?;
        if let Some(desk) = desk {
            desk.forget_uncommitted();
            desk.save()?;
        }
        Ok(slot)
    }

    /// Whether the package that was begun in `slot` has come as a whole.
    fn check_whole(&self, slot: u8) -> Result<(), AgentError> {
        let progress = self.journal.progress();
        let loading = self.loading.as_ref().filter(|loading| loading.slot == slot);
        let (manifest, found) = match (loading, progress) {
            (Some(loading), _) => (loading.manifest, loading.wanted()),
            // Without the first page there is no manifest.
            (None, 0) => return Err(AgentError::NotLoading),
            (None, _) => {
                let there = progress.saturating_sub(MANIFEST_LEN as u32);
                (self.package(slot)?.manifest, there)
            }
        };
        let wanted = manifest.blob_len;
        match progress as usize == manifest.package_len() {
            true => Ok(()),
            false => Err(AgentError::Incomplete { wanted, found }),
        }
    }
}

/// How far a load has come.
fn progress(loading: &Loading) -> AgentResponse<'static> {
    AgentResponse::Loading {
        slot: loading.slot,
        offset: loading.wanted(),
        len: loading.manifest.blob_len,
    }
}
