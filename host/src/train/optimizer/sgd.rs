//! Stochastic gradient descent, with momentum (Polyak 1964; Nesterov's as in Sutskever 2013).
//!
//! `g ← g + λw`, `v ← μv + g`, `w ← w − η v`; with Nesterov's momentum `w ← w − η (g + μv)`.

use tch::{TchError, Tensor};

use super::{Rule, decayed};
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

    fn update(
        &self,
        _step: u64,
        learning_rate: f64,
        weight: &mut Tensor,
        gradient: &Tensor,
        moments: &mut [Tensor],
    ) -> Result<(), TchError> {
        let mut along = decayed(weight, gradient, self.0.weight_decay)?;
        if let [velocity] = moments {
            let _ = velocity.f_mul_scalar_(self.0.momentum)?.f_add_(&along)?;
            along = if self.0.nesterov {
                along.f_add(&velocity.f_mul_scalar(self.0.momentum)?)?
            } else {
                velocity.shallow_clone()
            };
        }
        let _ = weight.f_sub_(&along.f_mul_scalar(learning_rate)?)?;
        Ok(())
    }
}
