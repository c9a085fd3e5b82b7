//! A host, and its line, made of memory.
//!
//! The host is a future: it is polled whenever the agent waits for bytes, which is when a real one would run out of
//! patience.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    rc::Rc,
    task::Poll,
};

use nn_core::link::{
    Bytes, Decoder, Hello, Input, LabelBytes, PROTOCOL, Request, Response,
    agent::{AgentError, AgentRequest, AgentResponse, Slot, Tagged, decode_agent_response},
    decode_response, encode,
    package::MANIFEST_LEN,
};

/// Requests that are sent again before the host gives up.
const PATIENCE: usize = 8;

/// What happens to a byte on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Corrupted(u8),
    Dropped,
    Doubled,
}

/// The line; bytes are counted in each direction.
#[derive(Default)]
pub(crate) struct Wires {
    pub(crate) to: VecDeque<u8>,
    back: Vec<u8>,
    sent: usize,
    received: usize,
    /// Whether the fault is one of what the host sends, the byte, the fault.
    fault: Option<(bool, usize, Fault)>,
}

fn pass(byte: u8, fault: Option<Fault>) -> impl Iterator<Item = u8> {
    let (byte, times) = match fault {
        Some(Fault::Corrupted(bits)) => (byte ^ bits, 1),
        Some(Fault::Dropped) => (byte, 0),
        Some(Fault::Doubled) => (byte, 2),
        None => (byte, 1),
    };
    std::iter::repeat_n(byte, times)
}

impl Wires {
    /// A byte comes from the agent.
    pub(crate) fn receive(&mut self, byte: u8) {
        let fault = self.fault(false, self.received);
        self.received += 1;
        self.back.extend(pass(byte, fault));
    }

    fn fault(&self, sent: bool, at: usize) -> Option<Fault> {
        let found = self
            .fault
            .filter(|(of, place, _)| (*of, *place) == (sent, at));
        found.map(|(_, _, fault)| fault)
    }

    fn send(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let fault = self.fault(true, self.sent);
            self.sent += 1;
            self.to.extend(pass(*byte, fault));
        }
    }
}

/// The host's end.
#[derive(Clone, Default)]
pub(crate) struct Host {
    pub(crate) wires: Rc<RefCell<Wires>>,
    seq: Rc<Cell<u8>>,
}

/// The bytes of a request with its number.
pub(crate) fn wire(seq: u8, request: &Ask) -> Vec<u8> {
    let mut wire = Vec::new();
    let sink = |bytes: &[u8]| {
        wire.extend_from_slice(bytes);
        Ok::<(), Infallible>(())
    };
    match request {
        Ask::Plain(request) => encode(seq, request, sink).unwrap(),
        Ask::Agent(request) => encode(seq, &Tagged(request), sink).unwrap(),
    }
    wire
}

/// A request of either kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask<'a> {
    Plain(Request<'a>),
    Agent(AgentRequest<'a>),
}

impl<'a> From<Request<'a>> for Ask<'a> {
    fn from(request: Request<'a>) -> Self {
        Ask::Plain(request)
    }
}

impl<'a> From<AgentRequest<'a>> for Ask<'a> {
    fn from(request: AgentRequest<'a>) -> Self {
        Ask::Agent(request)
    }
}

impl Host {
    /// With a fault at this byte of what the host sends, or of what it receives.
    pub(crate) fn with_fault(sent: bool, at: usize, fault: Fault) -> Self {
        let host = Self::default();
        host.wires.borrow_mut().fault = Some((sent, at, fault));
        host
    }

    /// Bytes sent and received so far.
    pub(crate) fn bytes(&self) -> [usize; 2] {
        let wires = self.wires.borrow();
        [wires.sent, wires.received]
    }

