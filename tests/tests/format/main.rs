//! `docs/format.md`: its example, byte by byte, and a reader written from it alone.

mod reader;

use host::export::AlignedBytes;
use nn_core::model::{Ids, Model, Node};
use nn_core::ops::{Activation, Dense, Op};
use nn_core::tensor::{DType, Quant, Shape, Source, Tensor};
use nn_core::train::{Loss, Sgd, TrainSpec, Trainable};
use tests::parts::Parts;

use crate::reader::Reader;

/// The model of the example.
fn neuron() -> Parts {
    let weight = |dims: &[usize], offset| Tensor {
        shape: Shape::new(dims).unwrap(),
        dtype: DType::F32,
        quant: Quant::None,
        source: Source::Weight { offset },
    };
    let vector = |n| Tensor::activation(Shape::vector(n), DType::F32, Quant::None);
    Parts {
        name: "line",
        tensors: vec![vector(2), weight(&[2, 1], 0), weight(&[1], 8), vector(1)],
        nodes: vec![Node {
            name: "sum",
            op: Op::Dense(Dense {
                weight: 1,
                bias: Some(2),
                requant: None,
                activation: Activation::None,
            }),
            inputs: Ids::one(0),
            output: 3,
        }],
        inputs: vec![0],
        outputs: vec![3],
        train: Some(TrainSpec::with_rates(
            Trainable::Last(1),
            Loss::MeanSquaredError,
            Sgd {
                learning_rate: 0.125,
                momentum: 0.0,
                weight_decay: 0.0,
            },
        )),
        weights: bytemuck::cast_slice(&[0.5f32, -1.0, 0.25]).to_vec(),
    }
}

#[test]
fn the_example_is_what_the_runtime_writes() {
    let page = include_str!("../../../docs/format.md");
    let (_, example) = page.split_once("```hex\n").expect("the example");
    let (example, _) = example.split_once("```").expect("its end");
    let mut bytes = Vec::new();
    for line in example.lines() {
        // Offset, bytes, two spaces, what they are.
        let (offset, rest) = line.split_once("  ").expect(line);
        let (hex, _) = rest.split_once("  ").expect(line);
        assert_eq!(usize::from_str_radix(offset, 16), Ok(bytes.len()), "{line}");
        for byte in hex.split(' ') {
            bytes.push(u8::from_str_radix(byte, 16).expect(line));
        }
    }
    let blob = neuron().encode().unwrap();
    let hex = |bytes: &[u8]| -> Vec<String> { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    assert_eq!(hex(&bytes), hex(&blob));
    // And it computes what the page says.
    let y = tests::network::run_f32(&AlignedBytes::copy_of(&bytes), &[3.0, 2.0]);
    assert_eq!(y, [0.5 * 3.0 - 2.0 + 0.25]);
}

/// Reads a blob by the page, and compares each part with the runtime's.
fn compare(blob: &[u8]) {
    let model = Model::load(blob).unwrap();
    let word = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(&blob[..6], b"MOTE\x02\0");
    let layout = u16::from_le_bytes([blob[6], blob[7]]);
    assert_eq!(layout, model.header().layout);
    let (graph_len, weights_at, weights_len) = (word(8), word(12), word(16));
    assert_eq!(weights_at, (32 + graph_len).next_multiple_of(16));
    assert_eq!(weights_at + weights_len, blob.len());
    assert_eq!(word(20), model.arena_infer());
    assert_eq!(word(24), model.arena_train());
    assert!(blob[32 + graph_len..weights_at].iter().all(|&b| b == 0));
    assert_eq!(&blob[weights_at..], model.weights());

    let mut reader = Reader::new(&blob[32..32 + graph_len]);
    assert_eq!(reader.string(), model.name());
    let tensors: Vec<String> = model.tensors().iter().map(|t| format!("{t:?}")).collect();
    assert_eq!(reader.list(Reader::tensor), tensors);
    let nodes = reader.list(|r| (r.string(), r.op(), r.list(Reader::id), r.id()));
    assert_eq!(nodes.len(), model.nodes().len());
    for ((name, op, inputs, output), node) in nodes.into_iter().zip(model.nodes()) {
        assert_eq!(name, node.name);
        assert_eq!(op, format!("{:?}", node.op));
        assert_eq!(inputs, node.inputs.as_slice());
        assert_eq!(output, node.output);
    }
    assert_eq!(reader.list(Reader::id), model.inputs().as_slice());
    assert_eq!(reader.list(Reader::id), model.outputs().as_slice());
    let plan = reader.optional(Reader::plan);
    assert_eq!(plan, model.train_spec().map(|spec| format!("{spec:?}")));
    assert!(reader.is_at_the_end());
}

#[test]
fn a_reader_written_from_the_page_agrees() {
    for parts in [neuron(), Parts::float(), Parts::integer()] {
        compare(&parts.encode().unwrap());
    }
    let mut random = tests::random::Random::new(11);
    for _ in 0..30 {
        let network = tests::network::Network::draw(&mut random);
        let parameters = network.draw_parameters(&mut random);
        let plan = neuron()
            .train
            .unwrap()
            .with_rules(&[Trainable::Nodes(u64::MAX).into()]);
        let plan = plan.expect("one rule");
        compare(&network.blob(&parameters, Some(plan)));
    }
    // Every operator in every number format, in both layouts.
    let cases = tests::conformance::cases();
    cases.iter().for_each(|case| compare(&case.blob));
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    let mut read = 0;
    for entry in std::fs::read_dir(models).expect(models) {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "mote")
        {
            compare(&AlignedBytes::copy_of(&std::fs::read(&path).unwrap()));
            read += 1;
        }
    }
    assert!(read >= 6, "only {read} models");
}

/// Prints the example, for whoever changes the format: `cargo test -p tests --test format -- --ignored --nocapture`.
#[test]
#[ignore = "prints the bytes of the example"]
fn print_the_example() {
    let blob = neuron().encode().unwrap();
    for (line, bytes) in blob.chunks(16).enumerate() {
        let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        println!("{:04x}  {}", 16 * line, hex.join(" "));
    }
}
