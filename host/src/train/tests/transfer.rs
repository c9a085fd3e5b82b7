//! What is frozen, and weights from another training.

use std::collections::BTreeMap;

use super::super::{transfer, values};
use super::*;
use crate::checkpoint::{Checkpoint, Values, read_tensors};
use crate::train::network::Network;

/// Weights of a run by name.
fn weights(outcome: &Outcome) -> BTreeMap<String, Values> {
    read_tensors(&outcome.files.checkpoint).unwrap()
}

/// Weights before the first step, by name.
fn begun(network: &Network) -> BTreeMap<String, Values> {
    let all = network.parameters.iter().chain(&network.statistics);
    let all = all.chain(&network.frozen);
    all.map(|tensor| {
        (
            tensor.name.to_string(),
            values::to_values(&tensor.tensor).unwrap(),
        )
    })
    .collect()
}

/// With a batch normalization behind the convolution; what is frozen is named.
fn with_norm(conv: &str, norm: &str, dense: &str) -> Recipe {
    let norm = format!("[[layer]]\ntype = \"batch_norm\"\n{norm}\n[[layer]]\ntype = \"flatten\"");
    let text = RECIPE
        .replace("padding = \"same\"", &format!("padding = \"same\"\n{conv}"))
        .replace("[[layer]]\ntype = \"flatten\"", &norm)
        .replace("units = 10", &format!("units = 10\n{dense}"));
    Recipe::parse(&text, Path::new("tiny.toml")).unwrap()
}

/// Neither learning nor weight decay nor running statistics change what is frozen; all else learns, below it, too.
#[test]
fn what_is_frozen_stays_and_the_rest_learns() {
    let scratch = Scratch::new("frozen");
    let frozen = "frozen = true";
    for (recipe, stays) in [
        (with_norm(frozen, "", ""), "conv2d_1."),
        (with_norm("", frozen, ""), "batch_norm_1."),
        (with_norm("", "", frozen), "dense_1."),
    ] {
        let first = begun(&Network::new(&recipe, 7, Device::Cpu).unwrap());
        let outcome = train(&recipe, &scratch.options("whole"), &mut ()).unwrap();
        let last = weights(&outcome);
        let parameters = |name: &&String| !name.starts_with("optim.");
        assert_eq!(last.keys().filter(parameters).count(), 8);
        for name in last.keys().filter(parameters) {
            assert_eq!(first[name] == last[name], name.starts_with(stays), "{name}");
        }
        let moments = |name: &String| name.starts_with("optim.") && name.contains(stays);
        assert!(
            !last.keys().any(moments),
            "a moment for what does not learn"
        );

        // Interrupted and resumed it is the same.
        let options = scratch.options("stopped");
        train(&recipe, &options, &mut StopAfter(7)).unwrap();
        let options = Options {
            resume: true,
            ..options
        };
        assert!(bytes(&train(&recipe, &options, &mut ()).unwrap()) == bytes(&outcome));
    }
}

/// A start takes what fits by name and shape, says the rest, and is no part of a resumed training.
#[test]
fn a_training_starts_from_the_weights_of_another() {
    let scratch = Scratch::new("start");
    let first = train(&recipe(), &scratch.options("first"), &mut ()).unwrap();
    let from = weights(&first);
    let text = RECIPE.replace(
        "[[layer]]\ntype = \"dropout\"",
        "[[layer]]\ntype = \"dense\"\nunits = 12\n\
        [[layer]]\nname = \"last\"\ntype = \"dense\"\nunits = 16\n[[layer]]\ntype = \"dropout\"",
    );
    let second = Recipe::parse(&text, Path::new("second.toml")).unwrap();
    let (taken, transfer) = transfer::take(&second, &first.files.checkpoint).unwrap();
    let start = begun(&Network::start(&second, 9, Device::Cpu, &taken).unwrap());
    let fresh = begun(&Network::new(&second, 9, Device::Cpu).unwrap());
    for (name, values) in &start {
        let wanted = match name.starts_with("conv2d_1.") {
            true => &from[name],
            false => &fresh[name],
        };
        assert_eq!(values, wanted, "{name}");
    }
    assert_eq!(transfer.file, first.files.checkpoint);
    assert_eq!(transfer.taken, ["conv2d_1.bias", "conv2d_1.weight"]);
    let described: Vec<String> = transfer.not_taken.iter().map(NotTaken::described).collect();
    let wanted = [
        "dense_1.weight ([12, 392], there [10, 392])",
        "dense_1.bias ([12], there [10])",
        "last.weight ([16, 12], not there)",
        "last.bias ([16], not there)",
        "dense_3.weight ([10, 16], not there)",
        "dense_3.bias ([10], not there)",
    ];
    assert_eq!(described, wanted);
    assert_eq!(transfer.unused, Vec::<String>::new());

    // As the recipe says, and resumed: the start is taken once.
    let path = scratch.0.join("first");
    let text = format!("{RECIPE}start = {path:?}\n").replace("seed = 7", "seed = 8");
    let third = Recipe::parse(&text, Path::new("third.toml")).unwrap();
    let whole = train(&third, &scratch.options("third"), &mut ()).unwrap();
    assert_eq!(whole.transfer.as_ref().unwrap().taken.len(), 4);
    let options = scratch.options("stopped");
    train(&third, &options, &mut StopAfter(7)).unwrap();
    let options = Options {
        resume: true,
        ..options
    };
    let resumed = train(&third, &options, &mut ()).unwrap();
    assert!(resumed.transfer.is_none() && bytes(&resumed) == bytes(&whole));
}

