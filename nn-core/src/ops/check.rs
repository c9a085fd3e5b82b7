//! What the operators' rules are checked with.

use crate::fixed_point::InputRescale;
use crate::ops::{Activation, NodeFault};
use crate::seq::{Ids, Seq};
use crate::tensor::{DType, Quant, Shape, Source, Tensor, TensorId};

/// One node's tensors, looked up.
pub(crate) struct Check<'m> {
    tensors: Seq<'m, Tensor>,
    inputs: Ids,
    /// The first input.
    pub(crate) x: Tensor,
    pub(crate) x_id: TensorId,
    pub(crate) y: Tensor,
    pub(crate) y_id: TensorId,
}

impl<'m> Check<'m> {
    /// Looks up the first input and the output of a node.
    pub(crate) fn new(
        tensors: Seq<'m, Tensor>,
        inputs: &Ids,
        y_id: TensorId,
    ) -> Result<Self, NodeFault> {
        let x_id = inputs.first().ok_or(NodeFault::Arity {
            wanted: 1,
            found: 0,
        })?;
        let look_up = |id: TensorId| tensors.nth(usize::from(id)).ok_or(NodeFault::NoTensor(id));
        Ok(Self {
            tensors,
            inputs: *inputs,
            x: look_up(x_id)?,
            x_id,
            y: look_up(y_id)?,
            y_id,
        })
    }

