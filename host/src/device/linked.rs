//! A model behind a line: the host's side of [`nn_core::link`].

use std::{
    io,
    time::{Duration, Instant},
};

use nn_core::{
    link::{
        Bytes, Decoder, ErrorCode, FRAME_OVERHEAD, Hello, Input, LabelBytes, PROTOCOL, Request,
        Response, StackUse, StoreReport, StoreState, decode_response, encode, pack_runs,
    },
    model::Model,
    scalar::MATH,
    train::{Sgd, StepReport, Target},
};

use super::{Device, DeviceError, DeviceInfo};

/// How long a board may take to boot and answer.
const GREETING: Duration = Duration::from_secs(15);
/// How long one request may take; a step of training without an FPU is the longest.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a request is sent when it arrives damaged. It keeps its number, so that a device which
/// did understand does not learn twice.
const ATTEMPTS: usize = 3;
/// Weights asked for at once.
const READ_LEN: u32 = 4096;

/// A line of bytes to a device.
pub trait Port {
    /// Its name, for messages.
    fn name(&self) -> String;
    /// Sends all of `bytes`.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Takes what has come, or waits a moment; 0 when nothing came.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Fails when what is at the other end is known to be gone.
    fn check(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
    /// Waits for the other end after it was told that the session is over.
    fn finish(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// A device at the other end of a [`Port`].
pub struct Linked<P> {
    port: P,
    seq: u8,
    info: DeviceInfo,
    frame_max: usize,
    /// The longest frame that may come.
    buffer: Vec<u8>,
}

impl<P: Port> Linked<P> {
    /// Greets the device, which is to hold `model`.
    ///
    /// # Errors
    ///
    /// [`DeviceError`] when it is silent, speaks another version, computes other bits or holds another model.
    pub fn greet(port: P, model: &Model<'_>) -> Result<Self, DeviceError> {
        let mut linked = Linked {
            port,
            seq: 0,
            info: DeviceInfo {
                board: String::new(),
                core: String::new(),
                model: String::new(),
                model_crc32: 0,
                arena_infer: 0,
                arena_train: 0,
                arena: 0,
                weights_len: 0,
                input_len: 0,
                output_len: 0,
                math: String::new(),
            },
            frame_max: 0,
            buffer: vec![0; 1024],
        };
        linked.port.check()?;
        // Ends whatever the device has half received.
        linked.send(&[0])?;
        let place = linked.port.name();
        let hello = Request::Hello { protocol: PROTOCOL };
        let greeted = linked.ask(&hello, GREETING, |response| match response {
            Response::Hello(hello) => Some(introduction(&hello, &place)),
            _ => None,
        });
        let (info, frame_max) = match greeted {
            // A greeting of before version 3 was shorter.
            Err(DeviceError::Refused(ErrorCode::UnknownRequest)) => {
                return Err(DeviceError::OldProtocol {
                    place,
                    wanted: PROTOCOL,
                });
            }
            greeted => greeted??,
        };
        let (wanted, found) = (model.header().crc, info.model_crc32);
        if wanted != found {
            let name = info.model;
            return Err(DeviceError::Model {
                place,
                name,
                wanted,
                found,
            });
        }
        let longest = info.output_len.max(READ_LEN as usize) + FRAME_OVERHEAD;
        linked.buffer.resize(longest.max(1024), 0);
        linked.info = info;
        linked.frame_max = frame_max;
        Ok(linked)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), DeviceError> {
        self.port.send(bytes).map_err(|source| self.line(source))
    }

    /// The line's error, or the other end's when that is why.
    fn line(&mut self, source: io::Error) -> DeviceError {
        match self.port.check() {
            Err(error) => error,
            Ok(()) => DeviceError::Line {
                place: self.port.name(),
                source,
            },
        }
    }

    /// Sends `request` and reads its response; `read` gives `None` when it is the wrong kind.
    fn ask<T>(
        &mut self,
        request: &Request<'_>,
        patience: Duration,
        mut read: impl FnMut(Response<'_>) -> Option<T>,
    ) -> Result<T, DeviceError> {
        // 0 is the device's, for requests that it could not read.
        self.seq = self.seq.checked_add(1).unwrap_or(1);
        let mut wire = Vec::new();
        encode(self.seq, request, |bytes| {
            wire.extend_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        })
        .expect("a Vec takes all bytes, and every length in a request is known");
        let mut refusal = DeviceError::Refused(ErrorCode::BadFrame);
        for _ in 0..ATTEMPTS {
            self.send(&wire)?;
            match self.response(patience, &mut read) {
                Err(error @ DeviceError::Refused(ErrorCode::BadFrame)) => refusal = error,
                Err(error @ DeviceError::Frame { .. }) => refusal = error,
                result => return result,
            }
        }
        Err(refusal)
    }

    fn response<T>(
        &mut self,
        patience: Duration,
        read: &mut impl FnMut(Response<'_>) -> Option<T>,
    ) -> Result<T, DeviceError> {
        let deadline = Instant::now() + patience;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut decoder = Decoder::new(&mut buffer);
        let mut chunk = [0; 4096];
        let result = 'wait: loop {
            let len = match self.port.receive(&mut chunk) {
                Ok(len) => len,
                Err(source) => break Err(self.line(source)),
            };
            if len == 0 {
                if let Err(error) = self.port.check() {
                    break Err(error);
                }
                if Instant::now() >= deadline {
                    let place = self.port.name();
                    break Err(DeviceError::Silent { place, patience });
                }
            }
            let mut rest = &chunk[..len];
            while !rest.is_empty() {
                let (used, frame) = decoder.push(rest);
                rest = &rest[used..];
                let place = || self.port.name();
                match frame {
                    None => {}
                    Some(Err(source)) => {
                        let place = place();
                        break 'wait Err(DeviceError::Frame { place, source });
                    }
                    Some(Ok(frame)) => match decode_response(frame.message) {
                        Err(_) => break 'wait Err(DeviceError::Answer { place: place() }),
                        Ok(Response::Error(code)) if frame.seq == self.seq || frame.seq == 0 => {
                            break 'wait Err(DeviceError::Refused(code));
                        }
                        Ok(response) if frame.seq == self.seq => {
                            break 'wait read(response)
                                .ok_or_else(|| DeviceError::Answer { place: place() });
                        }
                        // An answer to what was asked before: late, and of no use.
                        Ok(_) => {}
                    },
                }
            }
        };
        self.buffer = buffer;
        result
    }

    fn ask_store(&mut self, request: &Request<'_>) -> Result<StoreReport, DeviceError> {
        self.ask(request, PATIENCE, |response| match response {
            Response::Store(report) => Some(report),
            _ => None,
        })
    }

    fn done(&mut self, request: &Request<'_>) -> Result<(), DeviceError> {
        self.ask(request, PATIENCE, |response| {
            matches!(response, Response::Done).then_some(())
        })
    }
}

fn introduction(hello: &Hello<'_>, place: &str) -> Result<(DeviceInfo, usize), DeviceError> {
    if hello.protocol != PROTOCOL {
        return Err(DeviceError::Protocol {
            place: place.to_owned(),
            wanted: PROTOCOL,
            found: hello.protocol,
        });
    }
    if hello.math != MATH {
        return Err(DeviceError::Math {
            place: place.to_owned(),
            wanted: MATH,
            found: hello.math.to_owned(),
        });
    }
    let info = DeviceInfo {
        board: hello.board.to_owned(),
        core: hello.core.to_owned(),
        model: hello.model.to_owned(),
        model_crc32: hello.model_crc32,
        arena_infer: hello.arena_infer as usize,
        arena_train: hello.arena_train as usize,
        arena: hello.arena as usize,
        weights_len: hello.weights_len as usize,
        input_len: hello.input_len as usize,
        output_len: hello.output_len as usize,
        math: hello.math.to_owned(),
    };
    Ok((info, hello.frame_max as usize))
}

/// The shorter of the input's two forms.
fn shorter<'a>(input: &'a [u8], packed: &'a mut Vec<u8>) -> Input<'a> {
    pack_runs(input, |piece| packed.extend_from_slice(piece));
    if packed.len() < input.len() {
        Input::Runs(Bytes(packed))
    } else {
        Input::Plain(Bytes(input))
    }
}

impl<P: Port> Device for Linked<P> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn infer(&mut self, input: &[u8]) -> Result<Vec<u8>, DeviceError> {
        let mut packed = Vec::new();
        let input = shorter(input, &mut packed);
        self.ask(
            &Request::Infer { input },
            PATIENCE,
            |response| match response {
                Response::Output(Bytes(output)) => Some(output.to_vec()),
                _ => None,
            },
        )
    }

    fn train(&mut self, input: &[u8], target: Target<'_>) -> Result<StepReport, DeviceError> {
        let (mut packed, mut values) = (Vec::new(), Vec::new());
        let input = shorter(input, &mut packed);
        let target = match target {
            Target::Class(class) => LabelBytes::Class(class),
            Target::Classes(classes) => {
                values.extend(classes.iter().flat_map(|class| class.to_le_bytes()));
                LabelBytes::Classes(Bytes(&values))
            }
            Target::Values(wanted) => {
                values.extend(wanted.iter().flat_map(|value| value.to_le_bytes()));
                LabelBytes::Values(Bytes(&values))
            }
        };
        self.ask(
            &Request::Train { input, target },
            PATIENCE,
            |response| match response {
                Response::Step { loss, prediction } => Some(StepReport {
                    loss: f32::from_bits(loss),
                    prediction,
                }),
                _ => None,
            },
        )
    }

    fn set_sgd(&mut self, sgd: Sgd) -> Result<(), DeviceError> {
        self.done(&Request::SetSgd {
            learning_rate: sgd.learning_rate,
            momentum: sgd.momentum,
            weight_decay: sgd.weight_decay,
        })
    }

    fn weights_digest(&mut self) -> Result<u64, DeviceError> {
        self.ask(&Request::Digest, PATIENCE, |response| match response {
            Response::Digest(digest) => Some(digest),
            _ => None,
        })
    }

    fn read_weights(&mut self) -> Result<Vec<u8>, DeviceError> {
        if self.info.weights_len == 0 {
            return Err(DeviceError::NoTrainPlan);
        }
        let mut weights = Vec::with_capacity(self.info.weights_len);
        while weights.len() < self.info.weights_len {
            let request = Request::ReadWeights {
                // A device's lengths are 32-bit.
                offset: weights.len() as u32,
                len: READ_LEN,
            };
            let part = self.ask(&request, PATIENCE, |response| match response {
                Response::Weights(Bytes(part)) if !part.is_empty() => Some(part.to_vec()),
                _ => None,
            })?;
            weights.extend(part);
        }
        Ok(weights)
    }

    fn write_weights(&mut self, weights: &[u8]) -> Result<(), DeviceError> {
        if weights.len() != self.info.weights_len {
            return Err(DeviceError::Refused(ErrorCode::BadValues {
                wanted: (self.info.weights_len / 4) as u32,
                found: (weights.len() / 4) as u32,
            }));
        }
        // Whole numbers only.
        let most = self.frame_max.saturating_sub(FRAME_OVERHEAD).max(4) / 4 * 4;
        for (index, part) in weights.chunks(most).enumerate() {
            self.done(&Request::WriteWeights {
                offset: (index * most) as u32,
                bytes: Bytes(part),
            })?;
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), DeviceError> {
        self.done(&Request::Reset)
    }

    fn stack(&mut self) -> Result<Option<StackUse>, DeviceError> {
        let asked = self.ask(&Request::Stack, PATIENCE, |response| match response {
            Response::Stack(stack) => Some(stack),
            _ => None,
        });
        match asked {
            Ok(stack) => Ok(Some(stack)),
            // An older image.
            Err(DeviceError::Refused(ErrorCode::UnknownRequest)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn save(&mut self) -> Result<StoreReport, DeviceError> {
        self.ask_store(&Request::Save)
    }

    fn forget(&mut self) -> Result<StoreReport, DeviceError> {
        self.ask_store(&Request::Forget)
    }

    fn store(&mut self) -> Result<Option<StoreReport>, DeviceError> {
        match self.ask_store(&Request::Store) {
            Ok(report) => Ok((report.state != StoreState::Absent).then_some(report)),
            // It does not learn, or is an older image.
            Err(DeviceError::Refused(ErrorCode::NoTrainPlan | ErrorCode::UnknownRequest)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn finish(&mut self) -> Result<(), DeviceError> {
        self.done(&Request::Bye)?;
        self.port.finish()
    }
}
