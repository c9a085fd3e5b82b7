//! Adam (Kingma and Ba 2015, algorithm 1) and AdamW (Loshchilov and Hutter 2019, algorithm 2).
//!
//! `m ← β₁m + (1 − β₁)g`, `v ← β₂v + (1 − β₂)g²`, `w ← w − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)`.
//! Adam adds `λw` to `g` first; AdamW takes `ηλw` from `w` first.

use tch::TchError;

use super::{Change, Rule};
use crate::recipe::Adam;

pub(super) struct AdamRule {
    fields: Adam,
    decoupled: bool,
}

impl AdamRule {
    /// Adam.
    pub(super) fn coupled(fields: Adam) -> Self {
        Self {
            fields,
            decoupled: false,
        }
    }

    /// AdamW.
    pub(super) fn decoupled(fields: Adam) -> Self {
        Self {
            fields,
            decoupled: true,
        }
    }
}

impl Rule for AdamRule {
    fn slots(&self) -> &'static [&'static str] {
        &["mean", "mean_square"]
    }

    fn update(&self, mut change: Change<'_>) -> Result<(), TchError> {
        let Adam {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            ..
        } = self.fields;
        if self.decoupled {
            let shrink = 1.0 - change.learning_rate * weight_decay;
            let _ = change.weight.f_mul_scalar_(shrink)?;
        } else {
            change.decay(weight_decay)?;
        }
        let [mean, mean_square] = change.moments else {
            return Ok(());
        };
        let _ = mean.f_lerp_(&change.gradient, 1.0 - beta1)?;
        let _ = mean_square.f_lerp_(&change.gradient.f_square()?, 1.0 - beta2)?;

        // After 2^31 steps the power is 0 all the same.
        let step = i32::try_from(change.step).unwrap_or(i32::MAX);
        let (correction1, correction2) = (1.0 - beta1.powi(step), 1.0 - beta2.powi(step));
        let mut root = mean_square.f_sqrt()?;
        let _ = root
            .f_mul_scalar_(1.0 / correction2.sqrt())?
            .f_add_scalar_(epsilon)?;
        let update = mean
            .f_div(&root)?
            .f_mul_scalar_(change.learning_rate / correction1)?;
        let _ = change.weight.f_sub_(&update)?;
        Ok(())
    }
}
