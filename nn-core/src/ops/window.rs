//! Where the window of a convolution or a pooling lies.
//!
//! Along one axis, output cell o sees the inputs `o·stride − before + t·dilation` for the taps t = 0 … kernel − 1 that
//! fall into the input; the others are padding. With span = (kernel − 1)·dilation + 1 there are
//! ⌊(input + before + after − span) / stride⌋ + 1 outputs. Poolings have a dilation of 1.

use serde::{Deserialize, Serialize};

use crate::ops::{Check, NodeFault};
use crate::tensor::Shape;

/// Window of a max or average pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool2d {
    /// Rows and columns of the window; the whole map for a global pooling.
    pub kernel: [u16; 2],
    /// Steps down and right.
    pub stride: [u16; 2],
    /// Cells of padding: top, left, bottom, right; each less than the kernel.
    pub padding: [u8; 4],
}

impl Pool2d {
    /// The most cells of a window: a training step keeps the number of a max pooling's cell in two bytes.
    pub const MAX_TAPS: u32 = 1 << 16;

    /// The output's shape for an input that [`frames_and_map`] reads.
    pub fn output_shape(&self, input: Shape) -> Option<Shape> {
        let pool = PoolStep::new(self, input)?;
        pool.window.shape_like(&input, u32::from(pool.channels))
    }

    /// The largest of each window, int8, outside a session. None where the window does not fit the input.
    pub fn max_i8(&self, input: Shape, x: &[i8], y: &mut [i8]) -> Option<()> {
        PoolStep::new(self, input)?.max_i8(x, y);
        Some(())
    }

    /// The mean of each window's cells that lie inside, int8, outside a session. None where the window does not fit.
    pub fn mean_i8(&self, input: Shape, x: &[i8], y: &mut [i8]) -> Option<()> {
        PoolStep::new(self, input)?.average_i8(x, y);
        Some(())
    }

    pub(super) fn check(&self, check: &Check) -> Result<(), NodeFault> {
        check.arity(1)?;
        check.same_dtype()?;
        check.same_quant()?;
        if self.taps() > Self::MAX_TAPS {
            return Err(NodeFault::Geometry);
        }
        frames_and_map(&check.x.shape).ok_or(NodeFault::Shape(check.x_id))?;
        let shape = self
            .output_shape(check.x.shape)
            .ok_or(NodeFault::Geometry)?;
        check.y_shape(shape)
    }

    /// Whether an input may lie in several windows.
    pub(crate) fn overlaps(&self) -> bool {
        let [down, along] = self.stride;
        let [height, width] = self.kernel;
        down < height || along < width
    }

    /// Cells of the window.
    pub(crate) fn taps(&self) -> u32 {
        let [height, width] = self.kernel.map(u32::from);
        // Two numbers of 16 bits.
        height.wrapping_mul(width)
    }
}

/// Frames and the map of each, `[height, width, channels]`, as convolutions and poolings read a shape.
///
/// `[steps, channels]` is one map of height 1; `[height, width, channels]` is one map; `[frames, height, width,
/// channels]` are several, to each of which the layer is applied.
///
/// ```
/// use nn_core::ops::window::frames_and_map;
/// use nn_core::tensor::Shape;
/// let frames = |dims: &[usize]| frames_and_map(&Shape::new(dims).unwrap());
/// assert_eq!(frames(&[100, 3]), Some((1, [1, 100, 3])));
/// assert_eq!(frames(&[28, 28, 1]), Some((1, [28, 28, 1])));
/// assert_eq!(frames(&[5, 28, 28, 1]), Some((5, [28, 28, 1])));
/// assert_eq!(frames(&[10]), None);
/// ```
pub fn frames_and_map(shape: &Shape) -> Option<(u32, [u32; 3])> {
    match *shape.dims() {
        [steps, channels] => Some((1, [1, steps, channels])),
        [height, width, channels] => Some((1, [height, width, channels])),
        [frames, height, width, channels] => Some((frames, [height, width, channels])),
        _ => None,
    }
}

