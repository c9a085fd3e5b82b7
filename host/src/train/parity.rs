//! What libtorch computes of a recipe is what its exported blob computes.

mod networks;

use std::collections::BTreeMap;
use std::path::Path;

use nn_core::model::Model;
use nn_core::session::Session;
use tch::{Device, Tensor};

use super::network::Network;
use super::values::{from_values, to_values};
use crate::checkpoint::{Checkpoint, Progress, Values};
use crate::data::{DataSet, Stream};
use crate::export::{self, AlignedBytes, ExportError, Ranges};
use crate::recipe::{Activation, Format, Recipe};
use crate::sample;
use networks::NETWORKS;

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
    let progress = Progress::new(recipe);
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
        values: None,
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

/// Networks with a layer that has no int8 form: their numbers are read as indices.
const NO_INT8: &[&str] = &["embedding", "one_hot"];

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
    // Where the last layer alone learns, the other head is in int8 and teaches nothing.
    let text = text.replace("\"all\"", "\"last:1\"");
    let recipe = Recipe::parse(&text, Path::new("heads.toml")).unwrap();
    for (format, wanted) in [(Format::F32, &[0, 1][..]), (Format::Head, &[1])] {
        let lowered = exported.lower(&recipe, &ranges, format).unwrap();
        let spec = Model::load(&lowered.bytes).unwrap().train_spec().unwrap();
        let outputs: Vec<_> = spec.heads.iter().map(|head| head.output).collect();
        assert_eq!(outputs, wanted, "{format}");
    }
}
