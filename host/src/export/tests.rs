mod int8;
#[cfg(feature = "train")]
mod libtorch;
mod q16;
mod recurrent;

use std::collections::BTreeMap;
use std::path::Path;

use nn_core::model::{Model, Node};
use nn_core::ops::Op;
use nn_core::session::Session;
use nn_core::tensor::DType;
use nn_core::train::Trainable;

use super::*;
use crate::checkpoint::{Checkpoint, CheckpointError, Progress, Values};
use crate::data::{DataSet, Stream};
use crate::recipe::{Format, Recipe};
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
        let tensors_of = layer.tensors();
        let fan_in = tensors_of.first().map(|weight| &weight.shape[1..]);
        let fan_in: usize = fan_in.unwrap_or_default().iter().product();
        let bound = 3.0 / (fan_in as f32).sqrt();
        for parameter in tensors_of {
            let shape = parameter.shape;
            let count = shape.iter().product();
            let values = (0..count).map(|_| stream.uniform(-bound, bound)).collect();
            let name = format!("{}.{}", layer.name, parameter.name);
            tensors.insert(name, Values { shape, values });
        }
    }
    let progress = Progress::new(recipe);
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
        values: None,
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

/// What the recipe lets learn is packed, too, in a format in which nothing learns.
#[test]
fn int8_that_only_runs_is_packed_whole() {
    let fixture = fixture();
    let lowered = fixture.network.lower_for(
        &fixture.recipe,
        &fixture.ranges,
        Format::I8,
        Target::M4,
        Room::default(),
    );
    let blob = lowered.unwrap().bytes;
    let model = Model::load(&blob).unwrap();
    let nodes = model.nodes().iter();
    let dense = nodes.filter(|node| node.op.name() == "dense");
    let packed: Vec<_> = dense
        .map(|node| matches!(node.op, Op::PackedDense(_)))
        .collect();
    assert_eq!(packed, [true; 3]);
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
    assert_eq!(model.train_spec().unwrap().nodes(), wanted);
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes
        .chunks_exact(4)
        .map(|word| f64::from(f32::from_le_bytes([word[0], word[1], word[2], word[3]])))
        .collect()
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

/// The blobs that the project ships run as they are, and each card is its blob's.
#[test]
fn the_models_that_are_kept_run_and_their_cards_are_theirs() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    for name in ["mnist-cnn", "mnist-mlp"] {
        let recipe = Recipe::load(&models.join(format!("{name}.toml"))).unwrap();
        for format in &recipe.export.formats {
            let path = models.join(format!("{name}-{format}.mote"));
            let blob = crate::blob::Blob::open(&path).unwrap();
            let answer = run(blob.model(), images(1).image(0)).pop();
            assert!(answer.is_some_and(|bytes| !bytes.is_empty()));

            let inspection = Inspection::of(&blob);
            assert_eq!(inspection.parameters, recipe.parameters() as u64);
            let card = std::fs::read_to_string(path.with_extension("md")).unwrap();
            let has = |fact: &str| assert!(card.contains(fact), "{fact} in the card of {name}");
            has(&inspection.name);
            has(&inspection.digest);
            has(&inspection.crc32);
            has(&format!("| flash | {} bytes |", inspection.flash));
            has(&format!("inference | {} bytes |", inspection.arena_infer));
            if inspection.train.is_some() {
                has(&format!("training | {} bytes |", inspection.arena_train));
            }
        }
    }
}
