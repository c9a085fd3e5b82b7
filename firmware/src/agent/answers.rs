//! What an agent answers besides what other images do.

use embedded_io::Write;
use nn_core::{
    conformance::Draw,
    link::{
        Bytes, ErrorCode, Input, LabelBytes, PROTOCOL, Response,
        agent::{
            AgentError, AgentRequest, AgentResponse, Delta, Info, Slot, SlotState,
            decode_agent_request,
        },
    },
    model::VERSION,
    ops::OpSet,
    scalar::MATH,
};

use super::{
    Agent, Lap, Limits, Next,
    desk::{DeskOver, Weights},
    journal::Held,
    key_id, report, respond, respond_plain,
    verify::{hash, is_signed},
};
use crate::{engine::Engine as _, flash::Mapped};

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
            respond_plain(port, seq, &Response::Error(ErrorCode::UnknownRequest))?;
            return Ok(Next::Request);
        };
        if let Some(desk) = &mut desk {
            desk.done = None;
            desk.last_step = None;
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
