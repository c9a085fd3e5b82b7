//! Training plans through whole models: each optimizer, loss, part, schedule and clipping, and sums over samples,
//! against central differences and optimizers written in f64.

mod reference;

use host::export::AlignedBytes;
use nn_core::model::Model;
use nn_core::ops::{Activation, Conv2d, Dense, Op};
use nn_core::tensor::DType;
use nn_core::train::{
    Clip, Course, Head, Loss, Method, Optimizer, Part, Rounding, Schedule, Target, TrainRule,
    TrainSpec, Trainable, Trainer,
};
use tests::graph::{Net, bytes_of, values_of};
use tests::network::poisoned_arena;
use tests::random::Random;

use crate::reference::{Reference, Sample, gradient, loss};

/// Five inputs; a trunk of six units, tanh; on it three classes with a softmax, and two sigmoids.
const SIZES: [[usize; 2]; 3] = [[5, 6], [6, 3], [6, 2]];
const CLASS_WEIGHTS: [f32; 3] = [0.5, 1.0, 2.0];
/// Tensor ids of the class weights: [`blob`] makes them first.
const CLASS_WEIGHTS_ID: u16 = 0;
const SAMPLES: usize = 12;

/// The parameters in the order of the graph: of each layer the weight `[in, out]` (even), then the bias (odd).
fn tensors() -> Vec<(usize, usize)> {
    let each = SIZES.iter();
    each.flat_map(|&[inputs, outputs]| [(inputs * outputs, outputs), (outputs, outputs)])
        .collect()
}

fn blob(dtype: DType, parameters: &[f32], spec: TrainSpec) -> AlignedBytes {
    let mut net = Net::new(dtype);
    let class_weights = net.weight_of(&[3], &CLASS_WEIGHTS, DType::F32);
    assert_eq!(class_weights, CLASS_WEIGHTS_ID);
    let mut rest = parameters;
    let mut dense = |net: &mut Net, [inputs, outputs]: [usize; 2], x, activation| {
        let (weight, tail) = rest.split_at(inputs * outputs);
        let (bias, tail) = tail.split_at(outputs);
        rest = tail;
        let op = Op::Dense(Dense {
            weight: net.weight(&[inputs, outputs], weight),
            bias: Some(net.weight(&[outputs], bias)),
            requant: None,
            activation,
        });
        net.node(op, &[x], &[outputs])
    };
    let x = net.input(&[5]);
    let trunk = dense(&mut net, SIZES[0], x, Activation::Tanh);
    let logits = dense(&mut net, SIZES[1], trunk, Activation::None);
    let classes = net.node(Op::Softmax(None), &[logits], &[3]);
    let yes = dense(&mut net, SIZES[2], trunk, Activation::Sigmoid);
    net.finish(&[classes, yes], Some(spec))
}

/// Which parameters learn: by tensor (0 and 1 the trunk's, 2 and 3 the classes', 4 and 5 the sigmoids') and channel.
type Learns = fn(usize, usize) -> bool;

