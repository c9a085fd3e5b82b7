//! libtorch runs a blob: each node by libtorch's own operators, so that autograd gives the gradient of every weight.
//! Built with the feature `train`.

pub mod compare;
mod recurrent;

use std::collections::BTreeMap;

use nn_core::model::{Model, Node};
use nn_core::ops::{Activation, AvgPool2d, Conv2d, Op, Pool2d};
use nn_core::tensor::{DType, Source, TensorId};
use tch::{Kind, Tensor};

use crate::graph::values_of;

/// A blob, whose tensors libtorch holds.
#[derive(Debug)]
pub struct Torch<'m> {
    model: Model<'m>,
    weights: BTreeMap<TensorId, Tensor>,
}

fn tensor(values: &[f32], dims: &[u32]) -> Tensor {
    let dims: Vec<i64> = dims.iter().map(|&d| i64::from(d)).collect();
    Tensor::from_slice(values).view(&dims[..])
}

/// The numbers of a tensor, in order.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_kind(Kind::Float).contiguous().flatten(0, -1);
    Vec::try_from(flat).expect("numbers")
}

/// An activation.
pub fn activate(x: &Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::None => x.shallow_clone(),
        Activation::Relu => x.relu(),
        Activation::Sigmoid => x.sigmoid(),
        Activation::Tanh => x.tanh(),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu(slope) => x.relu() - (-x).relu() * f64::from(slope),
        Activation::HardSigmoid => x.hardsigmoid(),
        Activation::Step => x.ge(0.0).to_kind(Kind::Float),
    }
}

/// `[frames, channels, height, width]` of a map, a sequence, or a sequence of maps.
fn nchw(x: &Tensor) -> Tensor {
    match x.dim() {
        2 => x.tr().unsqueeze(0).unsqueeze(2),
        3 => x.permute([2, 0, 1]).unsqueeze(0),
        _ => x.permute([0, 3, 1, 2]),
    }
}

/// Back to what [`nchw`] began with, of this rank.
fn nhwc(x: &Tensor, rank: usize) -> Tensor {
    match rank {
        2 => x.squeeze_dim(2).squeeze_dim(0).tr(),
        3 => x.squeeze_dim(0).permute([1, 2, 0]),
        _ => x.permute([0, 2, 3, 1]),
    }
}

fn pad(x: &Tensor, padding: [u8; 4], value: f64) -> Tensor {
    let [top, left, bottom, right] = padding.map(i64::from);
    x.pad([left, right, top, bottom], "constant", value)
}

fn max_pool(x: &Tensor, pool: &Pool2d) -> Tensor {
    let padded = pad(&nchw(x), pool.padding, f64::NEG_INFINITY);
    let (kernel, stride) = (pool.kernel.map(i64::from), pool.stride.map(i64::from));
    let y = padded.max_pool2d(kernel, stride, [0, 0], [1, 1], false);
    nhwc(&y, x.dim())
}

fn avg_pool(x: &Tensor, pool: &AvgPool2d) -> Tensor {
    let window = pool.window;
    let (kernel, stride) = (window.kernel.map(i64::from), window.stride.map(i64::from));
    // Divided by 1, it is a sum.
    let sum = |x: &Tensor| {
        pad(&nchw(x), window.padding, 0.0).avg_pool2d(kernel, stride, [0, 0], false, true, 1)
    };
    let y = if pool.count_padding {
        let padded = pad(&nchw(x), window.padding, 0.0);
        padded.avg_pool2d(kernel, stride, [0, 0], false, true, None)
    } else {
        sum(x) / sum(&x.ones_like())
    };
    nhwc(&y, x.dim())
}

impl<'m> Torch<'m> {
    /// Takes over the weights. Those that learn want a gradient.
    pub fn new(model: Model<'m>) -> Self {
        let mut learnt = Vec::new();
        for node in model.nodes() {
            learnt.extend(node.op.parameters());
        }
        let mut weights = BTreeMap::new();
        for (id, weight) in (0..).zip(model.tensors()) {
            let is_real = matches!(weight.dtype, DType::F32 | DType::Q16);
            if matches!(weight.source, Source::Weight { .. }) && is_real {
                let values = values_of(weight.dtype, model.weight_bytes(&weight));
                let tensor = tensor(&values, weight.shape.dims());
                let tensor = tensor.set_requires_grad(learnt.contains(&id));
                weights.insert(id, tensor);
            }
        }
        Self { model, weights }
    }

    fn weight(&self, id: TensorId) -> &Tensor {
        &self.weights[&id]
    }

    fn optional(&self, id: Option<TensorId>) -> Option<&Tensor> {
        id.map(|id| self.weight(id))
    }

