//! The server on a workstation: a model that learns, a port made of memory.

mod line;

use std::convert::Infallible;

use embedded_hal::digital;
use embedded_io::{ErrorType, Read, Write};
use firmware::server::{Card, ModelCard, Server};
use nn_core::{
    link::{
        Bytes, Decoder, ErrorCode, Input, LabelBytes, PROTOCOL, Request, Response, StackUse,
        decode_response, encode,
    },
    memory::Aligned,
    model::Model,
    ops::AllOps,
    session::Session,
    train::{Loss, Target, TrainSpec, Trainable, Trainer},
};

const FRAME_MAX: usize = 64;

/// 3 inputs, 2 outputs; learns to minimise the mean squared error.
fn blob(out: &mut [u8], learns: bool) -> usize {
    let plan = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.1);
    let weight = [0.5, -0.25, 1.0, 0.75, -1.5, 0.125];
    line::blob(&weight, &[0.1, -0.2], learns.then_some(plan), out)
}

/// What the host sends, and what came back.
struct Line {
    to: Vec<u8>,
    taken: usize,
    back: Vec<u8>,
}

impl ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let rest = &self.to[self.taken..];
        // Odd pieces: frames end anywhere in them.
        let len = rest.len().min(buffer.len()).min(7);
        buffer[..len].copy_from_slice(&rest[..len]);
        self.taken += len;
        Ok(len)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.back.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[derive(Default)]
struct Light {
    on: bool,
    flashes: usize,
}

impl digital::ErrorType for Light {
    type Error = Infallible;
}

impl digital::OutputPin for Light {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.on = false;
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.flashes += usize::from(!self.on);
        self.on = true;
        Ok(())
    }
}

fn wire(seq: u8, request: &Request) -> Vec<u8> {
    let mut wire = Vec::new();
    encode(seq, request, |bytes| {
        wire.extend_from_slice(bytes);
        Ok::<(), Infallible>(())
    })
    .unwrap();
    wire
}

/// Serves all of `to`; `check` sees each response in turn, with its number.
fn serve(learns: bool, to: Vec<u8>, mut check: impl FnMut(usize, u8, Response)) -> (usize, Light) {
    let mut bytes = Aligned([0; 1024]);
    let len = blob(&mut bytes.0, learns);
    let model = Model::load(&bytes.0[..len]).unwrap();
    let mut arena = Aligned([0; 4096]);
    let mut values = [0.0; 2];
    let card = Card {
        board: "bench",
        core: "any",
        model: ModelCard {
            name: "line",
            crc32: model.header().crc,
            arena: [model.arena_infer(), model.arena_train()].map(|bytes| bytes as u32),
            input_len: 12,
            output_len: 8,
        },
        arena: 4096,
        frame_max: FRAME_MAX,
        stack: || StackUse {
            size: 3,
            setup: 2,
            serve: 1,
        },
    };
    let mut line = Line {
        to,
        taken: 0,
        back: Vec::new(),
    };
    let mut light = Light::default();
    // An image holds one of the two; which, its build script says.
    if learns {
        let mut engine = Trainer::with::<AllOps>(model, &mut arena.0).unwrap();
        let mut server = Server::new(&mut engine, &mut values, card);
        let Ok(()) = server.serve(&mut line, &mut light, &mut [0; FRAME_MAX]);
    } else {
        let mut engine = Session::with::<AllOps>(model, &mut arena.0).unwrap();
        let mut server = Server::new(&mut engine, &mut values, card);
        let Ok(()) = server.serve(&mut line, &mut light, &mut [0; FRAME_MAX]);
    }

    let mut buffer = [0; 1024];
    let mut decoder = Decoder::new(&mut buffer);
    let mut rest = line.back.as_slice();
    let mut count = 0;
    while !rest.is_empty() {
        let (used, frame) = decoder.push(rest);
        rest = &rest[used..];
        if let Some(frame) = frame {
            let frame = frame.unwrap();
            check(count, frame.seq, decode_response(frame.message).unwrap());
            count += 1;
        }
    }
    (count, light)
}

fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[test]
fn a_repeated_request_is_not_learnt_twice() {
    let (input, target) = (floats(&[1.0, -2.0, 0.5]), floats(&[0.25, 0.75]));
    let train = |seq| {
        let request = Request::Train {
            input: Input::Plain(Bytes(&input)),
            target: LabelBytes::Values(Bytes(&target)),
        };
        wire(seq, &request)
    };
    // What two steps come to, by the trainer itself.
    let mut bytes = Aligned([0; 1024]);
    let len = blob(&mut bytes.0, true);
    let mut arena = Aligned([0; 4096]);
    let model = Model::load(&bytes.0[..len]).unwrap();
    let mut trainer = Trainer::new(model, &mut arena.0).unwrap();
    let mut digests = Vec::new();
    let mut losses = Vec::new();
    for _ in 0..2 {
        trainer.input_mut(0).unwrap().copy_from_slice(&input);
        losses.push(
            trainer
                .step(Target::Values(&[0.25, 0.75]))
                .unwrap()
                .loss
                .to_bits(),
        );
        digests.push(trainer.weights_digest());
    }
    assert_ne!(digests[0], digests[1]);

    let to = [
        train(5),
        train(5),
        wire(6, &Request::Digest),
        train(7),
        wire(8, &Request::Digest),
    ]
    .concat();
    let (count, light) = serve(true, to, |index, seq, response| {
        assert_eq!(seq, [5, 5, 6, 7, 8][index]);
        match index {
            0 | 1 | 3 => {
                let Response::Step { loss, .. } = response else {
                    panic!("{response:?}");
                };
                assert_eq!(loss, losses[usize::from(index == 3)]);
            }
            2 => assert_eq!(response, Response::Digest(digests[0])),
            _ => assert_eq!(response, Response::Digest(digests[1])),
        }
    });
    assert_eq!(count, 5);
    assert!(!light.on);
    assert_eq!(light.flashes, 5);
}

#[test]
fn a_repeated_run_is_not_run_and_a_number_that_comes_round_is_another_request() {
    let (first, second) = (floats(&[1.0, 0.0, 0.0]), floats(&[0.0, 1.0, 0.0]));
    let infer = |seq, input: &[u8]| {
        let input = Input::Plain(Bytes(input));
        wire(seq, &Request::Infer { input })
    };
    let train = |seq| {
        let request = Request::Train {
            input: Input::Plain(Bytes(&first)),
            target: LabelBytes::Values(Bytes(&second[..8])),
        };
        wire(seq, &request)
    };
    let to = [
        infer(5, &first),
        // A stateful layer would go on from its first run.
        infer(5, &second),
        train(6),
        infer(7, &first),
        train(6),
    ]
    .concat();
    let output = floats(&[0.5 + 0.1, -0.25 - 0.2]);
    let mut losses = Vec::new();
    serve(true, to, |index, _, response| match response {
        Response::Output(Bytes(found)) => assert_eq!(found == output, index < 2),
        Response::Step { loss, .. } => losses.push(loss),
        _ => panic!("{response:?}"),
    });
    assert_eq!(losses.len(), 2);
    assert_ne!(losses[0], losses[1]);
}

#[test]
fn weights_go_there_and_back_in_pieces() {
    let new: Vec<u8> = floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let write = |offset: u32, bytes: &[u8]| {
        let bytes = Bytes(bytes);
        wire(1, &Request::WriteWeights { offset, bytes })
    };
    let read = |offset, len| wire(2, &Request::ReadWeights { offset, len });
    let nan = floats(&[f32::NAN]);
    let to = [
        write(0, &new[..20]),
        write(20, &new[20..]),
        read(0, 1000),
        read(28, 4),
        read(33, 1),
        write(28, &new[..8]),
        write(0, &nan),
        read(0, 4),
        wire(3, &Request::Reset),
        read(0, 4),
    ]
    .concat();
    let (count, _) = serve(true, to, |index, _, response| {
        let wanted = match index {
            0 | 1 | 8 => Response::Done,
            2 => Response::Weights(Bytes(&new)),
            3 => Response::Weights(Bytes(&new[28..])),
            4 => Response::Error(ErrorCode::OutOfRange { end: 33, len: 32 }),
            5 => Response::Error(ErrorCode::OutOfRange { end: 36, len: 32 }),
            6 => Response::Error(ErrorCode::BadValues {
                wanted: 8,
                found: 1,
            }),
            7 => Response::Weights(Bytes(&new[..4])),
            _ => Response::Weights(Bytes(&[0, 0, 0, 0x3F])), // 0.5, the blob's
        };
        assert_eq!(response, wanted, "response {index}");
    });
    assert_eq!(count, 10);
}

