use std::collections::BTreeMap;
use std::path::Path;

use nn_core::model::{Model, Node};
use nn_core::ops::Op;
use nn_core::session::Session;
use nn_core::tensor::{DType, Quant, Tensor};
use nn_core::train::Trainable;

use super::*;
use crate::checkpoint::{Checkpoint, CheckpointError, Progress, Running, Values};
use crate::data::{DataSet, Stream};
use crate::recipe::{Format, LayerKind, Recipe};
use crate::sample;

/// Every operator, with padding that is not even and windows that overlap.
const RECIPE: &str = r#"
name = "all-operators"
[data]
set = "mnist"
[[layer]]
type = "conv2d"
filters = 3
kernel = [4, 3]
stride = 2
padding = "same"
activation = "relu"
[[layer]]
type = "avg_pool2d"
size = 3
stride = 2
padding = "same"
[[layer]]
type = "conv2d"
filters = 5
kernel = 3
activation = "tanh"
[[layer]]
type = "max_pool2d"
size = 2
padding = "same"
[[layer]]
type = "flatten"
[[layer]]
type = "dense"
units = 12
activation = "sigmoid"
[[layer]]
type = "dense"
units = 11
[[layer]]
type = "dropout"
rate = 0.5
[[layer]]
type = "relu"
[[layer]]
type = "dense"
units = 10
activation = "softmax"
[train]
loss = "cross_entropy"
epochs = 1
batch = 1
seed = 1
optimizer = { type = "sgd", learning_rate = 0.1 }
[export.train]
layers = "last:2"
momentum = 0.5
"#;

fn recipe() -> Recipe {
    Recipe::parse(RECIPE, Path::new("recipe.toml")).unwrap()
}

/// Weights by chance, of a size that keeps activations lively.
fn checkpoint(recipe: &Recipe) -> Checkpoint {
    let mut stream = Stream::new(11, Stream::INIT, 0, 0);
    let mut tensors = BTreeMap::new();
    for layer in recipe.layers() {
        let [out, inputs] = [&layer.output_shape, &layer.input_shape]
            .map(|shape| shape.last().copied().unwrap_or(0));
        let shape = match &layer.kind {
            LayerKind::Conv2d(conv) => {
                vec![out, inputs, conv.kernel.height(), conv.kernel.width()]
            }
            LayerKind::Dense(_) => vec![out, inputs],
            _ => continue,
        };
        let fan_in: usize = shape[1..].iter().product();
        let bound = 3.0 / (fan_in as f32).sqrt();
        for (kind, shape) in [("weight", shape), ("bias", vec![out])] {
            let count = shape.iter().product();
            let values = (0..count).map(|_| stream.uniform(-bound, bound)).collect();
            let name = format!("{}.{kind}", layer.name);
            tensors.insert(name, Values { shape, values });
        }
    }
    let progress = Progress {
        recipe: recipe.text.clone(),
        seed: 1,
        epochs: 1,
        limit: None,
        epoch: 1,
        batch: 0,
        step: 1,
        running: Running::default(),
        best_accuracy: None,
    };
    Checkpoint { progress, tensors }
}

fn images(count: usize) -> DataSet {
    let mut stream = Stream::new(5, Stream::AUGMENT, 0, 0);
    DataSet {
        name: "noise".to_owned(),
        shape: [28, 28, 1],
        classes: 10,
        // Half of the pixels black, as in digits.
        images: (0..count * 784)
            .map(|_| stream.uniform(-255.0, 255.0).max(0.0) as u8)
            .collect(),
        labels: vec![0; count],
    }
}

struct Fixture {
    recipe: Recipe,
    #[cfg(feature = "train")]
    checkpoint: Checkpoint,
    network: Network,
    ranges: Ranges,
    set: DataSet,
}

fn fixture() -> Fixture {
    let recipe = recipe();
    let checkpoint = checkpoint(&recipe);
    let network = Network::new(&recipe, &checkpoint).unwrap();
    let set = images(20);
    let ranges = Ranges::measure(&network, &set).unwrap();
    Fixture {
        recipe,
        #[cfg(feature = "train")]
        checkpoint,
        network,
        ranges,
        set,
    }
}

impl Fixture {
    fn blob(&self, format: Format) -> AlignedBytes {
        let lowered = self.network.lower(&self.recipe, &self.ranges, format);
        lowered.unwrap().bytes
    }
}

/// The bytes of each node's output for one image.
fn run(model: Model<'_>, image: &[u8]) -> Vec<Vec<u8>> {
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    let input = sample::encode(&model.input(0).unwrap(), image).unwrap();
    session.input_mut(0).unwrap().copy_from_slice(&input);
    let mut outputs = Vec::new();
    session
        .run_observed(|_, bytes| outputs.push(bytes.to_vec()))
        .unwrap();
    outputs
}

