//! Functions of f32 against f64.
//!
//! An error is in parts of what may be: |found − exact| / (relative · |exact| + absolute). 1 is just allowed.

use nn_core::scalar::{MATH, Scalar};

use crate::walk::{Worst, everywhere};

/// A function, what it approximates, and how far off it may be, as docs/numerics.md states it.
struct Case {
    name: &'static str,
    function: fn(f32) -> f32,
    reference: fn(f64) -> f64,
    relative: f64,
    absolute: f64,
}

/// The distance of 1 to the next f32 below, by which libm's errors are stated.
const HALF_UNIT: f64 = f32::EPSILON as f64 / 2.0;
/// The least f32 above 0.
const LEAST: f64 = 1.401_298_464_324_817e-45;
/// The least that is not subnormal.
const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;

fn cases() -> [Case; 6] {
    let micromath = MATH == "micromath";
    let bound = |half_units: f64, small: f64| {
        if micromath {
            small
        } else {
            half_units * HALF_UNIT
        }
    };
    let case = |name, function, reference, relative, absolute| Case {
        name,
        function,
        reference,
        relative,
        absolute,
    };
    let floor = if micromath { LEAST_NORMAL } else { LEAST };
    [
        case(
            "exp",
            <f32 as Scalar>::exp,
            f64::exp,
            bound(2.0, 1.2e-5),
            floor,
        ),
        case("ln", <f32 as Scalar>::ln, f64::ln, bound(2.0, 1e-5), 0.0),
        case(
            "sqrt",
            <f32 as Scalar>::sqrt,
            f64::sqrt,
            bound(1.0, 6e-6),
            0.0,
        ),
        case(
            "rsqrt",
            <f32 as Scalar>::rsqrt,
            |x| 1.0 / x.sqrt(),
            bound(3.0, 6e-6),
            0.0,
        ),
        // e^−x is past f32 where the result would be subnormal.
        case(
            "sigmoid",
            <f32 as Scalar>::sigmoid,
            |x| 1.0 / (1.0 + (-x).exp()),
            bound(6.0, 1.2e-5),
            LEAST_NORMAL,
        ),
        case(
            "tanh",
            <f32 as Scalar>::tanh,
            f64::tanh,
            bound(4.0, 1e-5),
            LEAST,
        ),
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

fn stretch(case: &Case, first: i64, last: i64, stride: i64) -> Worst {
    let mut worst = Worst::default();
    let mut check = |x: f32, found: f32| {
        let exact = (case.reference)(f64::from(x));
        // Past f32's range infinity is right, and the largest number nearly.
        let exact = if exact.abs() > f64::from(f32::MAX) && found.is_infinite() {
            f64::INFINITY.copysign(exact)
        } else {
            exact
        };
        let error = if f64::from(found) == exact || (exact.is_nan() && found.is_nan()) {
            0.0
        } else {
            let off = (f64::from(found) - exact).abs();
            off / (case.relative * exact.abs() + case.absolute)
        };
        worst.note(error, || {
            format!(
                "{x:e} (bits {:#x}): {found:e}, exactly {exact:e}",
                x.to_bits()
            )
        });
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
        let mut worst = everywhere(-1 - INFINITY, INFINITY, stride, |first, last| {
            stretch(&case, first, last, stride)
        });
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
            "f32 ({MATH}) {:8} {worst}; 1 is {:.3e} relative + {:.1e}",
            case.name, case.relative, case.absolute
        );
        assert!(worst.error <= 1.0, "{}: {worst}", case.name);
        assert!((case.function)(f32::NAN).is_nan(), "{}", case.name);
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
