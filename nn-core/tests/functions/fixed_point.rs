//! Functions of fixed-point numbers against f64.
//!
//! Errors are in units in the last place of the format. What the format cannot hold has to saturate, so the reference
//! is held within the format's range, too. The reference's own error is below 2⁻²⁰ units: f64 has 53 bits, a result 31.

use fixed::types::extra::{LeEqU16, LeEqU32, U0, U8, U11, U15, U16, U24, U28, U31, U32};
use fixed::{FixedI16, FixedI32};
use nn_core::scalar::Scalar;

use crate::walk::{Worst, everywhere};

/// A format as bits.
trait Format: Scalar + Send + Sync {
    const FRAC: u32;
    const BITS: u32;
    fn of(bits: i32) -> Self;
    fn bits(self) -> i32;
}

macro_rules! bits {
    ($fixed:ident, $bits:ty, $bound:ident) => {
        impl<Frac: $bound + fixed::types::extra::Unsigned + Send + Sync + 'static> Format
            for $fixed<Frac>
        {
            const FRAC: u32 = Self::FRAC_NBITS;
            const BITS: u32 = <$bits>::BITS;
            fn of(bits: i32) -> Self {
                Self::from_bits(bits as $bits)
            }
            fn bits(self) -> i32 {
                self.to_bits().into()
            }
        }
    };
}
bits!(FixedI32, i32, LeEqU32);
bits!(FixedI16, i16, LeEqU16);

/// A function, what it approximates, and how far off it may be.
struct Case<S> {
    name: &'static str,
    function: fn(S) -> S,
    reference: fn(f64) -> f64,
    /// In units in the last place.
    bound: f64,
    /// 1 where it never falls, −1 where it never rises.
    direction: i64,
}

fn cases<S: Format>(bounds: &Bounds) -> [Case<S>; 6] {
    [
        Case {
            name: "exp",
            function: S::exp,
            reference: f64::exp,
            bound: bounds.exp,
            direction: 1,
        },
        Case {
            name: "ln",
            function: S::ln,
            reference: |x| if x <= 0.0 { f64::NEG_INFINITY } else { x.ln() },
            bound: bounds.ln,
            direction: 1,
        },
        Case {
            name: "sqrt",
            function: S::sqrt,
            reference: |x| x.max(0.0).sqrt(),
            bound: bounds.sqrt,
            direction: 1,
        },
        Case {
            name: "rsqrt",
            function: S::rsqrt,
            reference: |x| {
                if x <= 0.0 {
                    f64::INFINITY
                } else {
                    1.0 / x.sqrt()
                }
            },
            bound: bounds.rsqrt,
            direction: -1,
        },
        Case {
            name: "sigmoid",
            function: S::sigmoid,
            reference: |x| 1.0 / (1.0 + (-x).exp()),
            bound: bounds.sigmoid,
            direction: 1,
        },
        Case {
            name: "tanh",
            function: S::tanh,
            reference: f64::tanh,
            bound: bounds.tanh,
            direction: 1,
        },
    ]
}

/// How far off each may be, in units in the last place: as docs/numerics.md states it.
struct Bounds {
    exp: f64,
    ln: f64,
    sqrt: f64,
    rsqrt: f64,
    sigmoid: f64,
    tanh: f64,
}

/// Up to 24 fractional bits: all but exp within a hair of the half unit that rounding costs.
const COMMON: Bounds = Bounds {
    exp: 0.8,
    ln: 0.51,
    sqrt: 0.500_001,
    rsqrt: 0.501,
    sigmoid: 0.51,
    tanh: 0.51,
};

/// 25 to 32 fractional bits.
const FINE: Bounds = Bounds {
    exp: 0.8,
    ln: 1.0,
    sqrt: 0.500_001,
    rsqrt: 0.51,
    sigmoid: 2.0,
    tanh: 4.0,
};

