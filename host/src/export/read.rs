//! From a layer of a recipe and its tensors in a checkpoint to what is lowered.

use nn_core::ops::{Activation, Pad, Pool2d, Rrelu};

use super::ExportError;
use super::fold::BatchNorm;
use super::network::{Cell, Conv2d, Dense, Kind, Recurrent, RecurrentWeights};
use crate::checkpoint::Checkpoint;
use crate::recipe::{self, Convolution, LayerKind, Padding, ResolvedLayer};

/// Reads one layer's tensors.
pub(super) struct Reader<'r> {
    pub(super) layer: &'r ResolvedLayer,
    /// The layer whose weights it has: mostly itself.
    pub(super) owner: &'r str,
    pub(super) checkpoint: &'r Checkpoint,
}

impl Reader<'_> {
    /// What the layer computes, but for batch normalization and dropout.
    pub(super) fn kind(&self, kind: &LayerKind) -> Result<Kind, ExportError> {
        if let Some(conv) = kind.convolution(&self.layer.input_shape) {
            return Ok(Kind::Conv2d(self.convolution(conv)?));
        }
        if let Some((recurrent, _)) = kind.recurrent() {
            return Ok(Kind::Recurrent(self.recurrent(kind, recurrent)?));
        }
        Ok(match kind {
            LayerKind::Dense(dense) => {
                let inputs = self.layer.input_shape.last().copied().unwrap_or(0);
                let shape = [dense.units.get(), inputs];
                Kind::Dense(Dense {
                    weight: self.read("weight", &shape)?.to_vec(),
                    shape,
                    bias: match dense.bias {
                        true => self.read("bias", &shape[..1])?.to_vec(),
                        // The device adds one, of zeros.
                        false => vec![0.0; dense.units.get()],
                    },
                })
            }
            LayerKind::MaxPool2d(pool) => Kind::MaxPool2d(self.pool(pool)?),
            LayerKind::AvgPool2d(pool) => Kind::AvgPool2d(self.pool(pool)?),
            LayerKind::GlobalMaxPool => Kind::GlobalMaxPool,
            LayerKind::GlobalAvgPool => Kind::GlobalAvgPool,
            LayerKind::Transpose(transpose) => {
                // Axes are below 4.
                Kind::Transpose(transpose.axes.iter().map(|&axis| axis as u8).collect())
            }
            LayerKind::Pad(pad) => Kind::Pad(self.pad(&pad.amounts)?),
            LayerKind::Concat(concat) => {
                let last = self.layer.output_shape.len().saturating_sub(1);
                // Axes are below 4.
                Kind::Concat(concat.axis.unwrap_or(last) as u8)
            }
            LayerKind::Add(_) => Kind::Add,
            LayerKind::Mul(_) => Kind::Mul,
            LayerKind::Repeat(_) => Kind::Repeat,
            LayerKind::Prelu => Kind::Prelu(self.own("weight")?.to_vec()),
            LayerKind::Rrelu(rrelu) => Kind::Rrelu(Rrelu {
                lower: rrelu.lower,
                upper: rrelu.upper,
            }),
            LayerKind::Embedding(embedding) => {
                let shape = [embedding.vocabulary.get(), embedding.units.get()];
                Kind::Embedding(self.own("weight")?.to_vec(), shape)
            }
            LayerKind::OneHot(_) => Kind::OneHot,
            LayerKind::Activation(activation) => Kind::Activation(*activation),
            _ => Kind::Reshape,
        })
    }

    /// The statistics and factors of a batch normalization.
    pub(super) fn batch_norm(&self, epsilon: f64) -> Result<BatchNorm, ExportError> {
        Ok(BatchNorm {
            gamma: self.own("weight")?.to_vec(),
            beta: self.own("bias")?.to_vec(),
            mean: self.own("running_mean")?.to_vec(),
            variance: self.own("running_var")?.to_vec(),
            epsilon,
        })
    }

    /// A tensor of the shape that the layer's kind gives it.
    fn own(&self, name: &'static str) -> Result<&[f32], ExportError> {
        let tensors = self.layer.kind.tensors(&self.layer.input_shape);
        let tensor = tensors.iter().find(|tensor| tensor.name == name);
        let shape = tensor.map_or(&[][..], |tensor| &tensor.shape);
        self.read(name, shape)
    }

    /// The tensor `name`, of finite numbers.
    fn read(&self, name: &str, shape: &[usize]) -> Result<&[f32], ExportError> {
        let name = format!("{}.{name}", self.owner);
        let values = &self.checkpoint.tensor(&name, shape)?.values;
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(ExportError::NotFinite {
                name,
                index,
                found: values[index],
            }),
            None => Ok(values),
        }
    }

    fn convolution(&self, conv: Convolution) -> Result<Conv2d, ExportError> {
        let [height, width] = conv.kernel;
        let inputs = conv.inputs / conv.groups;
        let weight = self.own("weight")?;
        let bias = self.own("bias")?;
        let geometry = self.geometry(conv.padding, conv.kernel, conv.span(), conv.stride)?;
        // libtorch's OIHW to OHWI.
        let mut transposed = Vec::with_capacity(weight.len());
        for filter in weight.chunks_exact(inputs * height * width) {
            for tap in 0..height * width {
                transposed.extend(filter.iter().skip(tap).step_by(height * width));
            }
        }
        Ok(Conv2d {
            weight: transposed,
            shape: [conv.filters, height, width, inputs],
            bias: bias.to_vec(),
            stride: geometry.stride,
            padding: geometry.padding,
            dilation: [
                self.narrow(conv.dilation[0])?,
                self.narrow(conv.dilation[1])?,
            ],
            groups: self.narrow(conv.groups)?,
        })
    }

    fn recurrent(
        &self,
        kind: &LayerKind,
        recurrent: &recipe::Recurrent,
    ) -> Result<Recurrent, ExportError> {
        let cell = match kind {
            LayerKind::Lstm(_) => Cell::Lstm,
            LayerKind::Gru(_) => Cell::Gru,
            _ if recurrent.activation == Some(recipe::Activation::Relu) => {
                Cell::Rnn(Activation::Relu)
            }
            _ => Cell::Rnn(Activation::Tanh),
        };
        let names = [
            ["weight_ih", "weight_hh", "bias", "bias_hh"],
            [
                "weight_ih_reverse",
                "weight_hh_reverse",
                "bias_reverse",
                "bias_hh_reverse",
            ],
        ];
        let mut directions = Vec::new();
        for [kernel, hidden, bias, bias_hh] in names
            .into_iter()
            .take(1 + usize::from(recurrent.bidirectional))
        {
            let bias = self.own(bias)?.to_vec();
            let recurrent_bias = match cell {
                Cell::Gru => Some(self.own(bias_hh)?.to_vec()),
                _ => None,
            };
            directions.push(RecurrentWeights {
                kernel: transpose(self.own(kernel)?, bias.len()),
                recurrent: transpose(self.own(hidden)?, bias.len()),
                bias,
                recurrent_bias,
            });
        }
        Ok(Recurrent {
            cell,
            directions,
            gives: recurrent.gives,
            stateful: recurrent.stateful,
            truncate: recurrent.truncate,
        })
    }

    fn pad(&self, amounts: &[[usize; 2]]) -> Result<Pad, ExportError> {
        let mut pad = Pad::default();
        let sides = pad.before.iter_mut().zip(&mut pad.after);
        for ((before, after), amounts) in sides.zip(amounts) {
            (*before, *after) = (self.narrow(amounts[0])?, self.narrow(amounts[1])?);
        }
        Ok(pad)
    }

    fn pool(&self, pool: &recipe::Pool2d) -> Result<Pool2d, ExportError> {
        let kernel = [pool.size.height(), pool.size.width()];
        let stride = [pool.stride().height(), pool.stride().width()];
        self.geometry(pool.padding, kernel, kernel, stride)
    }

    /// Rows and columns of the input; a sequence is a map of height 1.
    fn map(&self) -> [usize; 2] {
        match self.layer.input_shape[..] {
            [steps, _] => [1, steps],
            [height, width, ..] => [height, width],
            _ => [1, 1],
        }
    }

    /// Windows of `kernel` taps that cover `span` cells.
    fn geometry(
        &self,
        padding: Padding,
        kernel: [usize; 2],
        span: [usize; 2],
        stride: [usize; 2],
    ) -> Result<Pool2d, ExportError> {
        let map = self.map();
        let along = |axis: usize| {
            // The recipe has checked that windows fit.
            let windows = padding.windows(map[axis], span[axis], stride[axis]);
            windows.map_or((0, 0), |windows| (windows.before, windows.after))
        };
        let ((top, bottom), (left, right)) = (along(0), along(1));
        Ok(Pool2d {
            kernel: [self.narrow(kernel[0])?, self.narrow(kernel[1])?],
            stride: [self.narrow(stride[0])?, self.narrow(stride[1])?],
            padding: [
                self.narrow(top)?,
                self.narrow(left)?,
                self.narrow(bottom)?,
                self.narrow(right)?,
            ],
        })
    }

    /// A size as the blob holds it.
    fn narrow<T: TryFrom<usize>>(&self, found: usize) -> Result<T, ExportError> {
        T::try_from(found).map_err(|_| ExportError::Window {
            layer: self.layer.name.clone(),
            found,
        })
    }
}

/// `[rows, …]` to `[…, rows]`: from output-major to input-major.
pub(super) fn transpose(weight: &[f32], rows: usize) -> Vec<f32> {
    let columns = weight.len() / rows.max(1);
    (0..columns)
        .flat_map(|column| weight.iter().skip(column).step_by(columns.max(1)).copied())
        .collect()
}
