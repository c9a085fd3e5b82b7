//! Losses, schedules, optimizers and plans against PyTorch's answers, f64 and finite differences.

#[rustfmt::skip]
mod golden;
mod learning;
mod losses;
mod optimizers;
mod plans;
mod schedules;

use std::vec::Vec;

use crate::scalar::Scalar;

/// 31 random bits for each draw, the same on every machine.
struct Draw(u32);

impl Draw {
    /// From −`scale` to `scale`.
    fn value(&mut self, scale: f64) -> f64 {
        self.0 = self.0.wrapping_add(1);
        let bits = crate::scalar::hash(7, self.0);
        (f64::from(bits) / f64::from(u32::MAX) * 2.0 - 1.0) * scale
    }

    fn values(&mut self, count: usize, scale: f64) -> Vec<f64> {
        (0..count).map(|_| self.value(scale)).collect()
    }

    fn below(&mut self, count: usize) -> usize {
        ((self.value(0.5) + 0.5) * count as f64) as usize % count
    }
}

fn narrow<S: Scalar>(values: &[f64]) -> Vec<S> {
    values.iter().map(|v| S::from_f32(*v as f32)).collect()
}

fn wide<S: Scalar>(values: &[S]) -> Vec<f64> {
    values.iter().map(|v| f64::from(v.to_f32())).collect()
}

#[track_caller]
fn assert_near(found: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let error = (found - wanted).abs();
        assert!(
            error <= tolerance,
            "{what}, number {index}: {found}, wanted {wanted}: {error:e} apart, {tolerance:e} at most"
        );
    }
}
