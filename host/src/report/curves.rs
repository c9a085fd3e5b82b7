//! Curves: a training on the host, epoch by epoch; learning on a device, sample by sample.

use std::path::Path;

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{Area, BLUE, DrawError, FAINT, INK, ORANGE, bold, draw, text};
use crate::history::EpochRow;

/// Points of one curve.
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) colour: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
}

/// What a panel shows, and its axes.
pub(super) struct Panel<'p> {
    pub(super) title: &'p str,
    pub(super) x: &'p str,
    /// First and last x.
    pub(super) across: (f64, f64),
    /// Lowest and highest y.
    pub(super) up: (f64, f64),
    /// Digits behind the point of a label on the y axis.
    pub(super) digits: usize,
    pub(super) curves: &'p [Curve],
}

/// Draws loss and accuracy over the epochs of a training, side by side.
///
/// # Errors
/// When there are no rows, or the file cannot be written.
pub fn training_curve(path: &Path, name: &str, rows: &[EpochRow]) -> Result<(), ReportError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Err(ReportError::Shape {
            path: path.to_path_buf(),
            wanted: "at least one epoch".to_owned(),
            found: "none".to_owned(),
        });
    };
    let curve = |name, colour, value: fn(&EpochRow) -> Option<f64>| Curve {
        name,
        colour,
        points: rows
            .iter()
            .filter_map(|row| Some((row.epoch as f64, value(row)?)))
            .collect(),
    };
    let loss = [
        curve("training", BLUE, |row| Some(row.train_loss)),
        curve("validation", ORANGE, |row| row.val_loss),
    ];
    let accuracy = [
        curve("training", BLUE, |row| {
            row.train_accuracy.map(|share| 100.0 * share)
        }),
        curve("validation", ORANGE, |row| {
            row.val_accuracy.map(|share| 100.0 * share)
        }),
    ];
    let told = accuracy.iter().any(|curve| !curve.points.is_empty());
    let highest = extreme(&loss, f64::max)
        .unwrap_or(1.0)
        .max(f64::MIN_POSITIVE);
    let lowest = extreme(&accuracy, f64::min).unwrap_or(0.0);
    // From a round figure below the lowest accuracy, leaving some air.
    let floor = ((lowest - 1.0) / 5.0).floor().max(0.0) * 5.0;
    let across = (first.epoch as f64, last.epoch.max(first.epoch + 1) as f64);

    // Numbers have no accuracy: the loss stands alone.
    let size = if told { (1280, 560) } else { (640, 560) };
    draw(path, &format!("{name}: training"), size, |area| {
        let (left, right) = area.split_horizontally(616);
        let up = (0.0, highest * 1.05);
        let digits = if highest < 1.0 { 2 } else { 1 };
        let x = "epoch";
        panel(
            &left,
            &Panel {
                title: "loss",
                x,
                across,
                up,
                digits,
                curves: &loss,
            },
        )?;
        if !told {
            return Ok(());
        }
        let up = (floor, 100.0);
        let digits = usize::from(floor > 95.0);
        panel(
            &right,
            &Panel {
                title: "accuracy (%)",
                x,
                across,
                up,
                digits,
                curves: &accuracy,
            },
        )
    })
}

