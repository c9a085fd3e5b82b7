//! A node of the graph, and what it costs.

use serde::{Deserialize, Serialize};

use crate::model::{Ids, Model};
use crate::ops::Op;
use crate::tensor::{Quant, TensorId};

/// One operator of the graph, with what it reads and what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Node<'m> {
    /// The layer's name, as in the recipe.
    #[serde(borrow)]
    pub name: &'m str,
    /// What it does.
    pub op: Op,
    /// The activations that it reads.
    pub inputs: Ids,
    /// The activation that it writes; no other node writes it.
    pub output: TensorId,
}

/// What an operator costs for one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Numbers in weights and biases.
    pub parameters: u64,
    /// Bytes of weights, biases, multipliers and scales in flash.
    pub flash: u64,
}

/// What `node` costs in `model`.
pub fn cost(model: &Model, node: &Node) -> Cost {
    let mut cost = Cost::default();
    let mut count = |id: Option<TensorId>, is_parameter: bool| {
        let tensor = id.and_then(|id| model.tensor(id));
        if let Some(tensor) = tensor {
            cost.flash += tensor.bytes() as u64;
            if is_parameter {
                cost.parameters += tensor.elements() as u64;
            }
            if let Quant::PerChannel { scales } = tensor.quant {
                cost.flash += model.tensor(scales).map_or(0, |t| t.bytes() as u64);
            }
        }
        tensor.map_or(0, |t| t.elements() as u64)
    };
    match node.op {
        Op::Dense(dense) => {
            let weights = count(Some(dense.weight), true);
            count(dense.bias, true);
            count(dense.requant, false);
            cost.macs = weights;
        }
        Op::Conv2d(conv) => {
            let weights = count(Some(conv.weight), true);
            count(conv.bias, true);
            count(conv.requant, false);
            let output = model.tensor(node.output).and_then(|t| t.shape.as_map());
            let pixels = output.map_or(0, |[h, w, _]| u64::from(h) * u64::from(w));
            cost.macs = weights * pixels;
        }
        _ => {}
    }
    cost
}
