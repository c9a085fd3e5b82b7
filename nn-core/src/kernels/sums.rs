//! Sums of two int8 tensors, four numbers at a time.

#[cfg(not(mote_helium))]
use crate::fixed_point::Reduction;
#[cfg(not(mote_armv7em))]
use crate::fixed_point::saturate_i8;

/// Bits by which the inputs of a sum are shifted to the left.
pub(crate) const LEFT_SHIFT: u32 = 20;

/// y = sat8(zero + sum(x0(x0 · 2ˢ + zero_0) + x1(x1 · 2ˢ + zero_1))), in the order in which assembly reads it.
#[cfg(not(mote_helium))]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Sums {
    /// Less x0's zero point, shifted as the number is.
    pub(crate) zero_0: i32,
    pub(crate) x0: Reduction,
    pub(crate) zero_1: i32,
    pub(crate) x1: Reduction,
    pub(crate) sum: Reduction,
    /// y's zero point.
    pub(crate) zero: i32,
}

#[cfg(not(mote_helium))]
impl Sums {
    /// The reference's shift, and one more: a [`Reduction`] takes doubled numbers.
    pub(crate) const SHIFT: u32 = LEFT_SHIFT + 1;

    /// y holds x0; x1 has as many, or one that meets all.
    #[cfg(mote_armv7em)]
    #[inline]
    pub(crate) fn fours(&self, y: &mut [[i8; 4]], x1: &[[i8; 4]]) {
        super::armv7em::sums(self, y, x1);
    }

    /// y holds x0; x1 has as many, or one that meets all.
    #[cfg(not(mote_armv7em))]
    #[inline]
    pub(crate) fn fours(&self, y: &mut [[i8; 4]], x1: &[[i8; 4]]) {
        let scaled = |x: i8, zero: i32, factor: Reduction| {
            // Nine bits and 21.
            factor.apply((i32::from(x) << Self::SHIFT).wrapping_add(zero))
        };
        let one = |x0: i8, x1: i8| {
            let sum = scaled(x0, self.zero_0, self.x0) + scaled(x1, self.zero_1, self.x1);
            // Of 29 bits each.
            let value = self.sum.apply(sum.wrapping_mul(2));
            saturate_i8(value.wrapping_add(self.zero))
        };
        each_repeated(y, x1, |[a, b, c, d], [e, f, g, h]| {
            [one(a, e), one(b, f), one(c, g), one(d, h)]
        });
    }
}

/// y\[i\] = function(y\[i\], x1\[i\]), of as many x1, or of one that meets all: y holds x0.
#[cfg(not(mote_helium))]
#[inline(always)]
pub(crate) fn each_repeated<T: Copy>(y: &mut [T], x1: &[T], function: impl Fn(T, T) -> T) {
    if let [x1] = *x1 {
        for y in y {
            *y = function(*y, x1);
        }
    } else {
        for (y, x1) in y.iter_mut().zip(x1) {
            *y = function(*y, *x1);
        }
    }
}
