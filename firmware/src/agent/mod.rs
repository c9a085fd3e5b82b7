//! The agent: takes models over the link, keeps two in flash, serves one. See docs/agent.md.

mod answers;
mod desk;
mod journal;
mod load;
mod memo;
mod plain;
mod send;
mod slots;
mod switch;
mod verify;

use core::{cell::RefCell, marker::PhantomData, ops::Range};

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use nn_core::{
    link::{
        Decoder, ErrorCode, Frame, FrameError, PROTOCOL, Request, Response, StackUse,
        agent::{AgentError, AgentResponse, Slot, SlotState, Unit, is_agents},
        decode_inference_request, decode_request,
        package::Manifest,
    },
    ops::OpSet,
};

use crate::{
    flash::{Mapped, Shared},
    server::Card,
};
use desk::DeskOver;
use journal::Journal;
use memo::Memo;
use send::{respond, respond_plain};
use slots::Loading;
use switch::Aside;
use verify::word;

pub use verify::{Key, key_id};

/// Where an agent keeps what, from the start of its flash: whole pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The journal: at least two pages.
    pub journal: Range<u32>,
    /// The slots.
    pub slots: [Range<u32>; 2],
    /// What the model of each slot learns: at least two pages each.
    pub stores: [Range<u32>; 2],
}

impl Places {
    /// One behind the other: a journal, two slots, two stores of these lengths.
    pub const fn in_turn(journal: u32, slot: u32, store: u32) -> Self {
        let [a, b, c, d] = [
            journal,
            journal + slot,
            journal + 2 * slot,
            journal + 2 * slot + store,
        ];
        Self {
            journal: 0..a,
            slots: [a..b, b..c],
            stores: [c..d, d..d + store],
        }
    }
}

/// What an agent says about itself.
#[derive(Debug, Clone)]
pub struct Site {
    /// The board's name.
    pub board: &'static str,
    /// Its core.
    pub core: &'static str,
    /// The core's clock in Hz; 0 where nobody knows.
    pub clock: u32,
    /// Where it keeps what.
    pub places: Places,
    /// The key that it trusts; none: it takes all.
    pub key: Option<Key>,
    /// What it has used of its stack.
    pub stack: fn() -> StackUse,
    /// Whether [`Request::Bye`] ends serving, as an emulator wants it; a board serves on, with what was learnt.
    pub ends: bool,
}

/// Counts what a run takes.
pub trait Lap {
    /// What it counts.
    const UNIT: Unit;

    /// What was counted since the last call.
    fn lap(&mut self) -> u32;
}

/// How serving ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host said [`Request::Bye`], see [`Site::ends`].
    Bye,
    /// It wants a start anew.
    Restart,
    /// The port ended.
    Closed,
}

/// An agent over the flash `F`, with the operators of `K`.
pub struct Agent<'f, F: Mapped, K, C> {
    flash: Shared<'f, F>,
    journal: Journal<Shared<'f, F>>,
    site: Site,
    clock: C,
    loading: Option<Loading>,
    memo: Memo,
    kernels: PhantomData<K>,
}

/// What comes after a request.
enum Next {
    Request,
    End(End),
    /// Another model is to be served: that of this slot.
    Switch(u8),
}

/// The other slot.
fn other(slot: u8) -> u8 {
    1 - slot.min(1)
}

/// What the host is told of a slot that holds a package.
fn report(slot: u8, state: SlotState, manifest: &Manifest) -> Slot {
    Slot {
        slot,
        state,
        version: manifest.version,
        blob_len: manifest.blob_len,
        blob_crc32: manifest.blob_crc32,
        // It is not active unless these were its own.
        inference: manifest.inference,
        training: manifest.training,
    }
}

impl<'f, F: Mapped, K: OpSet, C: Lap> Agent<'f, F, K, C> {
    /// An agent that finds in `flash` what it left there; none where the places are no pages of it.
    pub fn new(flash: &'f RefCell<F>, site: Site, clock: C) -> Option<Self> {
        let flash = Shared::new(flash);
        Some(Self {
            journal: Journal::open(flash, site.places.journal.clone())?,
            flash,
            site,
            clock,
            loading: None,
            memo: Memo::default(),
            kernels: PhantomData,
        })
    }

