//! What an operator tells of itself, and how it is called.

use crate::engine::{Forward, Sizes};
use crate::ops::{Activation, Check, NodeFault, OpSet};
use crate::tensor::TensorId;

/// The most parameter tensors of an operator.
pub(crate) const MAX_PARAMETERS: usize = 4;
/// The most constant tensors of an operator.
pub(crate) const MAX_CONSTANTS: usize = 2;

/// What an operator tells of itself without looking at tensors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// The weights that can learn, in the order in which they are stored and updated.
    pub(crate) parameters: [Option<TensorId>; MAX_PARAMETERS],
    /// Bit i: parameter i is a bias.
    pub(crate) biases: u8,
    /// How many numbers in the last dimension of a parameter belong to each output channel: one in each of so many
    /// blocks, as the gates of a recurrent layer lie.
    pub(crate) gates: u8,
    /// Weights that never learn: multipliers, tables, statistics.
    pub(crate) constants: [Option<TensorId>; MAX_CONSTANTS],
    /// The derivative that the operator leaves to whoever overwrites its output: see [`Activation::derivative`].
    pub(crate) activation: Activation,
    /// Where the output may lie.
    pub(crate) output: Output,
    /// Whether the backward pass reads the input's values.
    pub(crate) needs_x: bool,
    /// Whether its backward step in int8 reads its first input, where others' does not: for where a gradient passes.
    pub(crate) needs_x_in_int8: bool,
    /// Whether each output number is one of the input's numbers: such an operator hands its input's derivative on to
    /// its output, where it is told from the same number.
    pub(crate) selects: bool,
}

/// Where an operator's output may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Apart from its inputs.
    Apart,
    /// Over its first input.
    InPlace,
    /// It is its first input: nothing moves.
    View,
}

impl Facts {
    /// An operator without parameters, with an output of its own, whose backward pass reads its input.
    pub(crate) const PLAIN: Self = Self {
        parameters: [None; MAX_PARAMETERS],
        biases: 0,
        gates: 1,
        constants: [None; MAX_CONSTANTS],
        activation: Activation::None,
        output: Output::Apart,
        needs_x: true,
        needs_x_in_int8: false,
        selects: false,
    };

    /// A function of each number by itself, whose derivative is told from its output.
    pub(crate) const fn elementwise(activation: Activation) -> Self {
        Self {
            activation,
            output: Output::InPlace,
            needs_x: false,
            ..Self::PLAIN
        }
    }

    /// Whether parameter `index` is a bias.
    pub(crate) fn is_bias(&self, index: usize) -> bool {
        index < MAX_PARAMETERS && self.biases >> index & 1 == 1
    }

    /// The tensors that can learn.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (usize, TensorId)> {
        let parameters = self.parameters.into_iter().enumerate();
        parameters.filter_map(|(index, id)| Some((index, id?)))
    }
}

/// Bytes that an operator needs besides its inputs and outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// During its forward step.
    pub(crate) scratch: usize,
    /// From one run to the next.
    pub(crate) state: usize,
    /// From its forward to its backward step.
    pub(crate) saved: usize,
    /// During its backward step.
    pub(crate) back_scratch: usize,
    /// During its backward step, where the gradient at an input is wanted.
    pub(crate) input_scratch: usize,
    /// Whether the gradient at an int8 input is summed in 32 bits, in its place.
    pub(crate) sums: bool,
}

/// An operator, as the engine sees it. `K` says which kernels are linked in.
pub(crate) trait Operator<K: OpSet> {
    /// Checks its rules: arity, types, shapes, quantizations, ranges.
    fn check(&self, check: &Check) -> Result<(), NodeFault>;

    /// The memory that it needs.
    fn needs(&self, _: &Check) -> Needs {
        Needs::default()
    }

    /// The function that runs it forward, and the sizes that it takes. `None` where the image lacks the number type.
    fn resolve(&self, check: &Check) -> Option<(Forward, Sizes)>;

    /// Numbers in weights and biases that are packed into constants.
    fn packed(&self, _: &Check) -> u64 {
        0
    }

    /// Multiply-accumulates of one run.
    fn macs(&self, _: &Check) -> u64 {
        0
    }
}

/// The forward function of a type in the number format of a tensor: `by_scalar!(K, dtype, f)` is `f::<f32>` or
/// `f::<Q16>`, as far as `K` holds them.
macro_rules! by_scalar {
    ($k:ty, $dtype:expr, $($function:ident)::+) => {
        match $dtype {
            $crate::tensor::DType::F32 if <$k>::F32 => {
                Some($crate::ops::forward_of!(f32, $($function)::+))
            }
            $crate::tensor::DType::Q16 if <$k>::Q16 => {
                Some($crate::ops::forward_of!($crate::scalar::Q16, $($function)::+))
            }
            _ => None,
        }
    };
}
pub(crate) use by_scalar;

/// As [`by_scalar`], for a backward function: there is none where `K` does not train.
macro_rules! backward_by_scalar {
    ($k:ty, $dtype:expr, $($function:ident)::+) => {
        match $dtype {
            $crate::tensor::DType::F32 if <$k>::F32 && <$k>::TRAIN => {
                Some($crate::ops::backward_of!(f32, $($function)::+))
            }
            $crate::tensor::DType::Q16 if <$k>::Q16 && <$k>::TRAIN => {
                Some($crate::ops::backward_of!($crate::scalar::Q16, $($function)::+))
            }
            _ => None,
        }
    };
}
pub(crate) use backward_by_scalar;

/// As [`backward_by_scalar`], with a function for int8, too.
macro_rules! backward_by_dtype {
    ($k:ty, $dtype:expr, $($function:ident)::+, $($int8:ident)::+) => {
        match $dtype {
            $crate::tensor::DType::I8 if <$k>::I8 && <$k>::TRAIN => {
                Some($($int8)::+ as $crate::engine::Backward)
            }
            dtype => $crate::ops::backward_by_scalar!($k, dtype, $($function)::+),
        }
    };
}
pub(crate) use backward_by_dtype;

/// The function of one type, compiled with this crate, for speed: a generic one would be compiled with the image, for
/// size.
macro_rules! forward_of {
    ($type:ty, $($function:ident)::+) => {{
        fn forward(
            frame: &$crate::engine::Frame,
            memory: &mut $crate::memory::Memory,
        ) -> Option<()> {
            $($function)::+::<$type>(frame, memory)
        }
        forward as $crate::engine::Forward
    }};
}
pub(crate) use forward_of;

/// As [`forward_of`], for a backward function.
macro_rules! backward_of {
    ($type:ty, $($function:ident)::+) => {{
        fn backward(
            frame: &$crate::engine::Frame,
            back: &$crate::engine::BackFrame,
            learning: &mut $crate::engine::Learning,
            memory: &mut $crate::memory::Memory,
        ) -> Option<()> {
            $($function)::+::<$type>(frame, back, learning, memory)
        }
        backward as $crate::engine::Backward
    }};
}
pub(crate) use backward_of;
