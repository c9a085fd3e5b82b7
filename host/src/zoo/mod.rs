//! The systems of a course on neural networks, each with the figures that its slides give.
//!
//! A system runs where a [`Place`] says, and tells figure by figure what the slides have and what came out. So far these are the
//! ones that slides work out by hand: no training data, no libtorch.

mod backprop;
mod convolution;
mod derivatives;
mod lab;
mod neurons;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::blob::BlobError;
use crate::device::{DeviceError, Place};
use crate::export::BuildError;
use crate::sample::SampleError;
use crate::ui::Ui;

use lab::Lab;

/// Why a system did not run.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// No system and no group has this name.
    #[error("no system or group is called `{found}`; wanted one of {wanted}")]
    Unknown {
        /// The name given.
        found: String,
        /// Those that there are.
        wanted: String,
    },
    /// Its network cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its network cannot be loaded.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The device refused, or did not answer.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Numbers that do not fit its network.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// A system of the course.
#[derive(Debug, Clone, Copy)]
pub struct System {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The systems that it belongs to: `by-hand`.
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
];

/// A figure of the slides, and ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What it is of.
    pub name: String,
    /// That of the slides.
    pub deck: f64,
    /// Ours.
    pub ours: f64,
    /// By how much the two may differ.
    pub within: f64,
}

impl Figure {
    /// A figure that slides give as `deck`, in decimals: ours rounds to it.
    ///
    /// What is no number counts as not a number, and fails.
    fn rounded(name: impl Into<String>, deck: &str, ours: f64) -> Self {
        let mantissa = deck.split('e').next().unwrap_or(deck);
        let decimals = mantissa.split_once('.').map_or(0, |(_, after)| after.len());
        let exponent = deck.split_once('e').and_then(|(_, e)| e.parse().ok());
        let exponent: i32 = exponent.unwrap_or(0);
        // A few digits.
        let unit = 10f64.powi(exponent - decimals as i32);
        Self::near(name, deck.parse().unwrap_or(f64::NAN), ours, unit / 2.0)
    }

    /// A figure that ours is `within` of.
    fn near(name: impl Into<String>, deck: f64, ours: f64, within: f64) -> Self {
        Self {
            name: name.into(),
            deck,
            ours,
            within,
        }
    }

    /// A figure that ours is, exactly.
    fn exact(name: impl Into<String>, deck: f64, ours: f64) -> Self {
        Self::near(name, deck, ours, 0.0)
    }

    /// Whether ours is near enough.
    pub fn passes(&self) -> bool {
        // False where either is not a number. A decimal figure is not exact in binary: an ulp of it more.
        let slack = self.deck.abs() * f64::EPSILON;
        (self.deck - self.ours).abs() <= self.within + if self.within > 0.0 { slack } else { 0.0 }
    }
}

/// What came of a system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub system: &'static str,
    /// Its group.
    pub group: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Weights and biases of its largest network; 0 where it has none.
    pub parameters: u64,
    /// The figure of the slides that stands for it: the first that fails, else the first.
    pub deck: f64,
    /// Ours.
    pub ours: f64,
    /// Bytes of the largest arena that one of its networks takes on a device; 0 where it has none.
    pub arena: usize,
    /// Whether all figures are near enough.
    pub pass: bool,
    /// All figures.
    pub figures: Vec<Figure>,
}

impl System {
    /// Runs it.
    ///
    /// # Errors
    /// [`ZooError`].
    pub fn run(&self, place: &Place, ui: &Ui) -> Result<Outcome, ZooError> {
        let mut lab = Lab::new(place, ui);
        let figures = (self.run)(&mut lab)?;
        let fails = figures.iter().find(|figure| !figure.passes());
        let headline = fails.or(figures.first());
        Ok(Outcome {
            system: self.name,
            group: self.group,
            title: self.title,
            parameters: lab.parameters(),
            deck: headline.map_or(f64::NAN, |figure| figure.deck),
            ours: headline.map_or(f64::NAN, |figure| figure.ours),
            arena: lab.arena(),
            pass: !figures.is_empty() && figures.iter().all(Figure::passes),
            figures,
        })
    }
}

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
