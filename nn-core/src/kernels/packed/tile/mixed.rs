//! Four pixels of a kernel of one cell in three words for each tap, which all output channels share: three products for
//! four pixels.
//!
//! Of the inputs x₀ to x₃ the words are x₀ + 2²⁴·x₃, x₁ + 2¹⁶·x₃ and x₂ + 2⁸·x₃, modulo 2³². The sums of their products
//! with a channel's weights, of 24 bits at each pixel, come apart one after the other: of the first the lower 24 bits are
//! that of pixel 0, and what is above is the lowest byte of pixel 3's, which the second has 2¹⁶ times. Weights are bytes
//! of layout 2's words, w + 128: the sums begin with −128·Σ of the words.

#[cfg(not(any(mote_armv7m, mote_armv6m)))]
use super::fours::outputs;
#[cfg(not(any(mote_armv7m, mote_armv6m)))]
use super::{Blocks, CHANNELS};

/// The inputs of four pixels.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Mixed<'x> {
    /// Three words of each tap.
    words: &'x [[i32; 3]],
    /// What the three sums begin with.
    pub(super) start: [i32; 3],
}

impl<'x> Mixed<'x> {
    /// In the order of the weights: of each four inputs 0, 2, 1, 3, of two that are left over 0, 1. `words` has as many
    /// places as there are taps with their padding, an even number.
    #[inline(never)]
    pub(in super::super) fn new(pixels: [&[i8]; 4], words: &'x mut [[i32; 3]]) -> Self {
        let mut sums = [0i32; 3];
        let mut places = words.iter_mut();
        let mut put = |x: [i8; 4]| {
            let [a, b, c, d] = x.map(i32::from);
            let mixed = [
                a.wrapping_add(d << 24),
                b.wrapping_add(d << 16),
                c.wrapping_add(d << 8),
            ];
            for (sum, word) in sums.iter_mut().zip(mixed) {
                *sum = sum.wrapping_add(word);
            }
            if let Some(place) = places.next() {
                *place = mixed;
            }
        };
        let [(a, a_rest), (b, b_rest), (c, c_rest), (d, d_rest)] =
            pixels.map(|pixel| pixel.as_chunks::<4>());
        for ((a, b), (c, d)) in a.iter().zip(b).zip(c.iter().zip(d)) {
            put([a[0], b[0], c[0], d[0]]);
            put([a[2], b[2], c[2], d[2]]);
            put([a[1], b[1], c[1], d[1]]);
            put([a[3], b[3], c[3], d[3]]);
        }
        let rest = [a_rest, b_rest, c_rest, d_rest];
        let order: &[usize] = match a_rest.len() {
            0 => &[],
            1 => &[0, 1],
            2 => &[0, 1],
            _ => &[0, 2, 1, 3],
        };
        for index in order {
            put(rest.map(|x| x.get(*index).copied().unwrap_or(0)));
        }
        let start = sums.map(|sum| sum.wrapping_mul(-128));
        Self { words, start }
    }

    /// Taps, with their padding.
    #[cfg(mote_armv6m)]
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The words, one after the other.
    #[cfg(any(mote_armv7m, mote_armv6m))]
    pub(super) fn as_words(&self) -> &'x [i32] {
        self.words.as_flattened()
    }
}

/// The outputs of all blocks at four pixels, `step` numbers from one to the next.
#[cfg(not(any(mote_armv7m, mote_armv6m)))]
#[inline(never)]
pub(in super::super) fn cells(mixed: &Mixed, blocks: &Blocks, y: &mut [i8], step: usize) {
    let words = mixed.words.len();
    let each = blocks.weights.chunks_exact(words.max(1)).zip(blocks.table);
    for (block, (weights, tables)) in each.enumerate() {
        let weights: &[[u8; CHANNELS]] = bytemuck::cast_slice(weights);
        for (index, table) in tables.iter().enumerate() {
            let outputs = outputs(&split(sums(mixed, weights, index)), table);
            let y = y.get_mut(CHANNELS * block + index..).unwrap_or(&mut []);
            for (y, output) in y.iter_mut().step_by(step.max(1)).zip(outputs) {
                *y = output;
            }
        }
    }
}

/// The three sums of a channel of a block.
#[cfg(not(any(mote_armv7m, mote_armv6m)))]
#[inline(always)]
fn sums(mixed: &Mixed, weights: &[[u8; CHANNELS]], channel: usize) -> [i32; 3] {
    let mut sums = mixed.start;
    for (words, weights) in mixed.words.iter().zip(weights) {
        let weight = weights.get(channel).copied().map_or(0, i32::from);
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(word.wrapping_mul(weight));
        }
    }
    sums
}

/// Twice the sums of the four pixels: 10 operations, where shifts are free.
#[cfg(not(any(mote_armv7m, mote_armv6m)))]
#[inline(always)]
const fn split([first, second, third]: [i32; 3]) -> [i32; 4] {
    // 2⁸ times a sum, and what is above its 24 bits.
    const fn part(word: i32) -> (i32, i32) {
        let low = word << 8;
        (low, word.wrapping_sub(low >> 8))
    }
    const fn down(word: i32) -> i32 {
        (word.cast_unsigned() >> 8).cast_signed()
    }
    let (a, above) = part(first);
    let (b, above_b) = part(second.wrapping_sub(down(above)));
    // The two lower bytes of d, at the top.
    let above = above_b.wrapping_add(down(above));
    let (c, above_c) = part(third.wrapping_sub(down(above)));
    let d = above_c.wrapping_add(down(above));
    [a >> 7, b >> 7, c >> 7, d >> 7]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::XorShift32;

    #[test]
    fn the_pixels_are_told_apart() {
        let mut rng = XorShift32::new(4);
        let mut draw = || match rng.draw() % 5 {
            0 => (1 << 23) - 1,
            1 => -(1 << 23),
            2 => rng.draw() as i32 % 3 - 1,
            _ => (rng.draw() as i32) >> (rng.draw() % 23 + 8),
        };
        for _ in 0..1_000_000 {
            let sums: [i32; 4] = core::array::from_fn(|_| draw());
            let [a, b, c, d] = sums;
            let above = |sum: i32, bits: u32| sum.wrapping_add(d << bits);
            let words = [above(a, 24), above(b, 16), above(c, 8)];
            assert_eq!(split(words), sums.map(|sum| 2 * sum), "{sums:?}");
        }
    }
}
