//! Any bytes on the line: to the decoder in two pieces, and to a device that learns, in this process.
//!
//! The first byte says how: the size of the receiver's buffer, and whether the bytes are taken as they are or as messages, each
//! behind its length, that are framed here: a checksum that no mutation finds must not hide what comes behind it.
#![no_main]

mod line;
mod memory;

use firmware::server::{Card, ModelCard, Server};
use libfuzzer_sys::fuzz_target;
use line::{Line, NoLight, Seeds, framed, seeds};
use memory::Aligned;
use nn_core::{
    link::{
        Bytes, Decoder, Input, LabelBytes, PROTOCOL, Request, StackUse, agent,
        decode_inference_request, decode_request, decode_response, pack_runs, package::Manifest,
    },
    model::Model,
    train::Trainer,
};

static BLOB: &[u8] = nn_core::include_model!("../../models/stock-rnn-f32.mote");

fuzz_target!(init: seeds(write_seeds), |bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else {
        return;
    };
    let line = if how & 1 == 0 {
        bytes.to_vec()
    } else {
        framed(bytes)
    };
    decode(&line, usize::from(how));
    serve(&line);
});

fn write_seeds(seeds: &mut Seeds) {
    let bytes = [0, 0, 128, 63].repeat(10);
    let mut runs = Vec::new();
    pack_runs(&bytes, |part| runs.extend_from_slice(part));
    let (plain, packed) = (Input::Plain(Bytes(&bytes)), Input::Runs(Bytes(&runs)));
    let value = LabelBytes::Values(Bytes(&[0, 0, 0, 63]));
    for request in [
        Request::Hello { protocol: PROTOCOL },
        Request::Infer { input: plain },
        Request::Infer { input: packed },
        Request::Train {
            input: plain,
            target: value,
        },
        Request::Train {
            input: packed,
            target: LabelBytes::Class(0),
        },
        Request::Train {
            input: plain,
            target: LabelBytes::Classes(Bytes(&[0, 0])),
        },
        Request::SetSgd {
            learning_rate: 0.5,
            momentum: 0.0,
            weight_decay: 0.0,
        },
        Request::Digest,
        Request::ReadWeights { offset: 0, len: 64 },
        Request::WriteWeights {
            offset: 4,
            bytes: Bytes(&bytes),
        },
        Request::Reset,
        Request::Stack,
        Request::Save,
        Request::Forget,
        Request::Store,
        Request::Bye,
    ] {
        seeds.request(&request);
    }
}

fn decode(line: &[u8], size: usize) {
    let mut whole = vec![0; size * 4];
    let mut halves = whole.clone();
    let frames = collect(&mut Decoder::new(&mut whole), &[line]);
    let (front, back) = line.split_at(line.len() / 2);
    // However the bytes come, the frames are the same.
    assert_eq!(
        frames,
        collect(&mut Decoder::new(&mut halves), &[front, back])
    );
    for (_, message) in frames.iter().flatten() {
        read(message);
    }
}

type Frames = Vec<Result<(u8, Vec<u8>), nn_core::link::FrameError>>;

fn collect(decoder: &mut Decoder, pieces: &[&[u8]]) -> Frames {
    let mut frames = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (used, frame) = decoder.push(rest);
            assert!(used > 0);
            rest = &rest[used..];
            frames.extend(frame.map(|frame| frame.map(|f| (f.seq, f.message.to_vec()))));
        }
    }
    frames
}

fn read(message: &[u8]) {
    let request = decode_request(message);
    decode_inference_request(message).ok();
    decode_response(message).ok();
    let agents = agent::decode_agent_request(message);
    agent::decode_agent_response(message).ok();
    Manifest::decode(message).ok();
    assert!(agents.is_err() || agent::is_agents(message));
    if let Ok(Request::Infer { input } | Request::Train { input, .. }) = request {
        unpack(&input);
    }
}

fn unpack(input: &Input) {
    for len in [0, 1, 40, 784] {
        input.copy_to(&mut vec![0; len]).ok();
    }
}

/// A device behind the line. It answers whatever comes.
fn serve(line: &[u8]) {
    let model = Model::load(BLOB).expect("the model is sound");
    let mut arena = Aligned::zeroed(model.arena_train());
    let mut trainer = Trainer::new(model, &mut arena).expect("it can be set up");
    let outputs = model.output(0).map_or(0, |output| output.elements());
    let mut values = vec![0.0; outputs];
    let card = Card {
        board: "fuzz",
        core: "host",
        model: ModelCard {
            name: "stock-rnn",
            crc32: model.header().crc,
            arena: [model.header().arena_infer, model.header().arena_train],
            input_len: 40,
            output_len: 4,
        },
        arena: model.arena_train(),
        frame_max: 256,
        stack: || StackUse {
            size: 0,
            setup: 0,
            serve: 0,
        },
    };
    let mut frame = [0; 256];
    let mut server = Server::new(&mut trainer, &mut values, card);
    let mut port = Line(line);
    let Ok(()) = server.serve(&mut port, &mut NoLight, &mut frame);
}
