//! Systems that learn from tables.

use super::lab::Lab;
use super::trained::recipe;
use super::{Figure, ZooError};
use crate::data::Part;

pub(super) fn iris_one_layer(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("iris-one-layer"))?;
    let train = net.score(Part::Train)?.share();
    Ok(vec![
        Figure::at_least("accuracy, test", 0.967, thousandths(net.accuracy())),
        Figure::at_least("accuracy, training", 0.933, thousandths(train)),
    ])
}

pub(super) fn iris_two_layers(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("iris-two-layers"))?;
    let train = net.score(Part::Train)?.share();
    Ok(vec![
        Figure::at_least("accuracy, test", 1.0, net.accuracy()),
        Figure::at_least("accuracy, training", 0.958, thousandths(train)),
    ])
}

pub(super) fn iris_three_layers(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("iris-three-layers"))?;
    let layers = net.recipe.layers().iter().zip([40.0, 36.0, 15.0]);
    let mut figures = vec![Figure::exact("parameters", 91.0, net.parameters())];
    figures.extend(layers.map(|(layer, deck)| {
        let ours = layer.parameters as f64;
        Figure::exact(format!("parameters of {}", layer.name), deck, ours)
    }));
    figures.push(Figure::stated("accuracy, test", net.accuracy()));
    Ok(figures)
}

pub(super) fn advertising(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("advertising"))?;
    let fit = net.fit("Sales")?;
    let sales = net.predict(&[vec![300.0, 0.0, 0.0]])?;
    let sales = sales.iter().flatten().next().copied().unwrap_or(f64::NAN);
    Ok(vec![
        Figure::stated("sales for 300, 0, 0", sales),
        Figure::stated("R², test", fit.r2),
        Figure::stated("RMSE, test", fit.rmse),
    ])
}

pub(super) fn power_plant(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("power-plant"))?;
    Ok(vec![
        Figure::at_least("R² of the energy, test", 0.9267, net.fit("PE")?.r2),
        Figure::at_least("R² of the vacuum, test", 0.7861, net.fit("V")?.r2),
        Figure::stated("RMSE of the energy, MW", net.fit("PE")?.rmse),
        Figure::stated("RMSE of the vacuum, cm Hg", net.fit("V")?.rmse),
    ])
}

pub(super) fn concrete(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("concrete"))?;
    let fit = net.fit("strength_MPa")?;
    Ok(vec![
        Figure::stated("R², test", fit.r2),
        Figure::stated("RMSE, MPa", fit.rmse),
    ])
}

/// The share as slides give it, to three decimals.
fn thousandths(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}
