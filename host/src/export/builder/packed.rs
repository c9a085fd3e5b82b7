//! A graph with its int8 dense layers, convolutions and LSTMs packed for a Cortex-M, in layout 1 or 2 of the blob.
//!
//! A max pooling of 2x2 cells becomes part of the convolution that it alone reads; sigmoid and tanh become tables. What
//! cannot be packed stays as it is: the outputs are the same, to the bit.
//!
//! In f32 and Q16, and in int8 where it learns, a max pooling whose windows lie side by side becomes part of its
//! convolution too: the outputs are the same; when training, sums of gradients of real numbers are taken in an order of
//! their own (see `docs/numerics.md`).

use std::collections::HashMap;

use nn_core::kernels::packed::channel::Plain;
use nn_core::kernels::packed::{Layout, PackError, conv2d, dense, lstm};
use nn_core::ops::{
    Conv2d, ConvPool2d, Dense, Lookup, Lstm, Op, PackedConv2d, PackedDense, PackedLstm, Pool2d,
    Recurrent, sigmoid, tanh,
};
use nn_core::tensor::{DType, Quant, Source, Tensor, TensorId};

use super::{BuildError, Builder, Entry};

/// A packed graph, and what became of its nodes.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The graph.
    pub builder: Builder,
    /// For each of its nodes the last one of the plain graph that it stands for.
    pub nodes: Vec<usize>,
    /// The new ids of the outputs.
    pub outputs: Vec<TensorId>,
    /// The int8 dense layers, convolutions and LSTMs that stayed plain, and why.
    pub plain: Vec<(String, PackError)>,
}

impl Packed {
    /// The node that a node of the plain graph became, or became part of.
    pub fn node_of(&self, plain: usize) -> Option<usize> {
        self.nodes.iter().position(|&last| last >= plain)
    }
}

/// 2x2 cells, each once.
const POOL: Pool2d = Pool2d {
    kernel: [2, 2],
    stride: [2, 2],
    padding: [0; 4],
};

impl Builder {
    /// The graph with these outputs in a packed layout.
    ///
    /// # Errors
    /// [`BuildError::TooMany`].
    pub fn to_packed(&self, layout: Layout, outputs: &[TensorId]) -> Result<Packed, BuildError> {
        self.to_packed_but(layout, outputs, &[])
    }

    /// As [`to_packed`](Self::to_packed), with the int8 layers of the nodes `learning` plain, so that they can learn; their
    /// poolings become part of them as in f32.
    ///
    /// # Errors
    /// [`BuildError::TooMany`].
    pub fn to_packed_but(
        &self,
        layout: Layout,
        outputs: &[TensorId],
        learning: &[usize],
    ) -> Result<Packed, BuildError> {
        let mut pass = Pass {
            layout,
            plain: self,
            packed: Self::new(&self.name),
            ids: HashMap::new(),
        };
        let mut nodes = Vec::new();
        let mut kept = Vec::new();
        for &input in &self.inputs {
            let id = pass.id(input)?;
            pass.packed.inputs.push(id);
        }
        let mut fused = None;
        for (index, entry) in self.nodes.iter().enumerate() {
            if fused == Some(index) {
                fused = None;
                continue;
            }
            let learns = learning.contains(&index);
            let pool = self.pool_after(index, outputs, learns);
            match pass.pack(entry, pool.map(|pool| &self.nodes[pool]), learns) {
                Some(Ok(id)) => {
                    let last = pool.unwrap_or(index);
                    pass.ids.insert(self.nodes[last].output, id?);
                    nodes.push(last);
                    fused = pool;
                }
                other => {
                    if let Some(Err(error)) = other {
                        kept.push((entry.name.clone(), error));
                    }
                    pass.keep(entry)?;
                    nodes.push(index);
                }
            }
        }
        let outputs = outputs.iter().map(|&id| pass.id(id));
        let outputs = outputs.collect::<Result<_, _>>()?;
        Ok(Packed {
            builder: pass.packed,
            nodes,
            outputs,
            plain: kept,
        })
    }

