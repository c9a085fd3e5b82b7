//! Where the window of a convolution or a pooling lies.
//!
//! Along one axis, output cell o sees the inputs `o·stride − before + t` for the taps t = 0 … kernel − 1 that fall
//! into the input; the others are padding. output = ⌊(input + before + after − kernel) / stride⌋ + 1.

use serde::{Deserialize, Serialize};

use crate::ops::{Check, NodeFault};
use crate::tensor::Shape;

/// Window of a max or average pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool2d {
    /// Rows and columns of the window.
    pub kernel: [u8; 2],
    /// Steps down and right.
    pub stride: [u8; 2],
    /// Cells of padding: top, left, bottom, right; each less than the kernel.
    pub padding: [u8; 4],
}

impl Pool2d {
    /// The output's shape for an input of `[height, width, channels]`.
    pub fn output_shape(&self, input: Shape) -> Option<Shape> {
        let [height, width, channels] = input.as_map()?;
        let window = Window::new([height, width], self.kernel, self.stride, self.padding)?;
        Some(Shape::map(
            u32::from(window.rows.output),
            u32::from(window.columns.output),
            channels,
        ))
    }

    pub(super) fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.same_dtype()?;
        check.same_quant()?;
        // The argmax of a training step is one byte.
        if u16::from(self.kernel[0]) * u16::from(self.kernel[1]) > 256 {
            return Err(NodeFault::Geometry);
        }
        check.x.shape.as_map().ok_or(NodeFault::Shape(check.x_id))?;
        let shape = self
            .output_shape(check.x.shape)
            .ok_or(NodeFault::Geometry)?;
        check.y_shape(shape)
    }
}

/// Padding of a framework's `same`: output = ⌈input / stride⌉, the odd cell after. Returns (before, after).
///
/// ```
/// assert_eq!(nn_core::ops::window::same_padding(28, 5, 1), (2, 2));
/// assert_eq!(nn_core::ops::window::same_padding(28, 2, 2), (0, 0));
/// assert_eq!(nn_core::ops::window::same_padding(5, 2, 1), (0, 1));
/// ```
pub fn same_padding(input: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let stride = stride.max(1);
    let steps = input.div_ceil(stride).saturating_sub(1);
    let total = (steps * stride + kernel).saturating_sub(input);
    (total / 2, total - total / 2)
}

/// One axis of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) input: u16,
    pub(crate) output: u16,
    pub(crate) kernel: u8,
    stride: u8,
    before: u8,
}

/// The taps of one output cell that fall into the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taps {
    /// The first input cell.
    pub(crate) input: usize,
    /// Its tap.
    pub(crate) tap: usize,
    /// How many.
    pub(crate) len: usize,
}

impl Axis {
    fn new(input: u32, kernel: u8, stride: u8, before: u8, after: u8) -> Option<Self> {
        // Padding narrower than the kernel: every window holds at least one input cell.
        if kernel == 0 || stride == 0 || before >= kernel || after >= kernel {
            return None;
        }
        let padded = input
            .checked_add(u32::from(before))?
            .checked_add(u32::from(after))?;
        let output = padded.checked_sub(u32::from(kernel))? / u32::from(stride) + 1;
        Some(Self {
            input: u16::try_from(input).ok()?,
            output: u16::try_from(output).ok()?,
            kernel,
            stride,
            before,
        })
    }

    /// The taps of output cell `output`.
    #[inline]
    pub(crate) fn taps(&self, output: usize) -> Taps {
        let start = output * usize::from(self.stride);
        let before = usize::from(self.before);
        let tap = before.saturating_sub(start);
        let first = (start + tap).saturating_sub(before);
        let end = (start + usize::from(self.kernel))
            .saturating_sub(before)
            .min(usize::from(self.input));
        Taps {
            input: first,
            tap,
            len: end.saturating_sub(first),
        }
    }

    /// The output cells whose window holds input cell `input`.
    pub(crate) fn outputs(&self, input: usize) -> core::ops::Range<usize> {
        let stride = usize::from(self.stride).max(1);
        let at = input + usize::from(self.before);
        let first = (at + 1)
            .saturating_sub(usize::from(self.kernel))
            .div_ceil(stride);
        let last = (at / stride + 1).min(usize::from(self.output));
        first..last.max(first)
    }
}

/// Both axes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
}

impl Window {
    pub(crate) fn new(
        [height, width]: [u32; 2],
        kernel: [u8; 2],
        stride: [u8; 2],
        [top, left, bottom, right]: [u8; 4],
    ) -> Option<Self> {
        Some(Self {
            rows: Axis::new(height, kernel[0], stride[0], top, bottom)?,
            columns: Axis::new(width, kernel[1], stride[1], left, right)?,
        })
    }
}

/// A pooling of a map with this many channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolStep {
    pub(crate) window: Window,
    pub(crate) channels: u16,
}

impl PoolStep {
    pub(crate) fn new(pool: &Pool2d, input: Shape) -> Option<Self> {
        let [height, width, channels] = input.as_map()?;
        Some(Self {
            window: Window::new([height, width], pool.kernel, pool.stride, pool.padding)?,
            channels: u16::try_from(channels).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_cover_just_the_cells_inside() {
        for input in 1..9u32 {
            for (kernel, stride, before, after) in [(3, 1, 1, 1), (2, 2, 0, 1), (5, 3, 4, 0)] {
                let Some(axis) = Axis::new(input, kernel, stride, before, after) else {
                    continue;
                };
                for output in 0..usize::from(axis.output) {
                    let start = (output * usize::from(stride)) as i64 - i64::from(before);
                    let wanted: std::vec::Vec<(i64, i64)> = (0..i64::from(kernel))
                        .map(|tap| (tap, start + tap))
                        .filter(|&(_, cell)| cell >= 0 && cell < i64::from(input))
                        .collect();
                    let taps = axis.taps(output);
                    let found: std::vec::Vec<(i64, i64)> = (0..taps.len)
                        .map(|i| ((taps.tap + i) as i64, (taps.input + i) as i64))
                        .collect();
                    assert_eq!(
                        found, wanted,
                        "input {input} output {output} kernel {kernel}"
                    );
                    for cell in 0..input as usize {
                        let seen = wanted.iter().any(|&(_, c)| c == cell as i64);
                        assert_eq!(axis.outputs(cell).contains(&output), seen);
                    }
                }
            }
        }
    }

    #[test]
    fn padding_as_wide_as_the_kernel_is_refused() {
        assert!(Axis::new(8, 3, 1, 3, 0).is_none());
        assert!(Axis::new(8, 0, 1, 0, 0).is_none());
        assert!(Axis::new(8, 3, 0, 0, 0).is_none());
        assert!(Axis::new(2, 3, 1, 0, 0).is_none());
    }
}
