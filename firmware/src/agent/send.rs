//! Answers on their way.

use embedded_io::Write;
use nn_core::link::{
    EncodeError, Response,
    agent::{AgentResponse, Tagged},
    encode,
};

use crate::log::log;

/// Sends an agent's response.
pub(super) fn respond<P: Write>(
    port: &mut P,
    seq: u8,
    response: &AgentResponse,
) -> Result<(), P::Error> {
    if let AgentResponse::Refused(_error) = response {
        log!(warn, "request {=u8}: {}", seq, _error);
    }
    let sent = encode(seq, &Tagged(response), |bytes| port.write_all(bytes));
    finish(port, sent)
}

/// Sends what other images answer, too.
pub(super) fn respond_plain<P: Write>(
    port: &mut P,
    seq: u8,
    response: &Response,
) -> Result<(), P::Error> {
    let sent = encode(seq, response, |bytes| port.write_all(bytes));
    finish(port, sent)
}

fn finish<P: Write>(port: &mut P, sent: Result<(), EncodeError<P::Error>>) -> Result<(), P::Error> {
    port.flush()?;
    match sent {
        Err(EncodeError::Sink(error)) => Err(error),
        // Cannot happen (see there); the host will run out of patience.
        Err(EncodeError::Message) => {
            log!(error, "a response cannot be encoded");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