    /// The next node, where it is a pooling that packed convolutions have, and all that reads node `index`.
    fn pool_after(&self, index: usize, outputs: &[TensorId], learns: bool) -> Option<usize> {
        let (entry, next) = (&self.nodes[index], self.nodes.get(index + 1)?);
        let reads = |entry: &Entry, id| entry.inputs.as_slice().contains(&id);
        let readers = self.nodes.iter().filter(|node| reads(node, entry.output));
        let alone = readers.count() == 1 && !outputs.contains(&entry.output);
        let output = self.tensor(entry.output);
        let is_known = match next.op {
            Op::MaxPool2d(pool) if learns || output.dtype != DType::I8 => {
                side_by_side(pool).is_some()
            }
            Op::MaxPool2d(POOL) => output.shape.dims().len() > 2,
            _ => false,
        };
        let fits = matches!(entry.op, Op::Conv2d(_)) && is_known && reads(next, entry.output);
        (alone && fits).then_some(index + 1)
    }

    /// The bytes of a weight.
    fn bytes(&self, id: TensorId) -> &[u8] {
        let tensor = self.tensor(id);
        match tensor.source {
            Source::Weight { offset } => &self.weights[offset as usize..][..tensor.bytes()],
            Source::Activation => &[],
        }
    }

    fn words(&self, id: TensorId) -> Vec<i32> {
        // Weights lie on boundaries of the section only.
        let words = self.bytes(id).chunks_exact(4);
        words
            .map(|word| i32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect()
    }
}

/// Rows and columns of windows that lie side by side, without padding.
fn side_by_side(pool: Pool2d) -> Option<[u8; 2]> {
    let [rows, columns] = pool.kernel.map(u8::try_from);
    let fits = pool.kernel == pool.stride && pool.padding == [0; 4];
    fits.then_some([rows.ok()?, columns.ok()?])
}

/// A pass under way.
struct Pass<'b> {
    layout: Layout,
    plain: &'b Builder,
    packed: Builder,
    /// New ids of tensors.
    ids: HashMap<TensorId, TensorId>,
}

/// The new output of a packed layer, or why there is none.
type Outcome = Result<Result<TensorId, BuildError>, PackError>;

