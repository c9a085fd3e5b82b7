//! The innermost loops in Rust.

use super::{DENSE_CHANNELS, Lines, Sums};
use crate::kernels::packed::channel::{self, requantize};

/// Both halves of a word.
#[inline(always)]
const fn parts(word: i32) -> [i16; 2] {
    // Its bits, taken apart.
    [word as i16, (word >> 16) as i16]
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

/// A pair of channels at one pixel: its S₀ and raw sums go on by two taps.
#[inline(always)]
fn step(low: &mut i32, raw: &mut i32, weight: i32, x: [i16; 2]) {
    let weight = parts(weight);
    *raw = multiply(*raw, weight, x);
    *low = multiply(*low, low_bytes(weight), x);
}

#[inline(always)]
fn step_block(sums: &mut Sums, weights: &[i32; 2], x: [[i16; 2]; 2]) {
    let [a0, b0, a1, b1, c0, d0, c1, d1] = sums;
    let [low, high] = *weights;
    step(a0, a1, low, x[0]);
    step(b0, b1, low, x[1]);
    step(c0, c1, high, x[0]);
    step(d0, d1, high, x[1]);
}

/// The sums of two pixels whose inputs lie in lines.
#[inline]
pub(in super::super) fn lines(x: &[i16], weights: &[i32], lines: &Lines) -> Sums {
    let mut sums = [0; 8];
    // Fits: counts of 16 bits or products of two in memory.
    let (pitch, words) = (lines.pitch as usize, lines.words as usize);
    let distance = lines.distance as usize;
    let mut weights = weights.as_chunks::<2>().0.iter();
    for line in 0..lines.count as usize {
        let first = x.get(line * pitch..).unwrap_or(&[]).as_chunks::<2>().0;
        let second = x.get(line * pitch + distance..).unwrap_or(&[]);
        let pixels = first.iter().zip(second.as_chunks::<2>().0).take(words);
        for ((first, second), weights) in pixels.zip(&mut weights) {
            step_block(&mut sums, weights, [*first, *second]);
        }
    }
    sums
}

/// The sums of two pixels whose words alternate.
#[inline]
pub(in super::super) fn pairs(x: &[i32], weights: &[i32]) -> Sums {
    let mut sums = [0; 8];
    let (x, weights) = (x.as_chunks::<2>().0, weights.as_chunks::<2>().0);
    for (x, weights) in x.iter().zip(weights) {
        step_block(&mut sums, weights, x.map(parts));
    }
    sums
}

/// The outputs of eight channels of a dense layer; both slices are whole steps of four taps.
#[inline]
pub(in super::super) fn dense(
    x: &[i32],
    weights: &[i32],
    table: &[i32; DENSE_CHANNELS * channel::LEN],
    y: &mut [i8; DENSE_CHANNELS],
) {
    let mut sums = [[0i32; 2]; DENSE_CHANNELS / 2];
    for (x, weights) in x.iter().zip(weights.as_chunks::<4>().0) {
        for ([low, raw], weight) in sums.iter_mut().zip(weights) {
            step(low, raw, *weight, parts(*x));
        }
    }
    let outputs = y.as_chunks_mut::<2>().0.iter_mut();
    for (([low, raw], table), y) in sums
        .iter()
        .zip(table.as_chunks::<{ 2 * channel::LEN }>().0)
        .zip(outputs)
    {
        let [a, b, c, d, e, f, g, h] = *table;
        *y = [
            requantize(a.wrapping_add(low.wrapping_mul(2)), [a, b, c, d]),
            requantize(
                e.wrapping_add(raw.wrapping_sub(*low) >> 7),
                [e, f, g, h],
            ),
        ];
    }
}
