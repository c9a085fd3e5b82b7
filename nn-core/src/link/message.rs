//! What is said: requests of the host, responses of the device.
//!
//! Payloads are borrowed from the frame that they came in. Order of variants and fields is the
//! wire format: add at the end, or raise [`PROTOCOL`](super::PROTOCOL).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::input::Input;

/// Raw bytes: postcard writes their length (varint) and then them, in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Bytes)
    }
}

/// What a sample should have given; the wire's form of the trainer's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelBytes<'a> {
    /// The index of its class, from 0.
    Class(u16),
    /// The output wanted: f32, little-endian, as many as the model has outputs.
    #[serde(borrow)]
    Values(Bytes<'a>),
    /// The index of the class of each step of a sequence: u16, little-endian; 65,535 where a step has none.
    Classes(Bytes<'a>),
}

/// What the host asks; the device responds to each with one [`Response`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Who are you? → [`Response::Hello`]. Begins a session: the device forgets the last `seq`.
    Hello {
        /// The host's [`PROTOCOL`](super::PROTOCOL): a device of another one refuses, by [`ErrorCode::Protocol`]; one
        /// of before version 3 by [`ErrorCode::UnknownRequest`].
        protocol: u16,
    },
    /// Run the model → [`Response::Output`].
    Infer {
        /// The model's input 0.
        #[serde(borrow)]
        input: Input<'a>,
    },
    /// One step of SGD on one sample → [`Response::Step`]. With the `seq` of the step before, it
    /// is that request again: the device repeats its response and learns nothing.
    Train {
        /// The model's input 0.
        #[serde(borrow)]
        input: Input<'a>,
        /// What it should give.
        target: LabelBytes<'a>,
    },
    /// Change the optimizer → [`Response::Done`].
    SetSgd {
        /// Step size.
        learning_rate: f32,
        /// Share of the last update that is kept, 0 for none.
        momentum: f32,
        /// L2 penalty.
        weight_decay: f32,
    },
    /// FNV-1a 64 of all that is learnt → [`Response::Digest`].
    Digest,
    /// Part of what is learnt → [`Response::Weights`].
    ReadWeights {
        /// First byte.
        offset: u32,
        /// How many; as many as there are when fewer.
        len: u32,
    },
    /// Replace part of what is learnt → [`Response::Done`].
    WriteWeights {
        /// First byte.
        offset: u32,
        /// The new bytes.
        #[serde(borrow)]
        bytes: Bytes<'a>,
    },
    /// Back to the weights of the blob → [`Response::Done`].
    Reset,
    /// The session is over → [`Response::Done`]; in QEMU the machine then exits with status 0.
    Bye,
    /// How much stack was used so far → [`Response::Stack`].
    Stack,
    /// Keep what is learnt in flash → [`Response::Store`].
    Save,
    /// Keep nothing in flash → [`Response::Store`]. What is learnt stays as it is until [`Request::Reset`] or the next
    /// start.
    Forget,
    /// What is kept in flash? → [`Response::Store`].
    Store,
}

/// What the device answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Response<'a> {
    /// To [`Request::Hello`].
    #[serde(borrow)]
    Hello(Hello<'a>),
    /// To [`Request::Infer`]: output tensor 0, raw little-endian bytes.
    #[serde(borrow)]
    Output(Bytes<'a>),
    /// To [`Request::Train`].
    Step {
        /// The loss before the update, as the bits of an f32.
        loss: u32,
        /// The class with the largest output before the update.
        prediction: u16,
    },
    /// To [`Request::Digest`].
    Digest(u64),
    /// To [`Request::ReadWeights`].
    #[serde(borrow)]
    Weights(Bytes<'a>),
    /// It is done.
    Done,
    /// It cannot be done; nothing has changed.
    Error(ErrorCode),
    /// To [`Request::Stack`].
    Stack(StackUse),
    /// To [`Request::Save`], [`Request::Forget`] and [`Request::Store`].
    Store(StoreReport),
}

// A device's image holds each of these once, where they would be inlined for every field.

#[inline(never)]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn word<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(*value)
}

#[inline(never)]
fn text<S: Serializer>(value: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value)
}

