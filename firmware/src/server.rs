//! The device's side of [`nn_core::link`]: takes requests from a serial port, answers each.

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use nn_core::{
    link::{
        Bytes, Decoder, EncodeError, ErrorCode, FrameError, Hello, Input, InputLength, LabelBytes,
        PROTOCOL, Request, Response, StackUse, StoreReport, StoreState, decode_inference_request,
        decode_request, encode,
    },
    scalar::MATH,
    train::{Sgd, StepReport, Target, TrainError},
};

use crate::{engine::Engine, log::log, store::Keep};

/// Of a device without a store.
const ABSENT: StoreReport = StoreReport {
    state: StoreState::Absent,
    generation: 0,
    model_crc32: 0,
    capacity: 0,
};

/// What the device says about itself.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// The board's name.
    pub board: &'static str,
    /// Its core.
    pub core: &'static str,
    /// The model in the image.
    pub model: ModelCard<'a>,
    /// Bytes of arena in the image.
    pub arena: usize,
    /// Bytes of the longest frame that it takes.
    pub frame_max: usize,
    /// What it has used of its stack.
    pub stack: fn() -> StackUse,
}

/// What the device says about its model.
#[derive(Debug, Clone, Copy)]
pub struct ModelCard<'a> {
    /// Its name.
    pub name: &'a str,
    /// The CRC-32 of its blob.
    pub crc32: u32,
    /// Bytes of arena for inference and for training, as its header states them.
    pub arena: [u32; 2],
    /// Bytes of its input 0.
    pub input_len: u32,
    /// Bytes of its output 0.
    pub output_len: u32,
}

/// A model on a device, answering requests.
pub struct Server<'a, E> {
    engine: &'a mut E,
    card: Card<'a>,
    /// Room for a target given as values.
    values: &'a mut [f32],
    /// The number of the last request, where that was a training request, and what came of it: should the host ask again
    /// because the response was lost, nothing is learnt twice.
    last_step: Option<(u8, StepReport)>,
    /// The same of a run, which a stateful layer goes on from, and of a save.
    done: Option<u8>,
    /// Where what is learnt is kept.
    store: Option<&'a mut dyn Keep>,
}