/// The worst over the numbers of one stretch, every `stride`-th of them.
fn stretch<S: Format>(case: &Case<S>, first: i64, last: i64, stride: i64) -> Worst {
    let unit = (2f64).powi(S::FRAC as i32);
    let largest = (1i64 << (S::BITS - 1)) - 1;
    let (low, high) = ((-largest - 1) as f64, largest as f64);
    let mut worst = Worst::default();
    let mut check = |bits: i32, found: i32| {
        let exact = ((case.reference)(f64::from(bits) / unit) * unit).clamp(low, high);
        worst.note((f64::from(found) - exact).abs(), || {
            format!(
                "{} (bits {bits}): {found}, exactly {exact:.4}",
                f64::from(bits) / unit
            )
        });
    };
    // The exact function is monotone: over a run of equal results the error is largest at one of the run's ends.
    let mut before: Option<(i32, i32)> = None;
    let mut at = first;
    while at <= last {
        let bits = at as i32;
        let found = (case.function)(S::of(bits)).bits();
        match before {
            Some((_, same)) if same == found => {}
            Some((end, other)) => {
                let step = i64::from(found) - i64::from(other);
                assert!(
                    step * case.direction > 0,
                    "{} turns at bits {bits}: {other}, then {found}",
                    case.name
                );
                check(end, other);
                check(bits, found);
            }
            None => check(bits, found),
        }
        before = Some((bits, found));
        at += stride;
    }
    if let Some((end, found)) = before {
        check(end, found);
    }
    worst
}

fn check<S: Format>(format: &str, bounds: &Bounds, stride: i64, only: Option<&str>) {
    let end = 1i64 << (S::BITS - 1);
    for case in cases::<S>(bounds) {
        if only.is_some_and(|only| only != case.name) {
            continue;
        }
        let mut worst = everywhere(
            -end,
            end - 1,
            stride,
            |first, last| stretch(&case, first, last, stride),
            Worst::max,
        );
        // The special values, with their neighbours.
        let one = (1i64 << S::FRAC).min(end - 1);
        for special in [-end, -one, 0, one, end - 1] {
            let (first, last) = ((special - 4).max(-end), (special + 4).min(end - 1));
            worst = worst.max(stretch(&case, first, last, 1));
        }
        println!("{format} {:8} {worst}", case.name);
        assert!(
            worst.error <= case.bound,
            "{format} {}: {worst}, may be off by {}",
            case.name,
            case.bound
        );
    }
}

/// About a million numbers of each 32-bit format.
const STRIDE: i64 = 4_099;

#[test]
fn q16() {
    check::<FixedI32<U16>>("I16F16", &COMMON, STRIDE, None);
}

#[test]
fn i8f24() {
    check::<FixedI32<U24>>("I8F24", &COMMON, STRIDE, None);
}

#[test]
fn other_splits_of_32_bits() {
    check::<FixedI32<U0>>("I32F0", &COMMON, 10_007, None);
    check::<FixedI32<U8>>("I24F8", &COMMON, 10_007, None);
    check::<FixedI32<U28>>("I4F28", &FINE, 10_007, None);
    check::<FixedI32<U31>>("I1F31", &FINE, 10_007, None);
    check::<FixedI32<U32>>("I0F32", &FINE, 10_007, None);
}

/// All of them.
#[test]
fn every_number_of_16_bits() {
    check::<FixedI16<U0>>("I16F0", &COMMON, 1, None);
    check::<FixedI16<U8>>("I8F8", &COMMON, 1, None);
    check::<FixedI16<U11>>("I5F11", &COMMON, 1, None);
    check::<FixedI16<U15>>("I1F15", &COMMON, 1, None);
    check::<FixedI16<U16>>("I0F16", &COMMON, 1, None);
}

/// Every number of Q16, a test for each function so that one can be run alone.
macro_rules! every_q16 {
    ($($test:ident $name:literal),*) => {$(
        #[test]
        #[ignore = "2³² inputs"]
        fn $test() {
            check::<FixedI32<U16>>("I16F16", &COMMON, 1, Some($name));
        }
    )*};
}
every_q16!(
    every_q16_exp "exp",
    every_q16_ln "ln",
    every_q16_sqrt "sqrt",
    every_q16_rsqrt "rsqrt",
    every_q16_sigmoid "sigmoid",
    every_q16_tanh "tanh"
);