/// Draws what a device learnt: beside each other the loss of its steps, as it told them, and accuracy (from 0 to 1), of the
/// steps before their update and on unseen samples.
///
/// `unseen` is pairs of samples learnt and accuracy; `steps` are samples learnt, loss, and accuracy where it is known.
///
/// # Errors
/// When there are no points, or the file cannot be written.
pub fn device_curve(
    path: &Path,
    title: &str,
    unseen: &[(usize, f64)],
    steps: &[(usize, f64, Option<f64>)],
) -> Result<(), ReportError> {
    let (Some(first), Some(last)) = (unseen.first(), unseen.last()) else {
        return Err(ReportError::Shape {
            path: path.to_path_buf(),
            wanted: "at least one point".to_owned(),
            found: "none".to_owned(),
        });
    };
    let percent = |&(samples, share): &(usize, f64)| (samples as f64, share * 100.0);
    let told = |&(step, _, share): &(usize, f64, Option<f64>)| Some(percent(&(step, share?)));
    let loss = [Curve {
        name: "",
        colour: BLUE,
        points: steps.iter().map(|step| (step.0 as f64, step.1)).collect(),
    }];
    let accuracy = [
        Curve {
            name: "its own steps",
            colour: BLUE,
            points: steps.iter().filter_map(told).collect(),
        },
        Curve {
            name: "unseen samples",
            colour: ORANGE,
            points: unseen.iter().map(percent).collect(),
        },
    ];
    let across = (first.0 as f64, last.0.max(first.0 + 1) as f64);
    let highest = extreme(&loss, f64::max).unwrap_or(1.0).max(1e-3);
    draw(path, title, (1280, 560), |area| {
        let (left, right) = area.split_horizontally(616);
        let x = "samples learnt";
        let losses = Panel {
            title: "loss before each step",
            x,
            across,
            up: (0.0, highest * 1.05),
            digits: if highest < 1.0 { 2 } else { 1 },
            curves: &loss,
        };
        panel(&left, &losses)?;
        let shares = Panel {
            title: "accuracy (%)",
            x,
            across,
            up: (0.0, 100.0),
            digits: 0,
            curves: &accuracy,
        };
        panel(&right, &shares)
    })
}

/// The least or the greatest of all finite values.
pub(super) fn extreme(curves: &[Curve], choose: fn(f64, f64) -> f64) -> Option<f64> {
    let values = curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(|point| point.1));
    values.filter(|value| value.is_finite()).reduce(choose)
}

/// Draws curves with their axes.
pub(super) fn panel(area: &Area<'_>, panel: &Panel<'_>) -> Result<(), DrawError> {
    let (head, body) = area.split_vertically(30);
    head.draw_text(panel.title, &bold(18, INK), (12, 6))?;
    // Room on either side, so that the first and the last point are not cut.
    let air = (panel.across.1 - panel.across.0) * 0.02;
    let mut chart = ChartBuilder::on(&body)
        .margin_right(24)
        .margin_top(10)
        .x_label_area_size(48)
        .y_label_area_size(56)
        .build_cartesian_2d(
            panel.across.0 - air..panel.across.1 + air,
            panel.up.0..panel.up.1,
        )?;
    let whole = |value: &f64| format!("{value:.0}");
    let digits = panel.digits;
    let fine = |value: &f64| format!("{value:.digits$}");
    let across = panel.across.1 - panel.across.0;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK.mix(0.5))
        .label_style(text(15, INK))
        .axis_desc_style(text(16, INK))
        .x_desc(panel.x)
        .x_labels(if across < 10.0 {
            across as usize + 1
        } else {
            11
        })
        .y_labels(8)
        .x_label_formatter(&whole)
        .y_label_formatter(&fine)
        .draw()?;
    for curve in panel.curves {
        let line = curve.points.iter().copied();
        chart.draw_series(LineSeries::new(line, curve.colour.stroke_width(3)))?;
        if curve.points.len() <= 60 {
            let dot = |&point: &(f64, f64)| Circle::new(point, 5, curve.colour.filled());
            chart.draw_series(curve.points.iter().map(dot))?;
        }
    }
    legend(&body, panel.curves)
}

/// Names the curves, when there is more than one: in the corner that they leave free.
fn legend(area: &Area<'_>, curves: &[Curve]) -> Result<(), DrawError> {
    let drawn: Vec<&Curve> = curves
        .iter()
        .filter(|curve| !curve.points.is_empty() && !curve.name.is_empty())
        .collect();
    // Curves that fall leave the top free, curves that rise the bottom.
    let rises = drawn
        .iter()
        .any(|curve| match (curve.points.first(), curve.points.last()) {
            (Some(first), Some(last)) => last.1 > first.1,
            _ => false,
        });
    let (width, height) = area.dim_in_pixel();
    let left = width as i32 - 170;
    let lines = drawn.len() as i32 * 26;
    let top = if rises {
        height as i32 - 66 - lines
    } else {
        24
    };
    for (index, curve) in drawn.iter().enumerate() {
        let y = top + index as i32 * 26;
        let stroke = curve.colour.stroke_width(3);
        area.draw(&PathElement::new(
            vec![(left, y + 4), (left + 28, y + 4)],
            stroke,
        ))?;
        area.draw_text(curve.name, &text(16, INK), (left + 38, y))?;
    }
    Ok(())
}
