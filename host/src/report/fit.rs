//! What a network has made of points: a curve through them, or a boundary between two classes.

use std::path::Path;

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{Area, BLUE, DrawError, FAINT, Frame, INK, ORANGE, animate, blend, draw, text};
use super::curves::{Curve, Panel, panel};

/// Draws the points of a curve and what a network gives for them, both from left to right.
///
/// # Errors
/// When there are no points, or the file cannot be written.
pub fn fitted_curve(
    path: &Path,
    title: &str,
    truth: &[(f64, f64)],
    learnt: &[(f64, f64)],
) -> Result<(), ReportError> {
    let fit = Fitted::new(path, truth, &[learnt])?;
    draw(path, title, (960, 560), |area| fit.draw(area, learnt))
}

/// The same again and again, as a network learns: each frame is a title and what it gives then. A GIF.
///
/// # Errors
/// When there are no points or frames, or the file cannot be written.
pub fn fitted_animation(
    path: &Path,
    truth: &[(f64, f64)],
    frames: &[(String, Vec<(f64, f64)>)],
) -> Result<(), ReportError> {
    let all: Vec<&[(f64, f64)]> = frames.iter().map(|frame| frame.1.as_slice()).collect();
    let fit = Fitted::new(path, truth, &all)?;
    let pictures: Vec<_> = frames
        .iter()
        .map(|(_, learnt)| |area: &Area<'_>| fit.draw(area, learnt))
        .collect();
    let drawn = frames.iter().zip(&pictures);
    let drawn: Vec<Frame<'_>> = drawn
        .map(|((title, _), picture)| (title.clone(), picture as &dyn Fn(&Area<'_>) -> _))
        .collect();
    animate(path, (960, 560), 25, &drawn)
}

/// A curve, and the part of the plane that it and what is learnt of it take up.
struct Fitted<'f> {
    truth: &'f [(f64, f64)],
    across: (f64, f64),
    up: (f64, f64),
}

impl<'f> Fitted<'f> {
    fn new(
        path: &Path,
        truth: &'f [(f64, f64)],
        learnt: &[&[(f64, f64)]],
    ) -> Result<Self, ReportError> {
        let (Some(first), Some(last)) = (truth.first(), truth.last()) else {
            return Err(no_points(path));
        };
        let heights = truth.iter().chain(learnt.iter().copied().flatten());
        let heights = heights.map(|point| point.1).filter(|y| y.is_finite());
        let (low, high) = heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
            (low.min(y), high.max(y))
        });
        let air = ((high - low) * 0.05).max(f64::EPSILON * high.abs().max(1.0));
        Ok(Self {
            truth,
            across: (first.0, last.0.max(first.0 + f64::MIN_POSITIVE)),
            up: (low - air, high + air),
        })
    }

    fn draw(&self, area: &Area<'_>, learnt: &[(f64, f64)]) -> Result<(), DrawError> {
        let curves = [("true", INK, self.truth), ("learnt", ORANGE, learnt)];
        let curves = curves.map(|(name, colour, points)| Curve {
            name,
            colour,
            points: points.to_vec(),
        });
        let shown = Panel {
            title: "y",
            x: "x",
            across: self.across,
            up: self.up,
            digits: 1,
            curves: &curves,
        };
        panel(area, &shown)
    }
}

/// Draws points of two classes, and behind them which class a network gives in squares of `step`.
///
/// `points` are x, y and whether they are of the second class; `squares` the middle of each square, and the same.
///
/// # Errors
/// When there are no points, or the file cannot be written.
pub fn boundary(
    path: &Path,
    title: &str,
    points: &[(f64, f64, bool)],
    squares: &[(f64, f64, bool)],
    step: f64,
) -> Result<(), ReportError> {
    if points.is_empty() {
        return Err(no_points(path));
    }
    let range = |value: fn(&(f64, f64, bool)) -> f64| {
        let values = points.iter().map(value);
        let ends = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = values.fold(ends, |ends, x| (ends.0.min(x), ends.1.max(x)));
        low..high.max(low + f64::MIN_POSITIVE)
    };
    let (x, y) = (range(|point| point.0), range(|point| point.1));
    let colour = |second: bool| if second { ORANGE } else { BLUE };
    draw(path, title, (760, 760), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_right(24)
            .x_label_area_size(40)
            .y_label_area_size(48)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .bold_line_style(FAINT)
            .light_line_style(WHITE)
            .label_style(text(15, INK))
            .draw()?;
        let half = step / 2.0;
        chart.draw_series(squares.iter().map(|&(x, y, second)| {
            let pale = blend(WHITE, colour(second), 0.25);
            Rectangle::new([(x - half, y - half), (x + half, y + half)], pale.filled())
        }))?;
        chart.draw_series(points.iter().map(|&(x, y, second)| {
            let dot = colour(second).filled();
            Circle::new((x, y), 4, dot)
        }))?;
        Ok(())
    })
}

fn no_points(path: &Path) -> ReportError {
    ReportError::Shape {
        path: path.to_path_buf(),
        wanted: "at least one point".to_owned(),
        found: "none".to_owned(),
    }
}
