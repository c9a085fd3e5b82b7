//! What an int8 LSTM does with the sums of a unit's gates: c = f · c + i · g, h = o · tanh c, in 16 bits.
//!
//! The formulas are those of [`ops::recurrent::int8`](crate::ops::recurrent::int8).

use crate::fixed_point::Rescale;
#[cfg(not(mote_helium))]
use crate::fixed_point::{logistic_i16, saturate_i8, tanh_i16};

/// What is the same for all units of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LstmUnit {
    /// 2⁻³⁰ / scale_h.
    pub(crate) output: Rescale,
    /// The zero point of h.
    pub(crate) zero: i8,
    /// A step of the cell is 2^exponent; −28 to −9.
    pub(crate) exponent: i32,
    /// In steps of the cell; 0 for none.
    pub(crate) clip: i16,
}

/// 2^−15.
#[cfg(not(mote_helium))]
const FORGET: Rescale = Rescale {
    multiplier: 1 << 30,
    shift: -14,
};

#[cfg(not(mote_helium))]
impl LstmUnit {
    /// h, from the sums of the gates i, f, g, o; c goes on a step.
    #[inline(always)]
    pub(crate) fn step(&self, [i, f, g, o]: [i16; 4], c: &mut i16) -> i8 {
        let update = Rescale {
            multiplier: 1 << 30,
            // −20 to −1.
            shift: (-29 - self.exponent) as i8,
        };
        let [i, f, o] = [i, f, o].map(|z| i32::from(logistic_i16(z)));
        let g = i32::from(tanh_i16(g, -12));
        let kept = saturate_i16(FORGET.apply(f * i32::from(*c)));
        *c = kept.saturating_add(saturate_i16(update.apply(i * g)));
        if self.clip > 0 {
            *c = (*c).clamp(-self.clip, self.clip);
        }
        let product = i32::from(tanh_i16(*c, self.exponent)) * o;
        let zero = i32::from(self.zero);
        saturate_i8(self.output.apply(product).wrapping_add(zero))
    }
}

/// Held to 16 bits.
pub(crate) fn saturate_i16(value: i32) -> i16 {
    value.clamp(-32_768, 32_767) as i16
}