    /// How many activations the node reads.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs.as_slice().len()
    }

    /// The activation that the node reads at `index`, with its id.
    pub(crate) fn input(&self, index: usize) -> Result<(TensorId, Tensor), NodeFault> {
        let id = self.inputs.as_slice().get(index).copied();
        let id = id.ok_or(NodeFault::Arity {
            wanted: index + 1,
            found: self.inputs(),
        })?;
        Ok((id, self.tensor(id).ok_or(NodeFault::NoTensor(id))?))
    }

    /// Any tensor of the graph.
    pub(crate) fn tensor(&self, id: TensorId) -> Option<Tensor> {
        self.tensors.nth(usize::from(id))
    }

    /// The node reads just so many activations.
    pub(crate) fn arity(&self, wanted: usize) -> Result<(), NodeFault> {
        let found = self.inputs();
        if found == wanted {
            Ok(())
        } else {
            Err(NodeFault::Arity { wanted, found })
        }
    }

    pub(crate) fn x_dtype(&self, wanted: DType) -> Result<(), NodeFault> {
        dtype(self.x_id, &self.x, wanted)
    }

    pub(crate) fn y_dtype(&self, wanted: DType) -> Result<(), NodeFault> {
        dtype(self.y_id, &self.y, wanted)
    }

    /// The first input and the output are of one type that operators compute in: f32, Q16 or int8.
    pub(crate) fn same_dtype(&self) -> Result<DType, NodeFault> {
        if !matches!(self.x.dtype, DType::F32 | DType::Q16 | DType::I8) {
            self.x_dtype(DType::F32)?;
        }
        self.y_dtype(self.x.dtype)?;
        if self.x.dtype == DType::I8 {
            for tensor in [&self.x, &self.y] {
                if !matches!(tensor.quant, Quant::PerTensor { .. }) {
                    return Err(NodeFault::Quant);
                }
            }
        }
        Ok(self.x.dtype)
    }

    /// The input at `index`, of this type; int8 with one scale.
    pub(crate) fn operand(
        &self,
        index: usize,
        wanted: DType,
    ) -> Result<(TensorId, Tensor), NodeFault> {
        let (id, tensor) = self.input(index)?;
        dtype(id, &tensor, wanted)?;
        if wanted == DType::I8 && !matches!(tensor.quant, Quant::PerTensor { .. }) {
            return Err(NodeFault::Quant);
        }
        Ok((id, tensor))
    }

    /// The first input and the output are of one real type: f32 or Q16.
    pub(crate) fn real_dtype(&self) -> Result<DType, NodeFault> {
        match self.same_dtype()? {
            DType::I8 => Err(NodeFault::DType {
                id: self.x_id,
                wanted: DType::F32,
                found: DType::I8,
            }),
            dtype => Ok(dtype),
        }
    }

    /// The range of an int8 output with this activation fused.
    pub(crate) fn range_i8(&self, activation: Activation) -> [i8; 2] {
        // Checked when the model was loaded.
        activation.range_i8(self.y.scale(), self.y.zero_point() as i8)
    }

    pub(crate) fn same_quant(&self) -> Result<(), NodeFault> {
        if self.x.dtype == DType::I8 && self.x.quant != self.y.quant {
            return Err(NodeFault::Quant);
        }
        Ok(())
    }

    pub(crate) fn y_shape(&self, wanted: Shape) -> Result<(), NodeFault> {
        if self.y.shape == wanted {
            Ok(())
        } else {
            Err(NodeFault::Shape(self.y_id))
        }
    }

    /// The output's quantization is the one that the int8 specification fixes.
    fn y_quant(&self, scale: f32, zero_point: i32) -> Result<(), NodeFault> {
        if self.y.quant == (Quant::PerTensor { scale, zero_point }) {
            Ok(())
        } else {
            Err(NodeFault::Quant)
        }
    }

    /// A parameter of this type and shape.
    pub(crate) fn parameter(
        &self,
        id: TensorId,
        wanted: DType,
        shape: Shape,
    ) -> Result<Tensor, NodeFault> {
        let tensor = self.weight(id, wanted)?;
        if tensor.shape != shape {
            return Err(NodeFault::Shape(id));
        }
        Ok(tensor)
    }

    /// A weight of this type.
    pub(crate) fn weight(&self, id: TensorId, wanted: DType) -> Result<Tensor, NodeFault> {
        let tensor = self.tensor(id).ok_or(NodeFault::NoTensor(id))?;
        if tensor.source == Source::Activation {
            return Err(NodeFault::Parameter);
        }
        dtype(id, &tensor, wanted)?;
        Ok(tensor)
    }

    /// Bias, multipliers, channel scales and activation of a dense layer or convolution of `channels` outputs.
    pub(crate) fn channels(
        &self,
        channels: u32,
        weight: &Tensor,
        bias: Option<TensorId>,
        requant: Option<TensorId>,
        activation: Activation,
    ) -> Result<(), NodeFault> {
        let vector = Shape::vector(channels);
        if !activation.is_valid() {
            return Err(NodeFault::Activation);
        }
        match self.x.dtype {
            DType::I8 => {
                if let Some(bias) = bias {
                    self.parameter(bias, DType::I32, vector)?;
                }
                let requant = requant.ok_or(NodeFault::Parameter)?;
                let rows = Shape::new(&[2, channels as usize]).ok_or(NodeFault::Parameter)?;
                self.parameter(requant, DType::I32, rows)?;
                let Quant::PerChannel { scales } = weight.quant else {
                    return Err(NodeFault::Quant);
                };
                self.parameter(scales, DType::F32, vector)?;
                if !activation.is_fused_i8() {
                    return Err(NodeFault::Activation);
                }
            }
            _ => {
                if let Some(bias) = bias {
                    self.parameter(bias, self.x.dtype, vector)?;
                }
                if requant.is_some() {
                    return Err(NodeFault::Parameter);
                }
            }
        }
        Ok(())
    }

    /// A function of each number: one shape, and in int8 its input's rescaling and the output's fixed quantization.
    pub(crate) fn function(
        &self,
        rescale: &Option<InputRescale>,
        (scale, zero_point): (f32, i32),
    ) -> Result<(), NodeFault> {
        self.arity(1)?;
        self.y_shape(self.x.shape)?;
        self.rescale(rescale)?;
        if self.same_dtype()? == DType::I8 {
            self.y_quant(scale, zero_point)?;
        }
        Ok(())
    }

    /// An int8 function's rescaling is there just when the type is int8, and in range.
    fn rescale(&self, rescale: &Option<InputRescale>) -> Result<(), NodeFault> {
        match (self.x.dtype, rescale) {
            (DType::F32 | DType::Q16, None) => Ok(()),
            (DType::I8, Some(rescale))
                if rescale.multiplier >= 1 << 30
                    && (0..=30).contains(&rescale.shift)
                    && (0..=1 << 16).contains(&rescale.radius) =>
            {
                Ok(())
            }
            _ => Err(NodeFault::Quant),
        }
    }
}

fn dtype(id: TensorId, tensor: &Tensor, wanted: DType) -> Result<(), NodeFault> {
    if tensor.dtype == wanted {
        Ok(())
    } else {
        Err(NodeFault::DType {
            id,
            wanted,
            found: tensor.dtype,
        })
    }
}
