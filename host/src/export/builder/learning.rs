//! What of a graph can learn, and the graph in which int8 does.

use nn_core::ops::Op;
use nn_core::tensor::{DType, Quant, Tensor, TensorId};

use super::{BuildError, Builder, Entry, Ids};

impl Builder {
    /// Whether a node has weights that a plan means which names none: of real numbers; of int8 where no node of the graph
    /// has such.
    pub fn learns(&self, node: usize) -> bool {
        let Some(entry) = self.nodes.get(node) else {
            return false;
        };
        if self.nodes.iter().any(|node| self.is_real(node)) {
            return self.is_real(entry);
        }
        self.learns_in_int8(node)
    }

    /// Whether a node has weights of int8 that can learn.
    pub fn learns_in_int8(&self, node: usize) -> bool {
        let op = self.nodes.get(node).map(|entry| entry.op);
        let weight = op.and_then(|op| op.weight_in_int8());
        weight.is_some_and(|weight| self.tensor(weight).dtype == DType::I8)
    }

    fn is_real(&self, entry: &Entry) -> bool {
        let mut parameters = entry.op.parameters();
        parameters.any(|id| matches!(self.tensor(id).dtype, DType::F32 | DType::Q16))
    }

    /// Makes outputs of int8 such of f32, towards which a loss can be formed: the last function, where there is one, works
    /// on dequantized numbers.
    ///
    /// Returned is, for each node, the one of before that it stands for.
    ///
    /// # Errors
    /// [`BuildError::TooMany`].
    pub fn real_outputs(&mut self, outputs: &mut [TensorId]) -> Result<Vec<usize>, BuildError> {
        let mut stands_for: Vec<usize> = (0..self.nodes.len()).collect();
        for output in outputs {
            let tensor = self.tensor(*output);
            let producer = self.nodes.iter().position(|node| node.output == *output);
            let (DType::I8, Some(index)) = (tensor.dtype, producer) else {
                continue;
            };
            let real = |tensor: Tensor| Tensor::activation(tensor.shape, DType::F32, Quant::None);
            let function = match self.nodes[index].op {
                Op::Softmax(_) => Some(Op::Softmax(None)),
                Op::LogSoftmax(_) => Some(Op::LogSoftmax(None)),
                Op::Sigmoid(_) => Some(Op::Sigmoid(None)),
                Op::Tanh(_) => Some(Op::Tanh(None)),
                _ => None,
            };
            let readers = self.nodes.iter();
            let is_read = readers
                .flat_map(|node| node.inputs.as_slice())
                .any(|input| input == output);
            let number = self.nodes.iter().filter(|node| node.op == Op::Dequantize);
            let name = match number.count() {
                0 => "dequantize".to_owned(),
                others => format!("dequantize_{}", others + 1),
            };
            let place = match function {
                // Its input, dequantized; then the function as it was.
                Some(op) if !is_read => {
                    let inputs = self.nodes[index].inputs;
                    let x = inputs.as_slice().first().copied().unwrap_or(*output);
                    let made = self.push(real(self.tensor(x)))?;
                    let entry = &mut self.nodes[index];
                    entry.op = op;
                    entry.inputs = Ids::new(&[made]).ok_or(BuildError::TooMany)?;
                    self.tensors[usize::from(*output)] = real(tensor);
                    self.nodes.insert(index, dequantize(name, x, made)?);
                    index
                }
                _ => {
                    let made = self.push(real(tensor))?;
                    self.nodes
                        .insert(index + 1, dequantize(name, *output, made)?);
                    *output = made;
                    index + 1
                }
            };
            stands_for.insert(place, stands_for[index]);
        }
        Ok(stands_for)
    }
}

fn dequantize(name: String, x: TensorId, output: TensorId) -> Result<Entry, BuildError> {
    Ok(Entry {
        name,
        op: Op::Dequantize,
        inputs: Ids::new(&[x]).ok_or(BuildError::TooMany)?,
        output,
    })
}
