//! Prices as they came, and as they were foretold.

use std::path::Path;

use super::ReportError;
use super::canvas::{BLUE, INK, ORANGE, draw};
use super::curves::{Curve, Panel, extreme, panel};

/// Draws the true prices and the forecasts of the same days; `across` names the first and the last day.
///
/// # Errors
/// When there are no days, or the file cannot be written.
pub fn forecast(
    path: &Path,
    title: &str,
    across: [&str; 2],
    truth: &[f64],
    forecasts: &[(&'static str, &[f64])],
) -> Result<(), ReportError> {
    if truth.is_empty() {
        return Err(ReportError::Shape {
            path: path.to_path_buf(),
            wanted: "at least one day".to_owned(),
            found: "none".to_owned(),
        });
    }
    let points = |prices: &[f64]| {
        let prices = prices.iter().enumerate();
        prices.map(|(day, &price)| (day as f64, price)).collect()
    };
    let mut curves = vec![Curve {
        name: "true",
        colour: INK,
        points: points(truth),
    }];
    for (&(name, prices), colour) in forecasts.iter().zip([BLUE, ORANGE]) {
        curves.push(Curve {
            name,
            colour,
            points: points(prices),
        });
    }
    let low = extreme(&curves, f64::min).unwrap_or(0.0);
    let high = extreme(&curves, f64::max).unwrap_or(1.0);
    let air = ((high - low) * 0.05).max(f64::EPSILON * high.abs().max(1.0));
    let x = format!("trading day, {} to {}", across[0], across[1]);
    draw(path, title, (1280, 640), |area| {
        let shown = Panel {
            title: "price",
            x: &x,
            across: (0.0, (truth.len() - 1).max(1) as f64),
            up: (low - air, high + air),
            digits: usize::from(high - low < 20.0),
            curves: &curves,
        };
        panel(area, &shown)
    })
}
