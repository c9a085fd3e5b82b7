//! Optimizers whose step for each weight falls with the size of its gradients.
//!
//! | | |
//! |---|---|
//! | AdaGrad (Duchi, Hazan and Singer 2011) | `s ← s + g²`, `w ← w − η g / (√s + ε)` |
//! | RMSprop (Hinton 2012) | `v ← αv + (1 − α)g²`, `w ← w − η g / (√v + ε)`; with a momentum `b ← μb + g / (√v + ε)`, `w ← w − η b` |
//! | AdaDelta (Zeiler 2012) | `v ← ρv + (1 − ρ)g²`, `d = √(u + ε) / √(v + ε) · g`, `u ← ρu + (1 − ρ)d²`, `w ← w − η d` |
//!
//! Each adds `λw` to `g` first.

use tch::{TchError, Tensor};

use super::{Change, Rule};
use crate::recipe::{AdaDelta, AdaGrad, RmsProp};

pub(super) struct AdaGradRule(pub(super) AdaGrad);

impl Rule for AdaGradRule {
    fn slots(&self) -> &'static [&'static str] {
        &["sum_square"]
    }

    fn update(&self, mut change: Change<'_>) -> Result<(), TchError> {
        change.decay(self.0.weight_decay)?;
        let [sum] = change.moments else { return Ok(()) };
        let _ = sum.f_add_(&change.gradient.f_square()?)?;
        let root = sum.f_sqrt()?.f_add_scalar(self.0.epsilon)?;
        change.descend(&change.gradient.f_div(&root)?)
    }
}

pub(super) struct RmsPropRule(pub(super) RmsProp);

impl Rule for RmsPropRule {
    fn slots(&self) -> &'static [&'static str] {
        if self.0.momentum > 0.0 {
            &["mean_square", "velocity"]
        } else {
            &["mean_square"]
        }
    }

    fn update(&self, mut change: Change<'_>) -> Result<(), TchError> {
        change.decay(self.0.weight_decay)?;
        let Some((mean_square, velocity)) = change.moments.split_first_mut() else {
            return Ok(());
        };
        let _ = mean_square.f_lerp_(&change.gradient.f_square()?, 1.0 - self.0.alpha)?;
        let root = mean_square.f_sqrt()?.f_add_scalar(self.0.epsilon)?;
        let mut along = change.gradient.f_div(&root)?;
        if let [velocity] = velocity {
            let _ = velocity.f_mul_scalar_(self.0.momentum)?.f_add_(&along)?;
            along = velocity.shallow_clone();
        }
        change.descend(&along)
    }
}

pub(super) struct AdaDeltaRule(pub(super) AdaDelta);

impl Rule for AdaDeltaRule {
    fn slots(&self) -> &'static [&'static str] {
        &["mean_square", "mean_square_step"]
    }

    fn update(&self, mut change: Change<'_>) -> Result<(), TchError> {
        change.decay(self.0.weight_decay)?;
        let [mean_square, steps] = change.moments else {
            return Ok(());
        };
        let AdaDelta { rho, epsilon, .. } = self.0;
        let _ = mean_square.f_lerp_(&change.gradient.f_square()?, 1.0 - rho)?;
        let root = |square: &Tensor| square.f_add_scalar(epsilon)?.f_sqrt();
        let step = root(steps)?
            .f_div(&root(mean_square)?)?
            .f_mul(&change.gradient)?;
        let _ = steps.f_lerp_(&step.f_square()?, 1.0 - rho)?;
        change.descend(&step)
    }
}
