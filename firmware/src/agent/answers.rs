//! What an agent answers besides what other images do.

use embedded_io::Write;
use nn_core::{
    conformance::Draw,
    digest::Fnv1a,
    link::{
        Bytes, ErrorCode, Input, LabelBytes, PROTOCOL, Response,
        agent::{
            AgentError, AgentRequest, AgentResponse, Delta, Info, Slot, SlotState,
            decode_agent_request,
        },
        package::{MANIFEST_LEN, Manifest},
    },
    model::VERSION,
    ops::OpSet,
    scalar::MATH,
};

use super::{
    Agent, Lap, Limits, Next,
    desk::{DeskOver, Weights},
    journal::Held,
    key_id, other, report, respond,
    slots::Loading,
    verify::{hash, is_signed},
};
use crate::{engine::Engine as _, flash::Mapped, server};

/// Nodes that are reported at once, at most.
const LAYERS: usize = 32;

impl<'f, F: Mapped, K: OpSet, C: Lap> Agent<'f, F, K, C> {
    /// Answers a request to an agent.
    #[inline(never)]
    pub(super) fn answer<P: Write>(
        &mut self,
        seq: u8,
        message: &[u8],
        mut desk: Option<&mut DeskOver<'_, 'f, F, K>>,
        limits: &Limits,
        port: &mut P,
    ) -> Result<Next, P::Error> {
        let Ok(request) = decode_agent_request(message) else {
            server::respond(port, seq, &Response::Error(ErrorCode::UnknownRequest))?;
            return Ok(Next::Request);
        };
        if let Some(desk) = &mut desk {
            desk.done = None;
        }
        if let Some(response) = self.memo.answer() {
            respond(port, seq, &response)?;
            return Ok(Next::Request);
        }
        let response = match request {
            AgentRequest::Info => {
                let active = desk.map(|desk| desk.slot);
                respond(port, seq, &AgentResponse::Info(self.info(active, limits)))?;
                return Ok(Next::Request);
            }
            AgentRequest::Profile { first } => {
                self.profile(seq, first, desk, port)?;
                return Ok(Next::Request);
            }
            AgentRequest::Restart => {
                respond(port, seq, &AgentResponse::Done)?;
                return Ok(Next::End(super::End::Restart));
            }
            AgentRequest::Activate => match self.prepare(Held::Begun, desk, limits) {
                Ok(slot) => return Ok(Next::Switch(slot)),
                Err(error) => Err(error),
            },
            AgentRequest::Rollback => match self.prepare(Held::Served, desk, limits) {
                Ok(slot) => return Ok(Next::Switch(slot)),
                Err(error) => Err(error),
            },
            AgentRequest::Slot { slot } => self.slot(slot, desk).map(AgentResponse::Slot),
            AgentRequest::Begin { manifest } => self.begin(manifest.0, desk.map(|desk| desk.slot)),
            AgentRequest::Chunk { offset, bytes } => self.chunk(offset, bytes.0),
            AgentRequest::Abort => self.abort(),
            AgentRequest::Restore => restore(desk),
            AgentRequest::Status => match desk {
                Some(desk) => Ok(AgentResponse::Status(desk.status())),
                None => Err(AgentError::NoModel),
            },
            AgentRequest::Eval { input, target } => {
                let judged = judge(&input, &target, desk);
                self.memo
                    .keep(judged.unwrap_or_else(AgentResponse::Refused));
                judged
            }
            AgentRequest::Commit { counter, signature } => {
                let committed = self.commit(counter, signature.0, desk);
                self.memo
                    .keep(committed.unwrap_or_else(AgentResponse::Refused));
                committed
            }
        };
        respond(port, seq, &response.unwrap_or_else(AgentResponse::Refused))?;
        Ok(Next::Request)
    }