    /// Sends bytes as they are, and waits until the agent wants more. Gives the whole frames that came.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        self.wires.borrow_mut().send(bytes);
        let mut waited = false;
        poll_fn(|_| match std::mem::replace(&mut waited, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        let back = std::mem::take(&mut self.wires.borrow_mut().back);
        let mut buffer = [0; 2048];
        let mut decoder = Decoder::new(&mut buffer);
        let (mut rest, mut frames) = (back.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (used, frame) = decoder.push(rest);
            rest = &rest[used..];
            if let Some(Ok(frame)) = frame {
                frames.push((frame.seq, frame.message.to_vec()));
            }
        }
        frames
    }

    /// Asks with this number until the answer comes whole.
    pub(crate) async fn ask_as(&self, seq: u8, request: impl Into<Ask<'_>>) -> Vec<u8> {
        let wire = wire(seq, &request.into());
        for attempt in 0..PATIENCE {
            // A lone zero flushes what the agent may have half received.
            let bytes = match attempt {
                0 => wire.clone(),
                _ => [&[0], wire.as_slice()].concat(),
            };
            let frames = self.raw(&bytes).await;
            if let Some((_, message)) = frames.into_iter().find(|(found, _)| *found == seq) {
                return message;
            }
        }
        panic!("no answer within {PATIENCE} attempts");
    }

    async fn next(&self, request: impl Into<Ask<'_>>) -> Vec<u8> {
        // Number 0 is that of answers to what cannot be read.
        let seq = self.seq.get() % 255 + 1;
        self.seq.set(seq);
        self.ask_as(seq, request).await
    }

    /// Asks what any device answers.
    pub(crate) async fn plain<T>(
        &self,
        request: Request<'_>,
        read: impl FnOnce(Response) -> T,
    ) -> T {
        let message = self.next(request).await;
        read(decode_response(&message).unwrap())
    }

    /// Asks what an agent answers.
    pub(crate) async fn agent<T>(
        &self,
        request: AgentRequest<'_>,
        read: impl FnOnce(AgentResponse) -> T,
    ) -> T {
        let message = self.next(request).await;
        read(decode_agent_response(&message).unwrap())
    }

    /// CRC-32 of the model that is served, and the digest of its weights; none without a model.
    pub(crate) async fn served(&self) -> Option<(u32, u64)> {
        let hello = Request::Hello { protocol: PROTOCOL };
        let crc = self.plain(hello, |response| match response {
            Response::Hello(Hello { model_crc32, .. }) => Some(model_crc32),
            _ => None,
        });
        let crc = crc.await?;
        Some((crc, self.digest().await))
    }

    pub(crate) async fn digest(&self) -> u64 {
        self.plain(Request::Digest, |response| match response {
            Response::Digest(digest) => digest,
            other => panic!("{other:?}"),
        })
        .await
    }

    /// Learns from a sample; another lesson gives other weights.
    pub(crate) async fn learn(&self, lesson: u32) -> Response<'static> {
        let (input, target) = (input(lesson), floats(&[lesson as f32 / 8.0; 6]));
        let request = Request::Train {
            input: Input::Plain(Bytes(&input)),
            target: LabelBytes::Values(Bytes(&target)),
        };
        self.plain(request, own).await
    }

    pub(crate) async fn save(&self) -> Response<'static> {
        self.plain(Request::Save, own).await
    }

    /// Loads a package, as far as `pieces` of it, in one go: gives how far it came.
    pub(crate) async fn load_some(&self, package: &[u8], pieces: usize) -> Result<u32, AgentError> {
        let (manifest, blob) = package.split_at(MANIFEST_LEN);
        let manifest = Bytes(manifest);
        let mut offset = self.loading(AgentRequest::Begin { manifest }).await?;
        for _ in 0..pieces {
            let at = offset as usize;
            if at >= blob.len() {
                break;
            }
            let bytes = Bytes(&blob[at..blob.len().min(at + 300)]);
            offset = self.loading(AgentRequest::Chunk { offset, bytes }).await?;
        }
        Ok(offset)
    }

    pub(crate) async fn loading(&self, request: AgentRequest<'_>) -> Result<u32, AgentError> {
        self.agent(request, |response| match response {
            AgentResponse::Loading { offset, .. } => Ok(offset),
            AgentResponse::Refused(error) => Err(error),
            other => panic!("{other:?}"),
        })
        .await
    }

    /// Loads a package, and has it served.
    pub(crate) async fn install(&self, package: &[u8]) -> Result<Slot, AgentError> {
        self.load_some(package, usize::MAX).await?;
        self.slot(AgentRequest::Activate).await
    }

    /// Asks what is answered by a slot.
    pub(crate) async fn slot(&self, request: AgentRequest<'_>) -> Result<Slot, AgentError> {
        self.agent(request, |response| match response {
            AgentResponse::Slot(slot) => Ok(slot),
            AgentResponse::Refused(error) => Err(error),
            other => panic!("{other:?}"),
        })
        .await
    }

    /// Asks what is answered by nothing.
    pub(crate) async fn done(&self, request: AgentRequest<'_>) -> Result<(), AgentError> {
        self.agent(request, |response| match response {
            AgentResponse::Done => Ok(()),
            AgentResponse::Refused(error) => Err(error),
            other => panic!("{other:?}"),
        })
        .await
    }
}

/// A response that borrows nothing.
pub(crate) fn own(response: Response) -> Response<'static> {
    match response {
        Response::Step { loss, prediction } => Response::Step { loss, prediction },
        Response::Done => Response::Done,
        Response::Error(code) => Response::Error(code),
        Response::Store(report) => Response::Store(report),
        Response::Digest(digest) => Response::Digest(digest),
        other => panic!("{other:?}"),
    }
}

/// The input of a lesson.
pub(crate) fn input(lesson: u32) -> Vec<u8> {
    let values = (0..24).map(|index| ((index * 37 + lesson * 11) % 64) as f32 / 64.0);
    floats(&values.collect::<Vec<_>>())
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    bytes.collect()
}
