//! Systems that learn from tables.

use super::lab::Lab;
use super::trained::{Trained, recipe};
use super::{Figure, ZooError};
use crate::data::Part;

/// From the slides' own first weights, after their 50 steps: their figures to the last digit.
pub(super) fn iris_one_layer(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("iris-one-layer"))?;
    iris(&net, ["0.933333", "0.205636", "0.966667"])
}

/// The same with a hidden layer.
pub(super) fn iris_two_layers(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("iris-two-layers"))?;
    iris(&net, ["0.958333", "0.092934", "1.000000"])
}

/// Slides centre the samples to test on by their own mean, so that their loss there is another.
fn iris(net: &Trained, [train, loss, test]: [&str; 3]) -> Result<Vec<Figure>, ZooError> {
    let share = net.score(Part::Train)?.share();
    Ok(vec![
        Figure::rounded("accuracy, test", test, net.accuracy()),
        Figure::rounded("accuracy, training", train, share),
        Figure::rounded(
            "cross-entropy, training",
            loss,
            net.cross_entropy(Part::Train)?,
        ),
        Figure::stated("cross-entropy, test", net.cross_entropy(Part::Test)?),
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

/// Beside the plane of least squares of the same rows, which no neuron can beat there.
pub(super) fn advertising(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("advertising"))?;
    let fit = net.fit("Sales")?;
    let budgets = [vec![300.0, 0.0, 0.0]];
    let sales = net.predict(&budgets)?;
    let sales = sales.iter().flatten().next().copied().unwrap_or(f64::NAN);
    let mut figures = vec![
        Figure::stated("sales for 300, 0, 0", sales),
        Figure::stated("R², test", fit.r2),
        Figure::stated("RMSE, test", fit.rmse),
    ];
    #[cfg(feature = "zoo")]
    {
        use crate::analysis::LeastSquares;
        use crate::fit::Fit;

        let [(rows, truth), (test, told)] = [net.table(Part::Train)?, net.table(Part::Test)?];
        let plane = LeastSquares::fit(&rows, &truth)?;
        let best = plane
            .predict(&budgets)?
            .first()
            .copied()
            .unwrap_or(f64::NAN);
        figures.push(Figure::stated("least squares' sales for 300, 0, 0", best));
        let best = Fit::plain(&told, &plane.predict(&test)?);
        figures.push(Figure::stated("least squares' R², test", best.r2));
    }
    Ok(figures)
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

/// The four small examples: samples by chance, of which nothing can be learnt but themselves.
pub(super) fn keras(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let examples = [
        (recipe!("keras-binary"), "binary", 3265.0),
        (recipe!("keras-classes"), "ten classes", 3562.0),
        (
            recipe!("keras-nesterov"),
            "dropout, Nesterov with decay",
            6154.0,
        ),
        (recipe!("keras-dropout"), "binary, dropout", 5569.0),
    ];
    let mut figures = Vec::new();
    for (source, name, parameters) in examples {
        let net = lab.train(source)?;
        let name = |what: &str| format!("{what}, {name}");
        figures.push(Figure::exact(
            name("parameters"),
            parameters,
            net.parameters(),
        ));
        let loss = net.history.last().map_or(f64::NAN, |row| row.train_loss);
        figures.push(Figure::stated(name("loss of the last epoch"), loss));
    }
    Ok(figures)
}

pub(super) fn concrete(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("concrete"))?;
    let fit = net.fit("strength_MPa")?;
    Ok(vec![
        Figure::stated("R², test", fit.r2),
        Figure::stated("RMSE, MPa", fit.rmse),
    ])
}
