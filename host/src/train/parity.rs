//! What libtorch computes of a recipe is what its exported blob computes.

use std::collections::BTreeMap;
use std::path::Path;

use nn_core::model::Model;
use nn_core::session::Session;
use tch::{Device, Tensor};

use super::network::Network;
use super::values::{from_values, to_values};
use crate::checkpoint::{Checkpoint, Progress, Running, Values};
use crate::data::{DataSet, Stream};
use crate::export::{self, AlignedBytes, ExportError, Ranges};
use crate::recipe::{Activation, Format, Recipe};
use crate::sample;

/// Layers by the types that they are about; each reads an image and is followed by `flatten` and `dense`.
const NETWORKS: &[(&str, &str)] = &[
    (
        "conv2d",
        "{type=conv2d filters=6 kernel=[3,2] stride=[2,1] padding=same activation=relu6} \
         {type=conv2d filters=4 kernel=3 dilation=[1,2] groups=2 activation=leaky_relu}",
    ),
    (
        "depthwise_conv2d",
        "{type=conv2d filters=3 kernel=2 stride=2} \
         {type=depthwise_conv2d kernel=3 multiplier=2 padding=same activation=tanh} \
         {type=depthwise_conv2d kernel=2 dilation=3 stride=2}",
    ),
    (
        "conv1d",
        "{type=reshape shape=[28,28]} {type=conv1d filters=6 kernel=4 stride=2 padding=same activation=relu} \
         {type=conv1d filters=4 kernel=3 dilation=2 groups=2}",
    ),
    (
        "pools",
        "{type=conv2d filters=3 kernel=3} {type=max_pool2d size=3 stride=2 padding=same} \
         {type=avg_pool2d size=[3,2] stride=2 padding=same}",
    ),
    (
        "global pools",
        "{type=conv2d name=c filters=5 kernel=5 stride=3} {type=global_max_pool name=max} \
         {type=global_avg_pool inputs=[c] name=mean} {type=concat inputs=[max,mean]}",
    ),
    (
        "global pools of sequences",
        "{type=reshape name=s shape=[49,16]} {type=global_max_pool name=max} \
         {type=global_avg_pool inputs=[s] name=mean} {type=mul inputs=[max,mean]}",
    ),
    (
        "activations",
        "{type=flatten} {type=dense units=12 activation=hard_sigmoid} {type=dense units=11} {type=leaky_relu slope=0.3} \
         {type=dense units=12 activation=relu6} {type=rrelu} {type=dense units=9} {type=tanh} {type=dense units=8} \
         {type=sigmoid} {type=dense units=8} {type=hard_sigmoid} {type=dense units=8 activation=step} {type=dense units=8} \
         {type=relu6}",
    ),
    (
        "prelu",
        "{type=conv2d filters=4 kernel=4 stride=3} {type=prelu}",
    ),
    (
        "batch norm, folded",
        "{type=conv2d filters=4 kernel=3 stride=2} {type=batch_norm} {type=relu} {type=flatten} {type=dense units=7} \
         {type=batch_norm epsilon=0.01} {type=tanh}",
    ),
    (
        "batch norm, apart",
        "{type=batch_norm} {type=conv2d filters=4 kernel=3 stride=2 activation=relu} {type=batch_norm} \
         {type=reshape shape=[26,26]} {type=batch_norm}",
    ),
    (
        "dense along a sequence",
        "{type=reshape shape=[28,28]} {type=dense units=5 activation=relu} {type=dense units=3}",
    ),
    (
        "rnn",
        "{type=reshape shape=[28,28]} {type=rnn units=5 return=sequence} {type=rnn units=4 activation=relu}",
    ),
    (
        "lstm",
        "{type=reshape shape=[28,28]} {type=lstm units=5 return=sequence} {type=lstm units=4}",
    ),
    (
        "gru",
        "{type=reshape shape=[28,28]} {type=gru units=5 return=sequence} {type=gru units=4}",
    ),
    (
        "bidirectional",
        "{type=reshape shape=[14,56]} {type=lstm units=3 return=sequence bidirectional=true} \
         {type=gru units=4 bidirectional=true}",
    ),
    (
        "residual",
        "{type=conv2d name=a filters=4 kernel=3 padding=same} {type=conv2d name=b filters=4 kernel=3 padding=same} \
         {type=add inputs=[a,b] activation=relu} {type=max_pool2d size=4}",
    ),
    (
        "gate",
        "{type=flatten name=f} {type=dense name=a units=9} {type=dense name=g inputs=[f] units=9 activation=softmax} \
         {type=mul inputs=[a,g]}",
    ),
    (
        "squeeze and excite",
        "{type=conv2d name=c filters=4 kernel=3 stride=2} {type=global_avg_pool} {type=dense units=4 activation=sigmoid \
         name=g} {type=mul inputs=[c,g]} {type=reshape shape=[52,13] name=s} {type=rnn units=13 name=r} \
         {type=add inputs=[s,r,r]}",
    ),
    (
        "concat",
        "{type=conv2d name=a filters=2 kernel=3 stride=2} {type=conv2d name=b inputs=[image] filters=3 kernel=3 stride=2} \
         {type=concat inputs=[a,b]} {type=conv2d filters=2 kernel=3}",
    ),
    (
        "concat of rows",
        "{type=conv2d name=a filters=2 kernel=3 stride=2} {type=max_pool2d name=b size=3} \
         {type=concat inputs=[a,a] axis=0} {type=max_pool2d size=2 name=c} {type=flatten inputs=[c] name=d} \
         {type=flatten inputs=[b] name=e} {type=concat inputs=[d,e]}",
    ),
    (
        "pad and transpose",
        "{type=pad amounts=[[1,2],[0,3],[0,1]]} {type=transpose axes=[1,0,2]} {type=conv2d filters=2 kernel=3 stride=2} \
         {type=transpose axes=[2,0,1]}",
    ),
    (
        "repeat",
        "{type=flatten} {type=dense units=4} {type=repeat steps=3} {type=lstm units=3 return=sequence}",
    ),
    (
        "shared weights",
        "{type=flatten} {type=dense name=in units=6} {type=dense name=a units=6 activation=tanh} \
         {type=dense name=b units=6 shares=a activation=tanh} {type=dense units=6 shares=b}",
    ),
    (
        "one lstm at two places",
        "{type=reshape name=rows shape=[28,28]} {type=lstm name=a units=3} \
         {type=transpose inputs=[rows] axes=[1,0]} {type=lstm name=b units=3 shares=a} {type=add inputs=[a,b]}",
    ),
    (
        "embedding",
        "{type=flatten} {type=dense units=5 activation=step} {type=embedding vocabulary=2 units=3}",
    ),
    (
        "one_hot",
        "{type=flatten} {type=dense units=5 activation=step} {type=one_hot classes=3}",
    ),
];

