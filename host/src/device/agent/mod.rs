//! An agent: a device whose model is loaded over the link, see `docs/agent.md`.

mod ask;
mod info;
mod transfer;

pub use info::{AgentInfo, Loading, Profile};

use nn_core::{
    link::{
        Bytes, Request, Response,
        agent::{AgentRequest, AgentResponse, Slot, Status, Unit},
    },
    model::Model,
    train::Target,
};

use super::{
    DeviceError, Linked, Port,
    line::{Effort, Line, Patience},
    linked::{label, response, shorter},
};
use ask::{ask, info, introduction};

/// An agent at the other end of a [`Port`].
pub struct Agent<P> {
    line: Line<P>,
    info: AgentInfo,
}

impl<P: Port> Agent<P> {
    /// Greets the agent.
    ///
    /// # Errors
    ///
    /// [`DeviceError`] when it is silent, speaks another version, or is no agent.
    pub fn greet(port: P) -> Result<Self, DeviceError> {
        Self::greet_with(port, Patience::default())
    }

    /// The same, with another patience.
    ///
    /// # Errors
    ///
    /// As [`greet`](Self::greet).
    pub fn greet_with(port: P, patience: Patience) -> Result<Self, DeviceError> {
        let mut line = Line::new(port);
        line.patience = patience;
        let info = introduction(&mut line)?;
        Ok(Self { line, info })
    }

    /// What it said of itself last.
    pub fn info(&self) -> &AgentInfo {
        &self.info
    }

