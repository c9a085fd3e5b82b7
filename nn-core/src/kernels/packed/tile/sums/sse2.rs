//! Eight products at a time.

use super::Sums;
use crate::kernels::packed::word;
use crate::kernels::sse2::Lanes;

/// [`Sums`] while they are formed, in the order channel pairs of pixel 0, of pixel 1.
#[derive(Debug)]
pub(in super::super) struct BlockSums {
    low: Lanes,
    raw: Lanes,
}

impl Default for BlockSums {
    #[inline(always)]
    fn default() -> Self {
        let (low, raw) = (Lanes::zero(), Lanes::zero());
        Self { low, raw }
    }
}

impl BlockSums {
    /// Two taps at two pixels.
    #[inline(always)]
    pub(in super::super) fn step(&mut self, weights: &[i32; 2], x: [[i16; 2]; 2]) {
        let ([a, b], [x, y]) = (*weights, x.map(|[low, high]| word(low, high)));
        self.add(Lanes::words([a, b, a, b]), Lanes::words([x, x, y, y]));
    }

    #[inline(always)]
    fn add(&mut self, weights: Lanes, x: Lanes) {
        self.raw.multiply_add(weights, x);
        self.low.multiply_add(weights.low_bytes(), x);
    }

    #[inline(always)]
    pub(in super::super) fn sums(&self) -> Sums {
        let ([a0, c0, b0, d0], [a1, c1, b1, d1]) = (self.low.numbers(), self.raw.numbers());
        [a0, b0, a1, b1, c0, d0, c1, d1]
    }
}

/// S₀, 256·S₁ + S₀, S₂, 256·S₃ + S₂ at one pixel, while they are formed: of the first two taps of four, of the others.
#[derive(Debug, Default)]
pub(in super::super::super) struct PixelSums(BlockSums);

impl PixelSums {
    /// Four taps.
    #[inline(always)]
    pub(in super::super::super) fn step(&mut self, weights: &[i32; 4], [x, y]: [i32; 2]) {
        self.0
            .add(Lanes::words(*weights), Lanes::words([x, x, y, y]));
    }

    #[inline(always)]
    pub(in super::super::super) fn sums(&self) -> [i32; 4] {
        let [a0, b0, a1, b1, c0, d0, c1, d1] = self.0.sums();
        [(a0, b0), (a1, b1), (c0, d0), (c1, d1)].map(|(a, b): (i32, i32)| a.wrapping_add(b))
    }
}