/// Layers that nn-core has no operator for yet.
const UNSUPPORTED: &[&str] = &[];

/// `{type=dense units=3}` as TOML.
fn toml(layers: &str) -> String {
    let mut text = String::new();
    for layer in layers.split('{').skip(1) {
        text += "[[layer]]\n";
        for field in layer.trim_end().trim_end_matches('}').split(' ') {
            let (key, value) = field.split_once('=').unwrap();
            let bare = |word: &str| {
                let number = word.starts_with(|c: char| c.is_ascii_digit());
                number || matches!(word, "true" | "false") || word.is_empty()
            };
            let quoted: String = value
                .split_inclusive(['[', ']', ','])
                .map(|part| {
                    let word = part.trim_end_matches(['[', ']', ',']);
                    let tail = &part[word.len()..];
                    if bare(word) {
                        part.to_owned()
                    } else {
                        format!("\"{word}\"{tail}")
                    }
                })
                .collect();
            text += &format!("{key} = {quoted}\n");
        }
    }
    text
}

fn recipe(layers: &str) -> Recipe {
    let text = format!(
        "name = \"parity\"\n[data]\nset = \"mnist\"\n{}{}[train]\nloss = \"cross_entropy\"\nepochs = 1\nbatch = 1\n\
         seed = 1\noptimizer = {{ type = \"sgd\", learning_rate = 0.1 }}\n[export.train]\nlayers = \"last:1\"",
        toml(layers),
        toml(
            "{type=flatten name=to_vector} {type=dense name=last units=10} {type=softmax name=answer}"
        )
    );
    Recipe::parse(&text, Path::new("parity.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A network whose weights and statistics are all drawn, and the checkpoint that holds them.
fn drawn(recipe: &Recipe, seed: u64) -> (Network, Checkpoint) {
    let mut network = Network::new(recipe, seed, Device::Cpu).unwrap();
    let mut stream = Stream::new(seed, Stream::INIT, 1, 0);
    let mut tensors = BTreeMap::new();
    let _no_grad = tch::no_grad_guard();
    let Network {
        parameters,
        statistics,
        ..
    } = &mut network;
    for parameter in parameters.iter_mut().chain(statistics) {
        let Values { shape, mut values } = to_values(&parameter.tensor).unwrap();
        let variance = parameter.name.ends_with("var");
        for value in &mut values {
            *value += stream.uniform(-0.3, 0.3);
            if variance {
                *value = value.abs() + 0.1;
            }
        }
        let drawn = Values { shape, values };
        parameter.tensor = from_values(&drawn, Device::Cpu).unwrap();
        tensors.insert(parameter.name.to_string(), drawn);
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
    (network, Checkpoint { progress, tensors })
}

fn noise(count: usize) -> DataSet {
    let mut stream = Stream::new(5, Stream::AUGMENT, 0, 0);
    DataSet {
        name: "noise".to_owned(),
        shape: [28, 28, 1],
        classes: 10,
        images: (0..count * 784)
            .map(|_| stream.uniform(-255.0, 255.0).max(0.0) as u8)
            .collect(),
        labels: vec![0; count],
    }
}

/// What libtorch gives for an image, head by head.
fn libtorch(network: &Network, recipe: &Recipe, image: &[u8]) -> Vec<Vec<f32>> {
    let _no_grad = tch::no_grad_guard();
    let pixels: Vec<f32> = image
        .iter()
        .map(|&pixel| f32::from(pixel) / 255.0)
        .collect();
    let images = Tensor::from_slice(&pixels).reshape([1, 28, 28, 1]);
    let outputs = network.forward(&images, None).unwrap();
    let heads = recipe.train.heads.iter().zip(outputs.heads);
    heads
        .map(|(head, output)| {
            let output = match recipe.layers()[head.layer].kind.activation() {
                Activation::Softmax => output.softmax(-1, None),
                Activation::LogSoftmax => output.log_softmax(-1, None),
                Activation::Sigmoid if head.loss == crate::recipe::Loss::BinaryCrossEntropy => {
                    output.sigmoid()
                }
                _ => output,
            };
            Vec::try_from(output.flatten(0, -1)).unwrap()
        })
        .collect()
}

/// What a blob gives for an image, output by output.
fn blob(bytes: &AlignedBytes, image: &[u8]) -> Vec<Vec<f32>> {
    let model = Model::load(bytes).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    let input = sample::encode(&model.input(0).unwrap(), image).unwrap();
    session.input_mut(0).unwrap().copy_from_slice(&input);
    session.run().unwrap();
    let outputs = 0..model.outputs().as_slice().len();
    outputs
        .map(|index| {
            let output = model.output(index).unwrap();
            sample::scores(&output, session.output(index).unwrap()).unwrap()
        })
        .collect()
}

/// The largest difference, as a share of the largest number wanted.
fn apart(wanted: &[Vec<f32>], found: &[Vec<f32>]) -> f32 {
    let heads = wanted.iter().zip(found).map(|(wanted, found)| {
        assert_eq!(wanted.len(), found.len());
        let largest = wanted.iter().fold(0f32, |most, x| most.max(x.abs()));
        let pairs = wanted.iter().zip(found);
        let differences = pairs.map(|(a, b)| (a - b).abs());
        differences.fold(0f32, f32::max) / largest
    });
    assert_eq!(wanted.len(), found.len());
    heads.fold(0f32, f32::max)
}

/// f32: sums of up to 784 products in another order, 1e-5 of the largest output. Q16: weights, inputs and sums rounded
/// to 2⁻¹⁶, up to 784 of them a sum and a few layers: 2⁻⁸ of outputs of about 1.
#[test]
fn every_layer_is_exported_as_it_was_trained() {
    let set = noise(3);
    let mut unsupported = Vec::new();
    for (name, layers) in NETWORKS {
        for seed in 1..=3 {
            let recipe = recipe(layers);
            let (network, checkpoint) = drawn(&recipe, seed);
            let exported = export::Network::new(&recipe, &checkpoint).unwrap();
            let ranges = match Ranges::measure(&exported, &set) {
                Ok(ranges) => ranges,
                Err(ExportError::Unsupported { operator, .. }) => {
                    unsupported.push(operator);
                    break;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            for (format, bound) in [(Format::F32, 1e-5), (Format::Q16, 1.0 / 256.0)] {
                let lowered = exported.lower(&recipe, &ranges, format);
                let lowered = lowered.unwrap_or_else(|error| panic!("{name}: {error}"));
                for (image, _) in set.iter() {
                    let wanted = libtorch(&network, &recipe, image);
                    let apart = apart(&wanted, &blob(&lowered.bytes, image));
                    assert!(apart < bound, "{name}, {format}, seed {seed}: {apart}");
                }
            }
        }
    }
    unsupported.sort_unstable();
    unsupported.dedup();
    assert_eq!(unsupported, UNSUPPORTED);
}

/// Networks with a layer that has no int8 form.
const NO_INT8: &[&str] = &[
    "rnn",
    "lstm",
    "gru",
    "bidirectional",
    "squeeze and excite",
    "repeat",
    "one lstm at two places",
    "embedding",
    "one_hot",
];

/// int8 rounds weights to 1/127 of a channel's largest, and each output to 1/255 of its range: a few layers of it are a
/// tenth of the largest probability at most. A swapped axis or a wrong scale gives much more.
#[test]
fn every_layer_that_has_an_int8_form_follows_f32() {
    let set = noise(12);
    let (mut without, mut wrong) = (Vec::new(), Vec::new());
    for (name, layers) in NETWORKS {
        let recipe = recipe(layers);
        let (network, checkpoint) = drawn(&recipe, 1);
        let exported = export::Network::new(&recipe, &checkpoint).unwrap();
        let Ok(ranges) = Ranges::measure(&exported, &set) else {
            continue;
        };
        let lowered = match exported.lower(&recipe, &ranges, Format::I8) {
            Ok(lowered) => lowered,
            Err(ExportError::NoInt8 { .. }) => {
                without.push(*name);
                continue;
            }
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut most = 0f32;
        // The last layer learns in f32 or Q16, over the others in int8.
        let heads = [Format::Head, Format::HeadQ16].map(|format| {
            let lowered = exported.lower(&recipe, &ranges, format);
            lowered.unwrap_or_else(|error| panic!("{name}, {format}: {error}"))
        });
        for (image, _) in set.iter() {
            let wanted = libtorch(&network, &recipe, image);
            for lowered in heads.iter().chain([&lowered]) {
                most = most.max(apart(&wanted, &blob(&lowered.bytes, image)));
            }
        }
        if most > 0.1 {
            wrong.push(format!("{name}: {most}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(without, NO_INT8);
}

/// Two heads on one trunk: the class, and the picture again.
#[test]
fn several_heads_are_exported_in_their_order() {
    let text = format!(
        "name = \"heads\"\n[data]\nset = \"mnist\"\n{}[train]\nepochs = 1\nbatch = 1\nseed = 1\n\
         optimizer = {{ type = \"sgd\", learning_rate = 0.1 }}\n\
         [[train.head]]\nlayer = \"class\"\nloss = \"cross_entropy\"\n\
         [[train.head]]\nlayer = \"picture\"\nloss = \"binary_cross_entropy\"\ntarget = \"image\"\nweight = 0.5\n\
         [export.train]\nlayers = \"all\"",
        toml(
            "{type=flatten} {type=dense name=trunk units=8 activation=relu} \
             {type=dense name=class units=10 activation=log_softmax} \
             {type=dense name=picture inputs=[trunk] units=784 activation=sigmoid}"
        )
    );
    let recipe = Recipe::parse(&text, Path::new("heads.toml")).unwrap();
    let (network, checkpoint) = drawn(&recipe, 1);
    let exported = export::Network::new(&recipe, &checkpoint).unwrap();
    let set = noise(2);
    let ranges = Ranges::measure(&exported, &set).unwrap();
    let lowered = exported.lower(&recipe, &ranges, Format::F32).unwrap();
    let wanted = libtorch(&network, &recipe, set.image(0));
    assert_eq!(wanted.iter().map(Vec::len).collect::<Vec<_>>(), [10, 784]);
    assert!(apart(&wanted, &blob(&lowered.bytes, set.image(0))) < 1e-5);
    let heads = Model::load(&lowered.bytes)
        .unwrap()
        .train_spec()
        .unwrap()
        .heads;
    let losses: Vec<_> = heads
        .iter()
        .map(|head| (head.output, head.weight))
        .collect();
    assert_eq!(losses, [(0, 1.0), (1, 0.5)]);
}
