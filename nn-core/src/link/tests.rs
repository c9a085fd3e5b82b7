//! The wire format to the byte, and what becomes of damage.

extern crate std;

use core::convert::Infallible;
use std::vec;
use std::vec::Vec;

use super::*;

fn wire<M: serde::Serialize>(seq: u8, message: &M) -> Vec<u8> {
    let mut wire = Vec::new();
    encode(seq, message, |bytes| {
        wire.extend_from_slice(bytes);
        Ok::<(), Infallible>(())
    })
    .unwrap();
    wire
}

/// All frames in `bytes`, pushed in pieces of `piece`; errors as `Err`.
fn frames(bytes: &[u8], piece: usize, buffer: &mut [u8]) -> Vec<Result<(u8, Vec<u8>), FrameError>> {
    let mut decoder = Decoder::new(buffer);
    let mut all = Vec::new();
    for mut chunk in bytes.chunks(piece) {
        while !chunk.is_empty() {
            let (used, frame) = decoder.push(chunk);
            if let Some(frame) = frame {
                all.push(frame.map(|frame| (frame.seq, frame.message.to_vec())));
            }
            chunk = &chunk[used..];
        }
    }
    all
}

/// xorshift64: repeatable noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        // Half of the bytes are zero: the case that COBS is there for.
        (0..len)
            .map(|_| match self.next() % 2 {
                0 => 0,
                _ => (self.next() >> 24) as u8,
            })
            .collect()
    }
}

/// The golden bytes, made independently:
/// `python3 -c "import zlib; b=bytes([7,4]); print((b+zlib.crc32(b).to_bytes(4,'little')).hex())"`
/// and so on, then COBS by hand.
#[test]
fn golden_frames() {
    // Digest is variant 4.
    let crc = |bytes: &[u8]| {
        let mut crc = crate::crc::Crc32::new();
        crc.update(bytes);
        crc.finish()
    };
    assert_eq!(crc(&[7, 4]), GOLDEN_DIGEST_CRC);
    let [a, b, c, d] = GOLDEN_DIGEST_CRC.to_le_bytes();
    assert_eq!(wire(7, &Request::Digest), [7, 7, 4, a, b, c, d, 0]);

    // Infer is variant 1, Plain is 0, then the length, then the bytes; zeros are stuffed.
    let request = Request::Infer {
        input: Input::Plain(Bytes(&[9, 0, 8])),
    };
    let [a, b, c, d] = GOLDEN_INFER_CRC.to_le_bytes();
    assert_eq!(
        wire(255, &request),
        [3, 255, 1, 3, 3, 9, 6, 8, a, b, c, d, 0]
    );

    // Error is variant 6; InputLength is variant 3; 784 and 785 as varints.
    let response = Response::Error(ErrorCode::InputLength {
        wanted: 784,
        found: 785,
    });
    let message = [6, 3, 0x90, 6, 0x91, 6];
    let mut buffer = [0; 64];
    let wire = wire(1, &response);
    let all = frames(&wire, 3, &mut buffer);
    assert_eq!(all, [Ok((1, message.to_vec()))]);
}

const GOLDEN_DIGEST_CRC: u32 = 0x09F5_4021;
const GOLDEN_INFER_CRC: u32 = 0xD7B9_5AB8;

fn requests(payload: &[u8]) -> Vec<Request<'_>> {
    vec![
        Request::Hello { protocol: 3 },
        Request::Infer {
            input: Input::Plain(Bytes(payload)),
        },
        Request::Train {
            input: Input::Plain(Bytes(payload)),
            target: LabelBytes::Class(300),
        },
        Request::Train {
            input: Input::Plain(Bytes(payload)),
            target: LabelBytes::Values(Bytes(payload)),
        },
        Request::Train {
            input: Input::Plain(Bytes(payload)),
            target: LabelBytes::Classes(Bytes(payload)),
        },
        Request::SetSgd {
            learning_rate: 0.01,
            momentum: 0.9,
            weight_decay: 0.0,
        },
        Request::Digest,
        Request::ReadWeights {
            offset: 0,
            len: u32::MAX,
        },
        Request::WriteWeights {
            offset: u32::MAX,
            bytes: Bytes(payload),
        },
        Request::Reset,
        Request::Bye,
    ]
}

