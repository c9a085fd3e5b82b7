//! Cases in f32 and Q16: one graph for both.

use nn_core::ops::{
    Activation, Add, AvgPool2d, BatchNorm, Concat, Conv2d, Dropout, Embedding, Mul, Op, Pad, Prelu,
    Rrelu, Transpose, window,
};
use nn_core::tensor::DType;
use nn_core::train::{
    Clip, Course, Head, Loss, Optimizer, Part, Rounding, Schedule, TrainRule, TrainSpec, Trainable,
};

use super::Case;
use super::draft::{Draft, plain, pool};
use crate::random::Random;
use crate::sequence::{Gives, Graph, KINDS, Kind, Layer, recurrent};

const RATE: f32 = 0.05;

fn all(loss: Loss) -> TrainSpec {
    TrainSpec::sgd(Trainable::All, loss, RATE)
}

/// The cases of a number format.
pub(super) fn cases(dtype: DType) -> Vec<Case> {
    let name = |about: &str| format!("{} {about}", dtype.name());
    let mut cases = Vec::new();
    let mut add = |about: &str, blob| cases.push(Case::new(name(about), blob));

    add("convolutions", convolutions(dtype));
    add("one-dimensional convolution", sequence_convolution(dtype));
    add("pooled convolutions", pooled_convolutions(dtype));
    add("poolings", poolings(dtype));
    add("functions", functions(dtype));
    add("random functions", random_functions(dtype));
    add("batch norm", batch_norm(dtype));
    add("graph", graph(dtype));
    add("embedding", embedding(dtype));
    for kind in KINDS {
        add(&format!("{kind:?}"), layered(dtype, kind));
        add(&format!("{kind:?}, stateful"), stateful(dtype, kind));
    }
    for (about, loss) in [
        ("mean squared error", Loss::MeanSquaredError),
        ("mean absolute error", Loss::MeanAbsoluteError),
        ("Huber", Loss::Huber { delta: 0.3 }),
        ("binary cross-entropy", Loss::BinaryCrossEntropy),
    ] {
        add(about, two_layers(dtype, all(loss)));
    }
    for (about, plan) in plans() {
        add(about, two_layers(dtype, plan));
    }
    add("log-softmax of a sequence", sequence_classes(dtype));
    add("shared weights", shared_weights(dtype));
    add("two heads", two_heads(dtype));
    cases
}

/// Plans for [`two_layers`].
fn plans() -> Vec<(&'static str, TrainSpec)> {
    let squared = Loss::MeanSquaredError;
    let plan = || all(squared);
    let part = |part| plan().with_part(part);
    let rules = |nodes, part| {
        plan()
            .with_rules(&[TrainRule { nodes, part }])
            .expect("one rule")
    };
    let course = |course| Schedule { warm_up: 3, course };
    let rms_prop = TrainSpec::new(Trainable::All, squared, Optimizer::RMS_PROP, 0.01);
    vec![
        (
            "Nesterov",
            plan().with_nesterov(0.9).with_weight_decay(0.01),
        ),
        (
            "L1",
            plan().with_momentum(0.5).with_l1(0.01).without_bias_decay(),
        ),
        ("to nearest", plan().with_rounding(Rounding::Nearest)),
        (
            "momentum to nearest",
            plan().with_momentum(0.5).with_rounding(Rounding::Nearest),
        ),
        ("Adam", TrainSpec::adam(Trainable::All, squared, 0.01)),
        ("RMSprop", rms_prop.with_weight_decay(0.01)),
        ("clipped values", plan().with_clip(Clip::Value(0.05))),
        ("clipped norm", plan().with_clip(Clip::Norm(0.1))),
        (
            "sums of three",
            plan().with_accumulation(3).with_momentum(0.5),
        ),
        (
            "cosine",
            plan().with_schedule(course(Course::Cosine {
                period: 8,
                floor: 0.1,
                restart: true,
            })),
        ),
        (
            "exponential",
            plan().with_schedule(course(Course::Exponential { gamma: 0.9 })),
        ),
        (
            "last layer",
            TrainSpec::sgd(Trainable::Last(1), squared, RATE),
        ),
        ("biases", part(Part::Bias)),
        (
            "chosen channels",
            rules(
                Trainable::Node(0),
                Part::Channels {
                    first: 1,
                    mask: 0b1011,
                },
            ),
        ),
        (
            "largest channels",
            rules(
                Trainable::Node(0),
                Part::TopChannels {
                    count: 2,
                    decay: 0.5,
                },
            ),
        ),
    ]
}

