//! Graphs with recurrent layers: evaluated by the papers' formulas in naive f64 loops, and written as blobs.

mod formulas;

use host::export::AlignedBytes;
use nn_core::model::{Ids, Node as ModelNode};
use nn_core::ops::{Activation, Concat, Dense, Gru, Lstm, Op, Recurrent, Rnn};
use nn_core::tensor::{DType, Quant, Shape, Source, Tensor};
use nn_core::train::TrainSpec;

use self::formulas::{activate, advance, affine, softmax};
use crate::graph::bytes_of;
use crate::parts::Parts;
use crate::random::Random;

/// Which recurrent layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// With this activation.
    Rnn(Activation),
    /// i, f, g, o.
    Lstm,
    /// r, z, n.
    Gru {
        /// As in PyTorch.
        reset_after: bool,
    },
}

/// All of them.
pub const KINDS: [Kind; 4] = [
    Kind::Rnn(Activation::Tanh),
    Kind::Lstm,
    Kind::Gru { reset_after: true },
    Kind::Gru { reset_after: false },
];

impl Kind {
    /// Columns of the kernels for each unit.
    pub fn gates(self) -> usize {
        match self {
            Self::Rnn(_) => 1,
            Self::Lstm => 4,
            Self::Gru { .. } => 3,
        }
    }

    fn has_recurrent_bias(self) -> bool {
        self == Self::Gru { reset_after: true }
    }
}

/// What a recurrent layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// The last h.
    Last,
    /// h after each step of its input.
    Whole,
    /// h after each of so many steps over one row.
    Steps(usize),
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// Further inputs are the state at which it begins.
    Recurrent {
        /// Which.
        kind: Kind,
        /// Numbers of h.
        units: usize,
        /// Its output.
        gives: Gives,
        /// From the last time to the first.
        reverse: bool,
        /// Keeps its state from run to run.
        stateful: bool,
        /// Steps that the gradient goes back; 0 for all.
        truncate: u16,
    },
    /// Along the last axis.
    Dense {
        /// Its outputs.
        outputs: usize,
        /// Fused.
        activation: Activation,
    },
    /// Along the last axis.
    Softmax,
    /// Of all that it reads, along the last axis.
    Concat,
}

/// A recurrent layer that reads a sequence forward.
pub fn recurrent(kind: Kind, units: usize, gives: Gives) -> Layer {
    Layer::Recurrent {
        kind,
        units,
        gives,
        reverse: false,
        stateful: false,
        truncate: 0,
    }
}

/// A graph. Tensors are its inputs, then the outputs of its nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Shapes.
    pub inputs: Vec<Vec<usize>>,
    /// Layers, each with the tensors that it reads.
    pub nodes: Vec<(Layer, Vec<usize>)>,
}

impl Graph {
    /// One input, and layers that each read the one before.
    pub fn chain(input: &[usize], layers: Vec<Layer>) -> Self {
        let nodes = layers.into_iter().enumerate();
        Self {
            inputs: vec![input.to_vec()],
            nodes: nodes.map(|(index, layer)| (layer, vec![index])).collect(),
        }
    }

    /// Shapes of all tensors.
    pub fn shapes(&self) -> Vec<Vec<usize>> {
        let mut shapes = self.inputs.clone();
        for (layer, inputs) in &self.nodes {
            let mut shape = shapes[inputs[0]].clone();
            match layer {
                Layer::Recurrent { units, gives, .. } => {
                    shape = match gives {
                        Gives::Last => vec![*units],
                        Gives::Whole => vec![shape[0], *units],
                        Gives::Steps(steps) => vec![*steps, *units],
                    };
                }
                Layer::Dense { outputs, .. } => *shape.last_mut().expect("an axis") = *outputs,
                Layer::Softmax => {}
                Layer::Concat => {
                    let last = |id: &usize| *shapes[*id].last().expect("an axis");
                    *shape.last_mut().expect("an axis") = inputs.iter().map(last).sum();
                }
            }
            shapes.push(shape);
        }
        shapes
    }

    /// Shapes of the parameters of each node, in the order in which they are stored.
    pub fn parameters(&self) -> Vec<Vec<Vec<usize>>> {
        let shapes = self.shapes();
        let of = |(layer, inputs): &(Layer, Vec<usize>)| {
            let features = *shapes[inputs[0]].last().expect("an axis");
            match layer {
                Layer::Recurrent { kind, units, .. } => {
                    let columns = kind.gates() * units;
                    let mut all = vec![vec![features, columns], vec![*units, columns]];
                    all.push(vec![columns]);
                    if kind.has_recurrent_bias() {
                        all.push(vec![columns]);
                    }
                    all
                }
                Layer::Dense { outputs, .. } => vec![vec![features, *outputs], vec![*outputs]],
                Layer::Softmax | Layer::Concat => vec![],
            }
        };
        self.nodes.iter().map(of).collect()
    }

    /// Parameters drawn at random, one after the other.
    pub fn draw(&self, random: &mut Random) -> Vec<f32> {
        let shapes = self.parameters().into_iter().flatten();
        let draw = |shape: Vec<usize>| match shape[..] {
            [rows, columns] => random.values(rows * columns, 1.2 / (rows as f32).sqrt()),
            _ => random.values(shape[0], 0.4),
        };
        shapes.flat_map(draw).collect()
    }

