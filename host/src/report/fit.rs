//! What a network has made of points: a curve through them, or a boundary between two classes.

use std::path::Path;

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{BLUE, FAINT, INK, ORANGE, blend, draw, text};
use super::curves::{Curve, Panel, extreme, panel};

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
    let (Some(first), Some(last)) = (truth.first(), truth.last()) else {
        return Err(no_points(path));
    };
    let curves = [("true", INK, truth), ("learnt", ORANGE, learnt)];
    let curves = curves.map(|(name, colour, points)| Curve {
        name,
        colour,
        points: points.to_vec(),
    });
    let low = extreme(&curves, f64::min).unwrap_or(0.0);
    let high = extreme(&curves, f64::max).unwrap_or(1.0);
    let air = ((high - low) * 0.05).max(f64::EPSILON * high.abs().max(1.0));
    draw(path, title, (960, 560), |area| {
        let shown = Panel {
            title: "y",
            x: "x",
            across: (first.0, last.0.max(first.0 + f64::MIN_POSITIVE)),
            up: (low - air, high + air),
            digits: 1,
            curves: &curves,
        };
        panel(area, &shown)
    })
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
