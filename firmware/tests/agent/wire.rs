//! A line that damages, loses and doubles, and what strangers send.

use std::{cell::RefCell, convert::Infallible};

use nn_core::{
    link::{
        Bytes, ErrorCode, PROTOCOL, Request, Response,
        agent::{AgentError, AgentRequest, AgentResponse, Tagged, decode_agent_response},
        decode_response, encode,
        package::MANIFEST_LEN,
    },
    ops::AllOps,
};

use crate::{
    bench::{LEN, start, start_with},
    flash::Flash,
    host::{Fault, Host, wire},
    packages::{blob, crc, package},
};

fn install_over(host: &Host) -> RefCell<Flash> {
    let flash = RefCell::new(Flash::new(LEN));
    start_with::<AllOps, _>(&flash, None, host, async |host| {
        host.install(&package(1, 1)).await.unwrap();
        assert_eq!(host.served().await.unwrap().0, crc(&blob(1)));
    });
    flash
}

#[test]
fn every_byte_of_a_transfer_may_be_damaged_lost_or_doubled() {
    let plain = Host::default();
    let wanted = install_over(&plain).borrow().contents();
    let lens = plain.bytes();
    assert!(lens[0] > MANIFEST_LEN + blob(1).len());
    for (sent, len) in [(true, lens[0]), (false, lens[1])] {
        for at in 0..len {
            for fault in [
                Fault::Corrupted(0x01),
                Fault::Corrupted(0xFF),
                Fault::Dropped,
                Fault::Doubled,
            ] {
                let host = Host::with_fault(sent, at, fault);
                let found = install_over(&host).borrow().contents();
                // Not only served: no byte of the flash is another.
                assert!(
                    found == wanted,
                    "byte {at}, sent by the host: {sent}, {fault:?}"
                );
            }
        }
    }
}

/// Two frames that come in each other's place, at each place of a load.
#[test]
fn frames_out_of_order_are_sorted_out() {
    let (package, blob) = (package(1, 1), blob(1));
    let chunks: Vec<(u32, &[u8])> = (0..).step_by(200).zip(blob.chunks(200)).collect();
    let flash = RefCell::new(Flash::new(LEN));
    for swapped in 0..chunks.len() {
        start(&flash, async |host| {
            let mut order = chunks.clone();
            let last = order.len() - 1;
            order.swap(swapped, (swapped + 1).min(last));
            host.done(AgentRequest::Abort).await.unwrap();
            host.load_some(&package, 0).await.unwrap();
            let mut bytes = Vec::new();
            for (index, (offset, piece)) in order.iter().enumerate() {
                let chunk = AgentRequest::Chunk {
                    offset: *offset,
                    bytes: Bytes(piece),
                };
                bytes.extend(wire(index as u8 + 1, &chunk.into()));
            }
            // All at once: nobody waits for an answer.
            let mut wanted = 0;
            for (_, message) in host.raw(&bytes).await {
                match decode_agent_response(&message).unwrap() {
                    AgentResponse::Loading { offset, .. } => wanted = offset,
                    AgentResponse::Refused(AgentError::Offset { wanted: next, .. }) => {
                        wanted = next;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(swapped == last || (wanted as usize) < blob.len());
            // The host goes on where the agent says.
            host.install(&package).await.unwrap();
            assert_eq!(host.served().await.unwrap().0, crc(&blob));
        });
    }
}

#[test]
fn a_flood_of_frames_is_answered_to_the_last() {
    let flash = install_over(&Host::default());
    start(&flash, async |host| {
        let hello = Request::Hello { protocol: PROTOCOL };
        let requests = [
            wire(1, &hello.into()),
            wire(2, &AgentRequest::Info.into()),
            wire(3, &Request::Digest.into()),
            wire(4, &AgentRequest::Slot { slot: 0 }.into()),
            wire(
                5,
                &AgentRequest::Chunk {
                    offset: 9,
                    bytes: Bytes(&[7; 400]),
                }
                .into(),
            ),
        ]
        .concat();
        let answers = host.raw(&requests.repeat(1000)).await;
        assert_eq!(answers.len(), 5000);
        for (index, (seq, _)) in answers.iter().enumerate() {
            assert_eq!(usize::from(*seq), index % 5 + 1);
        }
        assert_eq!(host.served().await.unwrap().0, crc(&blob(1)));
    });
}

/// Noise, frames of noise, and frames of messages that are cut short or go on too long.
#[test]
fn strangers_are_refused_and_change_nothing() {
    let flash = install_over(&Host::default());
    let (before, operations) = (flash.borrow().contents(), flash.borrow().operations);
    let mut state = 0x1234_5678_u32;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    start(&flash, async |host| {
        let booted = flash.borrow().contents();
        let served = host.served().await;
        for _ in 0..300 {
            let len = noise() as usize % 900;
            let bytes: Vec<u8> = (0..len).map(|_| noise() as u8).collect();
            host.raw(&bytes).await;
            host.raw(&[0]).await;
        }
        // Whole frames, whose messages begin as an agent's or as others do.
        let mut refused = 0;
        for _ in 0..20_000 {
            let len = noise() as usize % 40 + 2;
            let mut message: Vec<u8> = (0..len).map(|_| noise() as u8).collect();
            // All but those that would do something: abort, restart, save, reset, write, train, bye.
            let kinds: &[&[u8]] = &[
                &[0],
                &[1],
                &[3],
                &[7],
                &[0x40, 2],
                &[0x40, 3],
                &[0x40, 9],
                &[0x40, 11],
                &[0x40, 13],
                &[0x41],
                &[0xFF],
            ];
            let kind = kinds[noise() as usize % kinds.len()];
            message.splice(..0, kind.iter().copied());
            let mut frame = Vec::new();
            encode(9, &Raw(&message), |bytes| {
                frame.extend_from_slice(bytes);
                Ok::<(), Infallible>(())
            })
            .unwrap();
            for (_, answer) in host.raw(&frame).await {
                let says_no = match answer.first() {
                    Some(0x40) => matches!(
                        decode_agent_response(&answer),
                        Ok(AgentResponse::Refused(_))
                    ),
                    _ => matches!(decode_response(&answer), Ok(Response::Error(_))),
                };
                refused += usize::from(says_no);
            }
        }
        assert!(refused > 19_000, "{refused}");
        assert_eq!(host.served().await, served);
        assert!(flash.borrow().contents() == booted);
    });
    assert!(flash.borrow().operations > operations);
    assert_eq!(before.len(), LEN);
    // A host of another version, and one that asks what there is not.
    start(&flash, async |host| {
        let old = Request::Hello {
            protocol: PROTOCOL - 1,
        };
        host.plain(old, |response| {
            assert!(matches!(
                response,
                Response::Error(ErrorCode::Protocol { .. })
            ));
        })
        .await;
        let mut frame = Vec::new();
        encode(9, &Tagged(&77u8), |bytes| {
            frame.extend_from_slice(bytes);
            Ok::<(), Infallible>(())
        })
        .unwrap();
        let answers = host.raw(&frame).await;
        let unknown = Response::Error(ErrorCode::UnknownRequest);
        assert_eq!(decode_response(&answers[0].1), Ok(unknown));
    });
}

/// Bytes as they are.
struct Raw<'a>(&'a [u8]);

impl serde::Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}
