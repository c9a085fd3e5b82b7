//! A model behind a line: the host's side of [`nn_core::link`].

use nn_core::{
    link::{
        Bytes, ErrorCode, FRAME_OVERHEAD, Hello, Input, LabelBytes, PROTOCOL, Request, Response,
        StackUse, StoreReport, StoreState, decode_response, pack_runs,
    },
    model::Model,
    scalar::MATH,
    train::{Sgd, StepReport, Target},
};

use super::{
    Device, DeviceError, DeviceInfo, Port,
    line::{Effort, Line, Patience},
};

/// Weights asked for at once.
const READ_LEN: u32 = 4096;

/// A device at the other end of a [`Port`].
pub struct Linked<P> {
    line: Line<P>,
    info: DeviceInfo,
    frame_max: usize,
}

impl<P: Port> Linked<P> {
    /// Greets the device, which is to hold `model`.
    ///
    /// # Errors
    ///
    /// [`DeviceError`] when it is silent, speaks another version, computes other bits or holds another model.
    pub fn greet(port: P, model: &Model<'_>) -> Result<Self, DeviceError> {
        Self::over(Line::new(port), Some(model))
    }

    /// The same over a line that is in use already; without a model, whatever it holds.
    pub(super) fn over(mut line: Line<P>, model: Option<&Model<'_>>) -> Result<Self, DeviceError> {
        let place = line.port.name();
        let hello = Request::Hello { protocol: PROTOCOL };
        let greeted = line.greet(&hello, |message| {
            response(message, |response| match response {
                Response::Hello(hello) => Some(introduction(&hello, &place)),
                _ => None,
            })
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
        let found = info.model_crc32;
        let wanted = model.map_or(found, |model| model.header().crc);
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
        line.buffer.resize(longest.max(1024), 0);
        line.forget_times();
        Ok(Linked {
            line,
            info,
            frame_max,
        })
    }

    /// Waits differently.
    pub fn set_patience(&mut self, patience: Patience) {
        self.line.patience = patience;
    }

    /// Sends `request` and reads its response; `read` gives `None` when it is the wrong kind.
    fn ask<T>(
        &mut self,
        request: &Request<'_>,
        effort: Effort,
        mut read: impl FnMut(Response<'_>) -> Option<T>,
    ) -> Result<T, DeviceError> {
        let ask = |message: &[u8]| response(message, &mut read);
        self.line.ask(request, effort, ask)
    }

    fn ask_store(&mut self, request: &Request<'_>) -> Result<StoreReport, DeviceError> {
        self.ask(request, Effort::Flash, |response| match response {
            Response::Store(report) => Some(report),
            _ => None,
        })
    }

    fn done(&mut self, request: &Request<'_>) -> Result<(), DeviceError> {
        self.ask(request, Effort::Small, |response| {
            matches!(response, Response::Done).then_some(())
        })
    }
}

/// What `read` makes of a response, or the device's refusal.
pub(super) fn response<'m, T>(
    message: &'m [u8],
    read: impl FnOnce(Response<'m>) -> Option<T>,
) -> Option<Result<T, DeviceError>> {
    match decode_response(message).ok()? {
        Response::Error(code) => Some(Err(DeviceError::Refused(code))),
        response => read(response).map(Ok),
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

/// A target as it travels; `values` holds its numbers.
pub(super) fn label<'a>(target: Target<'_>, values: &'a mut Vec<u8>) -> LabelBytes<'a> {
    match target {
        Target::Class(class) => LabelBytes::Class(class),
        Target::Classes(classes) => {
            values.extend(classes.iter().flat_map(|class| class.to_le_bytes()));
            LabelBytes::Classes(Bytes(values))
        }
        Target::Values(wanted) => {
            values.extend(wanted.iter().flat_map(|value| value.to_le_bytes()));
            LabelBytes::Values(Bytes(values))
        }
    }
}

/// The shorter of the input's two forms.
pub(super) fn shorter<'a>(input: &'a [u8], packed: &'a mut Vec<u8>) -> Input<'a> {
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
            Effort::Run,
            |response| match response {
                Response::Output(Bytes(output)) => Some(output.to_vec()),
                _ => None,
            },
        )
    }

    fn train(&mut self, input: &[u8], target: Target<'_>) -> Result<StepReport, DeviceError> {
        let (mut packed, mut values) = (Vec::new(), Vec::new());
        let input = shorter(input, &mut packed);
        let target = label(target, &mut values);
        self.ask(
            &Request::Train { input, target },
            Effort::Run,
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
        self.ask(&Request::Digest, Effort::Small, |response| match response {
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
            let part = self.ask(&request, Effort::Small, |response| match response {
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
        let asked = self.ask(&Request::Stack, Effort::Small, |response| match response {
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
        match self.done(&Request::Bye) {
            // The answer may be lost, and the device gone: what it says then is the verdict.
            Ok(()) | Err(DeviceError::QemuEnded { .. }) => self.line.port.finish(),
            Err(error) => Err(error),
        }
    }
}
