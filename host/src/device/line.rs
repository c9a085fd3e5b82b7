//! A line to a device, and the questions that go over it: numbered, asked again, answered once.
//!
//! A line may lose, damage, double or delay what it carries. A question whose answer does not come in time, or comes
//! damaged, is sent again under its number: a device that did understand it the first time repeats its answer, and does
//! nothing twice. An answer with another number belongs to an earlier question, and is passed over.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use nn_core::link::{Decoder, ErrorCode, Response, decode_response, encode};
use serde::Serialize;

use super::DeviceError;

/// A line of bytes to a device.
pub trait Port {
    /// Its name, for messages.
    fn name(&self) -> String;
    /// Sends all of `bytes`.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Takes what has come, or waits a moment; 0 when nothing came.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// How long a byte is on its way, at most; 0 where that does not count.
    fn byte_time(&self) -> Duration {
        Duration::ZERO
    }
    /// Fails when what is at the other end is known to be gone.
    fn check(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
    /// Waits for the other end after it was told that the session is over.
    fn finish(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

macro_rules! forward {
    () => {
        fn name(&self) -> String {
            (**self).name()
        }

        fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
            (**self).send(bytes)
        }

        fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            (**self).receive(buffer)
        }

        fn byte_time(&self) -> Duration {
            (**self).byte_time()
        }

        fn check(&mut self) -> Result<(), DeviceError> {
            (**self).check()
        }

        fn finish(&mut self) -> Result<(), DeviceError> {
            (**self).finish()
        }
    };
}

impl<P: Port + ?Sized> Port for Box<P> {
    forward!();
}

impl<P: Port + ?Sized> Port for &mut P {
    forward!();
}

/// How much a question asks of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// It is looked up.
    Small,
    /// Flash is written or erased.
    Flash,
    /// The model runs, or learns.
    Run,
    /// All at once: a model is verified, tested and set up.
    Activation,
}

/// How long to wait for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For what is looked up, beside the time that the bytes take.
    pub small: Duration,
    /// For flash: a large sector takes seconds to erase.
    pub flash: Duration,
    /// For a run or a step, the first time; once one was answered, for as many times as long as that took.
    pub run: Duration,
    /// For an activation.
    pub activation: Duration,
    /// How often a question is sent; the last time it is waited for the longest.
    pub attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            small: Duration::from_secs(2),
            flash: Duration::from_secs(20),
            // A step of training without an FPU.
            run: Duration::from_secs(60),
            activation: Duration::from_secs(120),
            attempts: 4,
        }
    }
}

/// How long a board may take to boot and answer.
const GREETING: Duration = Duration::from_secs(15);
/// After a damaged frame the whole one may be close behind: an answer to the question before was the damaged one.
const GRACE: Duration = Duration::from_millis(15);
/// How many times as long as the slowest run so far the next may take.
const SLOWER: u32 = 8;

/// A port, with what is remembered of it.
pub(super) struct Line<P> {
    pub(super) port: P,
    pub(super) patience: Patience,
    /// The longest frame that may come.
    pub(super) buffer: Vec<u8>,
    /// The number of the last question; counted by all that ask over this port.
    seq: Arc<AtomicU8>,
    /// How long the slowest run took.
    slowest: Option<Duration>,
}

/// What one try waits for, and how long.
#[derive(Clone, Copy)]
struct Wait {
    /// The question's number.
    seq: u8,
    deadline: Instant,
    /// From a damaged frame on.
    grace: Duration,
    /// When the first try was sent.
    begun: Instant,
}

/// Why one try came to nothing.
enum Failure {
    /// The question, or its answer, was lost or damaged: ask again.
    Again(DeviceError),
    /// Asking again would not help.
    Final(DeviceError),
}

impl<P: Port> Line<P> {
    /// A line over `port`. Nothing is sent.
    pub(super) fn new(port: P) -> Self {
        // A session that ended in the middle may have left answers on the way: another number than its own, most likely.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = now.map_or(0, |since| since.subsec_micros());
        Self {
            port,
            patience: Patience::default(),
            buffer: vec![0; 1024],
            // Below 255.
            seq: Arc::new(AtomicU8::new((seed % 255) as u8)),
            slowest: None,
        }
    }

    /// A second line over the same port, which goes on with its numbers.
    pub(super) fn lend(&mut self) -> Line<&mut P> {
        Line {
            port: &mut self.port,
            patience: self.patience,
            buffer: self.buffer.clone(),
            seq: self.seq.clone(),
            slowest: self.slowest,
        }
    }

    /// Ends whatever the device has half received.
    pub(super) fn flush(&mut self) -> Result<(), DeviceError> {
        self.port.check()?;
        self.send(&[0])
    }

    /// Asks what a device that is perhaps still starting is asked first.
    pub(super) fn greet<T>(
        &mut self,
        question: &impl Serialize,
        read: impl FnMut(&[u8]) -> Option<Result<T, DeviceError>>,
    ) -> Result<T, DeviceError> {
        self.flush()?;
        let patience = self.patience;
        let small = patience.small.max(Duration::from_millis(1));
        let attempts = GREETING.as_millis().div_ceil(small.as_millis());
        self.patience.attempts = patience.attempts.max(u32::try_from(attempts).unwrap_or(1));
        let greeted = self.ask(question, Effort::Small, read);
        self.patience = patience;
        greeted
    }