/// Padding of a framework's `same`: output = ⌈input / stride⌉, the odd cell after. Returns (before, after).
///
/// ```
/// use nn_core::ops::window::{dilated, same_padding};
/// assert_eq!(same_padding(28, 5, 1), (2, 2));
/// assert_eq!(same_padding(28, 2, 2), (0, 0));
/// assert_eq!(same_padding(5, 2, 1), (0, 1));
/// assert_eq!(same_padding(28, dilated(3, 4), 1), (4, 4));
/// ```
pub fn same_padding(input: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let stride = stride.max(1);
    let steps = input.div_ceil(stride).saturating_sub(1);
    let total = (steps * stride + kernel).saturating_sub(input);
    (total / 2, total - total / 2)
}

/// Cells that a kernel spans whose taps lie `dilation` cells apart: (kernel − 1) · dilation + 1.
pub fn dilated(kernel: usize, dilation: usize) -> usize {
    kernel
        .saturating_sub(1)
        .saturating_mul(dilation)
        .saturating_add(1)
}

/// One axis of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) input: u16,
    pub(crate) output: u16,
    pub(crate) kernel: u16,
    stride: u16,
    before: u8,
    dilation: u8,
}

crate::stored::stored!(Axis {
    input: u16,
    output: u16,
    kernel: u16,
    stride: u16,
    before: u8,
    dilation: u8
});

/// The taps of one output cell that fall into the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taps {
    /// The first input cell; the next ones lie a dilation further each.
    pub(crate) input: usize,
    /// Its tap.
    pub(crate) tap: usize,
    /// How many.
    pub(crate) len: usize,
}

/// The output cells for which one tap falls into the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strip {
    /// The first output cell.
    pub(crate) output: usize,
    /// The input cell that it sees; those of the next ones lie a stride further each.
    pub(crate) input: usize,
    /// How many.
    pub(crate) len: usize,
}

impl Axis {
    pub(crate) fn new(
        input: u32,
        kernel: u16,
        stride: u16,
        dilation: u8,
        [before, after]: [u8; 2],
    ) -> Option<Self> {
        let last = u32::from(kernel.checked_sub(1)?);
        let span = last.checked_mul(u32::from(dilation))?.checked_add(1)?;
        // Padding narrower than the kernel: a window without dilation holds at least one input cell.
        let wide = |padding: u8| u32::from(padding) >= span;
        if stride == 0 || dilation == 0 || wide(before) || wide(after) {
            return None;
        }
        let padded = input
            .checked_add(u32::from(before))?
            .checked_add(u32::from(after))?;
        let output = padded.checked_sub(span)?.checked_div(u32::from(stride))?;
        Some(Self {
            input: u16::try_from(input).ok()?,
            output: u16::try_from(output.checked_add(1)?).ok()?,
            kernel,
            stride,
            before,
            dilation,
        })
    }

    /// Cells from one tap to the next.
    #[inline(always)]
    pub(crate) fn dilation(&self) -> usize {
        usize::from(self.dilation)
    }

    /// Whether nothing lies between the taps.
    #[cfg(mote_helium)]
    pub(crate) const fn is_gapless(&self) -> bool {
        self.dilation == 1
    }