#[test]
fn a_start_of_which_nothing_fits_is_refused() {
    let scratch = Scratch::new("misfit");
    train(&recipe(), &scratch.options("run"), &mut StopAfter(1)).unwrap();
    let text = RECIPE
        .replace("type = \"conv2d\"", "name = \"c\"\ntype = \"conv2d\"")
        .replace("units = 10", "name = \"d\"\nunits = 10");
    let other = Recipe::parse(&text, Path::new("other.toml")).unwrap();
    let options = |start: &str| Options {
        start: Some(scratch.0.join(start)),
        ..scratch.options("other")
    };
    let error = train(&other, &options("run"), &mut ())
        .unwrap_err()
        .to_string();
    for words in [
        "c.weight [2, 1, 4, 4]",
        "conv2d_1.bias [2]",
        "name the layers as there",
    ] {
        assert!(error.contains(words), "{error}");
    }
    let error = train(&other, &options("nowhere"), &mut ())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("nowhere, whose weights the training begins with"),
        "{error}"
    );
}

/// A network of the form of PyTorch's VGG16: its names have dots, and a layer whose numbers the recipe gives brings pixels to
/// what it has learnt from.
fn pretrained(below: &str, above: &str) -> String {
    let convolution = |name: &str| {
        format!(
            "[[layer]]\nname = \"{name}\"\ntype = \"conv2d\"\nfilters = 4\nkernel = 3\npadding = \"same\"\n\
             activation = \"relu\"\nfrozen = true\n"
        )
    };
    let (first, second) = (convolution("features.0"), convolution("features.3"));
    let none = "[[layer]]\ntype = \"dropout\"\nrate = 0\n";
    let [below, above] = [below, above].map(|word| if word.is_empty() { "" } else { none });
    format!(
        "name = \"over\"\n[data]\nset = \"mnist\"\nvalidation = 0.2\nsamples = 48\n{below}\
         [[layer]]\nname = \"normalize\"\ntype = \"depthwise_conv2d\"\nkernel = 1\nfrozen = true\n\
         init = {{ type = \"values\", weight = [4], bias = [-2] }}\n\
         {first}[[layer]]\ntype = \"max_pool2d\"\nsize = 2\n{second}[[layer]]\ntype = \"flatten\"\n{above}\
         [[layer]]\nname = \"hidden\"\ntype = \"dense\"\nunits = 10\nactivation = \"relu\"\n\
         [[layer]]\ntype = \"dense\"\nunits = 10\nactivation = \"softmax\"\n\
         [train]\nloss = \"cross_entropy\"\nepochs = 3\nbatch = 16\nseed = 7\n\
         optimizer = {{ type = \"sgd\", learning_rate = 0.05 }}\n"
    )
}

/// What frozen layers give is computed once; a head learns over it as over the layers themselves.
#[test]
fn a_head_learns_over_what_frozen_layers_gave_once() {
    let scratch = Scratch::new("over");
    let parse = |text: &str| Recipe::parse(text, Path::new("over.toml")).unwrap();
    // Of the two that change nothing, one keeps what lies above it from being known beforehand.
    let (once, always) = (
        parse(&pretrained("", "above")),
        parse(&pretrained("below", "")),
    );
    let file = scratch.0.join("vgg.safetensors");
    let made = |name: &str, shape: &[usize], scale: f32| {
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|at| (at % 7) as f32 * scale - 2.5 * scale);
        let (values, shape) = (values.collect(), shape.to_vec());
        (name.to_owned(), Values { shape, values })
    };
    let theirs = [
        made("features.0.weight", &[4, 1, 3, 3], 0.1),
        made("features.0.bias", &[4], 0.01),
        made("features.3.weight", &[4, 4, 3, 3], 0.05),
        made("features.3.bias", &[4], 0.01),
        made("classifier.6.weight", &[10, 784], 0.1),
    ];
    let checkpoint = Checkpoint {
        progress: Progress::new(&once),
        tensors: theirs.clone().into(),
    };
    checkpoint.save(&file).unwrap();
    let run = |recipe: &Recipe, name: &str| {
        let options = Options {
            start: Some(file.clone()),
            ..scratch.options(name)
        };
        train(recipe, &options, &mut ()).unwrap()
    };
    let outcomes = [run(&once, "once"), run(&always, "always")];
    let told = outcomes[0].transfer.as_ref().unwrap();
    assert_eq!((told.taken.len(), told.unused.len()), (4, 1));
    let [once, always] = outcomes.each_ref().map(weights);
    for (name, values) in &theirs[..4] {
        assert_eq!(&once[name], values, "{name}");
    }
    assert_eq!(
        (
            once["normalize.weight"].values[0],
            once["normalize.bias"].values[0]
        ),
        (4.0, -2.0)
    );
    for (name, values) in once.iter().filter(|(name, _)| !name.starts_with("optim.")) {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * (1.0 + b.abs());
        let all = values.values.iter().zip(&always[name].values).all(near);
        assert!(all, "{name}");
    }
    let losses = outcomes
        .each_ref()
        .map(|outcome| outcome.test.unwrap().loss);
    assert!((losses[0] - losses[1]).abs() < 1e-4, "{losses:?}");
    // Of 80 that are not held out, 48 are learnt from: three steps.
    let rows = outcomes.each_ref().map(|outcome| outcome.history.len());
    assert_eq!((rows, outcomes[0].progress.step), ([3, 3], 9));

    // Stopped and resumed, it is the same.
    let recipe = parse(&pretrained("", "above"));
    let options = Options {
        start: Some(file.clone()),
        ..scratch.options("stopped")
    };
    train(&recipe, &options, &mut StopAfter(4)).unwrap();
    let options = Options {
        resume: true,
        start: None,
        ..options
    };
    assert!(bytes(&train(&recipe, &options, &mut ()).unwrap()) == bytes(&outcomes[0]));
}
