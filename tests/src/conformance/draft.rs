//! Graphs of the cases, node by node: shapes follow from the operators, weights are drawn.

use nn_core::ops::{Activation, Conv2d, ConvPool2d, Dense, Op, Pool2d};
use nn_core::tensor::{DType, TensorId};
use nn_core::train::TrainSpec;

use crate::graph::Net;
use crate::random::Random;

/// A graph, and what its weights are drawn from.
pub(super) struct Draft {
    pub(super) net: Net,
    random: Random,
}

impl Draft {
    pub(super) fn new(dtype: DType, seed: u64) -> Self {
        Self {
            net: Net::new(dtype),
            random: Random::new(seed),
        }
    }

    pub(super) fn weight(&mut self, dims: &[usize], limit: f32) -> TensorId {
        let values = self.random.values(dims.iter().product(), limit);
        self.net.weight(dims, &values)
    }

    /// A dense layer's parameters.
    pub(super) fn dense_of(&mut self, inputs: usize, outputs: usize, activation: Activation) -> Op {
        Op::Dense(Dense {
            weight: self.weight(&[inputs, outputs], 1.2 / (inputs as f32).sqrt()),
            bias: Some(self.weight(&[outputs], 0.3)),
            requant: None,
            activation,
        })
    }

    pub(super) fn dense(
        &mut self,
        x: TensorId,
        outputs: usize,
        activation: Activation,
    ) -> TensorId {
        let mut dims = self.net.dims(x);
        let last = dims.len() - 1;
        let op = self.dense_of(dims[last], outputs, activation);
        dims[last] = outputs;
        self.net.node(op, &[x], &dims)
    }

    /// A convolution over a map `[height, width, channels]`, or a sequence with a kernel of one row. `conv` has all
    /// but the tensors.
    pub(super) fn conv(
        &mut self,
        x: TensorId,
        kernel: [usize; 2],
        outputs: usize,
        conv: Conv2d,
    ) -> TensorId {
        let (conv, dims) = self.conv_of(x, kernel, outputs, conv);
        self.net.node(Op::Conv2d(conv), &[x], &dims)
    }

    /// The same with a max pooling over it.
    pub(super) fn conv_pool(
        &mut self,
        x: TensorId,
        kernel: [usize; 2],
        outputs: usize,
        conv: Conv2d,
        pool: [u8; 2],
    ) -> TensorId {
        let (conv, mut dims) = self.conv_of(x, kernel, outputs, conv);
        let axes = dims.len() - 3..dims.len() - 1;
        for (dim, cells) in dims[axes].iter_mut().zip(pool) {
            *dim /= usize::from(cells);
        }
        let layer = ConvPool2d { conv, pool };
        self.net.node(Op::ConvPool2d(layer), &[x], &dims)
    }

    /// A convolution's parameters, and the shape of its output.
    pub(super) fn conv_of(
        &mut self,
        x: TensorId,
        kernel: [usize; 2],
        outputs: usize,
        conv: Conv2d,
    ) -> (Conv2d, Vec<usize>) {
        let dims = self.net.dims(x);
        let channels = dims[dims.len() - 1] / usize::from(conv.groups);
        let terms = (kernel[0] * kernel[1] * channels) as f32;
        let conv = Conv2d {
            weight: self.weight(
                &[kernel[0], kernel[1], channels, outputs],
                1.2 / terms.sqrt(),
            ),
            bias: Some(self.weight(&[outputs], 0.3)),
            ..conv
        };
        let span = |axis: usize| (kernel[axis] - 1) * usize::from(conv.dilation[axis]) + 1;
        let out = |input: usize, axis: usize| {
            let padding = usize::from(conv.padding[axis]) + usize::from(conv.padding[axis + 2]);
            (input + padding - span(axis)) / usize::from(conv.stride[axis]) + 1
        };
        let dims = match dims[..] {
            [steps, _] => vec![out(steps, 1), outputs],
            [height, width, _] => vec![out(height, 0), out(width, 1), outputs],
            _ => panic!("no map: {dims:?}"),
        };
        (conv, dims)
    }

    pub(super) fn pool(
        &mut self,
        x: TensorId,
        pool: Pool2d,
        op: impl Fn(Pool2d) -> Op,
    ) -> TensorId {
        let [height, width, channels] = self.net.dims(x)[..] else {
            panic!("no map");
        };
        let out = |input: usize, axis: usize| {
            let padding = usize::from(pool.padding[axis]) + usize::from(pool.padding[axis + 2]);
            (input + padding - usize::from(pool.kernel[axis])) / usize::from(pool.stride[axis]) + 1
        };
        let dims = [out(height, 0), out(width, 1), channels];
        self.net.node(op(pool), &[x], &dims)
    }

    /// A node that keeps the shape.
    pub(super) fn same(&mut self, op: Op, x: TensorId) -> TensorId {
        let dims = self.net.dims(x);
        self.net.node(op, &[x], &dims)
    }

    pub(super) fn flatten(&mut self, x: TensorId) -> TensorId {
        let elements = self.net.dims(x).iter().product();
        self.net.node(Op::Flatten, &[x], &[elements])
    }

    /// Ends in the softmax of a dense layer.
    pub(super) fn classes(&mut self, x: TensorId, classes: usize) -> TensorId {
        let x = self.dense(x, classes, Activation::None);
        self.same(Op::Softmax(None), x)
    }

    pub(super) fn finish(
        &self,
        outputs: &[TensorId],
        train: TrainSpec,
    ) -> host::export::AlignedBytes {
        self.net.finish(outputs, Some(train))
    }
}

/// A convolution's fields but for its tensors.
pub(super) fn plain() -> Conv2d {
    Conv2d {
        weight: 0,
        bias: None,
        requant: None,
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
        activation: Activation::None,
    }
}

pub(super) fn pool(kernel: [u16; 2], stride: [u16; 2], padding: [u8; 4]) -> Pool2d {
    Pool2d {
        kernel,
        stride,
        padding,
    }
}