    fn info(&self, active: Option<u8>, limits: &Limits) -> Info<'static> {
        let places = &self.site.places;
        let record = self.journal.record();
        let last = places.stores.iter().map(|store| store.end).max();
        Info {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION"),
            board: self.site.board,
            core: self.site.core,
            math: MATH,
            clock: self.site.clock,
            flash: last.unwrap_or(0).saturating_sub(places.journal.start),
            slot_len: self.rules().slot,
            arena: limits.ram,
            frame_max: limits.frame,
            format: VERSION,
            ops: K::OPS,
            key: self.site.key.as_ref().map_or(0, key_id),
            floor: record.floor,
            active,
            starts: self.journal.starts(),
        }
    }

    /// What `slot` holds.
    fn slot(
        &self,
        slot: u8,
        desk: Option<&mut DeskOver<'_, 'f, F, K>>,
    ) -> Result<Slot, AgentError> {
        self.place(slot)?;
        if let Some(desk) = desk.filter(|desk| desk.slot == slot) {
            return Ok(desk.report());
        }
        let empty = Slot {
            slot,
            state: SlotState::Empty,
            version: 0,
            blob_len: 0,
            blob_crc32: 0,
            inference: 0,
            training: 0,
        };
        let loading = self.loading.as_ref().filter(|loading| loading.slot == slot);
        let manifest = match loading {
            Some(loading) => Some(loading.manifest),
            None => self.package(slot).ok().map(|package| package.manifest),
        };
        Ok(match (self.journal.record().held(slot), manifest) {
            (Held::Empty, _) | (Held::Served, None) => empty,
            (Held::Served, Some(manifest)) => report(slot, SlotState::Standby, &manifest),
            (Held::Begun, Some(manifest)) if self.journal.progress() > 0 || loading.is_some() => {
                let whole = self.journal.progress() as usize == manifest.package_len();
                let state = match whole {
                    true => SlotState::Loaded,
                    false => SlotState::Loading,
                };
                report(slot, state, &manifest)
            }
            (Held::Begun, _) => Slot {
                state: SlotState::Loading,
                ..empty
            },
        })
    }

    /// The slot that a package is loaded into: not the one that is served.
    fn inactive(&self, served: Option<u8>) -> u8 {
        let record = self.journal.record();
        match served.or(record.active) {
            Some(slot) => other(slot),
            None if record.held(1) == Held::Begun => 1,
            None => 0,
        }
    }

    fn begin(
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

    fn chunk(&mut self, offset: u32, bytes: &[u8]) -> Result<AgentResponse<'static>, AgentError> {
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

    fn abort(&mut self) -> Result<AgentResponse<'static>, AgentError> {
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
    fn prepare(
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

    fn commit(
        &mut self,
        counter: u32,
        signature: &[u8],
        desk: Option<&mut DeskOver<'_, 'f, F, K>>,
    ) -> Result<AgentResponse<'static>, AgentError> {
        let desk = desk.ok_or(AgentError::NoModel)?;
        let Some(key) = &self.site.key else {
            return Ok(AgentResponse::Done);
        };
        let record = self.journal.record();
        let verified = (|| {
            let trainer = desk.engine.trainer().map_err(|_| AgentError::NoTrainPlan)?;
            // Behind the last number there is none.
            let wanted = record.counter.checked_add(1).ok_or(AgentError::Signature)?;
            if counter < wanted {
                let found = counter;
                return Err(AgentError::Counter { wanted, found });
            }
            let delta = Delta {
                model_crc32: desk.card.crc32,
                counter,
                hash: hash(trainer.weights()),
            };
            is_signed(key, &delta.signed(), signature)?;
            let mut record = record;
            record.counter = counter;
            self.journal.set(record)
        })();
        match verified {
            Ok(()) => {
                if desk.weights == Weights::Uncommitted {
                    desk.weights = Weights::Unsaved;
                }
                Ok(AgentResponse::Done)
            }
            Err(error) => {
                desk.forget_uncommitted();
                Err(error)
            }
        }
    }

    /// Sends what each node takes, from `first` on.
    #[inline(never)]
    fn profile<P: Write>(
        &mut self,
        seq: u8,
        first: u16,
        desk: Option<&mut DeskOver<'_, 'f, F, K>>,
        port: &mut P,
    ) -> Result<(), P::Error> {
        let mut counts = [[0; 4]; LAYERS];
        let counted = self.count(first, desk, &mut counts);
        let response = match counted {
            Ok((nodes, found)) => AgentResponse::Profile {
                unit: C::UNIT,
                nodes,
                first,
                counts: Bytes(counts.get(..found).unwrap_or_default().as_flattened()),
            },
            Err(error) => AgentResponse::Refused(error),
        };
        respond(port, seq, &response)
    }

    /// Counts what the nodes from `first` on take; gives how many there are, and how many were counted.
    fn count(
        &mut self,
        first: u16,
        desk: Option<&mut DeskOver<'_, 'f, F, K>>,
        counts: &mut [[u8; 4]],
    ) -> Result<(u16, usize), AgentError> {
        let desk = desk.ok_or(AgentError::NoModel)?;
        if desk.weights == Weights::Uncommitted {
            return Err(AgentError::Uncommitted);
        }
        let model = desk.engine.model();
        let nodes = u16::try_from(model.nodes().len()).unwrap_or(u16::MAX);
        let inputs = model.inputs().as_slice().len();
        let mut draw = Draw::new();
        for index in 0..inputs {
            let dtype = desk.engine.model().input(index).map(|input| input.dtype);
            let bytes = desk.engine.input_mut(index);
            if let (Some(dtype), Some(bytes)) = (dtype, bytes) {
                draw.fill(dtype, bytes);
            }
        }
        let (clock, mut found) = (&mut self.clock, 0);
        clock.lap();
        let ran = desk.engine.run_observed(|node| {
            let count = clock.lap();
            let place = node.checked_sub(usize::from(first));
            if let Some(to) = place.and_then(|place| counts.get_mut(place)) {
                *to = count.to_le_bytes();
                found += 1;
            }
            // What the note took is no node's.
            clock.lap();
        });
        ran.map_err(|_| AgentError::Internal)?;
        Ok((nodes, found))
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

fn restore<F: Mapped, K: OpSet>(
    desk: Option<&mut DeskOver<'_, '_, F, K>>,
) -> Result<AgentResponse<'static>, AgentError> {
    match desk.ok_or(AgentError::NoModel)?.restore() {
        true => Ok(AgentResponse::Done),
        false => Err(AgentError::NoTrainPlan),
    }
}

/// Runs the model on a sample, and compares.
#[inline(never)]
fn judge<F: Mapped, K: OpSet>(
    input: &Input,
    target: &LabelBytes,
    desk: Option<&mut DeskOver<'_, '_, F, K>>,
) -> Result<AgentResponse<'static>, AgentError> {
    let desk = desk.ok_or(AgentError::NoModel)?;
    if desk.weights == Weights::Uncommitted {
        return Err(AgentError::Uncommitted);
    }
    let class = match target {
        LabelBytes::Class(class) => Some(*class),
        _ => None,
    };
    // The room has a number for each output.
    if class.is_some_and(|class| usize::from(class) >= desk.room.len()) {
        return Err(AgentError::Sample);
    }
    let to = desk.engine.input_mut(0).ok_or(AgentError::Internal)?;
    input.copy_to(to).map_err(|_| AgentError::Sample)?;
    desk.engine.run().map_err(|_| AgentError::Internal)?;
    desk.status.runs = desk.status.runs.wrapping_add(1);
    let prediction = desk.engine.prediction().ok_or(AgentError::Internal)?;
    let right = desk.judge(class, prediction);
    Ok(AgentResponse::Judged { prediction, right })
}