/// Twelve samples on nn-core and on the reference; the weights are compared after each, the losses too.
#[track_caller]
fn compare(name: &str, spec: TrainSpec, learns: Learns, dtypes: &[DType]) {
    // A plan that chooses channels of the trunk by their gradients.
    let top = spec.rules.iter().find_map(|rule| match rule.part {
        Part::TopChannels { count, decay } => Some((usize::from(count), f64::from(decay))),
        _ => None,
    });
    for &dtype in dtypes {
        let mut random = Random::new(17);
        let count = tensors().iter().map(|(len, _)| len).sum();
        let parameters = random.values(count, 0.8);
        let blob = blob(dtype, &parameters, spec);
        let model = Model::load(&blob).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut arena = poisoned_arena(model.arena_train());
        let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();

        let mut may_learn = Vec::new();
        let mut is_bias = Vec::new();
        // What is kept in RAM: each tensor of which something learns, whole.
        let mut kept = Vec::new();
        for (tensor, (len, channels)) in tensors().into_iter().enumerate() {
            let each: Vec<bool> = (0..len).map(|i| learns(tensor, i % channels)).collect();
            kept.extend(vec![each.contains(&true); len]);
            may_learn.extend(each);
            is_bias.extend(vec![tensor % 2 == 1; len]);
        }
        let mut reference = Reference {
            spec,
            is_bias,
            weights: values_of(dtype, &bytes_of(dtype, &parameters))
                .iter()
                .map(|&w| f64::from(w))
                .collect(),
            moments: vec![[0.0; 2]; count],
            steps: 0,
        };
        let before = reference.weights.clone();
        let mut sums = vec![0.0; count];
        let mut norms = [0.0; 6];
        for index in 0..SAMPLES {
            let sample = Sample {
                x: random.values(5, 1.0),
                class: random.size(0, 2) as u16,
                yes: (0..2).map(|_| f32::from(random.once_in(2))).collect(),
            };
            let input = trainer.input_mut(0).unwrap();
            input.copy_from_slice(&bytes_of(dtype, &sample.x));
            let targets: Vec<Target> = spec
                .heads
                .iter()
                .map(|head| match head.output {
                    0 => Target::Class(sample.class),
                    _ => Target::Values(&sample.yes),
                })
                .collect();
            let wanted = loss(&spec, &reference.weights, &sample);
            let report = trainer.step_heads(&targets).unwrap();

            let gradient = gradient(&spec, &reference.weights, &sample);
            let mut learning = may_learn.clone();
            if let Some((count, decay)) = top {
                // The gradient of the trunk's bias is the gradient at its output.
                for (norm, delta) in norms.iter_mut().zip(&gradient[30..36]) {
                    *norm = decay * *norm + (1.0 - decay) * delta.abs();
                }
                let rank = |c: usize| norms.iter().filter(|norm| **norm > norms[c]).count();
                for (index, learns) in learning[..36].iter_mut().enumerate() {
                    *learns = rank(index % 6) < count;
                }
            }
            for (sum, g) in sums.iter_mut().zip(&gradient) {
                *sum += g / f64::from(spec.accumulate);
            }
            if (index + 1) % usize::from(spec.accumulate) == 0 {
                reference.step(&sums, &learning);
                sums.fill(0.0);
            }

            // f32: gradients of about 1, off by some 2⁻²⁴ for each of some tens of operations. An adaptive step
            // divides by ε = 10⁻² at least, so its error is a hundred times its gradient's, of rates of 0.02.
            // Q16: gradients are off by some 2⁻¹⁶, and each weight is rounded to 2⁻¹⁶ at random.
            let adaptive = spec.optimizer.keeps_f32();
            let tolerance = match (dtype, adaptive) {
                (DType::F32, _) => 2e-5,
                (_, false) => 1e-3,
                (_, true) => 4e-3,
            };
            assert!(
                (f64::from(report.loss) - wanted).abs() < 2.0 * tolerance,
                "{name}, {dtype:?}, sample {index}: loss {} instead of {wanted}",
                report.loss
            );
            let found = values_of(dtype, trainer.weights());
            let expected = reference.weights.iter().zip(&kept);
            let expected: Vec<f64> = expected
                .filter(|(_, kept)| **kept)
                .map(|(w, _)| *w)
                .collect();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (place, (found, wanted)) in found.iter().zip(&expected).enumerate() {
                assert!(
                    (f64::from(*found) - wanted).abs() < tolerance,
                    "{name}, {dtype:?}, sample {index}, weight {place}: {found} instead of {wanted}"
                );
            }
        }
        // It has moved by far more than the tolerance.
        let moved = before.iter().zip(&reference.weights);
        let most = moved.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(most > 0.02, "{name}: moved by {most} at most");
    }
}

const BOTH: [DType; 2] = [DType::F32, DType::Q16];
const ALL: Learns = |_, _| true;

fn two_heads() -> TrainSpec {
    let heads = [
        Head::new(Loss::CrossEntropy).with_class_weights(CLASS_WEIGHTS_ID),
        Head::new(Loss::BinaryCrossEntropy).at(1).with_weight(0.75),
    ];
    TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, 0.1)
        .with_heads(&heads)
        .unwrap()
}

/// Adam and RMSprop whose ε keeps the error of a small gradient from growing: see [`compare`].
fn adaptive(method: Method) -> TrainSpec {
    TrainSpec {
        optimizer: Optimizer::new(method),
        learning_rate: 0.02,
        ..two_heads()
    }
}

const ADAM: Method = Method::Adam {
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-2,
    decoupled: false,
};
const ADAM_W: Method = Method::Adam {
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-2,
    decoupled: true,
};
const RMS_PROP: Method = Method::RmsProp {
    alpha: 0.9,
    epsilon: 1e-2,
};

