//! What can be wrong with a blob.

use core::fmt;

use crate::memory::PlanError;
use crate::ops::NodeFault;
use crate::tensor::TensorId;

/// Why [`Model::load`](crate::model::Model::load) refused a blob.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LoadError {
    /// Fewer bytes than the header, or than the header says.
    Truncated {
        /// Bytes that there should be.
        wanted: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// More bytes than the header says.
    TrailingBytes {
        /// Bytes that there should be.
        wanted: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// The first four bytes are not `MOTE`.
    Magic {
        /// What they are.
        found: [u8; 4],
    },
    /// Another format version.
    Version {
        /// The version that this runtime reads.
        wanted: u16,
        /// The blob's.
        found: u16,
    },
    /// A layout of the weights that this runtime's kernels do not know.
    Layout {
        /// The blob's.
        found: u16,
    },
    /// The weights do not begin where they must, right after the graph on a 16-byte boundary.
    WeightsOffset {
        /// Where they should begin.
        wanted: usize,
        /// Where the header says.
        found: usize,
    },
    /// The checksum does not match: the blob was damaged.
    Crc {
        /// What the header says.
        wanted: u32,
        /// What the bytes give.
        found: u32,
    },
    /// The blob does not begin on a 16-byte boundary of memory.
    Misaligned,
    /// The graph section does not decode.
    Graph,
    /// Bytes are left after the graph's last field.
    GraphLength {
        /// How many.
        left: usize,
    },
    /// A tensor breaks a rule.
    Tensor {
        /// Its id.
        id: TensorId,
        /// Which rule.
        fault: TensorFault,
    },
    /// A node breaks a rule.
    Node {
        /// Its place in the graph.
        index: usize,
        /// Which rule.
        fault: NodeFault,
    },
    /// The graph has no input or no output, or names a tensor that cannot be one.
    Endpoint {
        /// The tensor named, where there is one.
        id: Option<TensorId>,
    },
    /// The training plan has a field out of range, or does not fit the graph.
    TrainSpec(PlanError),
    /// The header states an arena for training, and there is no training plan.
    NoTrainSpec,
}

/// A rule that a tensor breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TensorFault {
    /// More than four dimensions, a dimension of 0, or more than 2³¹ − 1 bytes.
    Shape,
    /// It ends after the weights section.
    OutOfRange {
        /// The section's bytes.
        wanted: usize,
        /// Where the tensor would end.
        found: usize,
    },
    /// Its offset is no multiple of its number's size.
    Misaligned,
    /// A scale that is not finite and positive, a zero point that is no int8, or scales that are no f32 vector.
    Quant,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { wanted, found } => {
                write!(f, "truncated model: {wanted} bytes wanted, {found} found")
            }
            Self::TrailingBytes { wanted, found } => write!(
                f,
                "bytes after the model's end: {wanted} bytes wanted, {found} found"
            ),
            Self::Magic { found } => write!(
                f,
                "not a .mote model: it begins with {found:02x?}, wanted 4d 4f 54 45 (`MOTE`)"
            ),
            Self::Version { wanted, found } => write!(
                f,
                "format version {found}: this runtime reads version {wanted}; export the model again"
            ),
            Self::Layout { found } => write!(
                f,
                "weights layout {found}: this runtime's kernels know layouts {}; export the model again with `mote export --for` one of them",
                crate::model::layout::KNOWN
            ),
            Self::WeightsOffset { wanted, found } => {
                write!(f, "weights at byte {found}: wanted {wanted}")
            }
            Self::Crc { wanted, found } => write!(
                f,
                "damaged model: CRC-32 {wanted:08x} in the header, {found:08x} computed; copy or export it again"
            ),
            Self::Misaligned => f.write_str(
                "the model does not begin on a 16-byte boundary: embed it with include_model!, or copy it to aligned memory",
            ),
            Self::Graph => f.write_str("malformed graph section: it does not decode"),
            Self::GraphLength { left } => {
                write!(f, "malformed graph section: {left} bytes left at its end")
            }
            Self::Tensor { id, fault } => write!(f, "tensor {id}: {fault}"),
            Self::Node { index, fault } => write!(f, "node {index}: {fault}"),
            Self::Endpoint { id: Some(id) } => {
                write!(f, "tensor {id} cannot be an input or output of the graph")
            }
            Self::Endpoint { id: None } => f.write_str("the graph has no input or no output"),
            Self::TrainSpec(error) => write!(f, "training plan: {error}"),
            Self::NoTrainSpec => f.write_str(
                "the header states an arena for training, and the model has no training plan",
            ),
        }
    }
}

impl fmt::Display for TensorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape => {
                f.write_str("invalid shape (1 to 4 dimensions, none 0, less than 2^31 bytes wanted)")
            }
            Self::OutOfRange { wanted, found } => write!(
                f,
                "it ends at byte {found} of a weights section of {wanted} bytes"
            ),
            Self::Misaligned => f.write_str("its offset is no multiple of its number's size"),
            Self::Quant => f.write_str(
                "invalid quantization (scales finite and positive, zero point −128 to 127, one scale a channel wanted)",
            ),
        }
    }
}

impl core::error::Error for LoadError {}
