//! Random numbers that depend on nothing but a seed and what they are for.
//!
//! Each use has a stream of its own, keyed by (seed, purpose, epoch, index). So training that
//! was interrupted goes on exactly as if it had not been: no generator's state has to be kept.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers: ChaCha with 8 rounds, whose 256-bit key names the use.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// Which samples are held out.
    pub const SPLIT: u64 = 1;
    /// The order of samples in an epoch.
    pub const ORDER: u64 = 2;
    /// How one sample is varied in an epoch.
    pub const AUGMENT: u64 = 3;
    /// The weights that training begins with.
    pub const INIT: u64 = 4;
    /// Which units dropout silences in a step.
    pub const DROPOUT: u64 = 5;
    /// Which samples calibrate the quantization.
    pub const CALIBRATION: u64 = 6;
    /// The weights of layers that are measured.
    pub const BENCH: u64 = 7;
    /// Which writers are held out.
    pub const WRITERS: u64 = 8;
    /// Which writers a resampled count is of.
    pub const BOOTSTRAP: u64 = 9;
    /// Which rows of a table are learnt from.
    pub const TABLE: u64 = 10;
    /// Which letter is written next.
    pub const LETTERS: u64 = 11;
    /// Samples without meaning.
    pub const RANDOM_SAMPLES: u64 = 12;
    /// Which digits a task has.
    pub const TASK: u64 = 13;

    /// The stream of `purpose`, for instance of one sample (`index`) in one `epoch`.
    pub fn new(seed: u64, purpose: u64, epoch: u64, index: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose, epoch, index]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A whole number from 0 to below `bound` (1 when `bound` is 0), each equally likely.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire 2019, "Fast Random Integer Generation in an Interval": the few products whose
        // low half is below 2^64 mod bound are drawn again.
        let bound = bound.max(1);
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number from `low` to below `high`, each equally likely.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        // 24 bits fill an f32's significand: the quotient is exact.
        let unit = (self.bits() >> 40) as f32 / (1u32 << 24) as f32;
        low + unit * (high - low)
    }

    /// A whole number from `−limit` to `limit`.
    pub fn offset(&mut self, limit: u32) -> i32 {
        let span = 2 * u64::from(limit) + 1;
        self.below(span) as i32 - limit as i32
    }

    /// Brings `items` into random order (Fisher and Yates), each order equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, purpose, epoch, index| Stream::new(seed, purpose, epoch, index).bits();
        assert_eq!(draw(1, 2, 3, 4), draw(1, 2, 3, 4));
        let others = [
            draw(1, 2, 3, 4),
            draw(0, 2, 3, 4),
            draw(1, 0, 3, 4),
            draw(1, 2, 0, 4),
        ];
        for (index, value) in others.iter().enumerate() {
            assert!(!others[..index].contains(value));
        }
    }

    #[test]
    fn below_is_even_and_bounded() {
        let mut stream = Stream::new(0, 0, 0, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        // Six standard deviations of a binomial with n = 70 000, p = 1/7 are 555.
        assert!(
            counts.iter().all(|&count| count.abs_diff(10_000) < 555),
            "{counts:?}"
        );
    }

    #[test]
    fn uniform_stays_within() {
        let mut stream = Stream::new(0, 0, 0, 1);
        let values: Vec<f32> = (0..1000).map(|_| stream.uniform(-2.0, 3.0)).collect();
        assert!(values.iter().all(|value| (-2.0..3.0).contains(value)));
        assert!(values.iter().any(|&value| value < -1.5) && values.iter().any(|&v| v > 2.5));
    }
}
