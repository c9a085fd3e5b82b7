//! What can go wrong in a training step, and in a plan.

use core::fmt;

/// Why a trainer refused.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TrainError {
    /// The loss or an output is not finite, or the step would move a weight by more than 2²⁰. See
    /// [`Trainer::step`](super::Trainer::step) for what was updated.
    Diverged,
    /// A class past the output's length.
    Class {
        /// How many classes there are.
        wanted: usize,
        /// The class given.
        found: usize,
    },
    /// Another number of values than the output (or the weights) has, or values that are not finite.
    Values {
        /// How many are wanted.
        wanted: usize,
        /// How many were given.
        found: usize,
    },
    /// Another number of targets than the plan has heads.
    Targets {
        /// How many heads there are.
        wanted: usize,
        /// How many targets were given.
        found: usize,
    },
    /// A rate that is not finite, negative, or a momentum of 1 or more.
    Rate,
    /// Momentum asked of a plan that has no room for velocities: export it with a momentum.
    NoVelocities,
    /// Weights in int8 learn by plain stochastic gradient descent, and something else was asked for.
    Int8 {
        /// What was asked for.
        setting: &'static str,
    },
    /// The arena does not hold what the plan says. A checked model never gets there.
    Memory,
}

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diverged => f.write_str(
                "training diverged: the loss is not finite, or the step is absurdly large, and was refused; lower the learning rate or reset the weights",
            ),
            Self::Class { wanted, found } => {
                write!(f, "class {found} of a model with {wanted} outputs")
            }
            Self::Values { wanted, found } => {
                write!(f, "{found} values: {wanted} finite ones wanted")
            }
            Self::Targets { wanted, found } => {
                write!(f, "{found} targets: the plan has {wanted} heads")
            }
            Self::Rate => f.write_str(
                "rates must be finite and at least 0, and the momentum less than 1",
            ),
            Self::NoVelocities => f.write_str(
                "the training plan has no room for velocities: export the model with a momentum",
            ),
            Self::Int8 { setting } => write!(
                f,
                "weights in int8 learn by plain SGD: {setting} is for models in f32 or Q16"
            ),
            Self::Memory => f.write_str("the arena does not hold what the plan says"),
        }
    }
}

impl core::error::Error for TrainError {}

/// What is wrong with a training plan.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SpecError {
    /// A number out of its range.
    Field {
        /// Which one.
        name: &'static str,
        /// Its range, in words.
        wanted: &'static str,
        /// The number given.
        found: f32,
    },
    /// No rule: nothing would learn.
    NoRules,
    /// No head: nothing would be minimised.
    NoHeads,
    /// Two losses at the same output.
    TwoHeads {
        /// Which one.
        output: u8,
    },
    /// Rules choose output channels of one node in ways that do not go together.
    Channels {
        /// Its index in the graph.
        node: usize,
    },
}

impl SpecError {
    /// An error unless a number is in its range.
    pub(crate) fn unless(
        fits: bool,
        name: &'static str,
        wanted: &'static str,
        found: f32,
    ) -> Result<(), Self> {
        let error = Self::Field {
            name,
            wanted,
            found,
        };
        if fits { Ok(()) } else { Err(error) }
    }

    /// An error unless `value` is finite and at least 0.
    pub(crate) fn penalty(name: &'static str, value: f32) -> Result<(), Self> {
        let fits = value >= 0.0 && value.is_finite();
        Self::unless(fits, name, "finite and at least 0", value)
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field {
                name,
                wanted,
                found,
            } => write!(f, "{name} is {found}: it must be {wanted}"),
            Self::NoRules => f.write_str("no rule says what learns: give at least one"),
            Self::NoHeads => f.write_str("no head says what is minimised: give at least one loss"),
            Self::TwoHeads { output } => {
                write!(f, "two losses at output {output}: one each is possible")
            }
            Self::Channels { node } => write!(
                f,
                "node {node}: the rules choose output channels more than 64 apart, or by two criteria; give one rule"
            ),
        }
    }
}

impl core::error::Error for SpecError {}
