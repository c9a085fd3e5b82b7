//! Convolutions of all kinds, as one.

use super::Pair;
use super::layer::LayerKind;
use super::window::Padding;

/// A convolution of any kind, on a map of `inputs` channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convolution {
    /// Channels of the output.
    pub filters: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Height and width of the window; a sequence is a map of height 1.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows and columns from one tap to the next.
    pub dilation: [usize; 2],
    /// What happens at the edges.
    pub padding: Padding,
}

impl LayerKind {
    /// The layer as a convolution, where it is one, of an input of this shape.
    pub fn convolution(&self, input: &[usize]) -> Option<Convolution> {
        let inputs = input.last().copied().unwrap_or(0);
        let pair = |pair: Pair| [pair.height(), pair.width()];
        Some(match self {
            Self::Conv2d(conv) => Convolution {
                filters: conv.filters.get(),
                inputs,
                groups: conv.groups.get(),
                kernel: pair(conv.kernel),
                stride: pair(conv.stride),
                dilation: pair(conv.dilation),
                padding: conv.padding,
            },
            Self::DepthwiseConv2d(conv) => Convolution {
                filters: conv.multiplier.get() * inputs,
                inputs,
                groups: inputs,
                kernel: pair(conv.kernel),
                stride: pair(conv.stride),
                dilation: pair(conv.dilation),
                padding: conv.padding,
            },
            Self::Conv1d(conv) => Convolution {
                filters: conv.filters.get(),
                inputs,
                groups: conv.groups.get(),
                kernel: [1, conv.kernel.get()],
                stride: [1, conv.stride.get()],
                dilation: [1, conv.dilation.get()],
                padding: conv.padding,
            },
            _ => return None,
        })
    }
}

impl Convolution {
    /// Rows and columns that a window covers.
    pub fn span(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1)
    }
}
