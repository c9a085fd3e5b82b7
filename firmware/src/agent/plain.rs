//! What an agent answers as every other image does, for the model that is active.

use embedded_io::Write;
use nn_core::{
    link::{Bytes, ErrorCode, LabelBytes, PROTOCOL, Request, Response},
    ops::OpSet,
};

use super::{
    desk::{DeskOver, Weights},
    send::respond_plain,
};
use crate::{
    engine::Engine as _,
    flash::Mapped,
    log::log,
    server::{Card, Server},
    store::Keep,
};

/// What came of a request, for the count.
enum Outcome {
    /// A step, and the class that was predicted before it.
    Step {
        loss: u32,
        prediction: u16,
    },
    Done,
    Refused,
}

impl<'m, F: Mapped, K: OpSet> DeskOver<'m, '_, F, K> {
    /// Answers a request. On a `locked` agent weights that a host writes do not count yet.
    #[inline(never)]
    pub(super) fn serve<P: Write>(
        &mut self,
        seq: u8,
        request: &Request,
        card: Card<'m>,
        locked: bool,
        port: &mut P,
    ) -> Result<(), P::Error> {
        let repeated = self.done.take() == Some(seq);
        match request {
            Request::Hello { protocol } if *protocol == PROTOCOL => self.forget_uncommitted(),
            Request::Bye => self.forget_uncommitted(),
            Request::Infer { .. } | Request::Train { .. } | Request::Save
                if self.weights == Weights::Uncommitted =>
            {
                return respond_plain(port, seq, &Response::Error(ErrorCode::Uncommitted));
            }
            // Once is enough: a recurrent model would go on, and flash would wear.
            Request::Infer { .. } if repeated => {
                self.done = Some(seq);
                let output = self.engine.output().ok_or(ErrorCode::Internal);
                let output =
                    output.map_or_else(Response::Error, |output| Response::Output(Bytes(output)));
                return respond_plain(port, seq, &output);
            }
            Request::Save if repeated => {
                self.done = Some(seq);
                if let Some(store) = &self.store {
                    return respond_plain(port, seq, &Response::Store(store.report()));
                }
            }
            _ => {}
        }
        let last_step = self.last_step;
        let store = self.store.as_mut().map(|store| store as &mut dyn Keep);
        let mut server = Server::new(&mut self.engine, &mut *self.room, card)
            .with_store(store)
            .after(last_step);
        let response = server.answer(seq, request).unwrap_or_else(|code| {
            log!(warn, "request {=u8}: {}", seq, code);
            Response::Error(code)
        });
        let outcome = match response {
            Response::Step { loss, prediction } => Outcome::Step { loss, prediction },
            Response::Error(_) => Outcome::Refused,
            _ => Outcome::Done,
        };
        respond_plain(port, seq, &response)?;
        self.last_step = server.last_step();
        let again = last_step.is_some_and(|(last, _)| last == seq);
        self.note(seq, request, &outcome, again, locked);
        Ok(())
    }

    /// Counts what was done, and how the weights stand after it.
    fn note(&mut self, seq: u8, request: &Request, outcome: &Outcome, again: bool, locked: bool) {
        match (request, outcome) {
            (_, Outcome::Refused) => {}
            (Request::Train { target, .. }, Outcome::Step { loss, prediction }) => {
                if again {
                    return;
                }
                self.status.steps = self.status.steps.wrapping_add(1);
                self.status.loss = *loss;
                self.weights = Weights::Unsaved;
                let class = match target {
                    LabelBytes::Class(class) => Some(*class),
                    _ => None,
                };
                self.judge(class, *prediction);
            }
            (Request::Infer { .. }, _) => {
                self.status.runs = self.status.runs.wrapping_add(1);
                self.done = Some(seq);
            }
            (Request::WriteWeights { .. }, _) => {
                self.weights = match locked {
                    true => Weights::Uncommitted,
                    false => Weights::Unsaved,
                };
            }
            (Request::Reset, _) => self.weights = Weights::Blobs,
            (Request::Save, _) => {
                self.weights = Weights::Kept;
                self.done = Some(seq);
            }
            // The host wants none kept.
            (Request::Forget, _) if self.weights == Weights::Unsaved => {
                self.weights = Weights::Kept;
            }
            _ => {}
        }
    }

    /// Weights that were written and not signed are not for the next one who calls.
    pub(super) fn forget_uncommitted(&mut self) {
        if self.weights == Weights::Uncommitted {
            self.restore();
        }
    }
}
