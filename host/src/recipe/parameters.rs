//! The weights that a layer has, in libtorch's layout, as they lie in a checkpoint.

use super::layer::LayerKind;

/// A tensor of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// What it is called behind the layer's name: `weight`.
    pub name: &'static str,
    /// Its shape, as libtorch has it.
    pub shape: Vec<usize>,
    /// What it begins as, and whether it learns.
    pub role: Role,
}

impl Parameter {
    /// Whether it is weights that begin by chance; `init` says how. Biases, gains and slopes are not.
    pub fn is_drawn(&self) -> bool {
        self.shape.len() > 1 && matches!(self.role, Role::Weight { .. } | Role::Uniform(_))
    }
}

/// What a tensor of a layer begins as, where the recipe does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    /// By chance, with the variance that He or Glorot give for so many inputs and outputs of a unit.
    Weight {
        /// Numbers that each output sums.
        fan_in: usize,
        /// Outputs that each number reaches.
        fan_out: usize,
    },
    /// By chance, evenly within ± this.
    Uniform(f32),
    /// All this number.
    Constant(f32),
    /// All this number; measured in training, not learnt.
    Statistic(f32),
}

impl Role {
    /// Whether it learns.
    pub fn learns(self) -> bool {
        !matches!(self, Self::Statistic(_))
    }
}

impl LayerKind {
    /// The tensors of a layer that reads an input of this shape.
    pub fn tensors(&self, input: &[usize]) -> Vec<Parameter> {
        let channels = input.last().copied().unwrap_or(0);
        let constant = |name, length, value| Parameter {
            name,
            shape: vec![length],
            role: Role::Constant(value),
        };
        if let Some(conv) = self.convolution(input) {
            let [height, width] = conv.kernel;
            let inputs = conv.inputs / conv.groups;
            let window = height * width;
            let shape = match self {
                Self::Conv1d(_) => vec![conv.filters, inputs, width],
                _ => vec![conv.filters, inputs, height, width],
            };
            let role = Role::Weight {
                fan_in: inputs * window,
                fan_out: conv.filters * window,
            };
            let name = "weight";
            let weight = Parameter { name, shape, role };
            return vec![weight, constant("bias", conv.filters, 0.0)];
        }
        if let Some((recurrent, gates)) = self.recurrent() {
            let units = recurrent.units.get();
            let names: &[[&'static str; 4]] = &[
                ["weight_ih", "weight_hh", "bias", "bias_hh"],
                [
                    "weight_ih_reverse",
                    "weight_hh_reverse",
                    "bias_reverse",
                    "bias_hh_reverse",
                ],
            ];
            // As PyTorch begins them.
            let role = Role::Uniform(1.0 / (units as f32).sqrt());
            let directions = if recurrent.bidirectional { 2 } else { 1 };
            let has_bias_hh = matches!(self, Self::Gru(_));
            let all = names[..directions].iter().flat_map(|names| {
                let shapes = [
                    vec![gates * units, channels],
                    vec![gates * units, units],
                    vec![gates * units],
                    vec![gates * units],
                ];
                let tensors = names.iter().zip(shapes);
                tensors
                    .take(if has_bias_hh { 4 } else { 3 })
                    .map(|(name, shape)| Parameter { name, shape, role })
            });
            return all.collect();
        }
        match self {
            Self::Dense(dense) => {
                let units = dense.units.get();
                let weight = Parameter {
                    name: "weight",
                    shape: vec![units, channels],
                    role: Role::Weight {
                        fan_in: channels,
                        fan_out: units,
                    },
                };
                let bias = constant("bias", units, 0.0);
                [weight]
                    .into_iter()
                    .chain(dense.bias.then_some(bias))
                    .collect()
            }
            Self::Prelu => vec![constant("weight", channels, 0.25)],
            Self::BatchNorm(_) => {
                let statistic = |name, value| Parameter {
                    name,
                    shape: vec![channels],
                    role: Role::Statistic(value),
                };
                vec![
                    constant("weight", channels, 1.0),
                    constant("bias", channels, 0.0),
                    statistic("running_mean", 0.0),
                    statistic("running_var", 1.0),
                ]
            }
            Self::Embedding(embedding) => vec![Parameter {
                name: "weight",
                shape: vec![embedding.vocabulary.get(), embedding.units.get()],
                role: Role::Uniform(1.0),
            }],
            _ => Vec::new(),
        }
    }
}
