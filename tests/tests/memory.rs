//! `docs/memory.md`: an arena is as large as its sums say.

use host::export::{AlignedBytes, Builder};
use nn_core::kernels::packed::Layout;
use nn_core::memory::Buffer;
use nn_core::model::Model;
use nn_core::ops::Activation;
use nn_core::ops::max_pool2d::argmax_bytes;
use nn_core::train::{Loss, Sgd, TrainSpec, Trainable};
use tests::network::{Layer, Network, Window};
use tests::random::Random;

/// The sums of `docs/memory.md`.
mod sums {
    /// Bytes of a planned step.
    pub(crate) const STEP: usize = 56;
    /// Bytes of an operand: where an input, the output, a parameter, a constant, scratch or state lies.
    pub(crate) const OPERAND: usize = 8;
    /// Bytes of a planned backward step.
    pub(crate) const BACK_STEP: usize = 40;
    /// Bytes of a slot: where the gradient at an input goes.
    pub(crate) const SLOT: usize = 28;
    /// Bytes of a loss.
    pub(crate) const HEAD: usize = 64;
    /// Bytes of an entry of the planner's table.
    pub(crate) const BUFFER: usize = 16;

    fn round(bytes: usize) -> usize {
        bytes.next_multiple_of(16)
    }

    /// Steps and operands. A node has four operands, `layers` of them two more (weight and bias), `integer` of those
    /// one more (multipliers).
    fn tables(nodes: usize, layers: usize, integer: usize) -> usize {
        let operands = 4 * nodes + 2 * layers + integer;
        round(nodes * STEP) + round(operands * OPERAND)
    }

    /// The arena for inference.
    pub(crate) fn inference(
        (nodes, layers, integer): (usize, usize, usize),
        activations: usize,
        peak: usize,
    ) -> usize {
        round(tables(nodes, layers, integer) + peak.max(round(activations * BUFFER)))
    }

    /// The arena for training, of models whose planner's table is smaller than what it plans. `learnt` are the bytes
    /// of the parameters that learn, `backward` the nodes from the first that learns on.
    pub(crate) fn training(
        (nodes, layers, integer): (usize, usize, usize),
        backward: usize,
        (learnt, momentum): (usize, bool),
        peak: usize,
    ) -> usize {
        let learnt = if momentum { 2 * learnt } else { learnt };
        let back = round(backward * BACK_STEP) + round(backward * SLOT) + HEAD;
        let shared = learnt.next_multiple_of(8) + peak;
        round(tables(nodes, layers, integer) + back + shared)
    }
}

#[test]
fn the_planner_s_table_has_entries_of_the_documented_size() {
    assert_eq!(size_of::<Buffer>(), sums::BUFFER);
}

fn plan(trainable: Trainable, momentum: f32) -> Option<TrainSpec> {
    Some(TrainSpec::with_rates(
        trainable,
        Loss::CrossEntropy,
        Sgd {
            learning_rate: 0.01,
            momentum,
            weight_decay: 0.0,
        },
    ))
}

/// (arena for inference, arena for training).
fn arenas(network: &Network, plan: Option<TrainSpec>) -> (usize, usize) {
    let parameters = network.draw_parameters(&mut Random::new(1));
    let blob = network.blob(&parameters, plan);
    let model = Model::load(&blob).unwrap();
    (model.arena_infer(), model.arena_train())
}

fn mnist_cnn() -> Network {
    let same = Window {
        kernel: [5, 5],
        stride: [1, 1],
        padding: [2; 4],
    };
    Network {
        input: vec![28, 28, 1],
        layers: vec![
            Layer::conv(same, 8, Activation::Relu),
            Layer::MaxPool(Window::square(2, 2)),
            Layer::conv(same, 16, Activation::Relu),
            Layer::MaxPool(Window::square(2, 2)),
            Layer::Flatten,
            Layer::dense(100, Activation::Relu),
            Layer::dense(10, Activation::None),
            Layer::Softmax,
        ],
    }
}

