//! The systems of a course on neural networks, each with the figures that its slides give.
//!
//! A system tells figure by figure what the slides have and what came out. Those that slides work out by hand want neither
//! training data nor libtorch; those that are trained have a recipe in `models/zoo`, are exported, and are measured by nn-core.

mod backprop;
#[cfg(feature = "zoo")]
mod brazing;
mod convolution;
mod curves;
mod derivatives;
mod digits;
mod error;
#[cfg(feature = "zoo")]
mod few_shot;
mod figure;
mod images;
mod lab;
mod neurons;
mod outcome;
mod pseudo_labels;
mod sequences;
mod tables;
#[cfg(feature = "zoo")]
mod temperature;
#[cfg(test)]
mod tests;
mod trained;

use std::path::PathBuf;

use crate::device::Place;

pub use error::ZooError;
pub use figure::{Figure, Rule};
use lab::Lab;
pub use outcome::{Exported, Outcome, State};

/// How systems run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where networks run.
    pub place: Place,
    /// Where data lie, before the usual folders.
    pub data: Option<PathBuf>,
    /// Train again what has been trained already.
    pub fresh: bool,
    /// Where what is trained goes; a folder for each recipe.
    pub runs: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            place: Place::Host,
            data: None,
            fresh: false,
            runs: crate::paths::run_dir("zoo"),
        }
    }
}

/// A system of the course.
#[derive(Debug, Clone, Copy)]
pub struct System {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The systems that it belongs to: `by-hand`, `tables`, …
    pub group: &'static str,
    /// What it is.
    pub title: &'static str,
    run: fn(&mut Lab) -> Result<Vec<Figure>, ZooError>,
}

