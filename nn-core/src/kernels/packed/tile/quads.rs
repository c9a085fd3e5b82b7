//! Four channels in a word: sums of three products for each input instead of four.
//!
//! A word of weights holds byte i = w\[i\] + 128 of four channels. The sums over the taps of x times the word, times the
//! word with its bytes reversed (REV), and times the word with the bytes of each half swapped (REV16), less 128·Σ x of
//! each byte, are
//!
//! g = a + 2⁸·b + 2¹⁶·c + 2²⁴·d, r = d + 2⁸·c + 2¹⁶·b + 2²⁴·a, h = b + 2⁸·a + 2¹⁶·d + 2²⁴·c, all modulo 2³²,
//!
//! of the channels' sums a, b, c, d. Each of those is below 2²³ in magnitude, 24 bits, and three words hold just four of
//! them: g − 2⁸·h = a + 2¹⁶·(c − a), h − 2⁸·g = b + 2¹⁶·(d − b), and what r says besides separates them.

#[cfg(not(mote_armv6m))]
use super::CHANNELS;

/// What the three sums begin with, for Σ x: each byte of a word is 128 too large.
#[inline(always)]
pub(super) const fn start(inputs: i32) -> i32 {
    inputs
        .wrapping_mul(0x8080_8080u32.cast_signed())
        .wrapping_neg()
}

/// Σ x of both halves of each word, none of more than 8 bits.
#[inline]
pub(in super::super) fn sum(words: &[i32]) -> i32 {
    words.chunks(255).fold(0i32, |sum, words| {
        let start = (0i32, sum);
        let (low, sum) = words.iter().fold(start, |(low, high), word| {
            (low.wrapping_add(*word), high.wrapping_add(*word >> 16))
        });
        // The lower halves of so many do not leave 16 bits.
        sum.wrapping_add(low << 16 >> 16)
    })
}

/// Twice the channels' sums, from the three sums: 14 operations, where shifts are free.
#[cfg(not(mote_armv6m))]
#[inline(always)]
pub(super) const fn split([g, r, h]: [i32; 3]) -> [i32; CHANNELS] {
    let u = g.wrapping_sub(h << 8);
    let v = h.wrapping_sub(g << 8);
    // d + 2⁸·c.
    let r = r.wrapping_sub(u << 24).wrapping_sub(v << 16);
    // a + 2¹⁶·c, b + 2¹⁶·d.
    let ac = u.wrapping_add(u << 16);
    let bd = v.wrapping_add(v << 16);
    // b − 2²⁴·c, then b + 2⁸·a.
    let b_high = bd.wrapping_sub(r << 16);
    let ba = b_high.wrapping_add(ac << 8);
    let b = b_high << 8 >> 8;
    let a = ba.wrapping_sub(b);
    // 2⁸ times the lower half of c.
    let c_low = (ac.wrapping_sub(a >> 8).cast_unsigned() >> 8).cast_signed();
    let d = r.wrapping_sub(c_low) << 8 >> 8;
    let c = r.wrapping_sub(d);
    [a >> 7, b.wrapping_mul(2), c >> 7, d.wrapping_mul(2)]
}

/// The three sums while they are formed.
#[cfg(not(any(mote_armv7m, mote_armv6m)))]
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct QuadSums([i32; 3]);

#[cfg(not(any(mote_armv7m, mote_armv6m)))]
impl From<[i32; 3]> for QuadSums {
    /// What they begin with.
    #[inline(always)]
    fn from(start: [i32; 3]) -> Self {
        Self(start)
    }
}

#[cfg(not(any(mote_armv7m, mote_armv6m)))]
impl QuadSums {
    /// Two taps.
    #[inline(always)]
    pub(in super::super) fn step(&mut self, weights: &[i32; 2], x: [i16; 2]) {
        let [plain, reversed, swapped] = &mut self.0;
        for (weight, x) in weights.iter().zip(x) {
            let x = i32::from(x);
            let back = weight.swap_bytes();
            *plain = plain.wrapping_add(weight.wrapping_mul(x));
            *reversed = reversed.wrapping_add(back.wrapping_mul(x));
            *swapped = swapped.wrapping_add(back.rotate_left(16).wrapping_mul(x));
        }
    }

    /// Twice the channels' sums, given that of the inputs.
    #[inline(always)]
    pub(in super::super) fn doubled(self, inputs: i32) -> [i32; CHANNELS] {
        let start = start(inputs);
        split(self.0.map(|sum| sum.wrapping_add(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::XorShift32;

    #[test]
    fn the_sums_are_told_apart() {
        let mut rng = XorShift32::new(3);
        let mut draw = || match rng.draw() % 5 {
            0 => (1 << 23) - 1,
            1 => -(1 << 23),
            2 => rng.draw() as i32 % 3 - 1,
            3 => (rng.draw() as i32) >> (rng.draw() % 23 + 8),
            _ => (rng.draw() as i32) >> 8,
        };
        for _ in 0..1_000_000 {
            let sums: [i32; 4] = core::array::from_fn(|_| draw());
            let [a, b, c, d] = sums;
            let of = |[a, b, c, d]: [i32; 4]| {
                let halves = a.wrapping_add(b << 8);
                halves.wrapping_add(c << 16).wrapping_add(d << 24)
            };
            let words = [of([a, b, c, d]), of([d, c, b, a]), of([b, a, d, c])];
            assert_eq!(split(words), sums.map(|sum| 2 * sum), "{sums:?}");
        }
    }
}
