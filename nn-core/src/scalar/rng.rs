//! Random numbers that every machine draws alike.

/// Marsaglia's xorshift32 (13, 17, 5): the generator of stochastic rounding.
///
/// Source: G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (14), 2003.
///
/// ```
/// let mut rng = nn_core::scalar::XorShift32::new(1);
/// assert_eq!([rng.draw(), rng.draw()], [270_369, 67_634_689]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XorShift32(u32);

impl XorShift32 {
    /// A generator; a seed of 0, which would stay 0, counts as 1.
    pub const fn new(seed: u32) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    /// The next 32 bits; never all zero.
    #[inline(always)]
    pub const fn draw(&mut self) -> u32 {
        let mut x = self.0;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.0 = x;
        x
    }

    /// Its state, from which [`new`](Self::new) goes on.
    pub const fn state(self) -> u32 {
        self.0
    }
}

/// How what fixed point stores is rounded: at random, or to nearest.
///
/// ```
/// use nn_core::scalar::{Q16, Rounder, Scalar};
/// // 2.5 steps of 2^−16, in an accumulator with twice the fractional bits.
/// let acc = 5 << 15;
/// assert_eq!(Q16::narrow_by(acc, &mut Rounder::NEAREST).to_bits(), 3);
/// let mut at_random = Rounder::stochastic(1);
/// assert!([2, 3].contains(&Q16::narrow_by(acc, &mut at_random).to_bits()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounder {
    /// Of the random numbers; 0, which they never are in, to round to nearest.
    state: u32,
}

impl Rounder {
    /// To nearest, halves up.
    pub const NEAREST: Self = Self { state: 0 };

    /// Up or down at random, up with the odds of the remainder, from a seed of [`XorShift32`].
    pub const fn stochastic(seed: u32) -> Self {
        Self {
            state: XorShift32::new(seed).state(),
        }
    }

    /// What a number whose lowest `bits` bits, 1 to 32, are then dropped is to have added: below 2^`bits`.
    #[inline(always)]
    pub const fn addend(&mut self, bits: u32) -> u32 {
        // Within 0 and 31 for the bits that are allowed, and some shift for others.
        let unused = 32u32.wrapping_sub(bits) & 31;
        match self.state {
            0 => (1 << 31) >> unused,
            state => {
                let mut rng = XorShift32::new(state);
                let draw = rng.draw();
                self.state = rng.state();
                draw & (u32::MAX >> unused)
            }
        }
    }

    /// The state of its random numbers, from which [`stochastic`](Self::stochastic) goes on; `None` where it rounds to
    /// nearest.
    pub const fn state(self) -> Option<u32> {
        match self.state {
            0 => None,
            state => Some(state),
        }
    }
}

/// 32 bits that depend on both arguments and look random: what dropout and RReLU draw by place, so that the backward
/// pass can draw the same again without keeping it.
///
/// Source: C. Wellons, "Prospecting for hash functions" (lowbias32), 2018.
#[inline]
pub const fn hash(seed: u32, index: u32) -> u32 {
    let mut x = seed ^ index.wrapping_mul(0x9E37_79B9);
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}
