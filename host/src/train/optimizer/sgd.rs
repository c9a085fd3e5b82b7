//! Stochastic gradient descent, with momentum (Polyak 1964; Nesterov's as in Sutskever 2013).
//!
//! `g ← g + λw`, `v ← μv + g`, `w ← w − η v`; with Nesterov's momentum `w ← w − η (g + μv)`.

use tch::TchError;

use super::{Change, Rule};
use crate::recipe::Sgd;

pub(super) struct SgdRule(pub(super) Sgd);

impl Rule for SgdRule {
    fn slots(&self) -> &'static [&'static str] {
        if self.0.momentum > 0.0 {
            &["velocity"]
        } else {
            &[]
        }
    }

    fn update(&self, mut change: Change<'_>) -> Result<(), TchError> {
        change.decay(self.0.weight_decay)?;
        let mut along = change.gradient.shallow_clone();
        if let [velocity] = change.moments {
            let _ = velocity.f_mul_scalar_(self.0.momentum)?.f_add_(&along)?;
            along = if self.0.nesterov {
                along.f_add(&velocity.f_mul_scalar(self.0.momentum)?)?
            } else {
                velocity.shallow_clone()
            };
        }
        change.descend(&along)
    }
}