/// All systems, in the order of the course.
pub const SYSTEMS: &[System] = &[
    System {
        name: "neuron",
        group: "by-hand",
        title: "M-P neuron: AND, OR, NOT",
        run: neurons::neuron,
    },
    System {
        name: "perceptron",
        group: "by-hand",
        title: "perceptron, training rule",
        run: neurons::perceptron,
    },
    System {
        name: "xor",
        group: "by-hand",
        title: "XOR of three step neurons, two ways",
        run: neurons::xor,
    },
    System {
        name: "xnor",
        group: "by-hand",
        title: "XNOR of sigmoid units",
        run: neurons::xnor,
    },
    System {
        name: "backprop-1-1-1",
        group: "by-hand",
        title: "1-1-1 network, one step",
        run: backprop::one_one_one,
    },
    System {
        name: "backprop-2-2-2",
        group: "by-hand",
        title: "2-2-2 network, 10,000 steps",
        run: backprop::two_two_two,
    },
    System {
        name: "convolution",
        group: "by-hand",
        title: "convolution and pooling on small images",
        run: convolution::convolution,
    },
    System {
        name: "derivatives",
        group: "by-hand",
        title: "derivatives, roots, automatic differentiation",
        run: derivatives::derivatives,
    },
    System {
        name: "iris-one-layer",
        group: "tables",
        title: "iris, one layer",
        run: tables::iris_one_layer,
    },
    System {
        name: "iris-two-layers",
        group: "tables",
        title: "iris, two layers",
        run: tables::iris_two_layers,
    },
    System {
        name: "iris-three-layers",
        group: "tables",
        title: "three-layer classifier",
        run: tables::iris_three_layers,
    },
    System {
        name: "advertising",
        group: "tables",
        title: "advertising, one neuron",
        run: tables::advertising,
    },
    System {
        name: "power-plant",
        group: "tables",
        title: "power plant, two heads",
        run: tables::power_plant,
    },
    System {
        name: "concrete",
        group: "tables",
        title: "concrete",
        run: tables::concrete,
    },
    #[cfg(feature = "zoo")]
    System {
        name: "temperature-bias",
        group: "tables",
        title: "temperature bias, beside a tree",
        run: temperature::temperature_bias,
    },
    #[cfg(feature = "zoo")]
    System {
        name: "brazing",
        group: "tables",
        title: "brazing stress, and its least",
        run: brazing::brazing,
    },
    System {
        name: "keras-examples",
        group: "tables",
        title: "four small examples",
        run: tables::keras,
    },
    System {
        name: "sin-cos",
        group: "curves",
        title: "sin x + cos x",
        run: curves::sin_cos,
    },
    System {
        name: "x-sin-x",
        group: "curves",
        title: "x · sin 10πx + 2",
        run: curves::x_sin_x,
    },
    System {
        name: "transfer-1d",
        group: "curves",
        title: "transfer, one dimension",
        run: curves::transfer,
    },
    System {
        name: "curved-boundary",
        group: "curves",
        title: "curved boundary",
        run: curves::boundary,
    },
    System {
        name: "moutai",
        group: "sequences",
        title: "Moutai price, recurrent",
        run: sequences::moutai,
    },
    System {
        name: "next-letter",
        group: "sequences",
        title: "next letter, LSTM",
        run: sequences::next_letter,
    },
    System {
        name: "next-letter-variants",
        group: "sequences",
        title: "next letter: bidirectional, stacked",
        run: sequences::letter_variants,
    },
    System {
        name: "mnist-mlp",
        group: "digits",
        title: "MNIST MLP",
        run: digits::mlp,
    },
    System {
        name: "mnist-mse",
        group: "digits",
        title: "MNIST MLP, squared error",
        run: digits::mse,
    },
    System {
        name: "mnist-hand-coded",
        group: "digits",
        title: "MNIST, hand-coded",
        run: digits::hand_coded,
    },
    System {
        name: "mnist-cnn",
        group: "digits",
        title: "MNIST CNN",
        run: digits::cnn,
    },
    System {
        name: "mnist-cnn-wide",
        group: "digits",
        title: "MNIST CNN, wide",
        run: digits::cnn_wide,
    },
    System {
        name: "mnist-alexnet",
        group: "digits",
        title: "MNIST AlexNet",
        run: digits::alexnet,
    },
    System {
        name: "lenet-5",
        group: "digits",
        title: "LeNet-5",
        run: digits::lenet,
    },
    System {
        name: "fashion-mlp",
        group: "digits",
        title: "Fashion-MNIST MLP",
        run: digits::fashion,
    },
    System {
        name: "pseudo-labels",
        group: "digits",
        title: "pseudo-labels, 100 labels",
        run: pseudo_labels::pseudo_labels,
    },
    #[cfg(feature = "zoo")]
    System {
        name: "few-shot",
        group: "digits",
        title: "few-shot odd one out",
        run: few_shot::few_shot,
    },
    System {
        name: "cats-and-dogs",
        group: "pictures",
        title: "cats and dogs CNN",
        run: images::cats_and_dogs,
    },
    System {
        name: "cats-and-dogs-transfer",
        group: "pictures",
        title: "cats and dogs, transfer",
        run: images::transfer,
    },
    System {
        name: "vgg-16",
        group: "described",
        title: "VGG-16",
        run: digits::vgg,
    },
    System {
        name: "alexnet",
        group: "described",
        title: "AlexNet",
        run: digits::imagenet_alexnet,
    },
];

/// The systems of these names, of systems or groups; all where there are no names.
///
/// # Errors
/// [`ZooError::Unknown`].
pub fn select(names: &[String]) -> Result<Vec<&'static System>, ZooError> {
    let known = |name: &str| {
        let mut systems = SYSTEMS.iter();
        systems.any(|system| name == system.name || name == system.group)
    };
    if let Some(found) = names.iter().find(|name| !known(name)) {
        let mut wanted: Vec<&str> = SYSTEMS.iter().map(|system| system.group).collect();
        wanted.dedup();
        wanted.extend(SYSTEMS.iter().map(|system| system.name));
        return Err(ZooError::Unknown {
            found: found.clone(),
            wanted: wanted.join(", "),
        });
    }
    let is_wanted = |system: &&System| {
        let mut names = names.iter();
        names.len() == 0 || names.any(|name| name == system.name || name == system.group)
    };
    Ok(SYSTEMS.iter().filter(is_wanted).collect())
}
