//! What a tensor is: [`Shape`], [`DType`], [`Quant`], and where its numbers lie.

use serde::{Deserialize, Serialize};

use crate::stored::{Reader, Writer};

/// The most dimensions that a tensor can have.
pub const MAX_RANK: usize = 4;

/// Number of the tensor in the graph's list.
pub type TensorId = u16;

/// Up to four dimensions, without the batch: an image is `[height, width, channels]`, a vector `[length]`.
///
/// Dimensions past `rank` are 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    rank: u8,
    dims: [u32; MAX_RANK],
}

impl Shape {
    /// A shape of up to four dimensions; `None` where there are more, or where one is zero.
    ///
    /// ```
    /// use nn_core::tensor::Shape;
    /// let shape = Shape::new(&[28, 28, 1]).unwrap();
    /// assert_eq!(shape.elements(), Some(784));
    /// assert!(Shape::new(&[3, 0]).is_none());
    /// ```
    pub fn new(dims: &[usize]) -> Option<Self> {
        let mut shape = Self {
            rank: u8::try_from(dims.len()).ok()?,
            dims: [1; MAX_RANK],
        };
        for (index, &dim) in dims.iter().enumerate() {
            *shape.dims.get_mut(index)? = u32::try_from(dim).ok()?;
        }
        shape.is_valid().then_some(shape)
    }

    /// A vector.
    pub fn vector(length: u32) -> Self {
        Self {
            rank: 1,
            dims: [length, 1, 1, 1],
        }
    }

    /// A map of `height` x `width` x `channels`.
    pub fn map(height: u32, width: u32, channels: u32) -> Self {
        Self {
            rank: 3,
            dims: [height, width, channels, 1],
        }
    }

    /// How many dimensions.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// The dimensions.
    pub fn dims(&self) -> &[u32] {
        self.dims.get(..self.rank()).unwrap_or(&[])
    }

    /// The product of the dimensions; `None` where it does not fit 31 bits.
    pub fn elements(&self) -> Option<usize> {
        let mut product = 1u32;
        for &dim in self.dims() {
            product = product.checked_mul(dim)?;
        }
        (product <= i32::MAX as u32).then_some(product as usize)
    }

    /// `[height, width, channels]`, where the shape is of rank 3.
    pub fn as_map(&self) -> Option<[u32; 3]> {
        match (self.rank, self.dims) {
            (3, [height, width, channels, _]) => Some([height, width, channels]),
            _ => None,
        }
    }

    /// All four dimensions, those past the rank 1.
    pub fn padded_dims(&self) -> [u32; MAX_RANK] {
        self.dims
    }

    /// How many vectors lie along the last axis: the product of the other dimensions.
    pub fn rows(&self) -> u32 {
        let last = self.rank().saturating_sub(1);
        let others = self.dims().get(..last).unwrap_or(&[]);
        others
            .iter()
            .fold(1u32, |product, &dim| product.saturating_mul(dim))
    }

    /// The same shape with another last dimension; `None` where the last is not `from`.
    pub fn with_last(mut self, from: u32, to: u32) -> Option<Self> {
        let last = self.rank().checked_sub(1)?;
        let dim = self.dims.get_mut(last)?;
        if *dim != from {
            return None;
        }
        *dim = to;
        Some(self)
    }

    pub(crate) fn is_valid(&self) -> bool {
        let rank = self.rank();
        rank <= MAX_RANK
            && self
                .dims
                .iter()
                .enumerate()
                .all(|(axis, &dim)| if axis < rank { dim > 0 } else { dim == 1 })
    }
}

/// What one number of a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DType {
    /// IEEE single.
    F32,
    /// Fixed point, 16 integer and 16 fractional bits.
    Q16,
    /// 8-bit signed integer with a [`Quant`].
    I8,
    /// 32-bit signed integer: int8 biases and multipliers.
    I32,
}

impl DType {
    pub(crate) const fn read(from: &mut Reader) -> Self {
        match from.u8() {
            1 => Self::Q16,
            2 => Self::I8,
            3 => Self::I32,
            _ => Self::F32,
        }
    }

    pub(crate) fn write(self, to: &mut Writer) {
        to.u8(match self {
            Self::F32 => 0,
            Self::Q16 => 1,
            Self::I8 => 2,
            Self::I32 => 3,
        });
    }

    /// Bytes of one number.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::Q16 | Self::I32 => 4,
            Self::I8 => 1,
        }
    }

    /// The name as in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Q16 => "q16",
            Self::I8 => "i8",
            Self::I32 => "i32",
        }
    }
}

/// How integers stand for real numbers: real = scale · (integer − zero point).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Quant {
    /// The numbers are what they are.
    None,
    /// One scale for the whole tensor.
    PerTensor {
        /// The real value of one step; finite and positive.
        scale: f32,
        /// The integer that stands for 0, −128 to 127.
        zero_point: i32,
    },
    /// A scale for each output channel, zero point 0: int8 weights.
    PerChannel {
        /// An f32 weight tensor of shape `[channels]`.
        scales: TensorId,
    },
}

/// Where a tensor's numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// In the arena: an input, an output, or what lies between.
    Activation,
    /// In the blob's weights section.
    Weight {
        /// Bytes from the section's start; a multiple of the number's size.
        offset: u32,
    },
}

/// A tensor of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// Its dimensions.
    pub shape: Shape,
    /// What one number is.
    pub dtype: DType,
    /// What its integers stand for.
    pub quant: Quant,
    /// Where it lies.
    pub source: Source,
}

impl Tensor {
    /// An activation.
    pub fn activation(shape: Shape, dtype: DType, quant: Quant) -> Self {
        Self {
            shape,
            dtype,
            quant,
            source: Source::Activation,
        }
    }

    /// How many numbers; 0 where the shape overflows (which `Model::load` refuses).
    pub fn elements(&self) -> usize {
        self.shape.elements().unwrap_or(0)
    }

    /// How many bytes; 0 where the shape overflows (which `Model::load` refuses).
    pub fn bytes(&self) -> usize {
        self.elements().checked_mul(self.dtype.size()).unwrap_or(0)
    }

    /// Whether it lies in the blob's weights section.
    pub fn is_weight(&self) -> bool {
        matches!(self.source, Source::Weight { .. })
    }

    /// The zero point of a per-tensor quantization, else 0.
    pub fn zero_point(&self) -> i32 {
        match self.quant {
            Quant::PerTensor { zero_point, .. } => zero_point,
            _ => 0,
        }
    }

    /// The scale of a per-tensor quantization, else 1.
    pub fn scale(&self) -> f32 {
        match self.quant {
            Quant::PerTensor { scale, .. } => scale,
            _ => 1.0,
        }
    }
}