impl<'a, 'm, E: Engine<'m>> Server<'a, E>
where
    'm: 'a,
{
    /// A server of `engine`. `values` takes targets given as values, as many numbers as the model has outputs.
    pub fn new(engine: &'a mut E, values: &'a mut [f32], card: Card<'a>) -> Self {
        Server {
            engine,
            card,
            values,
            last_step: None,
            done: None,
            store: None,
        }
    }

    /// The same with a store for what is learnt.
    #[must_use]
    pub fn with_store(mut self, store: Option<&'a mut dyn Keep>) -> Self {
        self.store = store;
        self
    }

    /// Serves until the host says [`Request::Bye`], or the port ends. `frame` takes
    /// [`Card::frame_max`] bytes; `led` is lit while a request is worked on.
    ///
    /// # Errors
    ///
    /// Those of the port.
    pub fn serve<P, L>(
        &mut self,
        port: &mut P,
        led: &mut L,
        frame: &mut [u8],
    ) -> Result<(), P::Error>
    where
        P: Read + Write,
        L: OutputPin,
    {
        let mut decoder = Decoder::new(frame);
        let mut chunk = [0; 64];
        loop {
            let len = port.read(&mut chunk)?;
            if len == 0 {
                return Ok(());
            }
            let mut rest = chunk.get(..len).unwrap_or_default();
            while !rest.is_empty() {
                let (used, frame) = decoder.push(rest);
                rest = rest.get(used..).unwrap_or_default();
                let Some(frame) = frame else { continue };
                // A light that fails is no reason to stop.
                led.set_high().ok();
                let decode = if E::TRAINS {
                    decode_request
                } else {
                    decode_inference_request
                };
                let request = frame.map(|frame| (frame.seq, decode(frame.message)));
                let (seq, response) = match &request {
                    Ok((seq, Ok(request))) => (*seq, self.answer(*seq, request)),
                    Ok((seq, Err(_))) => (*seq, Err(ErrorCode::UnknownRequest)),
                    // Number 0: which request it was is not known.
                    Err(FrameError::TooLong { max }) => {
                        (0, Err(ErrorCode::FrameTooLong { max: word(*max) }))
                    }
                    Err(_) => (0, Err(ErrorCode::BadFrame)),
                };
                let response = response.unwrap_or_else(|code| {
                    log!(warn, "request {=u8}: {}", seq, code);
                    Response::Error(code)
                });
                let sent = encode(seq, &response, |bytes| port.write_all(bytes));
                port.flush()?;
                led.set_low().ok();
                match sent {
                    Err(EncodeError::Sink(error)) => return Err(error),
                    // Cannot happen (see there); the host will run out of patience.
                    Err(EncodeError::Message) => log!(error, "a response cannot be encoded"),
                    Ok(()) => {}
                }
                if matches!(request, Ok((_, Ok(Request::Bye)))) {
                    return Ok(());
                }
            }
        }
    }

    /// Does what `request` asks for.
    pub(crate) fn answer(&mut self, seq: u8, request: &Request) -> Result<Response<'_>, ErrorCode> {
        // Numbers come round: what counts is the request before.
        self.last_step = self.last_step.filter(|(last, _)| *last == seq);
        let again = self.done.take() == Some(seq);
        Ok(match request {
            Request::Hello { protocol } => {
                if *protocol != PROTOCOL {
                    return Err(ErrorCode::Protocol {
                        wanted: PROTOCOL,
                        found: *protocol,
                    });
                }
                self.last_step = None;
                Response::Hello(self.hello())
            }
            Request::Infer { input } => {
                if !again {
                    self.take_input(input)?;
                    self.engine.run().map_err(|_| ErrorCode::Internal)?;
                }
                self.done = Some(seq);
                Response::Output(Bytes(self.engine.output().ok_or(ErrorCode::Internal)?))
            }
            Request::Train { input, target } => {
                let report = match self.last_step {
                    Some((last, report)) if last == seq => report,
                    _ => self.train(input, target)?,
                };
                self.last_step = Some((seq, report));
                log!(debug, "step {=u8}: loss {=f32}", seq, report.loss);
                Response::Step {
                    loss: report.loss.to_bits(),
                    prediction: report.prediction,
                }
            }
            Request::SetSgd {
                learning_rate,
                momentum,
                weight_decay,
            } => {
                let sgd = Sgd {
                    learning_rate: *learning_rate,
                    momentum: *momentum,
                    weight_decay: *weight_decay,
                };
                self.engine.trainer()?.set_sgd(sgd).map_err(refusal)?;
                Response::Done
            }
            Request::Digest => Response::Digest(self.engine.trainer()?.weights_digest()),
            Request::ReadWeights { offset, len } => {
                let weights = self.engine.trainer()?.weights();
                let (start, len) = (*offset as usize, *len as usize);
                let end = start.saturating_add(len).min(weights.len());
                let bytes = weights.get(start..end).ok_or(ErrorCode::OutOfRange {
                    end: *offset,
                    len: word(weights.len()),
                })?;
                Response::Weights(Bytes(bytes))
            }
            Request::WriteWeights { offset, bytes } => {
                let trainer = self.engine.trainer()?;
                let len = word(trainer.weights().len());
                let end = offset.saturating_add(word(bytes.0.len()));
                if end > len {
                    return Err(ErrorCode::OutOfRange { end, len });
                }
                trainer
                    .write_weights(*offset as usize, bytes.0)
                    .map_err(refusal)?;
                Response::Done
            }
            Request::Reset => {
                self.engine.trainer()?.reset();
                Response::Done
            }
            Request::Bye => Response::Done,
            Request::Stack => Response::Stack((self.card.stack)()),
            Request::Save => {
                let trainer = self.engine.trainer()?;
                let store = self.store.as_mut().ok_or(ErrorCode::NoStore)?;
                let report = match again {
                    true => store.report(),
                    false => store.save(trainer)?,
                };
                self.done = Some(seq);
                Response::Store(report)
            }
            Request::Forget => {
                self.engine.trainer()?;
                let store = self.store.as_mut().ok_or(ErrorCode::NoStore)?;
                Response::Store(store.forget()?)
            }
            Request::Store => {
                self.engine.trainer()?;
                let report = self.store.as_ref().map(|store| store.report());
                Response::Store(report.unwrap_or(ABSENT))
            }
        })
    }

    fn hello(&mut self) -> Hello<'_> {
        let weights = self.engine.trainer().map_or(0, |t| t.weights().len());
        let model = self.card.model;
        let [arena_infer, arena_train] = model.arena;
        Hello {
            protocol: PROTOCOL,
            board: self.card.board,
            core: self.card.core,
            model: model.name,
            model_crc32: model.crc32,
            arena_infer,
            arena_train,
            arena: word(self.card.arena),
            weights_len: word(weights),
            input_len: model.input_len,
            output_len: model.output_len,
            frame_max: word(self.card.frame_max),
            math: MATH,
        }
    }

    fn take_input(&mut self, input: &Input) -> Result<(), ErrorCode> {
        let to = self.engine.input_mut().ok_or(ErrorCode::Internal)?;
        let wrong = |InputLength { wanted, found }| ErrorCode::InputLength {
            wanted: word(wanted),
            found: word(found),
        };
        input.copy_to(to).map_err(wrong)
    }

    fn train(&mut self, input: &Input, label: &LabelBytes) -> Result<StepReport, ErrorCode> {
        self.engine.trainer()?;
        self.take_input(input)?;
        let target = match label {
            LabelBytes::Class(class) => Target::Class(*class),
            LabelBytes::Classes(Bytes(bytes)) => {
                // The values' room serves: there are at least as many outputs as steps.
                let (classes, rest) = bytes.as_chunks();
                let room =
                    bytemuck::try_cast_slice_mut::<f32, u16>(self.values).unwrap_or_default();
                let wanted = size_of_val(room);
                let found = bytes.len();
                let room = room.get_mut(..classes.len()).filter(|_| rest.is_empty());
                let room = room.ok_or(ErrorCode::TargetLength {
                    wanted: word(wanted),
                    found: word(found),
                })?;
                for (class, bytes) in room.iter_mut().zip(classes) {
                    *class = u16::from_le_bytes(*bytes);
                }
                Target::Classes(room)
            }
            LabelBytes::Values(Bytes(bytes)) => {
                let wanted = size_of_val::<[f32]>(self.values);
                if bytes.len() != wanted {
                    return Err(ErrorCode::TargetLength {
                        wanted: word(wanted),
                        found: word(bytes.len()),
                    });
                }
                for (value, bytes) in self.values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
                Target::Values(self.values)
            }
        };
        self.engine.trainer()?.step(target).map_err(refusal)
    }
}

/// For an agent, which makes a server of its model for each request.
#[cfg(any(not(target_os = "none"), feature = "agent"))]
impl<E> Server<'_, E> {
    /// The same after this training request, and what came of it.
    #[must_use]
    pub(crate) fn after(mut self, last_step: Option<(u8, StepReport)>) -> Self {
        self.last_step = last_step;
        self
    }

    /// The number of the last training request, and what came of it.
    pub(crate) fn last_step(&self) -> Option<(u8, StepReport)> {
        self.last_step
    }
}

fn refusal(error: TrainError) -> ErrorCode {
    match error {
        TrainError::Diverged => ErrorCode::Diverged,
        TrainError::Class { wanted, found } => ErrorCode::UnknownClass {
            classes: word(wanted),
            found: word(found),
        },
        TrainError::Values { wanted, found } => ErrorCode::BadValues {
            wanted: word(wanted),
            found: word(found),
        },
        TrainError::Rate => ErrorCode::BadSgd,
        TrainError::NoVelocities => ErrorCode::NoMomentum,
        TrainError::Int8 { .. } => ErrorCode::PlainOnly,
        _ => ErrorCode::Internal,
    }
}

/// Sizes on a device fit 32 bits.
fn word(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