    /// Asks for its card again.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn ask_info(&mut self) -> Result<&AgentInfo, DeviceError> {
        self.info = info(&mut self.line)?;
        Ok(&self.info)
    }

    /// Waits differently.
    pub fn set_patience(&mut self, patience: Patience) {
        self.line.patience = patience;
    }

    /// The port.
    pub fn port(&mut self) -> &mut P {
        &mut self.line.port
    }

    /// The port again; the agent serves on.
    pub fn into_port(self) -> P {
        self.line.port
    }

    /// What a slot holds.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn slot(&mut self, slot: u8) -> Result<Slot, DeviceError> {
        self.ask_slot(&AgentRequest::Slot { slot }, Effort::Small)
    }

    /// Has what was loaded verified, tested and served.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]; the model before is served on.
    pub fn activate(&mut self) -> Result<Slot, DeviceError> {
        self.switch(&AgentRequest::Activate)
    }

    /// Goes back to the model before.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]; the model that is served is served on.
    pub fn rollback(&mut self) -> Result<Slot, DeviceError> {
        self.switch(&AgentRequest::Rollback)
    }

    fn switch(&mut self, request: &AgentRequest<'_>) -> Result<Slot, DeviceError> {
        let slot = self.ask_slot(request, Effort::Activation)?;
        self.line.forget_times();
        self.ask_info()?;
        Ok(slot)
    }

    /// What was learnt and saved last, or the blob's weights.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn restore(&mut self) -> Result<(), DeviceError> {
        self.done(&AgentRequest::Restore, Effort::Flash)
    }

    /// Runs the model on an input that the agent draws; what each layer takes.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn profile(&mut self) -> Result<Profile, DeviceError> {
        let mut profile = Profile {
            unit: Unit::Cycles,
            counts: Vec::new(),
        };
        loop {
            // Nodes are numbered in 16 bits.
            let wanted = profile.counts.len() as u16;
            let request = AgentRequest::Profile { first: wanted };
            let (unit, nodes, part) = self.ask(&request, Effort::Run, |answer| match answer {
                AgentResponse::Profile {
                    unit,
                    nodes,
                    first,
                    counts: Bytes(counts),
                } if first == wanted => Some((unit, nodes, counts.to_vec())),
                _ => None,
            })?;
            let (counts, _) = part.as_chunks();
            let counts = counts.iter().map(|&count| u32::from_le_bytes(count));
            profile.unit = unit;
            profile.counts.extend(counts);
            let have = profile.counts.len();
            if have >= usize::from(nodes) {
                return Ok(profile);
            }
            if have == usize::from(wanted) {
                let place = self.line.port.name();
                return Err(DeviceError::Answer { place });
            }
        }
    }

    /// Judges a sample: the class that the model reads, and whether it is the target's.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn eval(&mut self, input: &[u8], target: Target<'_>) -> Result<(u16, bool), DeviceError> {
        let (mut packed, mut values) = (Vec::new(), Vec::new());
        let input = shorter(input, &mut packed);
        let target = label(target, &mut values);
        let request = AgentRequest::Eval { input, target };
        self.ask(&request, Effort::Run, |answer| match answer {
            AgentResponse::Judged { prediction, right } => Some((prediction, right)),
            _ => None,
        })
    }

    /// What was served since the model was set up.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn status(&mut self) -> Result<Status, DeviceError> {
        self.ask(
            &AgentRequest::Status,
            Effort::Small,
            |answer| match answer {
                AgentResponse::Status(status) => Some(status),
                _ => None,
            },
        )
    }

    /// Starts it anew, and greets it again.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn restart(&mut self) -> Result<&AgentInfo, DeviceError> {
        let before = self.ask_info()?.starts;
        let patience = self.line.patience;
        loop {
            self.line.patience.attempts = 1;
            let asked = self.done(&AgentRequest::Restart, Effort::Small);
            self.line.patience = patience;
            match asked {
                // Its answer may be lost; its count of starts is not.
                Ok(()) | Err(DeviceError::Silent { .. } | DeviceError::Frame { .. }) => {}
                Err(error) => return Err(error),
            }
            self.info = introduction(&mut self.line)?;
            if self.info.starts != before {
                return Ok(&self.info);
            }
        }
    }

    /// Ends the session.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]; in QEMU the image's exit code is the verdict.
    pub fn finish(&mut self) -> Result<(), DeviceError> {
        let bye = self.line.ask(&Request::Bye, Effort::Small, |message| {
            response(message, |response| {
                matches!(response, Response::Done).then_some(())
            })
        });
        match bye {
            Ok(()) | Err(DeviceError::QemuEnded { .. }) => self.line.port.finish(),
            Err(error) => Err(error),
        }
    }

    /// The model that it serves, as any other device: it runs, learns, saves.
    ///
    /// # Errors
    ///
    /// As [`Linked::greet`]; [`ErrorCode::NoModel`](nn_core::link::ErrorCode::NoModel).
    pub fn device(&mut self, model: &Model<'_>) -> Result<Linked<&mut P>, DeviceError> {
        Linked::over(self.line.lend(), Some(model))
    }

    /// The same, whichever model it is.
    ///
    /// # Errors
    ///
    /// As [`device`](Self::device).
    pub fn served(&mut self) -> Result<Linked<&mut P>, DeviceError> {
        Linked::over(self.line.lend(), None)
    }

    /// The same for good.
    ///
    /// # Errors
    ///
    /// As [`device`](Self::device).
    pub fn into_device(self, model: &Model<'_>) -> Result<Linked<P>, DeviceError> {
        Linked::over(self.line, Some(model))
    }

    fn ask<T>(
        &mut self,
        request: &AgentRequest<'_>,
        effort: Effort,
        read: impl FnMut(AgentResponse<'_>) -> Option<T>,
    ) -> Result<T, DeviceError> {
        ask(&mut self.line, request, effort, read)
    }

    fn ask_slot(
        &mut self,
        request: &AgentRequest<'_>,
        effort: Effort,
    ) -> Result<Slot, DeviceError> {
        self.ask(request, effort, |answer| match answer {
            AgentResponse::Slot(slot) => Some(slot),
            _ => None,
        })
    }

    fn done(&mut self, request: &AgentRequest<'_>, effort: Effort) -> Result<(), DeviceError> {
        self.ask(request, effort, |answer| {
            matches!(answer, AgentResponse::Done).then_some(())
        })
    }
}
