//! Learning-rate schedules: the rate of step t is the base rate times a factor that depends on t alone.
//!
//! With t counted from 0 (after the warm-up), f the floor, a share of the base rate:
//!
//! | course | factor | PyTorch (`torch.optim.lr_scheduler`) |
//! |---|---|---|
//! | constant | 1 | |
//! | step | gamma^⌊t / every⌋ | `StepLR` |
//! | inverse time | 1 / (1 + decay · t) | `LambdaLR` of that |
//! | exponential | gamma^t | `ExponentialLR` |
//! | cosine | f + (1 − f) · (1 + cos(π t / period)) / 2; f from `period` on, or t mod `period` with restarts | `CosineAnnealingLR`, `CosineAnnealingWarmRestarts`, `eta_min` = f · base |
//! | cyclic | from f to 1 in `up` steps and back in `down` | `CyclicLR`, mode `triangular`, `max_lr` = base |
//!
//! A warm-up of k steps goes first: the factors 1/k, 2/k, … 1; then the course begins at its t = 0.
//! All in f32, operation by operation: the same bits on every machine.

use serde::{Deserialize, Serialize};

use crate::scalar::{Scalar, ln};
use crate::train::SpecError;

/// How the learning rate changes with the steps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps over which the rate rises to the base rate; 0 for none.
    pub warm_up: u32,
    /// What comes then.
    pub course: Course,
}

/// The course of the rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Course {
    /// The base rate throughout.
    #[default]
    Constant,
    /// Times `gamma` every so many steps.
    Step {
        /// Steps between two falls, at least 1.
        every: u32,
        /// Above 0, at most 1.
        gamma: f32,
    },
    /// 1 / (1 + decay · t).
    InverseTime {
        /// At least 0.
        decay: f32,
    },
    /// gamma^t.
    Exponential {
        /// Above 0, at most 1.
        gamma: f32,
    },
    /// Half a cosine down to the floor.
    Cosine {
        /// Steps from the base rate to the floor, at least 1.
        period: u32,
        /// Share of the base rate that stays, 0 to 1.
        floor: f32,
        /// Whether it begins anew after each period, or stays at the floor.
        restart: bool,
    },
    /// A triangle: up from the floor, and down again.
    Cyclic {
        /// Steps from the floor to the base rate, at least 1.
        up: u32,
        /// Steps back, at least 1.
        down: u32,
        /// Share of the base rate where a cycle begins, 0 to 1.
        floor: f32,
    },
}

impl From<Course> for Schedule {
    fn from(course: Course) -> Self {
        Self { warm_up: 0, course }
    }
}

impl Schedule {
    /// The base rate throughout.
    pub const CONSTANT: Self = Self {
        warm_up: 0,
        course: Course::Constant,
    };

    /// The same behind a linear warm-up.
    pub const fn with_warm_up(self, steps: u32) -> Self {
        Self {
            warm_up: steps,
            ..self
        }
    }

    /// The learning rate of step `step`, counted from 0.
    ///
    /// ```
    /// use nn_core::train::{Course, Schedule};
    /// let schedule = Schedule::from(Course::Step { every: 10, gamma: 0.5 }).with_warm_up(4);
    /// let rates = [0, 3, 4, 13, 14, 24].map(|step| schedule.rate(0.1, step));
    /// assert_eq!(rates, [0.025, 0.1, 0.1, 0.1, 0.05, 0.025]);
    /// ```
    pub fn rate(&self, base: f32, step: u32) -> f32 {
        base * self.factor(step)
    }

    /// What the base rate is multiplied by.
    pub fn factor(&self, step: u32) -> f32 {
        match step.checked_sub(self.warm_up) {
            Some(step) => self.course.factor(step),
            None => step.saturating_add(1) as f32 / self.warm_up as f32,
        }
    }

    /// Whether each field is in its range.
    pub fn check(&self) -> Result<(), SpecError> {
        let gamma = |gamma: f32| {
            let fits = gamma > 0.0 && gamma <= 1.0;
            SpecError::unless(fits, "schedule.gamma", "above 0 and at most 1", gamma)
        };
        let floor = |floor: f32| {
            let fits = (0.0..=1.0).contains(&floor);
            SpecError::unless(fits, "schedule.floor", "from 0 to 1", floor)
        };
        let steps = |name: &'static str, steps: u32| {
            SpecError::unless(steps > 0, name, "at least 1 step", steps as f32)
        };
        match self.course {
            Course::Constant => Ok(()),
            Course::Step { every, gamma: g } => {
                steps("schedule.every", every)?;
                gamma(g)
            }
            Course::InverseTime { decay } => {
                let fits = decay >= 0.0 && decay.is_finite();
                SpecError::unless(fits, "schedule.decay", "finite and at least 0", decay)
            }
            Course::Exponential { gamma: g } => gamma(g),
            Course::Cosine {
                period, floor: f, ..
            } => {
                steps("schedule.period", period)?;
                floor(f)
            }
            Course::Cyclic { up, down, floor: f } => {
                steps("schedule.up", up)?;
                steps("schedule.down", down)?;
                floor(f)
            }
        }
    }
}

impl Course {
    // Counts of steps become f32: past 2^24 the nearest, which no rate can tell.
    fn factor(self, step: u32) -> f32 {
        match self {
            Self::Constant => 1.0,
            Self::Step { every, gamma } => power(gamma, step.checked_div(every).unwrap_or(0)),
            Self::InverseTime { decay } => 1.0 / (1.0 + decay * step as f32),
            // Rather than a power by squaring, whose error grows with t.
            Self::Exponential { gamma } => Scalar::exp(step as f32 * ln(gamma)),
            Self::Cosine {
                period,
                floor,
                restart,
            } => {
                let at = if restart {
                    step.checked_rem(period).unwrap_or(0)
                } else {
                    step.min(period)
                };
                let cos = cos_pi(at as f32 / period.max(1) as f32);
                floor + (1.0 - floor) * (0.5 * (1.0 + cos))
            }
            Self::Cyclic { up, down, floor } => {
                let at = step.checked_rem(up.saturating_add(down)).unwrap_or(0);
                let height = match at.checked_sub(up) {
                    None => at as f32 / up.max(1) as f32,
                    Some(past) => 1.0 - past as f32 / down.max(1) as f32,
                };
                floor + (1.0 - floor) * height
            }
        }
    }
}

/// base^exponent by squaring, from the lowest bit of the exponent on.
pub(crate) fn power(base: f32, exponent: u32) -> f32 {
    let (mut result, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        square *= square;
        rest >>= 1;
    }
    result
}

/// cos(π u) for u in 0…1, within 2^−22: Taylor's series up to (πv)^12 for v ≤ ½, mirrored above.
fn cos_pi(u: f32) -> f32 {
    let mirrored = u > 0.5;
    // Exact for u in ½…1.
    let angle = if mirrored { 1.0 - u } else { u } * core::f32::consts::PI;
    let square = angle * angle;
    const COEFFICIENTS: [f32; 6] = [
        -1.0 / 3_628_800.0,
        1.0 / 40_320.0,
        -1.0 / 720.0,
        1.0 / 24.0,
        -0.5,
        1.0,
    ];
    let mut sum = 1.0 / 479_001_600.0;
    for coefficient in COEFFICIENTS {
        sum = sum * square + coefficient;
    }
    if mirrored { -sum } else { sum }
}