fn ops(model: &Model<'_>) -> Vec<(String, &'static str, DType)> {
    let dtype = |node: &Node<'_>| model.tensor(node.output).unwrap().dtype;
    let nodes = model.nodes();
    nodes
        .iter()
        .map(|node| (node.name.to_owned(), node.op.name(), dtype(&node)))
        .collect()
}

#[test]
fn activations_are_fused_where_the_type_has_them() {
    let fixture = fixture();
    let names = |format| {
        let blob = fixture.blob(format);
        let model = Model::load(&blob).unwrap();
        let ops = ops(&model);
        let names: Vec<String> = ops.iter().map(|(name, ..)| name.clone()).collect();
        let first_float = ops.iter().position(|(.., dtype)| *dtype == DType::F32);
        (names.join(" "), first_float)
    };
    let float = "conv2d_1 avg_pool2d_1 conv2d_2 max_pool2d_1 flatten_1 dense_1 dense_2 dense_3 \
                 dense_3.softmax";
    assert_eq!(names(Format::F32), (float.to_owned(), Some(0)));
    let int8 = "conv2d_1 avg_pool2d_1 conv2d_2 conv2d_2.tanh max_pool2d_1 flatten_1 dense_1 \
                dense_1.sigmoid dense_2 dense_3 dense_3.softmax";
    assert_eq!(names(Format::I8), (int8.to_owned(), None));
    let head = "conv2d_1 avg_pool2d_1 conv2d_2 conv2d_2.tanh max_pool2d_1 flatten_1 dense_1 \
                dense_1.sigmoid dequantize dense_2 dense_3 dense_3.softmax";
    assert_eq!(names(Format::Head), (head.to_owned(), Some(8)));
}

#[test]
fn the_training_plan_is_the_recipes() {
    let fixture = fixture();
    let blob = |format| {
        let bytes = fixture.blob(format);
        crate::blob::Blob::new(Path::new("x.mote"), bytes).unwrap()
    };
    assert_eq!(Inspection::of(&blob(Format::I8)).train, None);
    for format in [Format::F32, Format::Head] {
        let inspection = Inspection::of(&blob(format));
        let train = inspection.train.unwrap();
        assert_eq!(train.trainable, ["dense_2", "dense_3"], "{format}");
        assert_eq!((train.loss, train.momentum), ("cross_entropy", 0.5));
        assert!(inspection.arena_train > inspection.arena_infer);
    }
}

#[test]
fn layers_that_learn_by_name_become_nodes() {
    let text = RECIPE.replace("\"last:2\"", "[\"conv2d_2\", \"dense_3\"]");
    let recipe = Recipe::parse(&text, Path::new("recipe.toml")).unwrap();
    let fixture = fixture();
    let lowered = fixture
        .network
        .lower(&recipe, &fixture.ranges, Format::Head)
        .unwrap();
    let model = Model::load(&lowered.bytes).unwrap();
    // conv2d_1 avg_pool2d_1 dequantize conv2d_2 max_pool2d_1 flatten_1 dense_1 dense_2 dense_3 …
    let wanted = Trainable::Nodes(1 << 3 | 1 << 8);
    assert_eq!(model.train_spec().unwrap().trainable, wanted);
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes
        .chunks_exact(4)
        .map(|word| f64::from(f32::from_le_bytes([word[0], word[1], word[2], word[3]])))
        .collect()
}

fn weights<T: bytemuck::Pod>(model: &Model<'_>, id: u16) -> (Tensor, Vec<T>) {
    let tensor = model.tensor(id).unwrap();
    let words = model.weight_bytes(&tensor).chunks_exact(size_of::<T>());
    (tensor, words.map(bytemuck::pod_read_unaligned).collect())
}