/// The device's card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// Its [`PROTOCOL`](super::PROTOCOL); this field stays first in every version.
    pub protocol: u16,
    /// Its board, as `mote --on` names it.
    #[serde(serialize_with = "text")]
    pub board: &'a str,
    /// Its core, e.g. `Cortex-M4F`.
    #[serde(serialize_with = "text")]
    pub core: &'a str,
    /// Its model.
    #[serde(serialize_with = "text")]
    pub model: &'a str,
    /// CRC-32 in the model's header: tells blobs of one name apart.
    #[serde(serialize_with = "word")]
    pub model_crc32: u32,
    /// Arena that inference wants, in bytes.
    #[serde(serialize_with = "word")]
    pub arena_infer: u32,
    /// Arena that training wants, in bytes; 0 when the model has no training plan.
    #[serde(serialize_with = "word")]
    pub arena_train: u32,
    /// Arena that the image has, in bytes.
    #[serde(serialize_with = "word")]
    pub arena: u32,
    /// Length of all that is learnt, in bytes; 0 when nothing is.
    #[serde(serialize_with = "word")]
    pub weights_len: u32,
    /// Length of input 0, in bytes.
    #[serde(serialize_with = "word")]
    pub input_len: u32,
    /// Length of output 0, in bytes.
    #[serde(serialize_with = "word")]
    pub output_len: u32,
    /// The longest frame that it takes, before COBS, in bytes.
    #[serde(serialize_with = "word")]
    pub frame_max: u32,
    /// Its functions of f32, [`MATH`](crate::scalar::MATH): with others than the host's its bits differ.
    #[serde(serialize_with = "text")]
    pub math: &'a str,
}

/// How much of its stack a device has used, at most. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StackUse {
    /// What there is.
    #[serde(serialize_with = "word")]
    pub size: u32,
    /// To check the model and plan its memory.
    #[serde(serialize_with = "word")]
    pub setup: u32,
    /// To answer requests: runs and training steps, with the link's own share.
    #[serde(serialize_with = "word")]
    pub serve: u32,
}

/// What a device keeps in flash of what it learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    /// How it is.
    pub state: StoreState,
    /// Counts up from save to save; 0 where nothing was ever saved.
    #[serde(serialize_with = "word")]
    pub generation: u32,
    /// CRC-32 of the blob that the kept weights belong to; 0 where there are none.
    #[serde(serialize_with = "word")]
    pub model_crc32: u32,
    /// Bytes of flash set apart.
    #[serde(serialize_with = "word")]
    pub capacity: u32,
}

/// Whether weights are kept, and could be restored at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StoreState {
    /// The device has no flash set apart for it.
    Absent,
    /// Nothing is kept.
    Empty,
    /// The learnt weights are kept; at a start they were restored.
    Kept,
    /// The weights of another model are kept: they were not restored.
    OtherModel,
    /// What is kept cannot be read whole: it was not restored.
    Damaged,
}

/// Why a device refuses. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ErrorCode {
    /// A frame came damaged: send it again.
    BadFrame,
    /// A frame exceeds the device's buffer.
    FrameTooLong {
        /// The longest it takes.
        #[serde(serialize_with = "word")]
        max: u32,
    },
    /// The frame is whole, but its message is none that this device knows.
    UnknownRequest,
    /// The input has another length.
    InputLength {
        /// What the model takes.
        #[serde(serialize_with = "word")]
        wanted: u32,
        /// What came.
        #[serde(serialize_with = "word")]
        found: u32,
    },
    /// The target's values have another length.
    TargetLength {
        /// What the model gives.
        #[serde(serialize_with = "word")]
        wanted: u32,
        /// What came.
        #[serde(serialize_with = "word")]
        found: u32,
    },
    /// The class is none of the model's.
    UnknownClass {
        /// How many there are.
        #[serde(serialize_with = "word")]
        classes: u32,
        /// What came.
        #[serde(serialize_with = "word")]
        found: u32,
    },
    /// Values (of a target, or weights) are not finite, or too few or too many.
    BadValues {
        /// How many are wanted.
        #[serde(serialize_with = "word")]
        wanted: u32,
        /// How many came.
        #[serde(serialize_with = "word")]
        found: u32,
    },
    /// The model's blob has no training plan.
    NoTrainPlan,
    /// The training plan has no room for momentum.
    NoMomentum,
    /// A rate is negative or no number.
    BadSgd,
    /// The step was refused: the loss is not finite, or the step absurdly large. What was updated all the same, see
    /// [`Trainer::step`](crate::train::Trainer::step).
    Diverged,
    /// The bytes lie beyond what is learnt.
    OutOfRange {
        /// First byte beyond those asked for.
        #[serde(serialize_with = "word")]
        end: u32,
        /// How many there are.
        #[serde(serialize_with = "word")]
        len: u32,
    },
    /// The model could not be run: a defect of the device's image.
    Internal,
    /// The device has no flash to keep weights in.
    NoStore,
    /// The flash set apart is too small for the weights; what was kept before still is.
    StoreFull,
    /// The flash cannot be read or written.
    StoreFailed,
    /// The model learns in int8: by plain stochastic gradient descent.
    PlainOnly,
    /// Host and device speak different versions of this protocol.
    Protocol {
        /// The device's.
        wanted: u16,
        /// The host's.
        found: u16,
    },
    /// An agent without a model.
    NoModel,
    /// An agent whose weights were written, and are not signed yet.
    Uncommitted,
}

impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ErrorCode::BadFrame => f.write_str("a frame arrived damaged"),
            ErrorCode::FrameTooLong { max } => {
                write!(
                    f,
                    "a frame is longer than the {max} bytes that the device takes"
                )
            }
            ErrorCode::UnknownRequest => {
                f.write_str("the device does not know this request; build its image anew")
            }
            ErrorCode::InputLength { wanted, found } => {
                write!(f, "the model takes {wanted} bytes of input, found {found}")
            }
            ErrorCode::TargetLength { wanted, found } => {
                write!(
                    f,
                    "the target wants {wanted} bytes of values, found {found}"
                )
            }
            ErrorCode::UnknownClass { classes, found } => {
                write!(f, "the model has {classes} classes, found class {found}")
            }
            ErrorCode::BadValues { wanted, found } => {
                write!(f, "{wanted} finite values are wanted, found {found}")
            }
            ErrorCode::NoTrainPlan => f.write_str(
                "the model has no training plan; take one exported with a trainable head",
            ),
            ErrorCode::NoMomentum => {
                f.write_str("the model's training plan has no room for momentum")
            }
            ErrorCode::BadSgd => {
                f.write_str("learning rate, momentum and weight decay want to be finite and ≥ 0")
            }
            ErrorCode::Diverged => f.write_str(
                "training diverged, and the step was refused: lower the learning rate, or reset the weights",
            ),
            ErrorCode::OutOfRange { end, len } => {
                write!(f, "bytes up to {end} asked for, {len} are learnt")
            }
            ErrorCode::Internal => f.write_str("the device could not run its model"),
            ErrorCode::NoStore => f.write_str(
                "the device has no flash to keep weights in; in QEMU give it one, as `--store FILE`",
            ),
            ErrorCode::StoreFull => f.write_str(
                "the flash set apart is too small for what was learnt; what was kept before still is",
            ),
            ErrorCode::StoreFailed => f.write_str("the flash set apart cannot be read or written"),
            ErrorCode::PlainOnly => f.write_str(
                "the model learns in int8: without momentum and weight decay",
            ),
            ErrorCode::Protocol { wanted, found } if wanted > found => write!(
                f,
                "the device speaks version {wanted} of the protocol, this program {found}: take a newer mote"
            ),
            ErrorCode::Protocol { wanted, found } => write!(
                f,
                "the device speaks version {wanted} of the protocol, this program {found}: build its image anew"
            ),
            ErrorCode::NoModel => f.write_str(
                "the device has no model yet: `mote device load MODEL --on PLACE`",
            ),
            ErrorCode::Uncommitted => f.write_str(
                "weights were written that are not signed yet: commit them, or reset",
            ),
        }
    }
}

impl core::error::Error for ErrorCode {}

/// A message that is none of this protocol version's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable;

impl core::fmt::Display for Undecodable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the message is none of this protocol version")
    }
}

impl core::error::Error for Undecodable {}

/// Reads the message of a frame that a host sent.
///
/// # Errors
///
/// [`Undecodable`] when it is no [`Request`], or bytes are left over.
pub fn decode_request(message: &[u8]) -> Result<Request<'_>, Undecodable> {
    decode(message)
}

/// As [`decode_request`], for a device that does not learn: of a request to learn it reads the kind only, which is
/// [`Request::Digest`] for all of them.
///
/// # Errors
///
/// As [`decode_request`].
#[inline(never)]
pub fn decode_inference_request(message: &[u8]) -> Result<Request<'_>, Undecodable> {
    // Postcard writes the number of a variant, then its fields.
    let (kind, fields) = message.split_first().ok_or(Undecodable)?;
    let request = match kind {
        0 => {
            let protocol = decode(fields)?;
            return Ok(Request::Hello { protocol });
        }
        1 => {
            let (form, rest) = fields.split_first().ok_or(Undecodable)?;
            let bytes = decode(rest).map(Bytes)?;
            let input = match form {
                0 => Input::Plain(bytes),
                1 => Input::Runs(bytes),
                _ => return Err(Undecodable),
            };
            return Ok(Request::Infer { input });
        }
        2..=7 | 10..=12 => return Ok(Request::Digest),
        8 => Request::Bye,
        9 => Request::Stack,
        _ => return Err(Undecodable),
    };
    fields.is_empty().then_some(request).ok_or(Undecodable)
}

/// Reads the message of a frame that a device sent.
///
/// # Errors
///
/// [`Undecodable`] when it is no [`Response`], or bytes are left over.
pub fn decode_response(message: &[u8]) -> Result<Response<'_>, Undecodable> {
    decode(message)
}

pub(super) fn decode<'m, M: de::Deserialize<'m>>(message: &'m [u8]) -> Result<M, Undecodable> {
    match postcard::take_from_bytes(message) {
        Ok((message, [])) => Ok(message),
        _ => Err(Undecodable),
    }
}
