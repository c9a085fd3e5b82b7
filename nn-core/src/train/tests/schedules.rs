//! Schedules against PyTorch's formulas in f64.

use super::*;
use crate::scalar::BOUNDS;
use crate::train::{Course, Schedule, SpecError};

/// Within 2^−21 of the base rate: a few roundings of numbers below 1.
#[track_caller]
fn compare(schedule: Schedule, factor: impl Fn(u32) -> f64, steps: u32, tolerance: f64) {
    assert_eq!(schedule.check(), Ok(()));
    for step in 0..steps {
        let wanted = 0.05 * factor(step);
        let found = f64::from(schedule.rate(0.05, step));
        let what = std::format!("{schedule:?} at {step}");
        assert_near(&[found], &[wanted], 0.05 * tolerance, &what);
    }
}

const TOLERANCE: f64 = 1.0 / 2_097_152.0;

#[test]
fn pytorch_formulas() {
    use core::f64::consts::{E, PI};
    compare(Schedule::CONSTANT, |_| 1.0, 3, 0.0 + TOLERANCE);
    compare(
        Course::Step {
            every: 7,
            gamma: 0.5,
        }
        .into(),
        |t| 0.5f64.powi((t / 7) as i32),
        100,
        TOLERANCE,
    );
    let decay = f64::from(0.01f32);
    compare(
        Course::InverseTime { decay: 0.01 }.into(),
        |t| 1.0 / (1.0 + decay * f64::from(t)),
        1000,
        TOLERANCE,
    );
    let gamma = f64::from(0.99f32);
    compare(
        Course::Exponential { gamma: 0.99 }.into(),
        |t| gamma.powi(t as i32),
        1000,
        // e^−u is off by its own bound, and by that of u = t · −ln gamma, a bound of ln's and a rounding, times u · e^−u,
        // at most 1/e; then two roundings.
        BOUNDS.exp.relative + (BOUNDS.ln.relative + 2f64.powi(-24)) / E + 2f64.powi(-23),
    );
    let floor = f64::from(0.1f32);
    let cosine = |t: f64| floor + (1.0 - floor) * (1.0 + (PI * t / 50.0).cos()) / 2.0;
    let course = |restart| Course::Cosine {
        period: 50,
        floor: 0.1,
        restart,
    };
    compare(
        course(false).into(),
        |t| cosine(f64::from(t.min(50))),
        120,
        TOLERANCE,
    );
    compare(
        course(true).into(),
        |t| cosine(f64::from(t % 50)),
        120,
        TOLERANCE,
    );
    // CyclicLR, triangular: base + (max − base) · height, the height rising over 8 steps and falling over 4.
    compare(
        Course::Cyclic {
            up: 8,
            down: 4,
            floor: 0.1,
        }
        .into(),
        |t| {
            let at = f64::from(t % 12);
            let height = if at < 8.0 {
                at / 8.0
            } else {
                (12.0 - at) / 4.0
            };
            floor + (1.0 - floor) * height
        },
        40,
        TOLERANCE,
    );
}

#[test]
fn a_warm_up_goes_before_any() {
    let course = Course::Cosine {
        period: 10,
        floor: 0.0,
        restart: false,
    };
    let plain = Schedule::from(course);
    let warmed = plain.with_warm_up(4);
    let rates = [0, 1, 2, 3].map(|step| warmed.rate(1.0, step));
    assert_eq!(rates, [0.25, 0.5, 0.75, 1.0]);
    for step in 0..20 {
        assert_eq!(warmed.rate(1.0, step + 4), plain.rate(1.0, step));
    }
}

#[test]
fn ends_and_corners_are_exact() {
    let cosine = |floor, restart| {
        Schedule::from(Course::Cosine {
            period: 3,
            floor,
            restart,
        })
    };
    assert_eq!(cosine(0.25, false).rate(1.0, 0), 1.0);
    // cos π is −1 to a rounding or two.
    assert!((cosine(0.25, false).rate(1.0, u32::MAX) - 0.25).abs() < 1e-6);
    assert_eq!(cosine(0.25, true).rate(1.0, 3), 1.0);
    let gamma = Schedule::from(Course::Exponential { gamma: 1.0 });
    assert_eq!(gamma.rate(0.1, u32::MAX), 0.1);
    assert_eq!(
        Schedule::from(Course::Exponential { gamma: 0.5 }).rate(1.0, u32::MAX),
        0.0
    );
}

/// The rate never leaves 0…base, whatever the plan that passed the check.
#[test]
fn rates_stay_within_the_base_rate() {
    let mut courses = std::vec![Course::Constant];
    for floor in [0.0, 0.3, 1.0] {
        for period in [1, 2, 1000, u32::MAX] {
            for restart in [false, true] {
                courses.push(Course::Cosine {
                    period,
                    floor,
                    restart,
                });
            }
            let (up, down) = (period, u32::MAX);
            courses.push(Course::Cyclic { up, down, floor });
        }
    }
    for gamma in [f32::MIN_POSITIVE, 0.1, 1.0] {
        courses.push(Course::Step { every: 1, gamma });
        courses.push(Course::Exponential { gamma });
    }
    for decay in [0.0, 1e-3, f32::MAX] {
        courses.push(Course::InverseTime { decay });
    }
    for course in courses {
        for warm_up in [0, 3, u32::MAX] {
            let schedule = Schedule { warm_up, course };
            assert_eq!(schedule.check(), Ok(()), "{schedule:?}");
            for step in [0, 1, 2, 3, 499, 500, 501, 12_345, 1 << 24, u32::MAX] {
                let rate = schedule.rate(0.1, step);
                // One rounding of floor + (1 − floor) may go above 1.
                assert!((0.0..=0.100_000_01).contains(&rate), "{schedule:?}: {rate}");
            }
        }
    }
}

#[test]
fn a_schedule_out_of_range_says_what_is_wrong() {
    let refused = |course: Course| {
        let error = Schedule::from(course).check().unwrap_err();
        std::format!("{error}")
    };
    assert_eq!(
        refused(Course::Exponential { gamma: 1.5 }),
        "schedule.gamma is 1.5: it must be above 0 and at most 1"
    );
    assert_eq!(
        refused(Course::Step {
            every: 0,
            gamma: 0.5
        }),
        "schedule.every is 0: it must be at least 1 step"
    );
    for course in [
        Course::InverseTime { decay: -1.0 },
        Course::InverseTime { decay: f32::NAN },
        Course::Exponential { gamma: 0.0 },
        Course::Cosine {
            period: 0,
            floor: 0.0,
            restart: false,
        },
        Course::Cosine {
            period: 1,
            floor: 1.5,
            restart: false,
        },
        Course::Cyclic {
            up: 0,
            down: 1,
            floor: 0.0,
        },
        Course::Cyclic {
            up: 1,
            down: 0,
            floor: 0.0,
        },
    ] {
        let found = Schedule::from(course).check();
        assert!(matches!(found, Err(SpecError::Field { .. })), "{course:?}");
    }
}