#[test]
fn every_refusal_has_its_reason() {
    let input = floats(&[1.0, 2.0, 3.0]);
    let train = |input: &[u8], target| {
        let input = Input::Plain(Bytes(input));
        wire(9, &Request::Train { input, target })
    };
    let sgd = |learning_rate, momentum| {
        let weight_decay = 0.0;
        wire(
            9,
            &Request::SetSgd {
                learning_rate,
                momentum,
                weight_decay,
            },
        )
    };
    let mut damaged = wire(9, &Request::Digest);
    damaged[2] ^= 0x40;
    let long = Request::WriteWeights {
        offset: 0,
        bytes: Bytes(&[1; 100]),
    };
    // A frame that is whole, with a variant that there is not.
    let mut unknown = Vec::new();
    encode(9, &200u8, |bytes| {
        unknown.extend_from_slice(bytes);
        Ok::<(), Infallible>(())
    })
    .unwrap();
    let cases = [
        (
            train(&input[1..], LabelBytes::Class(0)),
            ErrorCode::InputLength {
                wanted: 12,
                found: 11,
            },
        ),
        (
            train(&input, LabelBytes::Class(2)),
            ErrorCode::UnknownClass {
                classes: 2,
                found: 2,
            },
        ),
        (
            train(&input, LabelBytes::Values(Bytes(&[0; 4]))),
            ErrorCode::TargetLength {
                wanted: 8,
                found: 4,
            },
        ),
        (sgd(-1.0, 0.0), ErrorCode::BadSgd),
        (sgd(0.1, 0.5), ErrorCode::NoMomentum),
        (damaged, ErrorCode::BadFrame),
        (
            wire(9, &long),
            ErrorCode::FrameTooLong {
                max: FRAME_MAX as u32,
            },
        ),
        (unknown, ErrorCode::UnknownRequest),
        (
            train(&floats(&[f32::INFINITY, 0.0, 0.0]), LabelBytes::Class(0)),
            ErrorCode::Diverged,
        ),
    ];
    let to = cases.iter().flat_map(|(wire, _)| wire.clone()).collect();
    let (count, _) = serve(true, to, |index, seq, response| {
        let (_, code) = cases[index];
        assert_eq!(response, Response::Error(code), "case {index}");
        let unread = matches!(code, ErrorCode::BadFrame | ErrorCode::FrameTooLong { .. });
        assert_eq!(seq, if unread { 0 } else { 9 });
    });
    assert_eq!(count, cases.len());
}

#[test]
fn a_model_that_does_not_learn_runs() {
    let input = floats(&[1.0, 0.0, 0.0]);
    let infer = Request::Infer {
        input: Input::Plain(Bytes(&input)),
    };
    let to = [
        wire(1, &Request::Hello { protocol: PROTOCOL }),
        wire(2, &infer),
        wire(3, &Request::Digest),
        wire(4, &Request::Stack),
        wire(5, &Request::Bye),
        wire(6, &infer),
    ]
    .concat();
    let output = floats(&[0.5 + 0.1, -0.25 - 0.2]);
    let (count, _) = serve(false, to, |index, _, response| match (index, response) {
        (0, Response::Hello(hello)) => {
            assert_eq!((hello.board, hello.model), ("bench", "line"));
            assert_eq!((hello.input_len, hello.output_len), (12, 8));
            assert_eq!((hello.weights_len, hello.arena_train), (0, 0));
            assert_eq!(hello.math, nn_core::scalar::MATH);
        }
        (1, response) => assert_eq!(response, Response::Output(Bytes(&output))),
        (2, response) => assert_eq!(response, Response::Error(ErrorCode::NoTrainPlan)),
        (3, response) => {
            let (size, setup, serve) = (3, 2, 1);
            assert_eq!(response, Response::Stack(StackUse { size, setup, serve }));
        }
        (_, response) => assert_eq!(response, Response::Done),
    });
    assert_eq!(count, 5, "nothing is served after the end");
}