fn mnist_mlp() -> Network {
    Network {
        input: vec![28, 28, 1],
        layers: vec![
            Layer::Flatten,
            Layer::dense(128, Activation::Relu),
            Layer::dense(10, Activation::None),
            Layer::Softmax,
        ],
    }
}

#[test]
fn sums_of_the_mnist_cnn() {
    // Bytes: image, first convolution and its pooling, second and its pooling, dense 100, dense 10.
    let (x, c1, p1, c2, p2, d1, d2) = (3136, 25_088, 6272, 12_544, 3136, 400, 40);
    let nodes = (8, 4, 0);
    let peak = [x + c1, c1 + p1, p1 + c2, c2 + p2, p2 + d1, d1 + d2];
    let peak = peak.into_iter().max().unwrap();
    assert_eq!(peak, 31_360);
    let network = mnist_cnn();
    let all = 4 * 82_934;
    let infer = sums::inference(nodes, 9, peak);
    assert_eq!(infer, 32_128);

    // All layers: x and the pooled maps wait for their backward step, argmaxes too; a map before its pooling does not.
    let (a1, a2) = (argmax_bytes(1568, 4), argmax_bytes(784, 4));
    assert_eq!((a1, a2), (392, 196));
    let plane = 784;
    let live = [
        x + c1,                          // conv 1
        x + c1 + p1 + a1,                // pool 1
        x + p1 + a1 + c2,                // conv 2
        x + p1 + a1 + c2 + p2 + a2,      // pool 2
        x + p1 + a1 + p2 + a2 + d1,      // dense 1, and back
        x + p1 + a1 + p2 + a2 + d1 + d2, // dense 2, softmax, loss, and back
        x + p1 + a1 + p2 + a2 + c2,      // pool 2 back: its own delta
        x + p1 + a1 + c2 + plane,        // conv 2 back
        x + p1 + a1 + c1,                // pool 1 back
        x + c1,                          // conv 1 back
    ];
    let peak = live.into_iter().max().unwrap();
    assert_eq!(peak, 34_888);
    for momentum in [false, true] {
        let plan = plan(Trainable::All, if momentum { 0.9 } else { 0.0 });
        let train = sums::training(nodes, 8, (all, momentum), peak);
        assert_eq!(arenas(&network, plan), (infer, train));
    }
    assert_eq!(sums::training(nodes, 8, (all, false), peak), 368_000);

    // The last layer: the frozen part shares as in inference.
    let last = 4 * 1010;
    let train = sums::training(nodes, 2, (last, false), 31_360);
    assert_eq!(
        arenas(&network, plan(Trainable::Last(1), 0.0)),
        (infer, train)
    );

    // The second convolution and the last layer: the pooled map that it reads stays, and what is above.
    let some = 4 * (3216 + 1010);
    let peak = [
        c1 + p1,
        p1 + c2 + p2 + a2.next_multiple_of(8),
        p1 + p2 + a2 + d1 + d2,
    ];
    let train = sums::training(nodes, 6, (some, false), peak.into_iter().max().unwrap());
    let plan = plan(Trainable::Nodes(1 << 2 | 1 << 6), 0.0);
    assert_eq!(arenas(&network, plan), (infer, train));
}

#[test]
fn sums_of_the_mnist_mlp() {
    let (x, d1, d2) = (3136, 512, 40);
    let nodes = (4, 2, 0);
    let all = 4 * 101_770;
    let infer = sums::inference(nodes, 5, x + d1);
    let train = sums::training(nodes, 3, (all, false), x + d1 + d2);
    assert_eq!(train, 411_440);
    let network = mnist_mlp();
    assert_eq!(arenas(&network, plan(Trainable::All, 0.0)), (infer, train));
    // Where the table is larger than all that it plans, it decides.
    let tiny = Network {
        input: vec![1],
        layers: vec![Layer::dense(1, Activation::None); 6],
    };
    let (infer, _) = arenas(&tiny, None);
    assert_eq!(infer, sums::inference((6, 6, 0), 7, 8));
    assert_eq!(
        infer,
        6 * sums::STEP + 36 * sums::OPERAND + 7 * sums::BUFFER
    );
}

