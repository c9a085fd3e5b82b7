//! A node of the graph, and what it costs.

use serde::{Deserialize, Serialize};

use crate::model::{Ids, Model};
use crate::ops::{AllOps, Check, Op};
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
    let facts = node.op.facts();
    let mut cost = Cost::default();
    for id in facts
        .parameters
        .into_iter()
        .chain(facts.constants)
        .flatten()
    {
        let Some(tensor) = model.tensor(id) else {
            continue;
        };
        cost.flash += tensor.bytes() as u64;
        if facts.parameters.contains(&Some(id)) {
            cost.parameters += tensor.elements() as u64;
        }
        if let Quant::PerChannel { scales } = tensor.quant {
            cost.flash += model.tensor(scales).map_or(0, |t| t.bytes() as u64);
        }
    }
    let check = Check::new(model.tensors(), &node.inputs, node.output);
    if let (Ok(check), Some(kernel)) = (check, node.op.kernel::<AllOps>()) {
        cost.macs = kernel.macs(&check);
        cost.parameters += kernel.packed(&check);
    }
    cost
}