/// Each int8 layer against the same layer in f64, fed with the same int8 input: at most one step
/// apart, as the reference rounds twice (by at most half a step and a trifle each).
#[test]
fn int8_layers_compute_what_their_scales_say() {
    let fixture = fixture();
    let blob = fixture.blob(Format::I8);
    let model = Model::load(&blob).unwrap();
    let mut compared = 0;
    for (image, _) in fixture.set.iter().take(5) {
        let input = sample::encode(&model.input(0).unwrap(), image).unwrap();
        let outputs = run(model, image);
        for (index, node) in model.nodes().iter().enumerate() {
            let x_tensor = model.tensor(node.inputs.first().unwrap()).unwrap();
            let bytes = index.checked_sub(1).map_or(&input, |index| &outputs[index]);
            let x: Vec<f64> = bytes
                .iter()
                .map(|&byte| f64::from(i32::from(byte.cast_signed()) - x_tensor.zero_point()))
                .map(|steps| steps * f64::from(x_tensor.scale()))
                .collect();
            let Some(y) = simulate(&model, &node, &x, x_tensor) else {
                continue;
            };
            let y_tensor = model.tensor(node.output).unwrap();
            for (y, &byte) in y.iter().zip(&outputs[index]) {
                let steps = y / f64::from(y_tensor.scale()) + f64::from(y_tensor.zero_point());
                let found = f64::from(byte.cast_signed());
                let wanted = steps.clamp(-128.0, 127.0);
                assert!(
                    (found - wanted).abs() < 1.0,
                    "{}: {found} {wanted}",
                    node.name
                );
                compared += usize::from(wanted.abs() < 127.0);
            }
        }
    }
    // Most of the outputs must not be saturated for the comparison to mean something.
    assert!(compared > 5 * 300, "{compared}");
}

/// A dense layer's or convolution's real-valued output from its int8 parameters.
fn simulate(model: &Model<'_>, node: &Node<'_>, x: &[f64], x_tensor: Tensor) -> Option<Vec<f64>> {
    let (weight, bias) = node.op.parameters()?;
    let (tensor, weight) = weights::<i8>(model, weight);
    let (_, bias) = weights::<i32>(model, bias.unwrap());
    let Quant::PerChannel { scales } = tensor.quant else {
        panic!("weights of one scale");
    };
    let (_, scales) = weights::<f32>(model, scales);
    let y = model.tensor(node.output).unwrap();
    let taps = weight.len() / bias.len();
    let row = |channel: usize| {
        let scale = f64::from(scales[channel]);
        let start = f64::from(bias[channel]) * scale * f64::from(x_tensor.scale());
        let weights = &weight[channel * taps..][..taps];
        (start, weights.iter().map(move |&w| f64::from(w) * scale))
    };
    let (relu, y) = match node.op {
        Op::Dense(dense) => {
            let y: Vec<f64> = (0..bias.len())
                .map(|channel| {
                    let (start, weights) = row(channel);
                    start + weights.zip(x).map(|(w, x)| w * x).sum::<f64>()
                })
                .collect();
            (dense.activation, y)
        }
        Op::Conv2d(conv) => {
            let [height, width, inputs] = x_tensor.shape.as_map().unwrap().map(|n| n as usize);
            let [rows, columns, out] = y.shape.as_map().unwrap().map(|n| n as usize);
            let kernel_w = tensor.shape.dims()[2] as usize;
            let mut values = Vec::new();
            for cell in 0..rows * columns * out {
                let (pixel, channel) = (cell / out, cell % out);
                let (start, weights) = row(channel);
                let mut sum = start;
                for (tap, weight) in weights.enumerate() {
                    let (at, input) = (tap / inputs, tap % inputs);
                    let r = pixel / columns * usize::from(conv.stride[0]) + at / kernel_w;
                    let c = pixel % columns * usize::from(conv.stride[1]) + at % kernel_w;
                    let (top, left) = (usize::from(conv.padding[0]), usize::from(conv.padding[1]));
                    if (top..top + height).contains(&r) && (left..left + width).contains(&c) {
                        sum += weight * x[((r - top) * width + c - left) * inputs + input];
                    }
                }
                values.push(sum);
            }
            (conv.activation, values)
        }
        _ => return None,
    };
    let relu = relu == nn_core::ops::Activation::Relu;
    Some(
        y.into_iter()
            .map(|y| if relu { y.max(0.0) } else { y })
            .collect(),
    )
}

/// int8 and head follow the network in f32: their probabilities differ by little.
///
/// The bound is that of these random weights, whose eight layers add up rounding errors of half a
/// step in 255; a swapped axis or scale gives differences near 1.
#[test]
fn int8_and_head_follow_f32() {
    let fixture = fixture();
    let [float, int8, head] = [Format::F32, Format::I8, Format::Head].map(|format| {
        let blob = fixture.blob(format);
        let model = Model::load(&blob).unwrap();
        let output = model.output(0).unwrap();
        let answers = fixture.set.iter().map(|(image, _)| {
            let bytes = run(model, image).pop().unwrap();
            sample::scores(&output, &bytes).unwrap()
        });
        answers.collect::<Vec<_>>().concat()
    });
    let apart = |other: &[f32]| {
        let differences = float.iter().zip(other).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f32::max)
    };
    assert!(apart(&int8) < 0.1, "{}", apart(&int8));
    assert!(apart(&head) < 0.1, "{}", apart(&head));
    // Softmax answers differ between samples: the comparison means something.
    let (low, high) = float.iter().fold((1.0f32, 0.0f32), |(low, high), &p| {
        (low.min(p), high.max(p))
    });
    assert!(high - low > 0.2, "{low} {high}");
}

