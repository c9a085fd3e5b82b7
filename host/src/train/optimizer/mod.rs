//! Optimizers whose state can be kept: libtorch's own cannot give theirs away.
//!
//! An optimizer is a [`Rule`] (one file each) and the moments that it keeps for each parameter.

mod adam;
mod adaptive;
mod sgd;

use tch::{TchError, Tensor};

use super::TrainError;
use super::network::Parameter;
use super::values::{from_values, to_values};
use crate::checkpoint::{Checkpoint, Values};
use crate::recipe::{OptimizerKind, Penalty};

/// How one parameter changes in one step.
trait Rule {
    /// The names of the moments kept for each parameter; they begin as 0.
    fn slots(&self) -> &'static [&'static str];

    /// Changes `weight`; `step` counts from 1, `moments` are as many as there are slots.
    fn update(
        &self,
        step: u64,
        learning_rate: f64,
        weight: &mut Tensor,
        gradient: &Tensor,
        moments: &mut [Tensor],
    ) -> Result<(), TchError>;
}

/// A gradient with `decay` times its weight added.
fn decayed(weight: &Tensor, gradient: &Tensor, decay: f64) -> Result<Tensor, TchError> {
    if decay > 0.0 {
        gradient.f_add(&weight.f_mul_scalar(decay)?)
    } else {
        Ok(gradient.shallow_clone())
    }
}

/// A gradient with that of the penalty of its weight: `l1 · sign w + 2 · l2 · w`.
fn penalized(weight: &Tensor, gradient: &Tensor, penalty: &Penalty) -> Result<Tensor, TchError> {
    let mut gradient = gradient.shallow_clone();
    if weight.dim() < 2 && !penalty.biases {
        return Ok(gradient);
    }
    if penalty.l1 > 0.0 {
        gradient = gradient.f_add(&weight.f_sign()?.f_mul_scalar(penalty.l1)?)?;
    }
    if penalty.l2 > 0.0 {
        gradient = gradient.f_add(&weight.f_mul_scalar(2.0 * penalty.l2)?)?;
    }
    Ok(gradient)
}

/// A rule with its moments.
pub(super) struct Optimizer {
    rule: Box<dyn Rule>,
    penalty: Penalty,
    /// For each parameter, one tensor for each slot.
    moments: Vec<Vec<Tensor>>,
    /// Steps done.
    pub(super) step: u64,
}

impl Optimizer {
    /// The optimizer that the recipe names, for `parameters`, at its beginning.
    pub(super) fn new(
        kind: &OptimizerKind,
        penalty: Penalty,
        parameters: &[Parameter],
    ) -> Result<Self, TrainError> {
        let rule: Box<dyn Rule> = match kind {
            OptimizerKind::Sgd(fields) => Box::new(sgd::SgdRule(fields.clone())),
            OptimizerKind::Adam(fields) => Box::new(adam::AdamRule::coupled(fields.clone())),
            OptimizerKind::AdamW(fields) => Box::new(adam::AdamRule::decoupled(fields.clone())),
            OptimizerKind::AdaGrad(fields) => Box::new(adaptive::AdaGradRule(fields.clone())),
            OptimizerKind::RmsProp(fields) => Box::new(adaptive::RmsPropRule(fields.clone())),
            OptimizerKind::AdaDelta(fields) => Box::new(adaptive::AdaDeltaRule(fields.clone())),
        };
        let zeros = |parameter: &Parameter| {
            let zero = || parameter.tensor.f_zeros_like()?.f_detach();
            rule.slots()
                .iter()
                .map(|_| zero())
                .collect::<Result<Vec<_>, _>>()
        };
        let moments = parameters
            .iter()
            .map(zeros)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            rule,
            penalty,
            moments,
            step: 0,
        })
    }

    /// The optimizer as `checkpoint` keeps it.
    pub(super) fn restore(
        kind: &OptimizerKind,
        penalty: Penalty,
        parameters: &[Parameter],
        checkpoint: &Checkpoint,
    ) -> Result<Self, TrainError> {
        let mut optimizer = Self::new(kind, penalty, parameters)?;
        for (parameter, moments) in parameters.iter().zip(&mut optimizer.moments) {
            let shape: Vec<usize> = parameter
                .tensor
                .size()
                .iter()
                .map(|&length| length as usize)
                .collect();
            for (slot, moment) in optimizer.rule.slots().iter().zip(moments) {
                let name = Checkpoint::moment_name(slot, &parameter.name);
                let values = checkpoint.tensor(&name, &shape)?;
                *moment = from_values(values, parameter.tensor.device())?;
            }
        }
        optimizer.step = checkpoint.progress.step;
        Ok(optimizer)
    }

    /// One step along `gradients`, one for each parameter.
    pub(super) fn step(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &[Tensor],
        learning_rate: f64,
    ) -> Result<(), TrainError> {
        self.step += 1;
        let _no_grad = tch::no_grad_guard();
        let moments = self.moments.iter_mut();
        for ((parameter, gradient), moments) in parameters.iter_mut().zip(gradients).zip(moments) {
            let weight = &mut parameter.tensor;
            let gradient = penalized(weight, gradient, &self.penalty)?;
            self.rule
                .update(self.step, learning_rate, weight, &gradient, moments)?;
        }
        Ok(())
    }

    /// The moments by the names under which a checkpoint keeps them.
    pub(super) fn moments(
        &self,
        parameters: &[Parameter],
    ) -> Result<Vec<(String, Values)>, TrainError> {
        let mut named = Vec::new();
        for (parameter, moments) in parameters.iter().zip(&self.moments) {
            for (slot, moment) in self.rule.slots().iter().zip(moments) {
                let name = Checkpoint::moment_name(slot, &parameter.name);
                named.push((name, to_values(moment)?));
            }
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests;
