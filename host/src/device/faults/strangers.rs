//! Whatever else may come over a line.

use nn_core::{
    conformance::Draw,
    link::{
        Bytes, Decoder, ErrorCode, Input, PROTOCOL, Request, Response,
        agent::{AgentRequest, TAG, Tagged},
        decode_response,
    },
};

use super::{
    Bad, FaultError, Outcome, Trials,
    bench::{Bench, PATIENCE, Start, frame},
};
use crate::device::{DeviceError, Port, Qemu, agent::Agent};

/// Frames of a flood, and how many are sent before what came back is taken.
const FLOOD: u32 = 2000;
const BURST: u32 = 100;
/// Kinds of frames that a stranger sends, and how often each.
const NOISE: u64 = 60;

/// Many whole requests without a wait for an answer.
pub(super) fn flood(bench: &Bench) -> Result<Trials, FaultError> {
    let flash = bench.flash(false)?;
    let mut port = bench.power(&flash.0, Start::default())?;
    let input = [0; 8];
    let infer = Request::Infer {
        input: Input::Plain(Bytes(&input)),
    };
    let mut trials = Trials::default();
    let frames = if bench.quick { FLOOD / 10 } else { FLOOD };
    for burst in 0..frames / BURST {
        let mut wire = Vec::new();
        for index in 0..BURST {
            // Numbers wrap.
            let seq = (burst * BURST + index) as u8;
            wire.extend(match index % 5 {
                0 => frame(seq, &Tagged(&AgentRequest::Info)),
                1 => frame(seq, &infer),
                2 => frame(seq, &Request::Digest),
                3 => frame(seq, &Tagged(&AgentRequest::Slot { slot: 1 })),
                _ => frame(seq, &Tagged(&AgentRequest::Activate)),
            });
        }
        let (outcome, again) = after(bench, port, &wire)?;
        trials.count_all(BURST, format_args!("burst {burst}"), outcome);
        port = again;
    }
    Ok(trials)
}

/// Sends `wire`; then the model before is served.
fn after(bench: &Bench, mut port: Qemu, wire: &[u8]) -> Result<(Outcome, Qemu), FaultError> {
    let line = |source| DeviceError::Line {
        place: "qemu".into(),
        source,
    };
    let mut came = [0; 4096];
    for part in wire.chunks(2048) {
        port.send(part).map_err(line)?;
        // Not all, but so much that neither end waits for the other for good.
        port.receive(&mut came).map_err(line)?;
    }
    let mut agent = Agent::greet_with(port, PATIENCE)?;
    let outcome = bench.serves_before(&mut agent);
    Ok((outcome, agent.into_port()))
}

/// Noise, frames that are cut, frames with a wrong checksum, whole frames whose message is none, frames too long.
pub(super) fn noise(bench: &Bench) -> Result<Trials, FaultError> {
    let flash = bench.flash(false)?;
    let agent = bench.boot(&flash.0, Start::default())?;
    let longest = u64::from(agent.info().frame_max);
    let mut port = agent.into_port();
    let mut trials = Trials::default();
    let mut draw = Draw::new();
    let count = if bench.quick { NOISE / 12 } else { NOISE };
    for index in 0..count {
        let mut bytes = |len: u64| -> Vec<u8> {
            // Below 256.
            (0..len).map(|_| draw.below(256) as u8).collect()
        };
        let kinds: [(&str, Vec<u8>); 6] = [
            ("noise", bytes(1 + index * 29 % 900)),
            ("a frame that is cut", {
                let wire = frame(1, &Request::Digest);
                wire[..wire.len() - 1 - index as usize % 3].to_vec()
            }),
            ("a wrong checksum", {
                let mut wire = frame(1, &Request::Save);
                let at = 1 + index as usize % (wire.len() - 2);
                wire[at] = if wire[at] == 0x55 { 0x56 } else { 0x55 };
                wire
            }),
            ("a message that is none", {
                let [a, b] = [200u8.wrapping_add(index as u8), 3];
                frame(1, &(a.max(64 + 1), b, index))
            }),
            (
                "an agent's message that is none",
                frame(1, &(TAG, 14 + index as u8 % 100, index)),
            ),
            ("a frame too long", {
                // Without a zero, before its end.
                let mut long = bytes(longest + 300);
                long.iter_mut().for_each(|byte| *byte |= 1);
                long.push(0);
                long
            }),
        ];
        for (name, wire) in kinds {
            // What is too long takes long, too.
            if name == "a frame too long" && index % 30 != 0 {
                continue;
            }
            let (outcome, again) = after(bench, port, &wire)?;
            trials.count(format_args!("{name} {index}"), outcome);
            port = again;
        }
    }
    Ok(trials)
}

/// Hosts of other versions are refused, with words that name both.
pub(super) fn protocol(bench: &Bench) -> Result<Trials, FaultError> {
    let flash = bench.flash(false)?;
    let mut port = bench.power(&flash.0, Start::default())?;
    let mut trials = Trials::default();
    for found in [0, PROTOCOL - 1, PROTOCOL + 1, u16::MAX] {
        // A session of the right version first: the device is up.
        port = Agent::greet_with(port, PATIENCE)?.into_port();
        let wire = frame(77, &Request::Hello { protocol: found });
        let answer = exchange(&mut port, 77, &wire)?;
        let wanted = Response::Error(ErrorCode::Protocol {
            wanted: PROTOCOL,
            found,
        });
        let refused = match decode_response(&answer) {
            Ok(response) if response == wanted => Ok(()),
            other => Err(Bad::Failed(format!("{other:?}"))),
        };
        let mut agent = Agent::greet_with(port, PATIENCE)?;
        let outcome = refused.and_then(|()| bench.serves_before(&mut agent));
        trials.count(format_args!("version {found}"), outcome);
        port = agent.into_port();
    }
    Ok(trials)
}

/// The message that answers the frame of this number; nothing where none comes in time.
fn exchange(port: &mut Qemu, seq: u8, wire: &[u8]) -> Result<Vec<u8>, DeviceError> {
    let line = |source| DeviceError::Line {
        place: "qemu".into(),
        source,
    };
    port.send(wire).map_err(line)?;
    let deadline = std::time::Instant::now() + PATIENCE.activation;
    let mut buffer = [0; 1024];
    let mut decoder = Decoder::new(&mut buffer);
    let mut came = [0; 256];
    while std::time::Instant::now() < deadline {
        let len = port.receive(&mut came).map_err(line)?;
        let mut rest = &came[..len];
        while !rest.is_empty() {
            let (used, frame) = decoder.push(rest);
            rest = &rest[used..];
            if let Some(Ok(frame)) = frame
                && frame.seq == seq
            {
                return Ok(frame.message.to_vec());
            }
        }
    }
    Ok(Vec::new())
}
