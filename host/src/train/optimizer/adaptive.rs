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

use super::{Rule, decayed};
use crate::recipe::{AdaDelta, AdaGrad, RmsProp};

pub(super) struct AdaGradRule(pub(super) AdaGrad);

impl Rule for AdaGradRule {
    fn slots(&self) -> &'static [&'static str] {
        &["sum_square"]
    }

    fn update(
        &self,
        _step: u64,
        learning_rate: f64,
        weight: &mut Tensor,
        gradient: &Tensor,
        moments: &mut [Tensor],
    ) -> Result<(), TchError> {
        let [sum] = moments else { return Ok(()) };
        let gradient = decayed(weight, gradient, self.0.weight_decay)?;
        let _ = sum.f_add_(&gradient.f_square()?)?;
        let root = sum.f_sqrt()?.f_add_scalar(self.0.epsilon)?;
        let _ = weight.f_sub_(&gradient.f_div(&root)?.f_mul_scalar(learning_rate)?)?;
        Ok(())
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

    fn update(
        &self,
        _step: u64,
        learning_rate: f64,
        weight: &mut Tensor,
        gradient: &Tensor,
        moments: &mut [Tensor],
    ) -> Result<(), TchError> {
        let Some((mean_square, velocity)) = moments.split_first_mut() else {
            return Ok(());
        };
        let gradient = decayed(weight, gradient, self.0.weight_decay)?;
        let _ = mean_square.f_lerp_(&gradient.f_square()?, 1.0 - self.0.alpha)?;
        let root = mean_square.f_sqrt()?.f_add_scalar(self.0.epsilon)?;
        let mut along = gradient.f_div(&root)?;
        if let [velocity] = velocity {
            let _ = velocity.f_mul_scalar_(self.0.momentum)?.f_add_(&along)?;
            along = velocity.shallow_clone();
        }
        let _ = weight.f_sub_(&along.f_mul_scalar(learning_rate)?)?;
        Ok(())
    }
}

pub(super) struct AdaDeltaRule(pub(super) AdaDelta);

impl Rule for AdaDeltaRule {
    fn slots(&self) -> &'static [&'static str] {
        &["mean_square", "mean_square_step"]
    }

    fn update(
        &self,
        _step: u64,
        learning_rate: f64,
        weight: &mut Tensor,
        gradient: &Tensor,
        moments: &mut [Tensor],
    ) -> Result<(), TchError> {
        let [mean_square, steps] = moments else {
            return Ok(());
        };
        let AdaDelta { rho, epsilon, .. } = self.0;
        let gradient = decayed(weight, gradient, self.0.weight_decay)?;
        let _ = mean_square.f_lerp_(&gradient.f_square()?, 1.0 - rho)?;
        let root = |square: &Tensor| square.f_add_scalar(epsilon)?.f_sqrt();
        let step = root(steps)?.f_div(&root(mean_square)?)?.f_mul(&gradient)?;
        let _ = steps.f_lerp_(&step.f_square()?, 1.0 - rho)?;
        let _ = weight.f_sub_(&step.f_mul_scalar(learning_rate)?)?;
        Ok(())
    }
}
