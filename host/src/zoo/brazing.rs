//! A brazed joint: a network of its stress, and the search for how it is to be made to have the least.

use super::lab::Lab;
use super::trained::recipe;
use super::{Figure, ZooError};
use crate::analysis::minimize;

/// Thickness in µm, temperature in °C, time in minutes, cooling in °C a minute.
const BOUNDS: [(f64, f64); 4] = [(50.0, 150.0), (1090.0, 1150.0), (20.0, 40.0), (3.0, 7.0)];
/// As often as on the slides the stress is computed: at places spread over the bounds, then where the search goes.
const CALLS: [usize; 2] = [10, 40];
/// Places of the grid along each input.
const GRID: usize = 21;
/// Half of the last digit of the stress in the table, MPa.
const DIGIT: f64 = 0.05;

/// The network, then Bayesian optimisation of its inputs beside a dense grid.
pub(super) fn brazing(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("brazing"))?;
    let progress = lab.progress("brazing: search", 2);
    let first = |told: Option<&Vec<f64>>| told.and_then(|told| told.first().copied());
    let stress = |inputs: &[f64]| -> Result<f64, ZooError> {
        let told = net.predict(&[inputs.to_vec()])?;
        Ok(first(told.first()).unwrap_or(f64::NAN))
    };
    let found = minimize(&BOUNDS, CALLS[0], CALLS[1], 1, stress)?;
    progress.inc(1);
    let places = (0..GRID.pow(4)).map(|place| {
        let at = |axis: usize| {
            let step = place / GRID.pow(axis as u32) % GRID;
            let (low, high) = BOUNDS[axis];
            low + (high - low) * step as f64 / (GRID - 1) as f64
        };
        vec![at(0), at(1), at(2), at(3)]
    });
    let told = net.predict(&places.collect::<Vec<_>>())?;
    let told = told.iter().map(|told| first(Some(told)));
    let grid = told
        .map(|told| told.unwrap_or(f64::NAN))
        .fold(f64::INFINITY, f64::min);
    progress.inc(1);
    let fit = net.fit("stress")?;
    let mut figures = vec![
        Figure::at_most(
            "least stress found, MPa; beside it a dense grid's, and half of the table's last digit",
            grid + DIGIT,
            found.value,
        ),
        Figure::stated(
            "computed so often, of 50 at most; the grid 194,481 times",
            found.evaluations as f64,
        ),
    ];
    let names = [
        "thickness, µm",
        "temperature, °C",
        "time, min",
        "cooling, °C/min",
    ];
    figures.extend(
        names
            .iter()
            .zip(&found.place)
            .map(|(name, &place)| Figure::stated(format!("there: {name}"), place)),
    );
    figures.push(Figure::stated("RMSE on rows held out, MPa", fit.rmse));
    Ok(figures)
}
