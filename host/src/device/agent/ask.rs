//! An agent's messages over a line.

use nn_core::link::{
    ErrorCode, PROTOCOL, Request, Response,
    agent::{AgentRequest, AgentResponse, Tagged, decode_agent_response, is_agents},
};

use super::AgentInfo;
use crate::device::{
    DeviceError, Port,
    line::{Effort, Line},
    linked::response,
};

/// Sends `request` and reads its answer; `read` gives `None` when it is the wrong kind.
pub(super) fn ask<P: Port, T>(
    line: &mut Line<P>,
    request: &AgentRequest<'_>,
    effort: Effort,
    mut read: impl FnMut(AgentResponse<'_>) -> Option<T>,
) -> Result<T, DeviceError> {
    line.ask(&Tagged(request), effort, |message| {
        if !is_agents(message) {
            // What every image refuses by.
            return response(message, |_| None);
        }
        match decode_agent_response(message).ok()? {
            AgentResponse::Refused(error) => Some(Err(DeviceError::Agent(error))),
            answer => read(answer).map(Ok),
        }
    })
}

/// Asks for its card.
pub(super) fn info<P: Port>(line: &mut Line<P>) -> Result<AgentInfo, DeviceError> {
    ask(
        line,
        &AgentRequest::Info,
        Effort::Small,
        |answer| match answer {
            AgentResponse::Info(info) => Some(AgentInfo::from(info)),
            _ => None,
        },
    )
}

/// A session begins: the versions are compared, and the agent says what it is.
pub(super) fn introduction<P: Port>(line: &mut Line<P>) -> Result<AgentInfo, DeviceError> {
    let place = line.port.name();
    let hello = Request::Hello { protocol: PROTOCOL };
    let greeted = line.greet(&hello, |message| {
        response(message, |response| match response {
            Response::Hello(hello) => Some(hello.protocol),
            _ => None,
        })
    });
    match greeted {
        Ok(PROTOCOL) | Err(DeviceError::Refused(ErrorCode::NoModel)) => {}
        Ok(found) => {
            return Err(DeviceError::Protocol {
                place,
                wanted: PROTOCOL,
                found,
            });
        }
        Err(DeviceError::Refused(ErrorCode::UnknownRequest)) => {
            return Err(DeviceError::OldProtocol {
                place,
                wanted: PROTOCOL,
            });
        }
        Err(error) => return Err(error),
    }
    match info(line) {
        Err(DeviceError::Refused(ErrorCode::UnknownRequest)) => Err(DeviceError::NoAgent(place)),
        result => result,
    }
}