#[test]
fn sums_of_the_trained_lstm() {
    let units = 32;
    // Image, h, the gates of one step, the state: h and c.
    let real = 4 * (784 + units + 4 * units + 2 * units);
    // Gates and c have 16 bits.
    let int8 = 784 + units + 2 * 4 * units + (units + 2 * units);
    for (file, peak, operands) in [
        ("mnist-lstm-f32", real, [4, 7, 6, 4]),
        ("mnist-lstm-q16", real, [4, 7, 6, 4]),
        ("mnist-lstm-i8", int8, [4, 8, 7, 4]),
    ] {
        let path = format!("{}/../models/{file}.mote", env!("CARGO_MANIFEST_DIR"));
        let blob = AlignedBytes::copy_of(&std::fs::read(&path).expect(&path));
        let model = Model::load(&blob).unwrap();
        let operands: usize = operands.iter().sum();
        let tables = 4 * sums::STEP + (operands * sums::OPERAND).next_multiple_of(16);
        assert_eq!(model.arena_infer(), tables + peak, "{file}");
    }
}

#[test]
fn sums_of_the_trained_models() {
    // Bytes of the head's int8 maps: a quarter of the f32 ones.
    let peak = 31_360 / 4;
    for (file, layers, peak, back, learnt) in [
        ("mnist-cnn-i8", (4, 4), peak, 0, 0),
        ("mnist-cnn-head", (4, 3), peak, 2, 4 * 1010),
        ("mnist-mlp-i8", (2, 2), 784 + 128, 0, 0),
        ("mnist-mlp-head", (2, 1), 784 + 128, 2, 4 * 1290),
    ] {
        let (layers, integer) = layers;
        let path = format!("{}/../models/{file}.mote", env!("CARGO_MANIFEST_DIR"));
        let blob = AlignedBytes::copy_of(&std::fs::read(&path).expect(&path));
        let model = Model::load(&blob).unwrap();
        let nodes = (model.nodes().len(), layers, integer);
        // One activation more than nodes.
        let infer = sums::inference(nodes, nodes.0 + 1, peak);
        assert_eq!(model.arena_infer(), infer, "{file}");
        if back > 0 {
            let train = sums::training(nodes, back, (learnt, false), peak);
            assert_eq!(model.arena_train(), train, "{file}");
        }
    }
}

#[test]
fn sums_of_the_mnist_cnn_that_learns_in_int8() {
    let path = format!("{}/../models/mnist-cnn-i8.mote", env!("CARGO_MANIFEST_DIR"));
    let blob = AlignedBytes::copy_of(&std::fs::read(&path).expect(&path));
    let (mut builder, mut outputs) = Builder::of(&Model::load(&blob).unwrap());
    builder.real_outputs(&mut outputs).unwrap();
    let all: Vec<usize> = (0..16).collect();
    let packed = builder.to_packed_but(Layout::Armv7em, &outputs, &all);
    let packed = packed.unwrap();
    let spec = plan(Trainable::All, 0.0);
    let blob = packed.builder.finish(&packed.outputs, spec).unwrap();
    // The image, each pooled map, and of each which tap won.
    let (x, p1, p2) = (784_usize, 1568_usize, 784_usize);
    let won = |map: usize| argmax_bytes(map, 4).next_multiple_of(8);
    let delta = |size: usize, count: usize| (4 + size * count).next_multiple_of(8);
    // While the second convolution runs back: that at its output, that at its input, and the gradient of a filter.
    let peak = x + p1 + won(p1) + won(p2) + delta(2, p2) + delta(4, p1) + 4 * 25 * 8;
    assert_eq!(peak, 11_600);
    let learnt = 200 + 3_200 + 78_400 + 1_000 + 4 * (8 + 16 + 100 + 10);
    assert_eq!(learnt, 83_336);
    let model = Model::load(&blob).unwrap();
    let train = sums::training((7, 4, 4), 7, (learnt, false), peak);
    assert_eq!(model.arena_train(), train);
    assert!(train <= 96_800);
}