    /// Cells from one output's window to the next one's.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        usize::from(self.stride)
    }

    /// The first tap that lies at or past `cells` cells from the first tap.
    #[inline(always)]
    fn first_tap(&self, cells: usize) -> usize {
        // Spares cores without a divider most of the divisions.
        if self.dilation == 1 {
            cells
        } else {
            cells.div_ceil(usize::from(self.dilation).max(1))
        }
    }

    /// The taps of output cell `output`.
    #[inline]
    pub(crate) fn taps(&self, output: usize) -> Taps {
        let start = output * usize::from(self.stride);
        let before = usize::from(self.before);
        let tap = self.first_tap(before.saturating_sub(start));
        let end = (usize::from(self.input) + before).saturating_sub(start);
        let end = self.first_tap(end).min(usize::from(self.kernel));
        Taps {
            input: (start + tap * self.dilation()).saturating_sub(before),
            tap,
            len: end.saturating_sub(tap),
        }
    }

    /// The output cells for which `tap` falls into the input.
    #[inline]
    pub(crate) fn strip(&self, tap: usize) -> Strip {
        let stride = usize::from(self.stride).max(1);
        let before = usize::from(self.before);
        let offset = tap * self.dilation();
        let output = before.saturating_sub(offset).div_ceil(stride);
        let end = (usize::from(self.input) + before).saturating_sub(offset);
        let end = end.div_ceil(stride).min(usize::from(self.output));
        Strip {
            output,
            input: (output * stride + offset).saturating_sub(before),
            len: end.saturating_sub(output),
        }
    }

    /// The output cells whose window lies in the input, where it is not dilated.
    pub(crate) fn whole(&self) -> core::ops::Range<usize> {
        let stride = usize::from(self.stride).max(1);
        let before = usize::from(self.before);
        let first = before.div_ceil(stride);
        let room = usize::from(self.input) + before;
        let last = room.checked_sub(usize::from(self.kernel));
        let end = last.map_or(0, |last| last / stride + 1);
        first..end.min(usize::from(self.output)).max(first)
    }

    /// The fewest taps of a window that lie inside.
    pub(crate) fn fewest(&self) -> usize {
        let taps = (0..usize::from(self.output)).map(|output| self.taps(output).len);
        taps.min().unwrap_or(0)
    }

    /// The most windows that hold an input.
    pub(crate) fn most_outputs(&self) -> usize {
        let outputs = (0..usize::from(self.input)).map(|input| self.outputs(input).len());
        outputs.max().unwrap_or(0)
    }

    /// The output cells whose window holds input cell `input`, where the window is not dilated.
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

crate::stored::stored!(Window {
    rows: Axis,
    columns: Axis
});

impl Window {
    pub(crate) fn new(
        [height, width]: [u32; 2],
        kernel: [u16; 2],
        stride: [u16; 2],
        dilation: [u8; 2],
        [top, left, bottom, right]: [u8; 4],
    ) -> Option<Self> {
        let [down, along] = dilation;
        Some(Self {
            rows: Axis::new(height, kernel[0], stride[0], down, [top, bottom])?,
            columns: Axis::new(width, kernel[1], stride[1], along, [left, right])?,
        })
    }

    /// Cells of an input map.
    #[inline]
    pub(crate) fn inputs(&self) -> usize {
        usize::from(self.rows.input) * usize::from(self.columns.input)
    }

    /// Cells of an output map.
    #[inline]
    pub(crate) fn outputs(&self) -> usize {
        usize::from(self.rows.output) * usize::from(self.columns.output)
    }

    /// The output's shape, of as many dimensions as the input's; `None` where it would not be a sequence.
    pub(crate) fn shape_like(&self, input: &Shape, channels: u32) -> Option<Shape> {
        let [height, width] = [self.rows.output, self.columns.output].map(usize::from);
        let channels = channels as usize;
        match *input.dims() {
            [_, _] if height == 1 => Shape::new(&[width, channels]),
            [_, _, _] => Shape::new(&[height, width, channels]),
            [frames, _, _, _] => Shape::new(&[frames as usize, height, width, channels]),
            _ => None,
        }
    }
}

/// A pooling of maps with this many channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolStep {
    pub(crate) window: Window,
    pub(crate) channels: u16,
    /// Whether a mean is that of the whole window, padding and all.
    pub(crate) count_padding: bool,
}

crate::stored::stored!(PoolStep {
    window: Window,
    channels: u16,
    count_padding: bool
});

impl PoolStep {
    pub(crate) fn new(pool: &Pool2d, input: Shape) -> Option<Self> {
        let (_, [height, width, channels]) = frames_and_map(&input)?;
        let (kernel, stride) = (pool.kernel, pool.stride);
        Some(Self {
            window: Window::new([height, width], kernel, stride, [1, 1], pool.padding)?,
            channels: u16::try_from(channels).ok()?,
            count_padding: false,
        })
    }

    /// Numbers of an input map and of an output map, at least 1.
    #[inline]
    pub(crate) fn lengths(&self) -> (usize, usize) {
        let channels = usize::from(self.channels);
        let length = |cells: usize| (cells * channels).max(1);
        (length(self.window.inputs()), length(self.window.outputs()))
    }

