//! The host's side of the link, against a device that misbehaves.

use std::{collections::VecDeque, io, path::Path, time::Duration};

use nn_core::{
    link::{Bytes, Decoder, ErrorCode, Hello, PROTOCOL, Request, Response, decode_request, encode},
    ops::{Activation, Op},
    scalar::MATH,
    tensor::{DType, Quant},
    train::{Loss, Sgd, Target, TrainSpec, Trainable},
};

use super::{Device, DeviceError, Here, Linked, Patience, Port};
use crate::{blob::Blob, export::Builder};

/// 4 inputs, 3 classes; learns.
fn blob() -> Blob {
    let mut builder = Builder::new("line");
    let x = builder.input(&[4], DType::F32, Quant::None).unwrap();
    let weight: Vec<f32> = (0..12).map(|index| index as f32 * 0.1 - 0.5).collect();
    let x = builder
        .dense("dense", x, &weight, &[0.1, 0.0, -0.1], Activation::None)
        .unwrap();
    let x = builder.same("softmax", Op::Softmax(None), x).unwrap();
    let sgd = Sgd {
        learning_rate: 0.5,
        momentum: 0.0,
        weight_decay: 0.0,
    };
    let spec = TrainSpec::with_rates(Trainable::All, Loss::CrossEntropy, sgd);
    let bytes = builder.finish(&[x], Some(spec)).unwrap();
    Blob::new(Path::new("line.mote"), bytes).unwrap()
}

fn wire(seq: u8, response: &Response<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    encode(seq, response, |bytes| {
        wire.extend_from_slice(bytes);
        Ok::<(), std::convert::Infallible>(())
    })
    .unwrap();
    wire
}