    /// Serves until the host ends it. `frame` takes the longest frame; `ram`, on a 16-byte boundary, is the model's arena
    /// and its targets'; `led` is lit while a request is worked on.
    ///
    /// # Errors
    ///
    /// Those of the port.
    pub fn serve<P, L>(
        &mut self,
        port: &mut P,
        led: &mut L,
        frame: &mut [u8],
        ram: &mut [u8],
    ) -> Result<End, P::Error>
    where
        P: Read + Write,
        L: OutputPin,
    {
        let limits = Limits {
            frame: word(frame.len()),
            ram: word(ram.len()),
        };
        let mut decoder = Decoder::new(frame);
        let mut desk = None;
        self.open(ram, &mut desk);
        let mut chunk = [0; 64];
        loop {
            let len = port.read(&mut chunk)?;
            if len == 0 {
                return Ok(End::Closed);
            }
            let mut rest = chunk.get(..len).unwrap_or_default();
            while !rest.is_empty() {
                let (used, frame) = decoder.push(rest);
                rest = rest.get(used..).unwrap_or_default();
                let Some(frame) = frame else { continue };
                // A light that fails is no reason to stop.
                led.set_high().ok();
                let (seq, next) = match frame {
                    Ok(Frame { seq, message }) => {
                        self.memo.begin(seq, message);
                        let next = match is_agents(message) {
                            true => self.answer(seq, message, desk.as_mut(), &limits, port)?,
                            false => {
                                self.answer_plain(seq, message, desk.as_mut(), &limits, port)?
                            }
                        };
                        (seq, next)
                    }
                    Err(error) => {
                        // Number 0: which request it was is not known.
                        let code = match error {
                            FrameError::TooLong { max } => {
                                ErrorCode::FrameTooLong { max: word(max) }
                            }
                            _ => ErrorCode::BadFrame,
                        };
                        respond_plain(port, 0, &Response::Error(code))?;
                        (0, Next::Request)
                    }
                };
                match next {
                    Next::Request => {}
                    Next::End(end) => {
                        led.set_low().ok();
                        return Ok(end);
                    }
                    Next::Switch(slot) => {
                        let aside = desk.as_mut().map(Aside::of);
                        // From here on its arena is another's.
                        let switched = self.switch(slot, ram);
                        desk = None;
                        self.open(ram, &mut desk);
                        if let (Err(_), Some(desk), Some(aside)) = (switched, &mut desk, aside) {
                            aside.put_back(desk);
                        }
                        let response = match (switched, &desk) {
                            (Ok(()), Some(desk)) => AgentResponse::Slot(desk.report()),
                            (Ok(()), None) => AgentResponse::Refused(AgentError::Internal),
                            (Err(error), _) => AgentResponse::Refused(error),
                        };
                        self.memo.keep(response);
                        respond(port, seq, &response)?;
                    }
                }
                led.set_low().ok();
            }
        }
    }

    /// Answers what other images answer, too.
    #[inline(never)]
    fn answer_plain<P: Write>(
        &mut self,
        seq: u8,
        message: &[u8],
        desk: Option<&mut DeskOver<'_, 'f, F, K>>,
        limits: &Limits,
        port: &mut P,
    ) -> Result<Next, P::Error> {
        let decode = match K::TRAIN {
            true => decode_request,
            false => decode_inference_request,
        };
        let Ok(request) = decode(message) else {
            respond_plain(port, seq, &Response::Error(ErrorCode::UnknownRequest))?;
            return Ok(Next::Request);
        };
        if let Request::Hello { .. } = request {
            self.memo = Memo::default();
        }
        match desk {
            Some(desk) => {
                let card = Card {
                    board: self.site.board,
                    core: self.site.core,
                    model: desk.card,
                    arena: limits.ram as usize,
                    frame_max: limits.frame as usize,
                    stack: self.site.stack,
                };
                desk.serve(seq, &request, card, self.site.key.is_some(), port)?;
            }
            None => {
                let response = match request {
                    Request::Hello { protocol } if protocol != PROTOCOL => {
                        let (wanted, found) = (PROTOCOL, protocol);
                        Response::Error(ErrorCode::Protocol { wanted, found })
                    }
                    Request::Bye => Response::Done,
                    Request::Stack => Response::Stack((self.site.stack)()),
                    _ => Response::Error(ErrorCode::NoModel),
                };
                respond_plain(port, seq, &response)?;
            }
        }
        Ok(match request {
            Request::Bye if self.site.ends => Next::End(End::Bye),
            _ => Next::Request,
        })
    }
}

/// What the port and the RAM take, in bytes.
struct Limits {
    frame: u32,
    ram: u32,
}