    /// The last node's output, in f64, from zero states.
    pub fn evaluate(&self, parameters: &[f64], inputs: &[Vec<f64>]) -> Vec<f64> {
        let shapes = self.shapes();
        let mut tensors = inputs.to_vec();
        let mut rest = parameters;
        for ((layer, reads), own) in self.nodes.iter().zip(self.parameters()) {
            let weights: Vec<&[f64]> = own
                .iter()
                .map(|shape| {
                    let (front, back) = rest.split_at(shape.iter().product());
                    rest = back;
                    front
                })
                .collect();
            let x = &tensors[reads[0]];
            let shape = &shapes[reads[0]];
            let features = *shape.last().expect("an axis");
            let output = match layer {
                Layer::Softmax => x.chunks(features).flat_map(softmax).collect(),
                Layer::Concat => {
                    let rows = x.len() / features;
                    let row = |of: usize, row: usize| {
                        let width = tensors[of].len() / rows;
                        tensors[of][row * width..][..width].to_vec()
                    };
                    let all = |index| reads.iter().map(move |of| row(*of, index));
                    (0..rows).flat_map(all).flatten().collect()
                }
                Layer::Dense {
                    outputs,
                    activation,
                } => {
                    let rows = x.chunks(features);
                    rows.flat_map(|row| affine(row, weights[0], *outputs, weights[1]))
                        .map(|z| activate(*activation, z))
                        .collect()
                }
                Layer::Recurrent {
                    kind,
                    units,
                    gives,
                    reverse,
                    ..
                } => {
                    let rows: Vec<&[f64]> = match gives {
                        Gives::Steps(steps) => vec![x; *steps],
                        _ => x.chunks(features).collect(),
                    };
                    let mut state = vec![0.0; 2 * units];
                    for (index, id) in reads[1..].iter().enumerate() {
                        state[index * units..][..*units].copy_from_slice(&tensors[*id]);
                    }
                    let mut hidden = vec![vec![]; rows.len()];
                    for step in 0..rows.len() {
                        let time = if *reverse {
                            rows.len() - 1 - step
                        } else {
                            step
                        };
                        advance(*kind, rows[time], &weights, &mut state);
                        hidden[time] = state[..*units].to_vec();
                    }
                    match gives {
                        Gives::Last => state[..*units].to_vec(),
                        _ => hidden.concat(),
                    }
                }
            };
            tensors.push(output);
        }
        tensors.pop().expect("an output")
    }

    /// The blob, all numbers of `dtype`, the last node's output as the graph's.
    pub fn blob(&self, dtype: DType, parameters: &[f32], train: Option<TrainSpec>) -> AlignedBytes {
        let parts = self.parts(dtype, parameters, train);
        parts
            .encode()
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// All that the blob holds: activations, then the parameters of each node in turn.
    pub fn parts(&self, dtype: DType, parameters: &[f32], train: Option<TrainSpec>) -> Parts {
        let shape = |dims: &[usize]| Shape::new(dims).expect("a shape");
        let shapes = self.shapes();
        let mut tensors: Vec<Tensor> = shapes
            .iter()
            .map(|dims| Tensor::activation(shape(dims), dtype, Quant::None))
            .collect();
        let mut weights = bytes_of(dtype, parameters);
        let mut offset = 0;
        let mut nodes = vec![];
        for (index, ((layer, reads), own)) in self.nodes.iter().zip(self.parameters()).enumerate() {
            let ids: Vec<u16> = own
                .iter()
                .map(|dims| {
                    let tensor = Tensor {
                        source: Source::Weight { offset },
                        ..Tensor::activation(shape(dims), dtype, Quant::None)
                    };
                    offset += tensor.bytes() as u32;
                    tensors.push(tensor);
                    tensors.len() as u16 - 1
                })
                .collect();
            let reads: Vec<u16> = reads.iter().map(|id| *id as u16).collect();
            nodes.push(ModelNode {
                name: "",
                op: layer.op(&ids, shapes[self.inputs.len() + index].len() as u8 - 1),
                inputs: Ids::new(&reads).expect("at most four"),
                output: (self.inputs.len() + index) as u16,
            });
        }
        weights.resize(weights.len().next_multiple_of(16), 0);
        let inputs = 0..self.inputs.len() as u16;
        Parts {
            name: "sequence",
            tensors,
            outputs: vec![nodes.last().expect("a node").output],
            nodes,
            inputs: inputs.collect(),
            train,
            weights,
        }
    }
}

impl Layer {
    /// The operator, with these parameters, whose output's last axis is `axis`.
    fn op(&self, ids: &[u16], axis: u8) -> Op {
        match *self {
            Self::Recurrent {
                kind,
                reverse,
                stateful,
                truncate,
                ..
            } => {
                let layer = Recurrent {
                    kernel: ids[0],
                    recurrent: ids[1],
                    bias: Some(ids[2]),
                    reverse,
                    stateful,
                    truncate,
                    requant: None,
                };
                match kind {
                    Kind::Rnn(activation) => Op::Rnn(Rnn { layer, activation }),
                    Kind::Lstm => Op::Lstm(Lstm { layer }),
                    Kind::Gru { reset_after } => Op::Gru(Gru {
                        layer,
                        reset_after,
                        recurrent_bias: ids.get(3).copied(),
                    }),
                }
            }
            Self::Dense { activation, .. } => Op::Dense(Dense {
                weight: ids[0],
                bias: Some(ids[1]),
                requant: None,
                activation,
            }),
            Self::Softmax => Op::Softmax(None),
            Self::Concat => Op::Concat(Concat { axis }),
        }
    }
}
