//! A learning curve while it grows: the loss and the hits that a device tells with each step.
//!
//! Each step's loss and prediction are those before its update, so they are of a sample that the weights have not seen
//! in this pass: what is drawn is a test, too (prequential evaluation: Dawid 1984).

use serde::Serialize;

/// Levels of a character of a sparkline.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The mean over some steps in a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// The last of the steps, from 1.
    pub step: usize,
    /// Mean loss before the updates.
    pub loss: f64,
    /// The share of samples whose prediction before the update was right; `None` where nobody says what is right.
    pub accuracy: Option<f64>,
}

/// What each step of learning told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Course {
    losses: Vec<f32>,
    hits: Vec<Option<bool>>,
}

impl Course {
    /// One step more: its loss, and whether its prediction was right.
    pub fn push(&mut self, loss: f32, hit: Option<bool>) {
        self.losses.push(loss);
        self.hits.push(hit);
    }

    /// How many steps there were.
    pub fn len(&self) -> usize {
        self.losses.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.losses.is_empty()
    }

    /// The loss of each step.
    pub fn losses(&self) -> &[f32] {
        &self.losses
    }

    /// The mean loss of all steps; 0 where there are none.
    pub fn mean_loss(&self) -> f64 {
        mean(&self.losses)
    }

    /// The share of hits of the last `count` steps; `None` where nobody said what is right.
    pub fn recent(&self, count: usize) -> Option<f64> {
        let from = self.len().saturating_sub(count);
        let told: Vec<bool> = self.hits[from..].iter().copied().flatten().collect();
        let right = told.iter().filter(|hit| **hit).count();
        (!told.is_empty()).then(|| right as f64 / told.len() as f64)
    }

    /// Means over up to `count` stretches of steps, all of one length but the last.
    pub fn points(&self, count: usize) -> Vec<Point> {
        let stretch = self.len().div_ceil(count.max(1)).max(1);
        let pieces = self.losses.chunks(stretch).zip(self.hits.chunks(stretch));
        let mut step = 0;
        let point = |(losses, hits): (&[f32], &[Option<bool>])| {
            step += losses.len();
            let told: Vec<bool> = hits.iter().copied().flatten().collect();
            let right = told.iter().filter(|hit| **hit).count();
            Point {
                step,
                loss: mean(losses),
                accuracy: (!told.is_empty()).then(|| right as f64 / told.len() as f64),
            }
        };
        pieces.map(point).collect()
    }

    /// The loss so far as a line of `width` characters, from the least to the greatest mean: `█▆▄▂▂▁▁▂`.
    pub fn sparkline(&self, width: usize) -> String {
        let losses: Vec<f64> = self.points(width).iter().map(|point| point.loss).collect();
        let finite = losses.iter().copied().filter(|loss| loss.is_finite());
        let low = finite.clone().fold(f64::INFINITY, f64::min);
        let high = finite.fold(f64::NEG_INFINITY, f64::max);
        let bar = |loss: &f64| {
            let share = (loss - low) / (high - low).max(f64::MIN_POSITIVE);
            // From 0 to the last: a place in the list. Not a number becomes 0.
            BARS[(share.clamp(0.0, 1.0) * (BARS.len() - 1) as f64).round() as usize]
        };
        losses.iter().map(bar).collect()
    }

    /// A line for people: loss, how it went, and the hits of the last steps.
    pub fn line(&self) -> String {
        /// Steps that count as the last.
        const LAST: usize = 100;
        let from = self.len().saturating_sub(LAST);
        let mut line = format!(
            "loss {:.3} {}",
            mean(&self.losses[from..]),
            self.sparkline(24)
        );
        if let Some(share) = self.recent(LAST) {
            line += &format!(" {:.0} % right", 100.0 * share);
        }
        line
    }
}

fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_have_their_means() {
        let mut course = Course::default();
        for step in 0..10u8 {
            course.push(f32::from(step), Some(step >= 5));
        }
        let points = course.points(3);
        let steps: Vec<usize> = points.iter().map(|point| point.step).collect();
        assert_eq!(steps, [4, 8, 10]);
        assert_eq!((points[0].loss, points[0].accuracy), (1.5, Some(0.0)));
        assert_eq!((points[1].loss, points[1].accuracy), (5.5, Some(0.75)));
        assert_eq!(course.mean_loss(), 4.5);
        assert_eq!(course.points(100).len(), 10);
    }

    #[test]
    fn a_sparkline_goes_from_the_least_to_the_greatest() {
        let mut course = Course::default();
        assert_eq!(course.sparkline(8), "");
        for loss in [7.0, 3.0, 1.0, 0.0] {
            course.push(loss, None);
        }
        assert_eq!(course.sparkline(8), "█▄▂▁");
        assert_eq!(course.points(1)[0].accuracy, None);
        course.push(f32::NAN, None);
        assert_eq!(course.sparkline(8).chars().count(), 5);
    }
}