    /// The outputs of the graph.
    pub fn run(&self, inputs: &[Vec<f32>]) -> Vec<Tensor> {
        let mut known: BTreeMap<TensorId, Tensor> = BTreeMap::new();
        for (&id, values) in self.model.inputs().as_slice().iter().zip(inputs) {
            let input = self.model.tensor(id).expect("an input");
            known.insert(id, tensor(values, input.shape.dims()));
        }
        for node in self.model.nodes() {
            let x: Vec<&Tensor> = node.inputs.as_slice().iter().map(|id| &known[id]).collect();
            let wanted = self.model.tensor(node.output).expect("an output").shape;
            let wanted: Vec<i64> = wanted.dims().iter().map(|&d| i64::from(d)).collect();
            let y = match &node.op {
                op @ (Op::Rnn(_) | Op::Lstm(_) | Op::Gru(_)) => self.recurrent(op, &x, &wanted),
                _ => self.node(&node, &x, &wanted),
            };
            assert_eq!(y.size(), wanted, "{}", node.name);
            known.insert(node.output, y);
        }
        let outputs = self.model.outputs();
        let outputs = outputs.as_slice().iter();
        outputs.map(|id| known[id].shallow_clone()).collect()
    }

    fn conv2d(&self, conv: &Conv2d, x: &Tensor) -> Tensor {
        let padded = pad(&nchw(x), conv.padding, 0.0);
        // HWIO to OIHW.
        let weight = self.weight(conv.weight).permute([3, 2, 0, 1]);
        let bias = self.optional(conv.bias);
        let stride = conv.stride.map(i64::from);
        let dilation = conv.dilation.map(i64::from);
        let y = padded.conv2d(
            &weight,
            bias,
            stride,
            [0, 0],
            dilation,
            i64::from(conv.groups),
        );
        activate(&nhwc(&y, x.dim()), conv.activation)
    }

    fn node(&self, node: &Node, inputs: &[&Tensor], wanted: &[i64]) -> Tensor {
        let x = inputs[0];
        match &node.op {
            Op::Dense(dense) => {
                let y = x.matmul(self.weight(dense.weight));
                let y = match self.optional(dense.bias) {
                    Some(bias) => y + bias,
                    None => y,
                };
                activate(&y, dense.activation)
            }
            Op::Conv2d(conv) => self.conv2d(conv, x),
            Op::MaxPool2d(pool) => max_pool(x, pool),
            Op::AvgPool2d(pool) => avg_pool(x, pool),
            Op::BatchNorm(norm) => {
                let hat = (x - self.weight(norm.mean)) * self.weight(norm.scale);
                hat * self.weight(norm.gamma) + self.weight(norm.beta)
            }
            Op::Flatten => x.reshape([-1]),
            Op::Add(sum) => activate(&(x + inputs[1]), sum.activation),
            Op::Mul(product) => activate(&(x * inputs[1]), product.activation),
            Op::Concat(concat) => Tensor::cat(inputs, i64::from(concat.axis)),
            Op::Pad(padding) => {
                // libtorch wants the last axis first.
                let axes = (0..x.dim()).rev();
                let cells = axes.flat_map(|axis| [padding.before[axis], padding.after[axis]]);
                let cells: Vec<i64> = cells.map(i64::from).collect();
                x.pad(&cells[..], "constant", 0.0)
            }
            Op::Transpose(transpose) => {
                let axes = transpose.axes.iter().take(x.dim());
                x.permute(axes.map(|&axis| i64::from(axis)).collect::<Vec<_>>())
            }
            Op::Reshape => x.reshape(wanted),
            Op::GlobalAvgPool(None) => x
                .reshape([-1, *x.size().last().expect("a dimension")])
                .mean_dim(Some(&[0i64][..]), false, Kind::Float),
            Op::GlobalMaxPool => {
                x.reshape([-1, *x.size().last().expect("a dimension")])
                    .max_dim(0, false)
                    .0
            }
            Op::Prelu(prelu) => x.relu() - (-x).relu() * self.weight(prelu.slope),
            Op::Embedding(embedding) => {
                let rows = self.weight(embedding.table);
                rows.index_select(0, &x.to_kind(Kind::Int64))
                    .reshape(wanted)
            }
            Op::Relu => x.relu(),
            Op::Sigmoid(None) => x.sigmoid(),
            Op::Tanh(None) => x.tanh(),
            Op::Softmax(None) => x.softmax(-1, Kind::Float),
            Op::LogSoftmax(_) => x.log_softmax(-1, Kind::Float),
            Op::Activation(activation) => activate(x, *activation),
            op => panic!("{}: libtorch has no such operator here", op.name()),
        }
    }

    /// The gradients of the weights that learn, in the order of `Trainer::weights`; 0 where none arrived.
    pub fn gradient(&self) -> Vec<f32> {
        let mut gradient = Vec::new();
        for range in self.model.learnt() {
            let tensors = (0..).zip(self.model.tensors());
            let (id, _) = tensors
                .into_iter()
                .find(|(_, tensor)| {
                    matches!(tensor.source, Source::Weight { offset } if offset as usize == range.start)
                })
                .expect("a weight");
            let weight = &self.weights[&id];
            let grad = weight.grad();
            if grad.defined() {
                gradient.extend(values(&grad));
            } else {
                gradient.extend(vec![0.0; weight.numel()]);
            }
        }
        gradient
    }
}
