//! One product at a time.

use super::Sums;
use crate::kernels::packed::tile::parts;

/// [`Sums`] while they are formed.
#[derive(Debug, Default)]
pub(in super::super) struct BlockSums(Sums);

impl BlockSums {
    /// Two taps at two pixels.
    #[inline(always)]
    pub(in super::super) fn step(&mut self, weights: &[i32; 2], x: [[i16; 2]; 2]) {
        let [a0, b0, a1, b1, c0, d0, c1, d1] = &mut self.0;
        let [low, high] = *weights;
        step(a0, a1, low, x[0]);
        step(b0, b1, low, x[1]);
        step(c0, c1, high, x[0]);
        step(d0, d1, high, x[1]);
    }

    #[inline(always)]
    pub(in super::super) fn sums(&self) -> Sums {
        self.0
    }
}

/// S₀, 256·S₁ + S₀, S₂, 256·S₃ + S₂ at one pixel, while they are formed.
#[derive(Debug, Default)]
pub(in super::super::super) struct PixelSums([i32; 4]);

impl PixelSums {
    /// Four taps.
    #[inline(always)]
    pub(in super::super::super) fn step(&mut self, weights: &[i32; 4], x: [i32; 2]) {
        let [a, b, c, d] = &mut self.0;
        for (x, [low, high]) in x.map(parts).iter().zip(weights.as_chunks().0) {
            step(a, b, *low, *x);
            step(c, d, *high, *x);
        }
    }

    #[inline(always)]
    pub(in super::super::super) fn sums(&self) -> [i32; 4] {
        self.0
    }
}

/// A pair of channels at one pixel: its S₀ and raw sums go on by two taps.
#[inline(always)]
fn step(low: &mut i32, raw: &mut i32, weight: i32, x: [i16; 2]) {
    let weight = parts(weight);
    *raw = multiply(*raw, weight, x);
    *low = multiply(*low, low_bytes(weight), x);
}

/// SMLAD: sum + a₀·b₀ + a₁·b₁.
#[inline(always)]
fn multiply(sum: i32, a: [i16; 2], b: [i16; 2]) -> i32 {
    let [low, high] = [0, 1].map(|i: usize| i32::from(a[i & 1]).wrapping_mul(i32::from(b[i & 1])));
    sum.wrapping_add(low).wrapping_add(high)
}

/// SXTB16: the low byte of each half.
#[inline(always)]
const fn low_bytes([low, high]: [i16; 2]) -> [i16; 2] {
    // The upper byte is cut off.
    [low as i8 as i16, high as i8 as i16]
}
