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

    /// Changes the weight.
    fn update(&self, change: Change<'_>) -> Result<(), TchError>;
}

/// One step of one parameter.
struct Change<'t> {
    /// Which step, from 1.
    step: u64,
    learning_rate: f64,
    weight: &'t mut Tensor,
    gradient: Tensor,
    /// As many as the rule has slots.
    moments: &'t mut [Tensor],
}

impl Change<'_> {
    /// Adds `decay` times the weight to its gradient.
    fn decay(&mut self, decay: f64) -> Result<(), TchError> {
        if decay > 0.0 {
            self.gradient = self.gradient.f_add(&self.weight.f_mul_scalar(decay)?)?;
        }
        Ok(())
    }

    /// Adds the slope of the weight's penalty to its gradient: `l1 · sign w + 2 · l2 · w`.
    fn penalize(&mut self, penalty: &Penalty) -> Result<(), TchError> {
        if self.weight.dim() < 2 && !penalty.biases {
            return Ok(());
        }
        if penalty.l1 > 0.0 {
            let slope = self.weight.f_sign()?.f_mul_scalar(penalty.l1)?;
            self.gradient = self.gradient.f_add(&slope)?;
        }
        self.decay(2.0 * penalty.l2)
    }

    /// Steps against `along`.
    fn descend(&mut self, along: &Tensor) -> Result<(), TchError> {
        let step = along.f_mul_scalar(self.learning_rate)?;
        self.weight.f_sub_(&step).map(|_| ())
    }
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
            let mut change = Change {
                step: self.step,
                learning_rate,
                weight: &mut parameter.tensor,
                gradient: gradient.shallow_clone(),
                moments,
            };
            change.penalize(&self.penalty)?;
            self.rule.update(change)?;
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