/// Padding, stride, dilation, groups, depthwise.
fn convolutions(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 11);
    let x = d.net.input(&[7, 6, 2]);
    let x = d.conv(
        x,
        [3, 2],
        4,
        Conv2d {
            padding: [1, 0, 1, 1],
            activation: Activation::Relu,
            ..plain()
        },
    );
    let x = d.conv(
        x,
        [2, 3],
        6,
        Conv2d {
            groups: 2,
            dilation: [2, 1],
            stride: [1, 2],
            padding: [0, 1, 0, 1],
            activation: Activation::Tanh,
            ..plain()
        },
    );
    let depthwise = Conv2d {
        groups: 6,
        ..plain()
    };
    let x = d.conv(x, [2, 2], 6, depthwise);
    let x = d.flatten(x);
    let y = d.classes(x, 3);
    d.finish(&[y], all(Loss::CrossEntropy).with_momentum(0.5))
}

fn sequence_convolution(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 12);
    let x = d.net.input(&[9, 3]);
    let causal = Conv2d {
        dilation: [1, 2],
        activation: Activation::Relu,
        ..Conv2d::conv1d(0, None, 1, [4, 0])
    };
    let x = d.conv(x, [1, 3], 4, causal);
    let x = d.flatten(x);
    let y = d.dense(x, 3, Activation::None);
    d.finish(&[y], all(Loss::MeanSquaredError))
}

/// Rows of taps that are one run, of more than eight inputs; groups; windows of four taps and of more.
fn pooled_convolutions(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 24);
    let x = d.net.input(&[13, 9, 1]);
    let padded = Conv2d {
        padding: [1; 4],
        activation: Activation::Relu,
        ..plain()
    };
    let x = d.conv_pool(x, [3, 3], 6, padded, [2, 2]);
    let x = d.conv(x, [1, 1], 6, plain());
    let x = d.conv_pool(x, [3, 3], 4, padded, [1, 2]);
    let grouped = Conv2d {
        groups: 2,
        dilation: [2, 1],
        activation: Activation::Tanh,
        ..plain()
    };
    let x = d.conv_pool(x, [2, 2], 4, grouped, [3, 1]);
    let x = d.flatten(x);
    let y = d.classes(x, 3);
    d.finish(&[y], all(Loss::CrossEntropy))
}

fn poolings(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 13);
    let x = d.net.input(&[9, 8, 2]);
    let x = d.conv(x, [2, 2], 3, plain());
    let x = d.pool(x, pool([3, 2], [2, 1], [1, 0, 0, 1]), Op::MaxPool2d);
    let x = d.same(Op::Relu, x);
    let (before, after) = window::same_padding(4, 2, 1);
    let padding = [before as u8, 0, after as u8, 0];
    let x = d.pool(x, pool([2, 2], [1, 1], padding), |pool| {
        Op::AvgPool2d(AvgPool2d {
            window: pool,
            count_padding: true,
        })
    });
    let x = d.pool(x, pool([2, 2], [2, 2], [0; 4]), |pool| {
        Op::AvgPool2d(pool.into())
    });
    let dims = d.net.dims(x);
    let global = pool([dims[0] as u16, dims[1] as u16], [1, 1], [0; 4]);
    let x = d.pool(x, global, Op::MaxPool2d);
    let x = d.flatten(x);
    let y = d.dense(x, 2, Activation::None);
    d.finish(&[y], all(Loss::MeanSquaredError))
}