/// A device that gives scripted answers: each request takes the next of `script`, which sees the
/// request and its number.
type Answer = Box<dyn FnMut(u8, Request<'_>) -> Vec<u8>>;

struct Scripted {
    script: VecDeque<Answer>,
    back: VecDeque<u8>,
    buffer: Vec<u8>,
    /// The line breaks where nothing comes any more.
    breaks: bool,
}

impl Scripted {
    fn new(answers: Vec<Answer>) -> Self {
        Scripted {
            script: answers.into(),
            back: VecDeque::new(),
            buffer: vec![0; 4096],
            breaks: false,
        }
    }
}

impl Port for Scripted {
    fn name(&self) -> String {
        "bench".into()
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut decoder = Decoder::new(&mut self.buffer);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (used, frame) = decoder.push(rest);
            rest = &rest[used..];
            if let Some(frame) = frame {
                let frame = frame.unwrap();
                let mut answer = self.script.pop_front().expect("no more requests");
                let request = decode_request(frame.message).unwrap();
                self.back.extend(answer(frame.seq, request));
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.back.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
            return match self.breaks {
                true => Err(io::ErrorKind::BrokenPipe.into()),
                false => Ok(0),
            };
        }
        let len = buffer.len().min(self.back.len()).min(5);
        for (to, from) in buffer.iter_mut().zip(self.back.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }
}

fn hello(blob: &Blob, change: impl FnOnce(&mut Hello<'_>) + 'static) -> Answer {
    let crc = blob.model().header().crc;
    let mut change = Some(change);
    Box::new(move |seq, request| {
        assert_eq!(request, Request::Hello { protocol: PROTOCOL });
        let mut hello = Hello {
            protocol: PROTOCOL,
            board: "bench",
            core: "any",
            model: "line",
            model_crc32: crc,
            arena_infer: 1,
            arena_train: 2,
            arena: 2,
            weights_len: 60,
            input_len: 16,
            output_len: 12,
            frame_max: 37,
            math: MATH,
        };
        change.take().unwrap()(&mut hello);
        wire(seq, &Response::Hello(hello))
    })
}

fn linked(answers: Vec<Answer>) -> Linked<Scripted> {
    let blob = blob();
    let mut script = vec![hello(&blob, |_| {})];
    script.extend(answers);
    let mut device = Linked::greet(Scripted::new(script), &blob.model()).unwrap();
    device.set_patience(IMPATIENT);
    device
}

const IMPATIENT: Patience = Patience {
    small: Duration::from_millis(40),
    flash: Duration::from_millis(50),
    run: Duration::from_millis(200),
    activation: Duration::from_millis(200),
    attempts: 3,
};

fn greeting(change: impl FnOnce(&mut Hello<'_>) + 'static) -> DeviceError {
    let blob = blob();
    let port = Scripted::new(vec![hello(&blob, change)]);
    let greeted = Linked::greet(port, &blob.model());
    greeted.err().expect("it must be refused")
}

#[test]
fn another_model_protocol_or_arithmetic_is_refused() {
    let error = greeting(|hello| hello.model_crc32 = 0x1234).to_string();
    assert!(
        error.contains("bench holds the model line with CRC-32 00001234"),
        "{error}"
    );
    assert!(error.contains("mote flash"), "{error}");
    let error = greeting(|hello| hello.protocol = 9).to_string();
    let wanted = format!("speaks version 9 of the link, wanted {PROTOCOL}");
    assert!(error.contains(&wanted), "{error}");
    let blob = blob();
    let unknown: Answer = Box::new(|seq, _| wire(seq, &Response::Error(ErrorCode::UnknownRequest)));
    let greeted = Linked::greet(Scripted::new(vec![unknown]), &blob.model());
    let error = greeted.err().expect("it must be refused").to_string();
    assert!(error.contains("an older version of the link"), "{error}");
    let error = greeting(|hello| hello.math = "tables").to_string();
    let wanted = format!("has the functions \"tables\" of f32, this mote \"{MATH}\"");
    assert!(error.contains(&wanted), "{error}");
}

#[test]
fn a_damaged_request_is_sent_again_under_its_number() {
    let first = std::rc::Rc::new(std::cell::Cell::new(0));
    let (one, two) = (first.clone(), first);
    let mut device = linked(vec![
        Box::new(move |seq, _| {
            one.set(seq);
            wire(0, &Response::Error(ErrorCode::BadFrame))
        }),
        Box::new(move |seq, request| {
            assert_eq!(seq, two.get());
            assert!(matches!(request, Request::Train { .. }));
            let loss = 1.5f32.to_bits();
            wire(
                seq,
                &Response::Step {
                    loss,
                    prediction: 2,
                },
            )
        }),
    ]);
    let report = device.train(&[0; 16], Target::Class(1)).unwrap();
    assert_eq!((report.loss, report.prediction), (1.5, 2));
}

#[test]
fn a_damaged_answer_is_asked_for_again_and_then_given_up() {
    let damaged = || -> Answer {
        Box::new(|seq, _| {
            let mut wire = wire(seq, &Response::Digest(7));
            wire[3] ^= 0x10;
            wire
        })
    };
    let good: Answer = Box::new(|seq, _| wire(seq, &Response::Digest(7)));
    let mut device = linked(vec![damaged(), damaged(), good]);
    assert_eq!(device.weights_digest().unwrap(), 7);
    let mut device = linked(vec![damaged(), damaged(), damaged()]);
    let error = device.weights_digest().unwrap_err();
    assert!(matches!(error, DeviceError::Frame { .. }), "{error}");
}

#[test]
fn an_answer_that_does_not_come_is_asked_for_again_under_the_same_number() {
    let number = std::rc::Rc::new(std::cell::Cell::new(0));
    let (one, two) = (number.clone(), number.clone());
    let mut device = linked(vec![
        Box::new(move |seq, _| {
            one.set(seq);
            Vec::new()
        }),
        // The answer to the first try comes late, and then that to the second.
        Box::new(move |seq, _| {
            assert_eq!(seq, two.get());
            wire(seq, &Response::Digest(5)).repeat(2)
        }),
        Box::new(move |seq, _| {
            assert_ne!(seq, number.get());
            [
                wire(number.get(), &Response::Digest(5)),
                wire(seq, &Response::Digest(6)),
            ]
            .concat()
        }),
    ]);
    assert_eq!(device.weights_digest().unwrap(), 5);
    assert_eq!(device.weights_digest().unwrap(), 6);
    // Three tries, and no answer.
    let nothing = || -> Answer { Box::new(|_, _| Vec::new()) };
    let mut device = linked(vec![nothing(), nothing(), nothing()]);
    let error = device.weights_digest().unwrap_err();
    assert!(matches!(error, DeviceError::Silent { .. }), "{error}");
}

#[test]
fn what_a_stranger_left_on_the_line_uses_up_no_tries() {
    // Ten frames that the device could not read, and then the answer.
    let noisy: Answer = Box::new(|seq, _| {
        let mut noise = wire(0, &Response::Error(ErrorCode::BadFrame)).repeat(10);
        noise.extend(wire(seq, &Response::Digest(3)));
        noise
    });
    assert_eq!(linked(vec![noisy]).weights_digest().unwrap(), 3);
}

#[test]
fn a_run_is_waited_for_as_long_as_runs_take() {
    let answer = || -> Answer { Box::new(|seq, _| wire(seq, &Response::Output(Bytes(&[1, 2])))) };
    let nothing: Answer = Box::new(|_, _| Vec::new());
    let mut device = linked(vec![answer(), nothing, answer()]);
    device.infer(&[0; 16]).unwrap();
    // Asked again after about the time of a small question, not after that of a first run.
    let begun = std::time::Instant::now();
    assert_eq!(device.infer(&[0; 16]).unwrap(), [1, 2]);
    let waited = begun.elapsed();
    assert!(
        waited >= IMPATIENT.small && waited < IMPATIENT.run,
        "{waited:?}"
    );
}

#[test]
fn late_wrong_and_missing_answers() {
    // One that belongs to an earlier request is passed over.
    let late: Answer = Box::new(|seq, _| {
        let late = wire(seq.wrapping_sub(1), &Response::Digest(1));
        [late, wire(seq, &Response::Digest(2))].concat()
    });
    assert_eq!(linked(vec![late]).weights_digest().unwrap(), 2);
    let wrong = || -> Answer { Box::new(|seq, _| wire(seq, &Response::Done)) };
    let mut device = linked(vec![wrong(), wrong(), wrong()]);
    let error = device.weights_digest().unwrap_err();
    assert!(matches!(error, DeviceError::Answer { .. }), "{error}");
    // One of a session before that had the same number.
    let other: Answer = Box::new(|seq, _| {
        let other = wire(seq, &Response::Done);
        [other, wire(seq, &Response::Digest(4))].concat()
    });
    assert_eq!(linked(vec![other]).weights_digest().unwrap(), 4);
    let gone: Answer = Box::new(|_, _| Vec::new());
    let blob = blob();
    let mut port = Scripted::new(vec![hello(&blob, |_| {}), gone]);
    port.breaks = true;
    let mut device = Linked::greet(port, &blob.model()).unwrap();
    let error = device.weights_digest().unwrap_err();
    assert!(
        error.to_string().contains("the line to bench failed"),
        "{error}"
    );
    let refusal: Answer = Box::new(|seq, _| wire(seq, &Response::Error(ErrorCode::NoTrainPlan)));
    let error = linked(vec![refusal]).reset().unwrap_err();
    assert!(error.to_string().contains("no training plan"), "{error}");
}

#[test]
fn weights_travel_in_pieces_that_the_device_can_take() {
    let weights: Vec<u8> = (0..60).collect();
    let expect = |offset: u32, part: Vec<u8>| -> Answer {
        Box::new(move |seq, request| {
            let bytes = Bytes(&part);
            assert_eq!(request, Request::WriteWeights { offset, bytes });
            wire(seq, &Response::Done)
        })
    };
    // frame_max is 37, 21 of it overhead: 16 bytes a piece.
    let mut answers: Vec<Answer> = (0..4)
        .map(|index| {
            let end = (index * 16 + 16).min(60);
            expect(index as u32 * 16, weights[index * 16..end].to_vec())
        })
        .collect();
    let all = weights.clone();
    answers.push(Box::new(move |seq, _| {
        wire(seq, &Response::Weights(Bytes(&all[..33])))
    }));
    let all = weights.clone();
    answers.push(Box::new(move |seq, request| {
        assert!(matches!(request, Request::ReadWeights { offset: 33, .. }));
        wire(seq, &Response::Weights(Bytes(&all[33..])))
    }));
    let mut device = linked(answers);
    device.write_weights(&weights).unwrap();
    assert_eq!(device.read_weights().unwrap(), weights);
    assert!(device.write_weights(&weights[1..]).is_err());
}

#[test]
fn here_runs_learns_and_resets() {
    let mut here = Here::new(&blob()).unwrap();
    let input: Vec<u8> = [1.0f32, -1.0, 0.5, 2.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    assert_eq!(here.info().arena, here.info().arena_train);
    assert_eq!(here.info().weights_len, 60);
    let before = here.infer(&input).unwrap();
    let (weights, digest) = (here.read_weights().unwrap(), here.weights_digest().unwrap());
    let mut losses = Vec::new();
    for _ in 0..5 {
        losses.push(here.train(&input, Target::Class(0)).unwrap().loss);
    }
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
    let learnt = here.read_weights().unwrap();
    assert_ne!(learnt, weights);
    here.reset().unwrap();
    assert_eq!(here.weights_digest().unwrap(), digest);
    assert_eq!(here.infer(&input).unwrap(), before);
    here.write_weights(&learnt).unwrap();
    assert_eq!(here.read_weights().unwrap(), learnt);
    let error = here.infer(&[0; 3]).unwrap_err().to_string();
    assert_eq!(error, "the model takes 16 bytes of input, found 3");
}