#[test]
fn ranges_are_those_of_the_outputs() {
    let fixture = fixture();
    let blob = fixture.blob(Format::F32);
    let model = Model::load(&blob).unwrap();
    let first: Vec<f64> = fixture
        .set
        .iter()
        .flat_map(|(image, _)| floats(&run(model, image)[0]))
        .collect();
    let max = first.iter().copied().fold(f64::MIN, f64::max);
    // Layer 0 is the convolution, 1 its ReLU, with which it is fused.
    assert_eq!(fixture.ranges.of(0), None);
    let range = fixture.ranges.of(1).unwrap();
    assert_eq!((range.min, f64::from(range.max)), (0.0, max));
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let recipe = recipe();
    let mut checkpoint = checkpoint(&recipe);
    checkpoint.tensors.get_mut("dense_1.weight").unwrap().values[7] = f32::NAN;
    let error = Network::new(&recipe, &checkpoint).unwrap_err().to_string();
    assert!(error.contains("`dense_1.weight`: wanted finite numbers, found NaN at index 7"));
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let recipe = recipe();
    let mut other = checkpoint(&recipe);
    let extra = other.tensors["dense_3.bias"].clone();
    other.tensors.insert("dense_4.bias".to_owned(), extra);
    let error = Network::new(&recipe, &other).unwrap_err().to_string();
    assert!(error.contains("no layer for: dense_4.bias"), "{error}");

    let mut other = checkpoint(&recipe);
    other.tensors.get_mut("conv2d_1.weight").unwrap().shape = vec![3, 1, 3, 4];
    let error = Network::new(&recipe, &other).unwrap_err();
    assert!(matches!(
        error,
        ExportError::Checkpoint(CheckpointError::Shape { ref wanted, .. }) if *wanted == [3, 1, 4, 3]
    ));

    let mut other = checkpoint(&recipe);
    other.tensors.remove("dense_2.bias");
    let error = Network::new(&recipe, &other).unwrap_err().to_string();
    assert!(error.contains("no tensor `dense_2.bias`"), "{error}");
}

/// The f32 blob against libtorch with the checkpoint's weights as they are.
#[cfg(feature = "train")]
#[test]
fn f32_is_what_libtorch_computes() {
    use tch::Tensor as T;
    let fixture = fixture();
    let parameter = |name: &str| {
        let values = &fixture.checkpoint.tensors[name];
        let shape: Vec<i64> = values.shape.iter().map(|&n| n as i64).collect();
        T::from_slice(&values.values).reshape(shape)
    };
    let layer = |name: &str| {
        let [weight, bias] = ["weight", "bias"].map(|kind| parameter(&format!("{name}.{kind}")));
        (weight, bias)
    };
    let blob = fixture.blob(Format::F32);
    let model = Model::load(&blob).unwrap();
    for (image, _) in fixture.set.iter() {
        let pixels: Vec<f32> = image.iter().map(|&p| f32::from(p) / 255.0).collect();
        let x = T::from_slice(&pixels).reshape([1, 1, 28, 28]);
        let (w, b) = layer("conv2d_1");
        // same, kernel 4 x 3, stride 2: one row before and after, one column after.
        let x = x.constant_pad_nd([0, 1, 1, 1]);
        let x = x.conv2d(&w, Some(&b), [2, 2], [0, 0], [1, 1], 1).relu();
        // same, 3 x 3, stride 2 on 14: one after, not counted.
        let x = x.avg_pool2d([3, 3], [2, 2], [0, 0], true, true, None::<i64>);
        let (w, b) = layer("conv2d_2");
        let x = x.conv2d(&w, Some(&b), [1, 1], [0, 0], [1, 1], 1).tanh();
        let x = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], true);
        // Height, width, channels, as the device flattens.
        let x = x.permute([0, 2, 3, 1]).flatten(1, -1);
        let (w, b) = layer("dense_1");
        let x = x.linear(&w, Some(&b)).sigmoid();
        let (w, b) = layer("dense_2");
        let x = x.linear(&w, Some(&b)).relu();
        let (w, b) = layer("dense_3");
        let x = x.linear(&w, Some(&b)).softmax(-1, None);
        let wanted = Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
        let found = floats(run(model, image).last().unwrap());
        for (wanted, found) in wanted.iter().zip(found) {
            // Probabilities; sums of up to 45 products in another order.
            assert!(
                (f64::from(*wanted) - found).abs() < 1e-5,
                "{wanted} {found}"
            );
        }
    }
}