#[test]
fn every_request_comes_back_in_any_pieces() {
    let mut noise = Noise(1);
    // Lengths around COBS's block of 254, and MNIST's.
    for len in [0, 1, 5, 252, 253, 254, 255, 508, 784, 3136] {
        for payload in [noise.bytes(len), vec![0; len], vec![255; len]] {
            for request in requests(&payload) {
                let wire = wire(9, &request);
                for piece in [1, 7, 254, 255, wire.len()] {
                    let mut buffer = vec![0; 2 * len + FRAME_OVERHEAD];
                    let all = frames(&wire, piece, &mut buffer);
                    let [Ok((9, message))] = all.as_slice() else {
                        panic!("{request:?} in pieces of {piece}: {all:?}");
                    };
                    assert_eq!(decode_request(message), Ok(request));
                }
            }
        }
    }
}

#[test]
fn overhead_covers_every_request_with_one_payload() {
    let payload = vec![1; 100_000];
    for request in requests(&payload) {
        if matches!(
            request,
            Request::Train {
                target: LabelBytes::Values(_) | LabelBytes::Classes(_),
                ..
            }
        ) {
            continue; // two payloads
        }
        let mut buffer = vec![0; payload.len() + FRAME_OVERHEAD];
        let all = frames(&wire(0, &request), 1000, &mut buffer);
        assert!(matches!(all.as_slice(), [Ok(_)]), "{request:?}");
    }
}

/// Every single-byte error, every lost byte and every cut is noticed, and the frame after it is
/// read (the one hit itself may swallow the next only when its closing zero is what was hit).
#[test]
fn damage_is_noticed_and_forgotten() {
    let payload = Noise(2).bytes(300);
    let request = Request::Infer {
        input: Input::Plain(Bytes(&payload)),
    };
    let hit = wire(1, &request);
    let next = wire(2, &Request::Digest);
    let last = wire(3, &Request::Reset);
    let mut noise = Noise(3);
    for at in 0..hit.len() {
        let mut damaged = Vec::new();
        for _ in 0..8 {
            let mut copy = hit.clone();
            copy[at] ^= (1 + noise.next() % 255) as u8;
            damaged.push(copy);
        }
        let mut lost = hit.clone();
        lost.remove(at);
        damaged.push(lost);
        let mut zero = hit.clone();
        zero[at] = 0;
        if zero != hit {
            damaged.push(zero);
        }
        for damaged in damaged {
            let stream = [damaged.as_slice(), &next, &last].concat();
            let mut buffer = vec![0; 400];
            let all = frames(&stream, 16, &mut buffer);
            let good: Vec<u8> = all.iter().flatten().map(|frame| frame.0).collect();
            assert!(all.iter().any(Result::is_err), "unnoticed at {at}");
            if damaged.last() == Some(&0) {
                assert_eq!(good, [2, 3], "out of step after {at}");
            } else {
                assert_eq!(good, [3], "out of step after {at}");
            }
        }
    }
}

#[test]
fn noise_is_no_frame_and_no_message() {
    let mut noise = Noise(4);
    let next = wire(5, &Request::Bye);
    for round in 0..2000 {
        let len = (noise.next() % 600) as usize;
        let mut stream = noise.bytes(len);
        let _ = (decode_request(&stream), decode_response(&stream));
        stream.push(0);
        stream.extend_from_slice(&next);
        let mut buffer = [0; 256];
        let all = frames(&stream, 1 + round % 40, &mut buffer);
        let good: Vec<u8> = all.iter().flatten().map(|frame| frame.0).collect();
        assert_eq!(good, [5], "round {round}");
    }
}