    /// Cells of the window.
    #[inline]
    pub(crate) fn taps(&self) -> usize {
        usize::from(self.window.rows.kernel) * usize::from(self.window.columns.kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_cover_just_the_cells_inside() {
        for input in 1..9u32 {
            for (kernel, stride, dilation, before, after) in [
                (3, 1, 1, 1, 1),
                (2, 2, 1, 0, 1),
                (5, 3, 1, 4, 0),
                (3, 1, 2, 2, 2),
                (2, 2, 3, 1, 3),
                (4, 3, 2, 6, 5),
            ] {
                let Some(axis) = Axis::new(input, kernel, stride, dilation, [before, after]) else {
                    continue;
                };
                let step = i64::from(dilation);
                let cells = input + u32::from(before) + u32::from(after);
                let span = (u32::from(kernel) - 1) * u32::from(dilation) + 1;
                let outputs = (cells - span) / u32::from(stride) + 1;
                assert_eq!(u32::from(axis.output), outputs);
                for tap in 0..usize::from(kernel) {
                    let cell = |o: usize| {
                        (o * usize::from(stride)) as i64 - i64::from(before) + tap as i64 * step
                    };
                    let wanted: std::vec::Vec<(usize, i64)> = (0..usize::from(axis.output))
                        .map(|o| (o, cell(o)))
                        .filter(|&(_, cell)| cell >= 0 && cell < i64::from(input))
                        .collect();
                    let strip = axis.strip(tap);
                    let found: std::vec::Vec<(usize, i64)> = (0..strip.len)
                        .map(|i| {
                            let cell = strip.input + i * usize::from(stride);
                            (strip.output + i, cell as i64)
                        })
                        .collect();
                    assert_eq!(found, wanted, "input {input} tap {tap} kernel {kernel}");
                }
                let outputs = 0..usize::from(axis.output);
                let whole = axis.whole();
                for output in outputs {
                    let inside = axis.taps(output).len == usize::from(kernel);
                    assert!(dilation > 1 || whole.contains(&output) == inside);
                    let start = (output * usize::from(stride)) as i64 - i64::from(before);
                    let wanted: std::vec::Vec<(i64, i64)> = (0..i64::from(kernel))
                        .map(|tap| (tap, start + tap * step))
                        .filter(|&(_, cell)| cell >= 0 && cell < i64::from(input))
                        .collect();
                    let taps = axis.taps(output);
                    let found: std::vec::Vec<(i64, i64)> = (0..taps.len)
                        .map(|i| {
                            (
                                (taps.tap + i) as i64,
                                (taps.input + i * axis.dilation()) as i64,
                            )
                        })
                        .collect();
                    assert_eq!(
                        found, wanted,
                        "input {input} output {output} kernel {kernel}"
                    );
                    for cell in 0..if dilation == 1 { input as usize } else { 0 } {
                        let seen = wanted.iter().any(|&(_, c)| c == cell as i64);
                        assert_eq!(axis.outputs(cell).contains(&output), seen);
                    }
                }
            }
        }
    }

    #[test]
    fn windows_that_fit_nowhere_are_refused() {
        assert!(Axis::new(8, 3, 1, 1, [2, 2]).is_some());
        assert!(Axis::new(8, 3, 1, 1, [3, 0]).is_none());
        assert!(Axis::new(8, 3, 1, 1, [0, 3]).is_none());
        assert!(Axis::new(8, 3, 1, 2, [4, 4]).is_some());
        assert!(Axis::new(8, 3, 1, 2, [5, 0]).is_none());
        assert!(Axis::new(8, 0, 1, 1, [0, 0]).is_none());
        assert!(Axis::new(8, 3, 0, 1, [0, 0]).is_none());
        assert!(Axis::new(8, 3, 1, 0, [0, 0]).is_none());
        assert!(Axis::new(2, 3, 1, 1, [0, 0]).is_none());
        assert!(Axis::new(8, 65535, 1, 255, [255, 255]).is_none());
        assert!(Axis::new(70_000, 3, 1, 1, [0, 0]).is_none());
    }
}