    /// Forgets how long runs take: the model is another.
    pub(super) fn forget_times(&mut self) {
        self.slowest = None;
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), DeviceError> {
        self.port.send(bytes).map_err(|source| self.error(source))
    }

    /// The line's error, or the other end's when that is why.
    fn error(&mut self, source: io::Error) -> DeviceError {
        match self.port.check() {
            Err(error) => error,
            Ok(()) => DeviceError::Line {
                place: self.port.name(),
                source,
            },
        }
    }

    /// Sends `question` and reads its answer. `read` sees the message of each frame with its number, and gives `None` when
    /// it is no answer to this question.
    pub(super) fn ask<T>(
        &mut self,
        question: &impl Serialize,
        effort: Effort,
        mut read: impl FnMut(&[u8]) -> Option<Result<T, DeviceError>>,
    ) -> Result<T, DeviceError> {
        // 0 is the device's, for questions that it could not read.
        let seq = self.seq.load(Ordering::Relaxed).checked_add(1).unwrap_or(1);
        self.seq.store(seq, Ordering::Relaxed);
        // A zero first: it ends what may have come before of another frame.
        let mut wire = vec![0];
        encode(seq, question, |bytes| {
            wire.extend_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        })
        .expect("a Vec takes all bytes, and every length in a request is known");
        let attempts = self.patience.attempts.max(1);
        let begun = Instant::now();
        let mut failure = None;
        let longest = self.buffer.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        // One for all tries: the end of a frame that was late may come in the next.
        let mut decoder = Decoder::new(&mut buffer);
        let mut result = None;
        for attempt in 1..=attempts {
            if let Err(error) = self.send(if attempt == 1 { &wire[1..] } else { &wire }) {
                result = Some(Err(error));
                break;
            }
            let way =
                self.port.byte_time() * u32::try_from(wire.len() + longest).unwrap_or(u32::MAX);
            let wait = Wait {
                seq,
                deadline: Instant::now() + way + self.work(effort, attempt == attempts),
                grace: way + GRACE,
                begun,
            };
            match self.answer(&mut decoder, wait, &mut read) {
                Ok(answer) => {
                    if effort == Effort::Run && attempt == 1 {
                        self.slowest = self.slowest.max(Some(begun.elapsed()));
                    }
                    result = Some(Ok(answer));
                    break;
                }
                Err(Failure::Again(error)) => failure = Some(error),
                Err(Failure::Final(error)) => {
                    result = Some(Err(error));
                    break;
                }
            }
        }
        self.buffer = buffer;
        let none = || DeviceError::Refused(ErrorCode::BadFrame);
        result.unwrap_or_else(|| Err(failure.unwrap_or_else(none)))
    }

    /// How long the device may take, beside what the bytes take.
    fn work(&self, effort: Effort, last: bool) -> Duration {
        let patience = self.patience;
        match (effort, self.slowest) {
            (Effort::Small, _) => patience.small,
            (Effort::Flash, _) => patience.flash,
            (Effort::Activation, _) => patience.activation,
            // A first time-out that is too short costs a repetition, a last one the session.
            (Effort::Run, Some(slowest)) if !last => {
                (patience.small + slowest * SLOWER).min(patience.run)
            }
            (Effort::Run, _) => patience.run,
        }
    }

    fn answer<T>(
        &mut self,
        decoder: &mut Decoder<'_>,
        wait: Wait,
        read: &mut impl FnMut(&[u8]) -> Option<Result<T, DeviceError>>,
    ) -> Result<T, Failure> {
        let mut deadline = wait.deadline;
        let mut chunk = [0; 4096];
        // The damage that shortened the wait.
        let mut damage = None;
        loop {
            let received = self.port.receive(&mut chunk);
            let len = received.map_err(|source| Failure::Final(self.error(source)))?;
            if len == 0 {
                self.port.check().map_err(Failure::Final)?;
            }
            let mut rest = &chunk[..len];
            while !rest.is_empty() {
                let (used, frame) = decoder.push(rest);
                rest = &rest[used..];
                let place = || self.port.name();
                let unread = match frame {
                    None => continue,
                    Some(Err(source)) => {
                        let place = place();
                        DeviceError::Frame { place, source }
                    }
                    Some(Ok(frame)) if frame.seq == wait.seq => match read(frame.message) {
                        Some(answer) => return answer.map_err(Failure::Final),
                        // Of a session before, whose numbers came round; or the image is another.
                        None => DeviceError::Answer { place: place() },
                    },
                    Some(Ok(frame)) => match (frame.seq, decode_response(frame.message)) {
                        // Which question it was, the device could not read.
                        (0, Ok(Response::Error(code))) => DeviceError::Refused(code),
                        // An answer to what was asked before: late, and of no use.
                        _ => continue,
                    },
                };
                if damage.is_none() {
                    deadline = deadline.min(Instant::now() + wait.grace);
                }
                damage = Some(unread);
            }
            if Instant::now() >= deadline {
                return Err(Failure::Again(damage.unwrap_or_else(|| {
                    let place = self.port.name();
                    let patience = wait.begun.elapsed();
                    DeviceError::Silent { place, patience }
                })));
            }
        }
    }
}