#[test]
fn every_optimizer_learns_two_heads() {
    let sgd = two_heads();
    let specs = [
        ("plain", sgd),
        ("to nearest", sgd.with_rounding(Rounding::Nearest)),
        ("decay", sgd.with_weight_decay(0.1)),
        ("l1", sgd.with_l1(0.05)),
        (
            "no decay of biases",
            sgd.with_weight_decay(0.1)
                .with_l1(0.05)
                .without_bias_decay(),
        ),
        ("momentum", sgd.with_momentum(0.9)),
        ("nesterov", sgd.with_nesterov(0.9).with_weight_decay(0.1)),
        ("clipped values", sgd.with_clip(Clip::Value(0.125))),
        ("adam", adaptive(ADAM)),
        ("adam, decay", adaptive(ADAM).with_weight_decay(0.1)),
        ("adamw", adaptive(ADAM_W).with_weight_decay(0.5)),
        ("rmsprop", adaptive(RMS_PROP)),
    ];
    for (name, spec) in specs {
        compare(name, spec, ALL, &BOTH);
    }
}

#[test]
fn sums_over_samples_are_stepped_from() {
    let sgd = two_heads();
    let norm = Clip::Norm(0.25);
    let specs = [
        ("sums", sgd.with_accumulation(4)),
        (
            "sums to nearest",
            sgd.with_accumulation(4).with_rounding(Rounding::Nearest),
        ),
        (
            "no decay of biases",
            sgd.with_accumulation(2)
                .with_weight_decay(0.5)
                .without_bias_decay(),
        ),
        ("three samples", sgd.with_accumulation(3).with_momentum(0.9)),
        ("clipped norm, each sample", sgd.with_clip(norm)),
        (
            "clipped norm",
            sgd.with_clip(norm)
                .with_accumulation(2)
                .with_weight_decay(0.1),
        ),
        ("adam", adaptive(ADAM).with_accumulation(2)),
        (
            "rmsprop, clipped",
            adaptive(RMS_PROP)
                .with_accumulation(3)
                .with_clip(Clip::Value(0.125)),
        ),
    ];
    for (name, spec) in specs {
        compare(name, spec, ALL, &BOTH);
    }
}

#[test]
fn rates_follow_the_schedule() {
    let course = Course::Step {
        every: 3,
        gamma: 0.5,
    };
    let schedule = Schedule::from(course).with_warm_up(4);
    compare("schedule", two_heads().with_schedule(schedule), ALL, &BOTH);
    // Steps of the optimizer count, not samples.
    let sums = two_heads().with_schedule(schedule).with_accumulation(2);
    compare("schedule of sums", sums, ALL, &BOTH);
}

#[test]
fn each_loss_stands_over_sigmoids() {
    for loss in [
        Loss::BinaryCrossEntropy,
        Loss::MeanSquaredError,
        Loss::MeanAbsoluteError,
        Loss::Huber { delta: 0.25 },
    ] {
        let heads = [Head::new(loss).at(1)];
        // The classes' layer has no loss above it.
        let spec = TrainSpec::sgd(Trainable::Nodes(0b1001), loss, 0.5);
        let spec = spec.with_heads(&heads).unwrap();
        compare("a loss", spec, |tensor, _| ![2, 3].contains(&tensor), &BOTH);
    }
}

#[test]
fn parts_learn_and_the_rest_stays() {
    let with = |rules: &[TrainRule]| two_heads().with_rules(rules).unwrap();
    let rule = |nodes, part| TrainRule { nodes, part };
    let biases = with(&[rule(Trainable::All, Part::Bias)]);
    compare("biases", biases, |tensor, _| tensor % 2 == 1, &BOTH);
    let weights = with(&[rule(Trainable::All, Part::Weight)]);
    compare("weights", weights, |tensor, _| tensor % 2 == 0, &BOTH);
    let last = with(&[Trainable::Last(1).into()]);
    compare("the last", last, |tensor, _| tensor >= 4, &BOTH);
    let named = with(&[
        Trainable::Node(0).into(),
        rule(Trainable::Node(1), Part::Bias),
    ]);
    compare(
        "named",
        named,
        |tensor, _| [0, 1, 3].contains(&tensor),
        &BOTH,
    );
    let window = Part::Channels {
        first: 1,
        mask: 0b1011,
    };
    let channels: Learns = |tensor, channel| match tensor {
        0 => [1, 2, 4].contains(&channel),
        // A second rule: each bias of the trunk.
        1 => true,
        _ => tensor >= 4,
    };
    let rules = [
        rule(Trainable::Node(0), window),
        rule(Trainable::Node(0), Part::Bias),
        Trainable::Last(1).into(),
    ];
    compare("channels", with(&rules), channels, &BOTH);
    let momentum = with(&rules).with_momentum(0.9);
    compare("channels with momentum", momentum, channels, &BOTH);
    let sums = with(&rules)
        .with_accumulation(3)
        .with_clip(Clip::Norm(0.25));
    compare("channels' sums", sums, channels, &BOTH);
}

