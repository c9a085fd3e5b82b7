//! Recurrent layers in int8: near f32, node by node, and what calibration sees of their states.

use super::*;
use crate::export::network::Kind;
use crate::export::recurrent::States;
use crate::recipe::Format;

/// Layers between the rows of an image and ten probabilities, each with how far its h may be from f32's, in steps of
/// int8.
///
/// One layer: half a step where h is rounded, and about as much from weights in steps of 1/127 of the largest and from
/// the errors of the h before. Each that reads another takes over the error below it as well.
const LAYERS: &[(&str, f32)] = &[
    ("type = 'rnn'; units = 12", 2.0),
    ("type = 'rnn'; units = 12; activation = 'relu'", 2.0),
    ("type = 'lstm'; units = 12", 2.0),
    ("type = 'gru'; units = 12", 2.0),
    (
        "type = 'lstm'; units = 12; return = 'sequence'; bidirectional = true",
        2.0,
    ),
    ("type = 'gru'; units = 12; bidirectional = true", 2.0),
    (
        "type = 'lstm'; units = 12; return = 'sequence' | type = 'gru'; units = 12; return = 'sequence'
         | type = 'rnn'; units = 12",
        4.0,
    ),
];

fn layered(layers: &str) -> Recipe {
    let first = "type = 'reshape'; shape = [28, 28]";
    let last = "type = 'flatten' | type = 'dense'; units = 10; activation = 'softmax'";
    let mut text = "name = \"recurrent\"\n[data]\nset = \"mnist\"\n".to_owned();
    for layer in first
        .split('|')
        .chain(layers.split('|'))
        .chain(last.split('|'))
    {
        text += &format!("[[layer]]\n{}\n", layer.trim().replace("; ", "\n"));
    }
    text += "[train]\nloss = \"cross_entropy\"\nepochs = 1\nbatch = 1\nseed = 1\n\
             optimizer = { type = \"sgd\", learning_rate = 0.1 }\n[export.train]\nlayers = \"last:1\"\n";
    Recipe::parse(&text, Path::new("recurrent.toml")).unwrap()
}

fn network(recipe: &Recipe) -> Network {
    // A third of the usual weights, or gates are all shut or open.
    let mut checkpoint = checkpoint(recipe);
    for tensor in checkpoint.tensors.values_mut() {
        tensor.values.iter_mut().for_each(|value| *value /= 2.0);
    }
    Network::new(recipe, &checkpoint).unwrap()
}

/// The real numbers that each recurrent node gives, and the scale of each.
fn hidden(blob: &AlignedBytes, image: &[u8]) -> Vec<(String, f32, Vec<f32>)> {
    let model = Model::load(blob).unwrap();
    let outputs = run(model, image);
    let nodes = model.nodes().iter().zip(outputs);
    let nodes = nodes.filter(|(node, _)| matches!(node.op.name(), "rnn" | "lstm" | "gru"));
    nodes
        .map(|(node, bytes)| {
            let tensor = model.tensor(node.output).unwrap();
            let values = sample::scores(&tensor, &bytes).unwrap();
            (node.name.to_owned(), tensor.scale(), values)
        })
        .collect()
}

#[test]
fn int8_follows_f32_node_by_node() {
    let set = images(12);
    for (layers, steps) in LAYERS {
        let recipe = layered(layers);
        let network = network(&recipe);
        let ranges = Ranges::measure(&network, &set).unwrap();
        let [float, int8] = [Format::F32, Format::I8].map(|format| {
            let lowered = network.lower(&recipe, &ranges, format).unwrap();
            lowered.bytes
        });
        let mut worst = 0f32;
        for (image, _) in set.iter() {
            let pairs = hidden(&float, image).into_iter().zip(hidden(&int8, image));
            for ((name, _, wanted), (same, scale, found)) in pairs {
                assert_eq!((name, wanted.len()), (same, found.len()));
                let differences = wanted.iter().zip(&found).map(|(a, b)| (a - b).abs());
                worst = worst.max(differences.fold(0.0, f32::max) / scale);
            }
        }
        println!("{layers}: {worst} steps");
        assert!(worst < *steps, "{layers}: {worst} steps");
    }
}

/// What is walked beside the session is what the session computes: f64 against f32, over 28 steps.
#[test]
fn states_are_those_of_the_sequence() {
    let set = images(5);
    for (layers, _) in LAYERS {
        let recipe = layered(layers);
        let network = network(&recipe);
        let ranges = Ranges::measure(&network, &set).unwrap();
        for (index, layer) in network.layers.iter().enumerate() {
            let Kind::Recurrent(recurrent) = &layer.kind else {
                assert!(ranges.states(index).is_empty());
                continue;
            };
            let states = ranges.states(index);
            assert_eq!(states.len(), recurrent.directions.len());
            if recurrent.gives == crate::recipe::Gives::Last {
                continue;
            }
            // The whole sequence is there to be seen, in each direction.
            for (direction, states) in states.iter().enumerate() {
                let seen = ranges.of_node(index, direction).unwrap();
                assert!((seen.min.min(0.0) - states.hidden.min).abs() < 1e-5);
                assert!((seen.max.max(0.0) - states.hidden.max).abs() < 1e-5);
            }
        }
    }
}

/// What an LSTM of one unit keeps whose gates are all open: its cell adds up 1 for each step.
fn open_cell(fields: &str, samples: usize) -> States {
    let recipe = layered(&format!("type = 'lstm'; units = 1{fields}"));
    let mut checkpoint = checkpoint(&recipe);
    for (name, tensor) in &mut checkpoint.tensors {
        if name.starts_with("lstm_1.") {
            tensor
                .values
                .fill(if name.ends_with("bias") { 50.0 } else { 0.0 });
        }
    }
    let network = Network::new(&recipe, &checkpoint).unwrap();
    let ranges = Ranges::measure(&network, &images(samples)).unwrap();
    let index = network
        .layers
        .iter()
        .position(|layer| layer.name == "lstm_1");
    ranges.states(index.unwrap())[0]
}

#[test]
fn a_cell_is_seen_although_no_layer_gives_it() {
    let states = open_cell("", 3);
    assert!((states.cell - 28.0).abs() < 1e-4, "{states:?}");
    assert_eq!(states.hidden.min, 0.0);
    assert!((states.hidden.max - 1.0).abs() < 1e-6);
}

/// A stateful layer is calibrated as it will run: each sample begins where the one before it ended.
#[test]
fn a_stateful_layer_goes_on_from_sample_to_sample() {
    let states = open_cell("; stateful = true", 3);
    assert!((states.cell - 84.0).abs() < 1e-3, "{states:?}");
}
