//! The losses, their gradients and the optimizers in f64: by central differences, and by the formulas of PyTorch's
//! documentation.

use nn_core::train::{Clip, Course, Loss, Method, TrainSpec};

use crate::{CLASS_WEIGHTS, SIZES};

/// One sample.
pub(crate) struct Sample {
    pub(crate) x: Vec<f32>,
    pub(crate) class: u16,
    pub(crate) yes: Vec<f32>,
}

/// The loss of a sample, in f64.
pub(crate) fn loss(spec: &TrainSpec, parameters: &[f64], sample: &Sample) -> f64 {
    let mut rest = parameters;
    let mut dense = |x: &[f64], [inputs, outputs]: [usize; 2]| -> Vec<f64> {
        let (weight, tail) = rest.split_at(inputs * outputs);
        let (bias, tail) = tail.split_at(outputs);
        rest = tail;
        let sum = |o: usize| {
            (0..inputs)
                .map(|i| x[i] * weight[i * outputs + o])
                .sum::<f64>()
        };
        (0..outputs).map(|o| bias[o] + sum(o)).collect()
    };
    let x: Vec<f64> = sample.x.iter().map(|&x| f64::from(x)).collect();
    let trunk: Vec<f64> = dense(&x, SIZES[0]).iter().map(|x| x.tanh()).collect();
    let logits = dense(&trunk, SIZES[1]);
    let yes = dense(&trunk, SIZES[2]);
    let total: f64 = logits.iter().map(|x| x.exp()).sum();
    let heads = spec.heads.iter().map(|head| {
        let sum = if head.output == 0 {
            let class = usize::from(sample.class);
            assert_eq!(head.loss, Loss::CrossEntropy);
            let weight = match head.class_weights {
                Some(_) => f64::from(CLASS_WEIGHTS[class]),
                None => 1.0,
            };
            -weight * (logits[class].exp() / total).ln()
        } else {
            let each = yes.iter().zip(&sample.yes).map(|(x, &t)| {
                let (y, t) = (1.0 / (1.0 + (-x).exp()), f64::from(t));
                let error = (y - t).abs();
                match head.loss {
                    Loss::BinaryCrossEntropy => -(t * y.ln() + (1.0 - t) * (1.0 - y).ln()),
                    Loss::MeanSquaredError => error * error,
                    Loss::MeanAbsoluteError => error,
                    Loss::Huber { delta } => {
                        let d = f64::from(delta);
                        if error <= d {
                            error * error / 2.0
                        } else {
                            d * error - d * d / 2.0
                        }
                    }
                    Loss::CrossEntropy => panic!("over a sigmoid"),
                }
            });
            each.sum::<f64>() / 2.0
        };
        f64::from(head.weight) * sum
    });
    heads.sum()
}

pub(crate) fn gradient(spec: &TrainSpec, parameters: &[f64], sample: &Sample) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut moved = parameters.to_vec();
    let mut at = |index: usize, step: f64| {
        moved[index] = parameters[index] + step;
        let loss = loss(spec, &moved, sample);
        moved[index] = parameters[index];
        loss
    };
    (0..parameters.len())
        .map(|index| (at(index, STEP) - at(index, -STEP)) / (2.0 * STEP))
        .collect()
}

/// An optimizer in f64, from the formulas of PyTorch's documentation.
pub(crate) struct Reference {
    pub(crate) spec: TrainSpec,
    /// Of each parameter: whether it is a bias.
    pub(crate) is_bias: Vec<bool>,
    pub(crate) weights: Vec<f64>,
    pub(crate) moments: Vec<[f64; 2]>,
    pub(crate) steps: i32,
}

impl Reference {
    fn rate(&self) -> f64 {
        let schedule = self.spec.schedule;
        let warm_up = schedule.warm_up as i32;
        let factor = if self.steps < warm_up {
            f64::from(self.steps + 1) / f64::from(warm_up)
        } else {
            match schedule.course {
                Course::Constant => 1.0,
                Course::Step { every, gamma } => {
                    f64::from(gamma).powi((self.steps - warm_up) / every as i32)
                }
                other => panic!("{other:?} is held to its formula in nn-core"),
            }
        };
        f64::from(self.spec.learning_rate) * factor
    }

    /// A step from the mean gradients of those that learn.
    pub(crate) fn step(&mut self, gradients: &[f64], learns: &[bool]) {
        let rate = self.rate();
        self.steps += 1;
        let t = self.steps;
        let learning = || gradients.iter().zip(learns).filter(|(_, learns)| **learns);
        let norm = learning().map(|(g, _)| g * g).sum::<f64>().sqrt();
        let optimizer = self.spec.optimizer;
        let (decay, l1) = (f64::from(optimizer.weight_decay), f64::from(optimizer.l1));
        for (index, (g, learns)) in gradients.iter().zip(learns).enumerate() {
            if !learns {
                continue;
            }
            let mut g = match self.spec.clip {
                Clip::None => *g,
                Clip::Value(limit) => g.clamp(-f64::from(limit), f64::from(limit)),
                Clip::Norm(limit) => g * (f64::from(limit) / (norm + 1e-6)).min(1.0),
            };
            let w = &mut self.weights[index];
            let [m, v] = &mut self.moments[index];
            let decoupled = matches!(
                optimizer.method,
                Method::Adam {
                    decoupled: true,
                    ..
                }
            );
            if optimizer.decay_bias || !self.is_bias[index] {
                if decoupled {
                    *w -= rate * decay * *w;
                } else {
                    g += decay * *w;
                }
                g += l1 * w.signum();
            }
            *w -= rate
                * match optimizer.method {
                    Method::Sgd { momentum, nesterov } => {
                        let momentum = f64::from(momentum);
                        *m = momentum * *m + g;
                        if nesterov { g + momentum * *m } else { *m }
                    }
                    Method::Adam {
                        beta1,
                        beta2,
                        epsilon,
                        ..
                    } => {
                        let (b1, b2) = (f64::from(beta1), f64::from(beta2));
                        *m = b1 * *m + (1.0 - b1) * g;
                        *v = b2 * *v + (1.0 - b2) * g * g;
                        let mean = *m / (1.0 - b1.powi(t));
                        let root = (*v / (1.0 - b2.powi(t))).sqrt();
                        mean / (root + f64::from(epsilon))
                    }
                    Method::RmsProp { alpha, epsilon } => {
                        let alpha = f64::from(alpha);
                        *v = alpha * *v + (1.0 - alpha) * g * g;
                        g / (v.sqrt() + f64::from(epsilon))
                    }
                };
        }
    }
}
