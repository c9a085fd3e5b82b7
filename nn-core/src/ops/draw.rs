//! What the tests of windows draw at random.

use std::vec::Vec;

use crate::scalar::{Scalar, XorShift32};
use crate::tensor::{DType, Quant, Shape, Tensor};

/// Draws sizes and numbers.
pub(crate) struct Draw(pub(crate) XorShift32);

impl Draw {
    pub(crate) fn new(seed: u32) -> Self {
        Self(XorShift32::new(seed.wrapping_mul(0x9E37_79B9) ^ 0x5EED))
    }

    /// From `low` to `high`, both of them.
    pub(crate) fn size(&mut self, low: usize, high: usize) -> usize {
        low + self.0.draw() as usize % (high - low + 1)
    }

    /// Numbers between −1 and 1 that every format holds exactly; one in four is 0.
    pub(crate) fn values<S: Scalar>(&mut self, len: usize) -> Vec<S> {
        let mut value = || {
            let drawn = self.0.draw();
            if drawn & 3 == 0 {
                return S::ZERO;
            }
            S::from_f32(((drawn >> 8) & 0xFFFF) as f32 / 32768.0 - 1.0)
        };
        (0..len).map(|_| value()).collect()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<i8> {
        // The low eight bits.
        (0..len).map(|_| (self.0.draw() >> 7) as i8).collect()
    }
}

pub(crate) fn wide<S: Scalar>(values: &[S]) -> Vec<f64> {
    // f32 holds the values drawn above exactly.
    values.iter().map(|v| f64::from(v.to_f32())).collect()
}

pub(crate) fn tensor(dims: &[usize], dtype: DType) -> Tensor {
    Tensor::activation(Shape::new(dims).unwrap(), dtype, Quant::None)
}

/// A window over maps: where it lies is told here by testing each cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) rank: usize,
    pub(crate) frames: usize,
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) padding: [usize; 4],
}

impl Geometry {
    /// Windows that fit, of each rank in turn.
    pub(crate) fn draw(draw: &mut Draw, rank: usize, dilated: bool) -> Self {
        loop {
            let one = rank == 2;
            let mut input = [draw.size(1, 8), draw.size(1, 8)];
            let mut kernel = [draw.size(1, 4), draw.size(1, 4)];
            if one {
                (input[0], kernel[0]) = (1, 1);
            }
            let most = if dilated { 3 } else { 1 };
            let dilation = [draw.size(1, most), draw.size(1, most)];
            let span = |axis: usize| (kernel[axis] - 1) * dilation[axis] + 1;
            let padding = core::array::from_fn(|i| draw.size(0, span(i % 2) - 1));
            let stride = [draw.size(1, 3), draw.size(1, 3)];
            let padded = |axis: usize| input[axis] + padding[axis] + padding[axis + 2];
            if (0..2).any(|axis| padded(axis) < span(axis)) {
                continue;
            }
            let output = core::array::from_fn(|a| (padded(a) - span(a)) / stride[a] + 1);
            return Self {
                rank,
                frames: if rank == 4 { draw.size(1, 3) } else { 1 },
                input,
                output,
                kernel,
                stride,
                dilation,
                padding,
            };
        }
    }

    fn shape(&self, [height, width]: [usize; 2], channels: usize) -> Shape {
        let dims = [self.frames, height, width, channels];
        let dims = match self.rank {
            2 => Vec::from(&dims[2..]),
            3 => Vec::from(&dims[1..]),
            _ => Vec::from(dims),
        };
        Shape::new(&dims).unwrap()
    }

    pub(crate) fn x_shape(&self, channels: usize) -> Shape {
        self.shape(self.input, channels)
    }

    pub(crate) fn y_shape(&self, channels: usize) -> Shape {
        self.shape(self.output, channels)
    }

    /// Output pixels of all frames, in order.
    pub(crate) fn pixels(&self) -> usize {
        self.frames * self.output[0] * self.output[1]
    }

    /// Input cells of all frames.
    pub(crate) fn cells(&self) -> usize {
        self.frames * self.input[0] * self.input[1]
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The input cell under tap `tap` of output pixel `pixel`, both counted over rows and columns; none in the padding.
    pub(crate) fn cell(&self, pixel: usize, tap: usize) -> Option<usize> {
        let per_frame = self.output[0] * self.output[1];
        let (frame, pixel) = (pixel / per_frame, pixel % per_frame);
        let at = |axis: usize, output: usize, tap: usize| {
            let padded = output * self.stride[axis] + tap * self.dilation[axis];
            let cell = padded.checked_sub(self.padding[axis])?;
            (cell < self.input[axis]).then_some(cell)
        };
        let row = at(0, pixel / self.output[1], tap / self.kernel[1])?;
        let column = at(1, pixel % self.output[1], tap % self.kernel[1])?;
        Some((frame * self.input[0] + row) * self.input[1] + column)
    }
}
