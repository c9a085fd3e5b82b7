//! 1-d convolution: a [`Conv2d`] whose kernel has one row, over a sequence `[steps, channels]`.
//!
//! y\[s, o\] = act(b\[o\] + Σ x\[s·stride − before + j·dilation, c\] · W\[0, j, c, o\]), W of
//! `[1, kernel, in / groups, out]` (int8 `[out, 1, kernel, in / groups]`). A sequence is a map of height 1: one
//! implementation serves both. With all padding before the sequence, (kernel − 1)·dilation steps of it, the convolution
//! is causal.

use crate::ops::{Activation, Conv2d};
use crate::tensor::TensorId;

impl Conv2d {
    /// A 1-d convolution in one group, without padding, dilation or activation, which the fields then set.
    ///
    /// `padding` is before and after the sequence.
    ///
    /// ```
    /// use nn_core::ops::Conv2d;
    /// use nn_core::tensor::{DType, Quant, Shape, Tensor};
    ///
    /// let mut causal = Conv2d::conv1d(1, Some(2), 1, [4, 0]);
    /// causal.dilation = [1, 2];
    /// let input = Shape::new(&[100, 8]).unwrap();
    /// let weight = Shape::new(&[1, 3, 8, 16]).unwrap();
    /// let weight = Tensor::activation(weight, DType::F32, Quant::None);
    /// assert_eq!(causal.output_shape(input, &weight), Shape::new(&[100, 16]));
    /// ```
    pub fn conv1d(
        weight: TensorId,
        bias: Option<TensorId>,
        stride: u16,
        [before, after]: [u8; 2],
    ) -> Self {
        Self {
            weight,
            bias,
            requant: None,
            stride: [1, stride],
            padding: [0, before, 0, after],
            dilation: [1, 1],
            groups: 1,
            activation: Activation::None,
        }
    }
}
