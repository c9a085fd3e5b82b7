//! Functions of f32 against f64.
//!
//! An error is in parts of what may be: |found − exact| / (relative · |exact| + absolute). 1 is just allowed. It is
//! told in units in the last place of the exact result, too, where that is not subnormal.

use nn_core::scalar::{BOUNDS, Bound, MATH, Scalar};

use crate::walk::{Worst, everywhere};

/// A function, what it approximates, and how far off it may be: nn-core's own statement, which is docs/numerics.md's.
struct Case {
    name: &'static str,
    function: fn(f32) -> f32,
    reference: fn(f64) -> f64,
    bound: Bound,
}

fn cases() -> [Case; 6] {
    let case = |name, function, reference, bound| Case {
        name,
        function,
        reference,
        bound,
    };
    [
        case("exp", <f32 as Scalar>::exp, f64::exp, BOUNDS.exp),
        case("ln", <f32 as Scalar>::ln, f64::ln, BOUNDS.ln),
        case("sqrt", <f32 as Scalar>::sqrt, f64::sqrt, BOUNDS.sqrt),
        case(
            "rsqrt",
            <f32 as Scalar>::rsqrt,
            |x| 1.0 / x.sqrt(),
            BOUNDS.rsqrt,
        ),
        case(
            "sigmoid",
            <f32 as Scalar>::sigmoid,
            |x| 1.0 / (1.0 + (-x).exp()),
            BOUNDS.sigmoid,
        ),
        case("tanh", <f32 as Scalar>::tanh, f64::tanh, BOUNDS.tanh),
    ]
}

/// f32 numbers as steps: 0 is +0, 1 the least subnormal, −1 is −0, and so on to both infinities.
fn number(step: i64) -> f32 {
    if step >= 0 {
        f32::from_bits(step as u32)
    } else {
        f32::from_bits((-1 - step) as u32 | 1 << 31)
    }
}

const INFINITY: i64 = 0x7F80_0000;

/// A unit in the last place of an f32 near `exact`.
fn unit(exact: f64) -> f64 {
    // The exponent's field of an f64 alone is a power of two.
    f64::from_bits(exact.to_bits() & 0x7FF << 52) * f64::from(f32::EPSILON)
}

/// The worst in parts of the bound and in units in the last place.
#[derive(Default)]
struct Found {
    share: Worst,
    units: Worst,
}

impl Found {
    fn max(self, other: Self) -> Self {
        Self {
            share: self.share.max(other.share),
            units: self.units.max(other.units),
        }
    }
}

fn stretch(case: &Case, first: i64, last: i64, stride: i64) -> Found {
    let mut worst = Found::default();
    let mut check = |x: f32, found: f32| {
        let exact = (case.reference)(f64::from(x));
        // Past f32's range infinity is right, and the largest number nearly.
        let exact = if exact.abs() > f64::from(f32::MAX) && found.is_infinite() {
            f64::INFINITY.copysign(exact)
        } else {
            exact
        };
        if f64::from(found) == exact || (exact.is_nan() && found.is_nan()) {
            return;
        }
        let off = (f64::from(found) - exact).abs();
        let at = || {
            format!(
                "{x:e} (bits {:#x}): {found:e}, exactly {exact:e}",
                x.to_bits()
            )
        };
        worst.share.note(
            off / (case.bound.relative * exact.abs() + case.bound.absolute),
            at,
        );
        if exact.abs() >= f64::from(f32::MIN_POSITIVE) {
            worst.units.note(off / unit(exact), at);
        }
    };
    // The exact function is monotone: over a run of equal results the error is largest at one of the run's ends.
    let mut before: Option<(f32, f32)> = None;
    let mut at = first;
    while at <= last {
        let x = number(at);
        let found = (case.function)(x);
        match before {
            Some((_, same)) if same.to_bits() == found.to_bits() => {}
            Some((end, other)) => {
                check(end, other);
                check(x, found);
            }
            None => check(x, found),
        }
        before = Some((x, found));
        at += stride;
    }
    if let Some((end, found)) = before {
        check(end, found);
    }
    worst
}

fn check(stride: i64, only: Option<&str>) {
    for case in cases() {
        if only.is_some_and(|only| only != case.name) {
            continue;
        }
        let mut worst = everywhere(
            -1 - INFINITY,
            INFINITY,
            stride,
            |first, last| stretch(&case, first, last, stride),
            Found::max,
        );
        // The special values, with their neighbours; exp's limits among them.
        let step = |x: f32| i64::from(x.to_bits());
        for special in [
            0,
            0x80_0000,
            step(0.5),
            step(1.0),
            step(88.72284),
            step(87.33655),
            step(103.972),
            INFINITY,
        ] {
            for middle in [special, -1 - special] {
                let (first, last) = (
                    (middle - 300).max(-1 - INFINITY),
                    (middle + 300).min(INFINITY),
                );
                worst = worst.max(stretch(&case, first, last, 1));
            }
        }
        println!(
            "f32 ({MATH}) {:8} {}; 1 is {:.3e} relative + {:.1e}\n  units: {}",
            case.name, worst.share, case.bound.relative, case.bound.absolute, worst.units
        );
        assert!(worst.share.error <= 1.0, "{}: {}", case.name, worst.share);
        // What is not a number, all of them: past infinity on both sides.
        for bits in (INFINITY + 1..1 << 31).step_by(stride as usize) {
            let x = number(bits);
            assert!((case.function)(x).is_nan(), "{} of {bits:#x}", case.name);
            assert!((case.function)(-x).is_nan(), "{} of −{bits:#x}", case.name);
        }
    }
}

/// About a million.
#[test]
fn a_million_of_f32() {
    check(4_093, None);
}

/// Where they are flat they stay: nothing above 1, and once the end is reached, it is kept.
#[test]
fn sigmoid_and_tanh_saturate() {
    let sigmoid = <f32 as Scalar>::sigmoid;
    let tanh = <f32 as Scalar>::tanh;
    let mut step = 0;
    let (mut sigmoid_full, mut sigmoid_empty, mut tanh_full) = (false, false, false);
    while step <= INFINITY {
        let x = number(step);
        let (high, low, t) = (sigmoid(x), sigmoid(-x), tanh(x));
        assert!(
            (0.5..=1.0).contains(&high) && (0.0..=0.5).contains(&low),
            "sigmoid at ±{x:e}"
        );
        assert!((0.0..=1.0).contains(&t) && tanh(-x) == -t, "tanh at ±{x:e}");
        assert!(!sigmoid_full || high == 1.0, "sigmoid at {x:e}");
        assert!(!sigmoid_empty || low == 0.0, "sigmoid at −{x:e}");
        assert!(!tanh_full || t == 1.0, "tanh at {x:e}");
        // Rounding may reach the end early; it is reached for good where the format cannot tell.
        sigmoid_full = x > 17.4;
        sigmoid_empty = x > 104.0;
        tanh_full = x > 9.1;
        step += 1_009;
    }
    assert!(sigmoid_full && sigmoid_empty && tanh_full);
}

/// Every f32, a test for each function so that one can be run alone.
macro_rules! every_f32 {
    ($($test:ident $name:literal),*) => {$(
        #[test]
        #[ignore = "2³² inputs"]
        fn $test() {
            check(1, Some($name));
        }
    )*};
}
every_f32!(
    every_f32_exp "exp",
    every_f32_ln "ln",
    every_f32_sqrt "sqrt",
    every_f32_rsqrt "rsqrt",
    every_f32_sigmoid "sigmoid",
    every_f32_tanh "tanh"
);
