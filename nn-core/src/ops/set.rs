//! Which operators and number types an image holds.

use crate::ops::Op;

/// The operators and number types that are linked in: what it leaves out takes no flash.
///
/// An image names its own, by hand with [`op_set!`](crate::op_set) or made from the model by its build script;
/// the host uses [`AllOps`].
pub trait OpSet: 'static {
    /// Bit [`Op::number`] is set for each operator.
    const OPS: u64;
    /// Whether operators compute in f32.
    const F32: bool;
    /// Whether operators compute in Q16 fixed point.
    const Q16: bool;
    /// Whether operators compute in int8.
    const I8: bool;
    /// Whether models learn. Without, a blob's training plan is passed over: the model only runs.
    const TRAIN: bool;
}

/// Every operator in every number type.
#[derive(Debug, Clone, Copy)]
pub struct AllOps;

impl OpSet for AllOps {
    const OPS: u64 = u64::MAX;
    const F32: bool = true;
    const Q16: bool = true;
    const I8: bool = true;
    const TRAIN: bool = true;
}

/// Whether `K` holds the operator of this number.
pub(crate) const fn holds<K: OpSet>(number: u8) -> bool {
    K::OPS >> number & 1 == 1
}

impl Op {
    /// The operator's bit in [`OpSet::OPS`]: its place among the variants.
    pub fn bit(&self) -> u64 {
        1u64.checked_shl(u32::from(self.number())).unwrap_or(0)
    }
}

/// Declares an [`OpSet`](crate::ops::OpSet): `op_set!(pub Mine: DENSE | SOFTMAX, f32, i8);`, and with `train` behind
/// the number types one whose models learn.
///
/// ```
/// nn_core::op_set!(Mine: DENSE | SOFTMAX, f32);
/// use nn_core::ops::OpSet;
/// assert!(Mine::F32 && !Mine::I8 && !Mine::TRAIN);
/// ```
#[macro_export]
macro_rules! op_set {
    ($(#[$meta:meta])* $vis:vis $name:ident: $($op:ident)|+ $(, $has:ident)*) => {
        $(#[$meta])*
        $vis struct $name;

        impl $crate::ops::OpSet for $name {
            const OPS: u64 = $(1 << $crate::ops::number::$op)|+;
            const F32: bool = false $(|| $crate::op_set!(@ $has f32))*;
            const Q16: bool = false $(|| $crate::op_set!(@ $has q16))*;
            const I8: bool = false $(|| $crate::op_set!(@ $has i8))*;
            const TRAIN: bool = false $(|| $crate::op_set!(@ $has train))*;
        }
    };
    (@ f32 f32) => { true };
    (@ q16 q16) => { true };
    (@ i8 i8) => { true };
    (@ train train) => { true };
    (@ $a:ident $b:ident) => { false };
}
