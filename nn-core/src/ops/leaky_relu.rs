//! Leaky ReLU in int8: TensorFlow Lite's reference kernel for LEAKY_RELU.
//!
//! With x counted from its zero point: y = clamp(zero_y + rescale(x)), the factor scale_x / scale_y where x ≥ 0, else
//! scale_x · slope / scale_y. A model holds it as a [`Lookup`](super::Lookup) whose table this rule makes; real numbers
//! have [`Activation::LeakyRelu`](super::Activation::LeakyRelu).

use crate::fixed_point::saturate_i8;
use crate::ops::PreluRequant;

/// In place; `zeros` are the zero points of x and y.
pub fn forward_i8(values: &mut [i8], requant: &PreluRequant, zeros: [i8; 2]) {
    let [x_zero, y_zero] = zeros.map(i32::from);
    for value in values {
        let x = i32::from(*value) - x_zero;
        let factor = if x >= 0 {
            requant.positive
        } else {
            requant.negative
        };
        *value = saturate_i8(factor.apply(x).wrapping_add(y_zero));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed_point::Rescale;

    #[test]
    fn by_hand() {
        let factor = |shift| Rescale {
            multiplier: 1 << 30,
            shift,
        };
        // Factors 1 and 1/8.
        let requant = PreluRequant {
            positive: factor(1),
            negative: factor(-2),
        };
        let mut values = [10, 5, -8, -128];
        forward_i8(&mut values, &requant, [5, -1]);
        // −13/8 = −1.625 to −2; −133/8 = −16.625 to −17.
        assert_eq!(values, [4, -1, -3, -18]);
    }
}
