//! The rules of the operators, by what is broken.

use core::fmt;

use crate::tensor::{DType, TensorId};

/// A rule that a node breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NodeFault {
    /// It names a tensor that does not exist.
    NoTensor(TensorId),
    /// It reads an activation that no node before it writes: the graph is cyclic or out of order.
    Order(TensorId),
    /// It writes a graph input, a weight, or what another node writes.
    Output(TensorId),
    /// It reads another number of activations than its operator does.
    Arity {
        /// The operator's.
        wanted: usize,
        /// The node's.
        found: usize,
    },
    /// A tensor of the wrong type.
    DType {
        /// The tensor.
        id: TensorId,
        /// What the operator needs there.
        wanted: DType,
        /// What the tensor is.
        found: DType,
    },
    /// The shape of this tensor does not follow from the others.
    Shape(TensorId),
    /// A parameter that is no weight, or is missing, or is given where it has no meaning.
    Parameter,
    /// A kernel, stride or padding of 0 or out of range.
    Geometry,
    /// Quantizations that do not go together, or a multiplier or shift out of range.
    Quant,
    /// A fused activation that this type does not have.
    Activation,
    /// An operator that this image was built without.
    NotLinked,
    /// Packed weights in a blob of another layout.
    Layout,
}

impl fmt::Display for NodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTensor(id) => write!(f, "tensor {id} does not exist"),
            Self::Order(id) => write!(
                f,
                "it reads tensor {id}, which no node before it writes (cyclic or out of order)"
            ),
            Self::Output(id) => write!(f, "it may not write tensor {id}"),
            Self::Arity { wanted, found } => {
                write!(f, "{found} inputs: its operator reads {wanted}")
            }
            Self::DType { id, wanted, found } => write!(
                f,
                "tensor {id} is {}: {} wanted",
                found.name(),
                wanted.name()
            ),
            Self::Shape(id) => write!(f, "the shape of tensor {id} does not fit"),
            Self::Parameter => f.write_str("a parameter is missing, superfluous, or no weight"),
            Self::Geometry => f.write_str("kernel, stride or padding out of range"),
            Self::Quant => f.write_str("quantizations that do not go together"),
            Self::NotLinked => f.write_str("this image was built without its operator"),
            Self::Layout => f.write_str("packed weights in a blob of another layout"),
            Self::Activation => f.write_str("a fused activation that this type does not have"),
        }
    }
}
