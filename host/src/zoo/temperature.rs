//! Tomorrow's temperatures from a forecast: a network with two heads, beside a decision tree.

use super::lab::Lab;
use super::trained::recipe;
use super::{Figure, ZooError};
use crate::analysis::{Limits, RegressionTree};
use crate::data::{DataSet, Part};

/// RMSE of both on the rows held out.
pub(super) fn temperature_bias(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("temperature-bias"))?;
    let (train, test) = (net.samples(Part::Train)?, net.samples(Part::Test)?);
    let mut figures = Vec::new();
    for (at, column) in ["Next_Tmax", "Next_Tmin"].into_iter().enumerate() {
        // As on the slides: grown until each leaf has one value.
        let tree = RegressionTree::fit(&rows(&train), &degrees(&train, at), Limits::default(), 1)?;
        let told = tree.predict(&rows(&test))?;
        let squares = told
            .iter()
            .zip(degrees(&test, at))
            .map(|(told, truth)| (told - truth).powi(2));
        let tree = (squares.sum::<f64>() / test.len().max(1) as f64).sqrt();
        let name = format!("RMSE of {column}, K; beside it a decision tree's");
        figures.push(Figure::at_most(name, tree, net.fit(column)?.rmse));
    }
    figures.push(Figure::stated("R² of Next_Tmax", net.fit("Next_Tmax")?.r2));
    figures.push(Figure::stated("R² of Next_Tmin", net.fit("Next_Tmin")?.r2));
    Ok(figures)
}

/// The inputs of each row, scaled, which changes no split of a tree.
fn rows(set: &DataSet) -> Vec<Vec<f64>> {
    let inputs = set
        .values
        .iter()
        .flat_map(|all| all.inputs.chunks(set.image_len().max(1)));
    inputs
        .map(|row| row.iter().map(|&value| value.into()).collect())
        .collect()
}

/// What each row wants at place `at`.
fn degrees(set: &DataSet, at: usize) -> Vec<f64> {
    let Some(values) = &set.values else {
        return Vec::new();
    };
    let targets = values
        .targets
        .iter()
        .skip(at)
        .step_by(values.columns.len().max(1));
    targets
        .map(|&target| values.columns[at].number(target))
        .collect()
}