/// Every function of a number, fused and as a layer.
fn functions(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 14);
    let mut x = d.net.input(&[6]);
    for activation in [
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu6,
        Activation::LeakyRelu(0.1),
        Activation::HardSigmoid,
    ] {
        x = d.dense(x, 5, activation);
        x = d.dense(x, 6, Activation::None);
        x = match activation {
            Activation::Relu => d.same(Op::Relu, x),
            Activation::Sigmoid => d.same(Op::Sigmoid(None), x),
            Activation::Tanh => d.same(Op::Tanh(None), x),
            other => d.same(Op::Activation(other), x),
        };
    }
    let x = d.dense(x, 5, Activation::None);
    let x = d.same(Op::Softmax(None), x);
    let y = d.dense(x, 3, Activation::None);
    // No gradient passes a threshold: it is an output of its own, without a loss.
    let threshold = d.same(Op::Activation(Activation::Step), y);
    d.finish(&[y, threshold], all(Loss::MeanSquaredError))
}

fn random_functions(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 15);
    let x = d.net.input(&[6]);
    let x = d.dense(x, 12, Activation::None);
    let rrelu = Rrelu {
        lower: 0.125,
        upper: 0.333,
    };
    let x = d.same(Op::Rrelu(rrelu), x);
    let dropout = Dropout {
        probability: 1 << 14,
    };
    let x = d.same(Op::Dropout(dropout), x);
    let y = d.classes(x, 3);
    d.finish(&[y], all(Loss::CrossEntropy))
}

fn batch_norm(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 16);
    let x = d.net.input(&[4, 3, 3]);
    let x = d.conv(x, [2, 2], 4, plain());
    let norm = BatchNorm {
        gamma: d.weight(&[4], 1.0),
        beta: d.weight(&[4], 0.3),
        mean: d.weight(&[4], 0.3),
        scale: d.net.weight(&[4], &[0.5, 1.5, 2.0, 0.75]),
    };
    let x = d.same(Op::BatchNorm(norm), x);
    let x = d.same(Op::Relu, x);
    let x = d.flatten(x);
    let y = d.dense(x, 2, Activation::None);
    d.finish(&[y], all(Loss::MeanSquaredError))
}

/// Sums, products, and what moves numbers: a residual, a gate, branches.
fn graph(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 23);
    let x = d.net.input(&[4, 3, 2]);
    let same = Conv2d {
        padding: [1; 4],
        ..plain()
    };
    let a = d.conv(x, [3, 3], 3, same);
    let b = d.conv(a, [3, 3], 3, same);
    let relu = Add {
        requant: None,
        activation: Activation::Relu,
    };
    let sum = d.net.node(Op::Add(relu), &[b, a], &[4, 3, 3]);
    let mean = d.net.node(Op::GlobalAvgPool(None), &[sum], &[3]);
    let gate = d.dense(mean, 3, Activation::Sigmoid);
    let gated = d
        .net
        .node(Op::Mul(Mul::default()), &[sum, gate], &[4, 3, 3]);
    let prelu = Prelu {
        slope: d.weight(&[3], 0.5),
        requant: None,
    };
    let bent = d.same(Op::Prelu(prelu), gated);
    let both = d
        .net
        .node(Op::Concat(Concat { axis: 2 }), &[bent, sum], &[4, 3, 6]);
    let pad = Pad {
        before: [1, 0, 0, 0],
        after: [0, 2, 0, 0],
    };
    let padded = d.net.node(Op::Pad(pad), &[both], &[5, 5, 6]);
    let transpose = Transpose { axes: [2, 0, 1, 3] };
    let turned = d.net.node(Op::Transpose(transpose), &[padded], &[6, 5, 5]);
    let shaped = d.net.node(Op::Reshape, &[turned], &[10, 15]);
    let largest = d.net.node(Op::GlobalMaxPool, &[shaped], &[15]);
    let y = d.classes(largest, 3);
    d.finish(&[y], all(Loss::CrossEntropy))
}

