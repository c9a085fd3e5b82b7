//! Output channels that learn while the others rest: a mask over the last dimension of a weight.
//!
//! A weight's rows run over the output channels (`[.., channels]`), and so do a bias and a layer's δ. Which channels
//! learn is fixed by the plan, or chosen anew for each step: those whose gradient has had the largest norm.
//!
//! The choice is made from δ, the gradient at the layer's output (`[pixels, channels]`), before any weight gradient is
//! formed, so that what rests costs no update. A channel's weight gradient is Σ x·δ over its own column of δ and an x
//! that all channels share; for a dense layer its norm is ‖x‖·|δ_c|, and the order of the norms is the order of |δ|.

use crate::scalar::Scalar;

/// Which output channels learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelMask<'m> {
    /// Channel `first` + i where bit i of `mask` is set.
    Window {
        /// The channel of bit 0.
        first: u16,
        /// Bits of 64 channels.
        mask: u64,
    },
    /// Channel c where bit c mod 32 of word c / 32 is set.
    Bits(&'m [u32]),
}

impl ChannelMask<'_> {
    /// Whether `channel` learns.
    #[inline]
    pub fn holds(&self, channel: usize) -> bool {
        match *self {
            Self::Window { first, mask } => {
                let bit = channel.checked_sub(usize::from(first));
                bit.is_some_and(|bit| bit < 64 && (mask >> bit) & 1 == 1)
            }
            Self::Bits(words) => {
                let word = words.get(channel / 32).copied().unwrap_or(0);
                (word >> (channel % 32)) & 1 == 1
            }
        }
    }
}

/// The words that [`ChannelMask::Bits`] needs for so many channels.
pub const fn mask_words(channels: usize) -> usize {
    channels.div_ceil(32)
}

/// Each channel's running norm takes the gradients in, `gradients` being `[.., norms.len()]`:
/// n_c ← decay · n_c + (1 − decay) · √(Σ g²), the squares summed in f32 from 0 over the rows in order.
pub fn update_norms<S: Scalar>(norms: &mut [f32], gradients: &[S], decay: f32) {
    let channels = norms.len().max(1);
    for (channel, norm) in norms.iter_mut().enumerate() {
        let mut sum = 0.0;
        for gradient in gradients.iter().skip(channel).step_by(channels) {
            let gradient = gradient.to_f32();
            sum += gradient * gradient;
        }
        *norm = decay * *norm + (1.0 - decay) * Scalar::sqrt(sum);
    }
}

/// Sets the bits of the `count` channels with the largest norms, of equals the lower index first; clears all others.
///
/// A norm that is not a number is never among them. `bits` holds [`mask_words`] words.
pub fn select_top(norms: &[f32], count: usize, bits: &mut [u32]) {
    bits.fill(0);
    for _ in 0..count.min(norms.len()) {
        let mut best: Option<(usize, f32)> = None;
        for (channel, &norm) in norms.iter().enumerate() {
            let is_better = match best {
                None => !norm.is_nan(),
                Some((_, best)) => norm > best,
            };
            if is_better && !ChannelMask::Bits(bits).holds(channel) {
                best = Some((channel, norm));
            }
        }
        let Some((channel, _)) = best else { return };
        if let Some(word) = bits.get_mut(channel / 32) {
            *word |= 1 << (channel % 32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::Q16;

    #[test]
    fn norms_run_over_rows_of_channels() {
        let mut norms = [8.0, 0.0];
        // Channel 0: 3, 4 → 5; channel 1: 0, −2 → 2, by the √ in use.
        update_norms(&mut norms, &[3.0, 0.0, 4.0, -2.0], 0.75);
        let root = |sum: f32| Scalar::sqrt(sum);
        assert_eq!(norms, [0.75 * 8.0 + 0.25 * root(25.0), 0.25 * root(4.0)]);
        let mut fixed = [8.0, 0.0];
        update_norms(&mut fixed, &[3, 0, 4, -2].map(Q16::from_num), 0.75);
        assert_eq!(fixed, norms);
    }

    #[test]
    fn the_largest_are_chosen_and_of_equals_the_lower() {
        let mut norms = [0.0; 40];
        norms[39] = 2.0;
        norms[7] = 1.0;
        norms[3] = 1.0;
        norms[33] = 1.0;
        norms[4] = f32::NAN;
        let mut bits = [!0; 2];
        for (count, wanted) in [
            (0, &[][..]),
            (1, &[39]),
            (3, &[3, 7, 39]),
            (6, &[0, 1, 3, 7, 33, 39]),
        ] {
            select_top(&norms, count, &mut bits);
            let mask = ChannelMask::Bits(&bits);
            let chosen: std::vec::Vec<usize> = (0..64).filter(|&c| mask.holds(c)).collect();
            assert_eq!(chosen, wanted);
        }
        select_top(&norms, 100, &mut bits);
        let all = (0..40).filter(|&c| ChannelMask::Bits(&bits).holds(c));
        assert_eq!(all.count(), 39, "all but the one that is not a number");
    }

    #[test]
    fn a_window_starts_at_its_first_channel() {
        let mask = ChannelMask::Window {
            first: 60,
            mask: 1 << 63 | 0b101,
        };
        let chosen: std::vec::Vec<usize> = (0..300).filter(|&c| mask.holds(c)).collect();
        assert_eq!(chosen, [60, 62, 123]);
    }
}
