//! Recurrent layers in whole graphs: run in sessions, learnt in trainers, held to f64 loops.

mod arena;
mod sessions;
mod trainers;

use host::export::AlignedBytes;
use nn_core::model::Model;
use nn_core::ops::Activation;
use nn_core::session::Session;
use nn_core::tensor::DType;
use nn_core::train::{Loss, Sgd, TrainSpec, Trainable};
use tests::graph::{bytes_of, values_of};
use tests::network::poisoned_arena;
use tests::random::Random;
use tests::sequence::{Gives, Graph, KINDS, Kind, Layer, recurrent};

fn dense(outputs: usize, activation: Activation) -> Layer {
    Layer::Dense {
        outputs,
        activation,
    }
}

/// A layer that reads its input from the last time to the first.
fn reversed(layer: Layer) -> Layer {
    match layer {
        Layer::Recurrent {
            kind,
            units,
            gives,
            stateful,
            truncate,
            ..
        } => Layer::Recurrent {
            kind,
            units,
            gives,
            reverse: true,
            stateful,
            truncate,
        },
        other => other,
    }
}

fn stateful(kind: Kind, units: usize, gives: Gives) -> Layer {
    Layer::Recurrent {
        kind,
        units,
        gives,
        reverse: false,
        stateful: true,
        truncate: 0,
    }
}

/// Every way in which layers can be put together, by name.
fn graphs(kind: Kind) -> Vec<(&'static str, Graph)> {
    let next = KINDS[(KINDS.iter().position(|k| *k == kind).unwrap_or(0) + 1) % KINDS.len()];
    let node = |layer: Layer, reads: &[usize]| (layer, reads.to_vec());
    let last = || recurrent(kind, 6, Gives::Last);
    let whole = || recurrent(kind, 6, Gives::Whole);
    vec![
        (
            "sequence to one",
            Graph::chain(&[7, 3], vec![last(), dense(2, Activation::None)]),
        ),
        ("alone", Graph::chain(&[7, 3], vec![last()])),
        ("alone, whole", Graph::chain(&[7, 3], vec![whole()])),
        ("one step", Graph::chain(&[3], vec![last()])),
        (
            "one to sequence",
            Graph::chain(
                &[4],
                vec![
                    dense(3, Activation::Tanh),
                    recurrent(kind, 6, Gives::Steps(5)),
                    dense(2, Activation::None),
                ],
            ),
        ),
        (
            "sequence to sequence",
            Graph::chain(&[6, 3], vec![whole(), dense(2, Activation::Sigmoid)]),
        ),
        (
            "in reverse, over a layer that learns",
            Graph::chain(
                &[6, 3],
                vec![
                    dense(4, Activation::Relu),
                    reversed(whole()),
                    dense(2, Activation::None),
                ],
            ),
        ),
        (
            "stacked",
            Graph::chain(
                &[6, 3],
                vec![
                    whole(),
                    reversed(recurrent(next, 5, Gives::Whole)),
                    recurrent(kind, 4, Gives::Last),
                    dense(3, Activation::None),
                ],
            ),
        ),
        (
            "bidirectional",
            Graph {
                inputs: vec![vec![6, 3]],
                nodes: vec![
                    node(whole(), &[0]),
                    node(reversed(whole()), &[0]),
                    node(Layer::Concat, &[1, 2]),
                    node(dense(2, Activation::None), &[3]),
                ],
            },
        ),
        (
            "bidirectional to one, over a layer that learns",
            Graph {
                inputs: vec![vec![6, 3]],
                nodes: vec![
                    node(dense(4, Activation::Tanh), &[0]),
                    node(last(), &[1]),
                    node(reversed(recurrent(next, 5, Gives::Last)), &[1]),
                    node(Layer::Concat, &[2, 3]),
                    node(dense(2, Activation::None), &[4]),
                ],
            },
        ),
        (
            "encoder and decoder: the decoder begins in the encoder's last state, and reads another sequence",
            Graph {
                inputs: vec![vec![6, 3], vec![4, 2]],
                nodes: vec![
                    node(last(), &[0]),
                    node(whole(), &[1, 2]),
                    node(dense(3, Activation::None), &[3]),
                ],
            },
        ),
        (
            "two learnt states, from one layer",
            Graph {
                inputs: vec![vec![5, 3], vec![4]],
                nodes: vec![
                    node(dense(6, Activation::Tanh), &[1]),
                    node(
                        whole(),
                        if kind == Kind::Lstm {
                            &[0, 2, 2]
                        } else {
                            &[0, 2]
                        },
                    ),
                ],
            },
        ),
    ]
}

fn spec(loss: Loss, rate: f32) -> TrainSpec {
    TrainSpec::with_rates(
        Trainable::All,
        loss,
        Sgd {
            learning_rate: rate,
            momentum: 0.0,
            weight_decay: 0.0,
        },
    )
}

/// Random inputs of a graph.
fn draw_inputs(graph: &Graph, random: &mut Random) -> Vec<Vec<f32>> {
    let shapes = graph.inputs.iter();
    shapes
        .map(|shape| random.values(shape.iter().product(), 1.0))
        .collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Runs a session on these inputs.
fn run(session: &mut Session, dtype: DType, inputs: &[Vec<f32>]) -> Vec<f32> {
    for (index, input) in inputs.iter().enumerate() {
        let bytes = session.input_mut(index).expect("an input");
        bytes.copy_from_slice(&bytes_of(dtype, input));
    }
    session.run().expect("a run");
    values_of(dtype, session.output(0).expect("an output"))
}

/// An arena in which nothing is 0.
fn infer_arena(blob: &AlignedBytes) -> AlignedBytes {
    poisoned_arena(Model::load(blob).expect("a model").arena_infer())
}