#[test]
fn a_frame_beyond_the_buffer_is_refused_and_the_next_taken() {
    let payload = [1; 100];
    let long = Request::Infer {
        input: Input::Plain(Bytes(&payload)),
    };
    let stream = [wire(1, &long), wire(2, &Request::Hello { protocol: 3 })].concat();
    let mut buffer = [0; 50];
    let all = frames(&stream, 9, &mut buffer);
    assert_eq!(
        all,
        [Err(FrameError::TooLong { max: 50 }), Ok((2, vec![0, 3]))]
    );
    // Exactly full is not too long: seq, two variants, length, 100 bytes, CRC-32.
    let mut buffer = [0; 108];
    assert!(frames(&stream, 9, &mut buffer).iter().all(Result::is_ok));
}

#[test]
fn the_wire_s_error_comes_back() {
    let mut room = 300;
    let sent = encode(0, &Response::Output(Bytes(&[7; 1000])), |bytes| {
        room -= bytes.len() as i32;
        if room < 0 { Err("full") } else { Ok(()) }
    });
    assert_eq!(sent, Err(EncodeError::Sink("full")));
}

#[test]
fn responses_come_back() {
    let hello = Hello {
        protocol: PROTOCOL,
        board: "an386",
        core: "Cortex-M4F",
        model: "mnist",
        model_crc32: 0xDEAD_BEEF,
        arena_infer: 1,
        arena_train: 2,
        arena: 3,
        weights_len: 4,
        input_len: 5,
        output_len: 6,
        frame_max: u32::MAX,
        math: "libm",
    };
    for response in [
        Response::Hello(hello),
        Response::Output(Bytes(&[0, 1, 0])),
        Response::Step {
            loss: 2.5f32.to_bits(),
            prediction: 9,
        },
        Response::Digest(u64::MAX),
        Response::Weights(Bytes(&[])),
        Response::Done,
        Response::Error(ErrorCode::Diverged),
        Response::Error(ErrorCode::OutOfRange { end: 9, len: 8 }),
    ] {
        let mut buffer = [0; 128];
        let all = frames(&wire(200, &response), 5, &mut buffer);
        let [Ok((200, message))] = all.as_slice() else {
            panic!("{response:?}: {all:?}");
        };
        assert_eq!(decode_response(message), Ok(response));
    }
    assert_eq!(decode_response(&[99]), Err(Undecodable));
    assert_eq!(decode_response(&[5, 0]), Err(Undecodable), "left over");
}

#[test]
fn an_agents_messages_come_back_as_they_were() {
    use agent::*;
    let manifest = package::Manifest::default().encode();
    let input = Input::Plain(Bytes(&[1, 0, 2]));
    let requests = [
        AgentRequest::Info,
        AgentRequest::Slot { slot: 1 },
        AgentRequest::Begin {
            manifest: Bytes(&manifest),
        },
        AgentRequest::Chunk {
            offset: 1 << 20,
            bytes: Bytes(&[0, 9, 0]),
        },
        AgentRequest::Abort,
        AgentRequest::Activate,
        AgentRequest::Rollback,
        AgentRequest::Restore,
        AgentRequest::Profile { first: 300 },
        AgentRequest::Eval {
            input,
            target: LabelBytes::Class(3),
        },
        AgentRequest::Status,
        AgentRequest::Commit {
            counter: 4,
            signature: Bytes(&[7; package::HASH_LEN]),
        },
        AgentRequest::Restart,
    ];
    for request in requests {
        let mut buffer = [0; 512];
        let wire = wire(9, &Tagged(&request));
        let all = frames(&wire, 64, &mut buffer);
        let [Ok((9, message))] = all.as_slice() else {
            panic!("{all:?}");
        };
        assert!(is_agents(message));
        assert_eq!(decode_agent_request(message), Ok(request));
        assert_eq!(decode_request(message), Err(Undecodable));
        assert_eq!(decode_inference_request(message), Err(Undecodable));
    }
    let refused = AgentResponse::Refused(AgentError::Blob {
        reason: LoadReason::Kernel,
    });
    let mut room = [0; 8];
    let message = postcard::to_slice(&Tagged(&refused), &mut room).unwrap();
    assert_eq!(decode_agent_response(message), Ok(refused));
    assert_eq!(decode_response(message), Err(Undecodable));
}
