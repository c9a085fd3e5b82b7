//! The section `[train.pseudo]`: few samples keep their labels, the others get them from the network.

use serde::Deserialize;

use super::error::{Misfit, within};
use super::{Aim, Head, Loss, Size};

/// Pseudo-labels (Lee 2013), in rounds: what was learnt from the labels that are known labels the other samples; where it
/// is sure enough, a new network learns from both; and again.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pseudo {
    /// Samples whose labels are known: as many of each class.
    pub labels: Size,
    /// How often a network is trained anew, besides the one that knows nothing but those labels.
    pub rounds: Size,
    /// Epochs of each round.
    pub epochs: Size,
    /// How sure the network must be of a class, from 0 to 1, for a sample to have it.
    pub threshold: f64,
    /// Most samples without a label that are taken; all when not given.
    #[serde(default)]
    pub unlabelled: Option<Size>,
}

impl Pseudo {
    /// Whether it fits `heads`, and samples of so many classes.
    pub(super) fn check(&self, heads: &[Head], classes: usize) -> Result<(), Misfit> {
        let reads = |head: &Head| head.target == Aim::Class && head.loss == Loss::CrossEntropy;
        if !heads.first().is_some_and(reads) {
            let wanted = "a first head that reads classes, with cross_entropy";
            return Err(Misfit::field("pseudo", wanted, "another"));
        }
        if !self.labels.get().is_multiple_of(classes.max(1)) {
            let wanted = format!("a multiple of {classes}: as many of each class");
            return Err(Misfit::field("pseudo.labels", wanted, self.labels.get()));
        }
        let wanted = "a number above 0, below 1";
        let inside = f64::MIN_POSITIVE..1.0;
        within("pseudo.threshold", self.threshold, inside, wanted)
    }
}
