//! Requests that must not be done twice, and what came of them.

use nn_core::link::agent::{AgentResponse, TAG};

/// Requests after which an answer is forgotten: numbers come round after 256.
const AGE: u8 = 100;

/// The last request, and the last one that changed something.
#[derive(Debug, Default)]
pub(super) struct Memo {
    last: Option<(u8, u8)>,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    request: (u8, u8),
    age: u8,
    response: AgentResponse<'static>,
}

impl Memo {
    /// A request comes.
    pub(super) fn begin(&mut self, seq: u8, message: &[u8]) {
        let request = match message {
            [TAG, kind, ..] => Some((seq, *kind)),
            _ => None,
        };
        self.last = request;
        if let Some(kept) = &mut self.kept {
            kept.age = kept.age.saturating_add(1);
            if kept.age > AGE {
                self.kept = None;
            }
        }
    }

    /// What came of it, where it came before.
    pub(super) fn answer(&self) -> Option<AgentResponse<'static>> {
        let kept = self.kept.as_ref()?;
        (self.last == Some(kept.request)).then_some(kept.response)
    }

    /// Notes what came of it.
    pub(super) fn keep(&mut self, response: AgentResponse<'static>) {
        self.kept = self.last.map(|request| Kept {
            request,
            age: 0,
            response,
        });
    }
}