/// In Q16 two norms may be told apart otherwise than in f64.
#[test]
fn the_channels_of_the_largest_gradients_learn() {
    for (count, decay) in [(1, 0.0), (2, 0.5), (5, 0.9)] {
        let part = Part::TopChannels { count, decay };
        let rules = [
            TrainRule {
                nodes: Trainable::Node(0),
                part,
            },
            Trainable::Last(1).into(),
        ];
        let spec = two_heads().with_rules(&rules).unwrap();
        let learns: Learns = |tensor, _| ![2, 3].contains(&tensor);
        compare("top channels", spec, learns, &[DType::F32]);
        compare(
            "with momentum",
            spec.with_momentum(0.5),
            learns,
            &[DType::F32],
        );
    }
}

/// A class for each step of a sequence, by a convolution of one tap and a log-softmax; a step may have none.
#[test]
fn each_step_of_a_sequence_has_its_class() {
    const STEPS: usize = 4;
    for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::Q16, 2e-4)] {
        let mut random = Random::new(3);
        let (weight, bias) = (random.values(6, 1.0), random.values(3, 0.5));
        let x = random.values(2 * STEPS, 1.0);
        let mut net = Net::new(dtype);
        let input = net.input(&[STEPS, 2]);
        let op = Op::Conv2d(Conv2d {
            weight: net.weight(&[1, 1, 2, 3], &weight),
            bias: Some(net.weight(&[3], &bias)),
            requant: None,
            stride: [1, 1],
            padding: [0; 4],
            dilation: [1, 1],
            groups: 1,
            activation: Activation::None,
        });
        let logits = net.node(op, &[input], &[STEPS, 3]);
        let classes = net.node(Op::LogSoftmax(None), &[logits], &[STEPS, 3]);
        let spec = TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, 1.0);
        let blob = net.finish(&[classes], Some(spec));
        let model = Model::load(&blob).unwrap();
        let mut arena = poisoned_arena(model.arena_train());
        let mut trainer = Trainer::new(model, arena.as_mut_slice()).unwrap();
        let target = [2, Target::IGNORED, 0, 1];
        let input = trainer.input_mut(0).unwrap();
        input.copy_from_slice(&bytes_of(dtype, &x));
        let report = trainer.step(Target::Classes(&target)).unwrap();

        // Three steps count.
        let mut loss = 0.0;
        let mut gradients = [0.0; 9];
        for (x, class) in x.chunks(2).zip(target) {
            if class == Target::IGNORED {
                continue;
            }
            let x = [f64::from(x[0]), f64::from(x[1])];
            let logit = |c: usize| {
                let w = |i: usize| f64::from(weight[i * 3 + c]);
                x[0] * w(0) + x[1] * w(1) + f64::from(bias[c])
            };
            let total: f64 = (0..3).map(|c| logit(c).exp()).sum();
            loss -= (logit(usize::from(class)).exp() / total).ln() / 3.0;
            for c in 0..3 {
                let one = f64::from(usize::from(class) == c);
                let delta = (logit(c).exp() / total - one) / 3.0;
                gradients[c] += x[0] * delta;
                gradients[3 + c] += x[1] * delta;
                gradients[6 + c] += delta;
            }
        }
        assert!((f64::from(report.loss) - loss).abs() < tolerance);
        let before = weight.iter().chain(&bias);
        let after = values_of(dtype, trainer.weights());
        for ((before, after), gradient) in before.zip(&after).zip(gradients) {
            let found = f64::from(before - after);
            assert!((found - gradient).abs() < tolerance, "{found}: {gradient}");
        }
    }
}