impl Pass<'_> {
    /// The new id of a tensor, which is taken along when it is first asked for.
    fn id(&mut self, old: TensorId) -> Result<TensorId, BuildError> {
        if let Some(&id) = self.ids.get(&old) {
            return Ok(id);
        }
        let mut tensor = self.plain.tensor(old);
        if let Quant::PerChannel { scales } = &mut tensor.quant {
            *scales = self.id(*scales)?;
        }
        let id = match tensor.source {
            Source::Activation => self.packed.push(tensor)?,
            Source::Weight { .. } => {
                let dims = tensor.shape.dims().iter().map(|&dim| dim as usize);
                let dims: Vec<usize> = dims.collect();
                let bytes = self.plain.bytes(old);
                self.packed
                    .weight(&dims, tensor.dtype, tensor.quant, bytes)?
            }
        };
        self.ids.insert(old, id);
        Ok(id)
    }

    /// Takes a node along as it is.
    fn keep(&mut self, entry: &Entry) -> Result<TensorId, BuildError> {
        let mut error = None;
        let op = entry.op.renumbered(|old| {
            self.id(old).unwrap_or_else(|fault| {
                error = Some(fault);
                old
            })
        });
        if let Some(error) = error {
            return Err(error);
        }
        let inputs = entry.inputs.as_slice().iter().map(|&id| self.id(id));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let output = self.plain.tensor(entry.output);
        let id = self.packed.node_of(&entry.name, op, &inputs, output)?;
        self.ids.insert(entry.output, id);
        Ok(id)
    }

    /// Packs a layer; `None` where it has no packed form.
    fn pack(&mut self, entry: &Entry, pool: Option<&Entry>, learns: bool) -> Option<Outcome> {
        let x = *entry.inputs.as_slice().first()?;
        let tensor = self.plain.tensor(x);
        if learns || tensor.dtype != DType::I8 {
            return Some(Ok(self.conv_pool2d(entry, pool?)?));
        }
        match entry.op {
            Op::Dense(dense) => Some(self.dense(entry, dense, x, &tensor)),
            Op::Conv2d(conv) if conv.dilation == [1, 1] => {
                let inputs = tensor.shape.dims().last().copied();
                let outputs = self.plain.tensor(entry.output).shape.dims().last().copied();
                let each = inputs == Some(conv.groups.into()) && inputs == outputs;
                let fits = conv.groups == 1 || each;
                fits.then(|| self.conv2d(entry, pool, conv, x, &tensor))
            }
            Op::Sigmoid(Some(input)) => Some(self.curve(entry, x, &tensor, |table, zero| {
                sigmoid::forward_i8(table, zero, &input);
            })),
            Op::Tanh(Some(input)) => Some(self.curve(entry, x, &tensor, |table, zero| {
                tanh::forward_i8(table, zero, &input);
            })),
            Op::Lstm(Lstm { layer }) => Some(self.lstm(entry, layer, x, &tensor)),
            _ => None,
        }
    }

    fn dense(&mut self, entry: &Entry, layer: Dense, x: TensorId, tensor: &Tensor) -> Outcome {
        let output = self.plain.tensor(entry.output);
        let channels = self.channels(layer.bias, layer.requant)?;
        let inputs = tensor.shape.dims().last().map_or(0, |dim| *dim as usize);
        let [words, table, _] = dense::sizes(inputs, channels.len());
        let (mut words, mut table) = (vec![0; words], vec![0; table]);
        let weight: &[i8] = bytemuck::cast_slice(self.plain.bytes(layer.weight));
        let places = (&mut words[..], &mut table[..]);
        let zeros = zeros(tensor, &output);
        dense::pack(self.layout, weight, inputs, &channels, zeros, places)?;
        Ok((|| {
            let (weight, table) = (self.push_weights(&words)?, self.push(&table)?);
            let op = Op::PackedDense(PackedDense {
                weight,
                table,
                activation: layer.activation,
            });
            let x = self.id(x)?;
            self.packed.node(&entry.name, op, x, output)
        })())
    }

    fn conv2d(
        &mut self,
        entry: &Entry,
        pool: Option<&Entry>,
        layer: Conv2d,
        x: TensorId,
        tensor: &Tensor,
    ) -> Outcome {
        let output = self.plain.tensor(pool.unwrap_or(entry).output);
        let channels = self.channels(layer.bias, layer.requant)?;
        let [_, height, width, _] = *self.plain.tensor(layer.weight).shape.dims() else {
            return Err(PackError::Shape);
        };
        let kernel = [height, width].map(|cells| u16::try_from(cells).unwrap_or(0));
        let mut packed = PackedConv2d {
            weight: 0,
            table: 0,
            kernel,
            stride: layer.stride,
            padding: layer.padding,
            activation: layer.activation,
            depthwise: layer.groups > 1,
            pool: pool.is_some(),
            in_place: false,
        };
        let outputs = u32::try_from(channels.len()).map_err(|_| PackError::Shape)?;
        let shape = packed
            .shape(tensor.shape, outputs)
            .ok_or(PackError::Shape)?;
        packed.in_place = shape.fits_in_place() && tensor.shape.dims().len() < 4;
        let [words, table, _] = shape.sizes(self.layout);
        let (mut words, mut table) = (vec![0; words], vec![0; table]);
        let weight: &[i8] = bytemuck::cast_slice(self.plain.bytes(layer.weight));
        let places = (&mut words[..], &mut table[..]);
        let zeros = zeros(tensor, &output);
        conv2d::pack(self.layout, weight, &shape, &channels, zeros, places)?;
        let name = match pool {
            Some(pool) => format!("{}+{}", entry.name, pool.name),
            None => entry.name.clone(),
        };
        Ok((|| {
            (packed.weight, packed.table) = (self.push_weights(&words)?, self.push(&table)?);
            let x = self.id(x)?;
            self.packed.node(&name, Op::PackedConv2d(packed), x, output)
        })())
    }

    /// A convolution with the pooling over it.
    fn conv_pool2d(&mut self, entry: &Entry, pool: &Entry) -> Option<Result<TensorId, BuildError>> {
        let (Op::Conv2d(conv), Op::MaxPool2d(window)) = (entry.op, pool.op) else {
            return None;
        };
        let layer = ConvPool2d {
            conv,
            pool: side_by_side(window)?,
        };
        let merged = Entry {
            name: format!("{}+{}", entry.name, pool.name),
            op: Op::ConvPool2d(layer),
            inputs: entry.inputs,
            output: pool.output,
        };
        Some(self.keep(&merged))
    }

    /// A function of each number, as a table: a look-up for some hundred instructions.
    fn curve(
        &mut self,
        entry: &Entry,
        x: TensorId,
        tensor: &Tensor,
        function: impl Fn(&mut [i8], i32),
    ) -> Outcome {
        let mut values: Vec<i8> = (i8::MIN..=i8::MAX).collect();
        function(&mut values, tensor.zero_point());
        let output = self.plain.tensor(entry.output);
        let bytes = bytemuck::cast_slice(&values);
        Ok((|| {
            let table = self
                .packed
                .weight(&[values.len()], DType::I8, Quant::None, bytes)?;
            let x = self.id(x)?;
            let op = Op::Lookup(Lookup { table });
            self.packed.node(&entry.name, op, x, output)
        })())
    }

    fn lstm(&mut self, entry: &Entry, layer: Recurrent, x: TensorId, tensor: &Tensor) -> Outcome {
        let output = self.plain.tensor(entry.output);
        let last = |tensor: &Tensor| tensor.shape.dims().last().map_or(0, |dim| *dim as usize);
        let (inputs, units) = (last(tensor), last(&output));
        let words = |id: Option<TensorId>| id.map_or_else(Vec::new, |id| self.plain.words(id));
        let (bias, requant) = (words(layer.bias), words(layer.requant));
        let plain = lstm::Plain {
            kernel: bytemuck::cast_slice(self.plain.bytes(layer.kernel)),
            recurrent: bytemuck::cast_slice(self.plain.bytes(layer.recurrent)),
            bias: &bias,
            recurrent_bias: &[],
            requant: &requant,
            zeros: zeros(tensor, &output),
        };
        let [words, _] = lstm::sizes(self.layout, inputs, units);
        let (mut words, mut table) = (vec![0; words], [0; lstm::TABLE]);
        let places = (&mut words[..], &mut table);
        lstm::pack(self.layout, &plain, inputs, units, places)?;
        Ok((|| {
            let op = Op::PackedLstm(PackedLstm {
                weight: self.push_weights(&words)?,
                table: self.push(&table)?,
                reverse: layer.reverse,
                stateful: layer.stateful,
            });
            let x = self.id(x)?;
            self.packed.node(&entry.name, op, x, output)
        })())
    }

    /// The type tells the layout.
    fn push_weights(&mut self, words: &[i32]) -> Result<TensorId, BuildError> {
        match self.layout {
            Layout::Armv7em => self.push(words),
            Layout::Armv7m => {
                let bytes: &[u8] = bytemuck::cast_slice(words);
                self.packed
                    .weight(&[bytes.len()], DType::I8, Quant::None, bytes)
            }
        }
    }

    fn push(&mut self, words: &[i32]) -> Result<TensorId, BuildError> {
        let bytes = bytemuck::cast_slice(words);
        self.packed
            .weight(&[words.len()], DType::I32, Quant::None, bytes)
    }

    fn channels(
        &self,
        bias: Option<TensorId>,
        requant: Option<TensorId>,
    ) -> Result<Vec<Plain>, PackError> {
        let table = self.plain.words(requant.ok_or(PackError::Shape)?);
        let (multipliers, shifts) = table.split_at(table.len() / 2);
        let bias = bias.map_or_else(|| vec![0; shifts.len()], |bias| self.plain.words(bias));
        let channels = multipliers.iter().zip(shifts).zip(bias);
        Ok(channels
            .map(|((&multiplier, &shift), bias)| Plain {
                bias,
                multiplier,
                shift,
            })
            .collect())
    }
}

/// The zero points of input and output.
fn zeros(x: &Tensor, y: &Tensor) -> [i8; 2] {
    // −128 to 127, or the graph is refused.
    [x, y].map(|tensor| tensor.zero_point() as i8)
}
