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
