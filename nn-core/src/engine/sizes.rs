//! The sizes that an operator's kernels take: resolved, and stored in an image.

use crate::fixed_point::InputRescale;
use crate::kernels::packed::Layout;
use crate::kernels::packed::conv2d::Shape;
use crate::ops::add::AddStep;
use crate::ops::conv_pool2d::PooledStep;
use crate::ops::conv2d::ConvStep;
use crate::ops::global_pool::MeanStep;
use crate::ops::log_softmax::LogSoftmaxRescale;
use crate::ops::mul::MulStep;
use crate::ops::pad::PadStep;
use crate::ops::prelu::PreluStep;
use crate::ops::recurrent::RecurrentStep;
use crate::ops::requantize::RequantizeStep;
use crate::ops::transpose::TransposeStep;
use crate::ops::window::PoolStep;
use crate::ops::{Activation, Dropout};
use crate::stored::{Reader, Writer, stored};
use crate::tensor::DType;

/// The sizes that an operator's kernels take, resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sizes {
    None,
    /// A dense layer.
    Dense {
        activation: Activation,
        /// How many vectors it is applied to.
        rows: u32,
    },
    /// An int8 dense layer.
    DenseI8 {
        /// How many vectors it is applied to.
        rows: u32,
        x_zero: i8,
        y_zero: i8,
        range: [i8; 2],
        /// Of input and output.
        scales: [f32; 2],
    },
    /// A convolution.
    Conv {
        conv: ConvStep,
        activation: Activation,
    },
    /// An int8 convolution.
    ConvI8 {
        conv: ConvStep,
        x_zero: i8,
        y_zero: i8,
        range: [i8; 2],
        /// Of input and output.
        scales: [f32; 2],
    },
    /// A convolution and the max pooling over it.
    ConvPool {
        step: PooledStep,
        activation: Activation,
    },
    /// An int8 convolution and the max pooling over it.
    ConvPoolI8 {
        step: PooledStep,
        x_zero: i8,
        y_zero: i8,
        range: [i8; 2],
        /// Of input and output.
        scales: [f32; 2],
    },
    /// A packed int8 convolution.
    PackedConv {
        layout: Layout,
        shape: Shape,
        x_zero: i8,
        range: [i8; 2],
    },
    /// A pooling.
    Pool(PoolStep),
    /// A function of each number.
    Function(Activation),
    /// A function of each int8.
    FunctionI8 {
        zero: i8,
        rescale: InputRescale,
    },
    /// A function of each vector along the last axis; this many of them.
    Rows(u32),
    /// A softmax of each vector along the last axis.
    SoftmaxI8 {
        rows: u32,
        rescale: InputRescale,
    },
    /// A log-softmax of each vector along the last axis.
    LogSoftmaxI8 {
        rows: u32,
        rescale: LogSoftmaxRescale,
    },
    /// A random slope in this range for each negative number.
    Slopes {
        lower: f32,
        upper: f32,
    },
    Dropout(Dropout),
    /// From real numbers to integers, or back.
    Quant {
        scale: f32,
        zero: i8,
    },
    /// A simple recurrent layer.
    Rnn {
        step: RecurrentStep,
        activation: Activation,
    },
    /// An LSTM.
    Lstm(RecurrentStep),
    /// A GRU.
    Gru {
        step: RecurrentStep,
        reset_after: bool,
    },
    /// An int8 sum.
    AddI8(AddStep),
    /// An int8 product.
    MulI8(MulStep),
    /// A padding.
    Pad(PadStep),
    /// A transposition.
    Transpose(TransposeStep),
    /// An int8 mean.
    MeanI8(MeanStep),
    /// An int8 PReLU.
    PreluI8(PreluStep),
    /// An embedding of so many indices.
    Embedding {
        steps: u32,
        index: DType,
        zero: i8,
    },
    /// An int8 in other steps.
    RequantizeI8(RequantizeStep),
    /// A packed int8 dense layer.
    PackedDense {
        layout: Layout,
        /// How many vectors it is applied to.
        rows: u32,
        range: [i8; 2],
    },
    /// A packed int8 LSTM.
    PackedLstm {
        layout: Layout,
        step: RecurrentStep,
    },
}

impl Sizes {
    /// Whether this target has kernels for the layout of the weights.
    pub(crate) const fn is_known(&self) -> bool {
        match self {
            Self::PackedConv { layout, .. }
            | Self::PackedDense { layout, .. }
            | Self::PackedLstm { layout, .. } => layout.is_known(),
            _ => true,
        }
    }
}

/// [`Sizes`] as bytes: `sizes!(number Variant { field: type, … } or (type) …)`.
macro_rules! sizes {
    ($($number:literal $variant:ident $({ $($field:ident: $type:tt),* })? $(($inner:tt))?,)*) => {
        impl Sizes {
            /// What [`write`](Self::write) wrote; nothing where it is something else.
            pub(crate) const fn read(from: &mut Reader) -> Self {
                match from.u8() {
                    $($number => Self::$variant
                        $({ $($field: stored!(@read from $type)),* })?
                        $((stored!(@read from $inner)))?,)*
                    _ => Self::None,
                }
            }

            pub(crate) fn write(self, to: &mut Writer) {
                match self {
                    Self::None => to.u8(0),
                    $(sizes!(@pattern inner $variant $({ $($field),* })? $(($inner))?) => {
                        to.u8($number);
                        $($(stored!(@write to $field, $type);)*)?
                        $(stored!(@write to inner, $inner);)?
                    })*
                }
            }
        }
    };
    (@pattern $inner:ident $variant:ident { $($field:ident),* }) => { Self::$variant { $($field),* } };
    (@pattern $inner:ident $variant:ident ($type:tt)) => { Self::$variant($inner) };
}

sizes! {
    1 Dense { activation: Activation, rows: u32 },
    2 Conv { conv: ConvStep, activation: Activation },
    3 PackedConv { layout: Layout, shape: Shape, x_zero: i8, range: [i8; 2] },
    4 Pool (PoolStep),
    5 Function (Activation),
    6 FunctionI8 { zero: i8, rescale: InputRescale },
    7 Rows (u32),
    8 SoftmaxI8 { rows: u32, rescale: InputRescale },
    9 LogSoftmaxI8 { rows: u32, rescale: LogSoftmaxRescale },
    10 Slopes { lower: f32, upper: f32 },
    11 Dropout (Dropout),
    12 Quant { scale: f32, zero: i8 },
    13 Rnn { step: RecurrentStep, activation: Activation },
    14 Lstm (RecurrentStep),
    15 Gru { step: RecurrentStep, reset_after: bool },
    16 AddI8 (AddStep),
    17 MulI8 (MulStep),
    18 Pad (PadStep),
    19 Transpose (TransposeStep),
    20 MeanI8 (MeanStep),
    21 PreluI8 (PreluStep),
    22 Embedding { steps: u32, index: DType, zero: i8 },
    23 RequantizeI8 (RequantizeStep),
    24 PackedDense { layout: Layout, rows: u32, range: [i8; 2] },
    25 PackedLstm { layout: Layout, step: RecurrentStep },
    26 ConvPool { step: PooledStep, activation: Activation },
    27 DenseI8 { rows: u32, x_zero: i8, y_zero: i8, range: [i8; 2], scales: [f32; 2] },
    28 ConvI8 { conv: ConvStep, x_zero: i8, y_zero: i8, range: [i8; 2], scales: [f32; 2] },
    29 ConvPoolI8 { step: PooledStep, x_zero: i8, y_zero: i8, range: [i8; 2], scales: [f32; 2] },
}