fn embedding(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 24);
    let ids = d.net.input_of(&[6], DType::I32);
    let table = d.weight(&[4, 3], 1.0);
    let x = d
        .net
        .node(Op::Embedding(Embedding { table }), &[ids], &[6, 3]);
    let x = d.flatten(x);
    let y = d.dense(x, 2, Activation::None);
    d.finish(&[y], all(Loss::MeanSquaredError).with_momentum(0.5))
}

/// A recurrent layer over a sequence, read backward in time, under one that gives its last state.
fn layered(dtype: DType, kind: Kind) -> host::export::AlignedBytes {
    let below = Layer::Recurrent {
        kind,
        units: 4,
        gives: Gives::Whole,
        reverse: true,
        stateful: false,
        truncate: 0,
    };
    let head = Layer::Dense {
        outputs: 3,
        activation: Activation::None,
    };
    let layers = vec![below, recurrent(kind, 3, Gives::Last), head, Layer::Softmax];
    let graph = Graph::chain(&[5, 3], layers);
    let parameters = graph.draw(&mut Random::new(17));
    graph.blob(dtype, &parameters, Some(all(Loss::CrossEntropy)))
}

/// A recurrent layer that keeps its state from run to run, and looks back three steps.
fn stateful(dtype: DType, kind: Kind) -> host::export::AlignedBytes {
    let layer = Layer::Recurrent {
        kind,
        units: 4,
        gives: Gives::Whole,
        reverse: false,
        stateful: true,
        truncate: 3,
    };
    let head = Layer::Dense {
        outputs: 2,
        activation: Activation::None,
    };
    let graph = Graph::chain(&[5, 2], vec![layer, head]);
    let parameters = graph.draw(&mut Random::new(18));
    graph.blob(dtype, &parameters, Some(all(Loss::MeanSquaredError)))
}

/// Two dense layers with a sigmoid, for any plan.
fn two_layers(dtype: DType, plan: TrainSpec) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 19);
    let x = d.net.input(&[5]);
    let x = d.dense(x, 6, Activation::Tanh);
    let y = d.dense(x, 3, Activation::Sigmoid);
    d.finish(&[y], plan)
}

fn sequence_classes(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 20);
    let x = d.net.input(&[4, 3]);
    let x = d.dense(x, 5, Activation::LeakyRelu(0.2));
    let x = d.dense(x, 4, Activation::None);
    let y = d.same(Op::LogSoftmax(None), x);
    d.finish(&[y], all(Loss::CrossEntropy))
}

/// One dense layer at two places.
fn shared_weights(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 21);
    let x = d.net.input(&[5]);
    let shared = d.dense_of(5, 5, Activation::Tanh);
    let x = d.net.node(shared, &[x], &[5]);
    let x = d.net.node(shared, &[x], &[5]);
    let y = d.dense(x, 2, Activation::None);
    d.finish(&[y], all(Loss::MeanSquaredError))
}

/// A trunk with two heads and a loss at each.
fn two_heads(dtype: DType) -> host::export::AlignedBytes {
    let mut d = Draft::new(dtype, 22);
    let x = d.net.input(&[5]);
    let trunk = d.dense(x, 6, Activation::Relu);
    let class = d.classes(trunk, 3);
    let value = d.dense(trunk, 2, Activation::None);
    let heads = [
        Head::new(Loss::CrossEntropy),
        Head::new(Loss::MeanSquaredError).at(1).with_weight(0.5),
    ];
    let plan = all(Loss::CrossEntropy).with_heads(&heads).expect("two");
    d.finish(&[class, value], plan)
}
