//! Systems that learn a curve, and one that learns the boundary between two classes.

use super::lab::Lab;
use super::trained::{Source, recipe};
use super::{Figure, ZooError};

/// How near a network comes to a curve, on the points that it did not see.
fn fit(lab: &mut Lab, source: Source) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(source)?;
    let fit = net.fit("y")?;
    let picture = net.draw_curve()?;
    lab.notes.push(format!("the fit: {}", picture.display()));
    Ok(vec![
        Figure::stated("mean squared error, test", fit.rmse * fit.rmse),
        Figure::stated("R², test", fit.r2),
    ])
}

pub(super) fn sin_cos(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    fit(lab, recipe!("sin-cos"))
}

pub(super) fn x_sin_x(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    fit(lab, recipe!("x-sin-x"))
}

/// Learns 10,000 epochs, as the slides do that show the accuracy every 500.
pub(super) fn boundary(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("curved-boundary"))?;
    let at = |epoch: usize| {
        let row = net.history.iter().find(|row| row.epoch == epoch);
        row.and_then(|row| row.train_accuracy).unwrap_or(f64::NAN)
    };
    let mut figures = vec![
        Figure::at_least("accuracy, training, 1,000 epochs", 0.84, at(1000)),
        Figure::exact("parameters", 101.0, net.parameters()),
        Figure::stated("accuracy, test, in the end", net.accuracy()),
    ];
    let epochs = (0..=20).map(|count| (count * 500).max(1));
    figures.extend(
        epochs.map(|epoch| Figure::stated(format!("accuracy, training, epoch {epoch}"), at(epoch))),
    );
    let picture = net.draw_boundary()?;
    lab.notes
        .push(format!("the boundary: {}", picture.display()));
    Ok(figures)
}

/// A network that has learnt one curve goes on with another.
pub(super) fn transfer(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let before = lab.train(recipe!("transfer-1"))?;
    let after = lab.train_from(recipe!("transfer-2"), Some(before.folder()))?;
    let mut figures = vec![
        Figure::exact("parameters", 2701.0, after.parameters()),
        Figure::stated(
            "mean squared error, first set, test",
            before.fit("y")?.rmse.powi(2),
        ),
    ];
    #[cfg(feature = "train")]
    {
        let (picture, errors) = after.animate_curve(&before)?;
        lab.notes
            .push(format!("how it learns: {}", picture.display()));
        for (epoch, error) in errors
            .into_iter()
            .filter(|(epoch, _)| [0, 20, 100].contains(epoch))
        {
            let name = format!("mean squared error, second set, epoch {epoch}");
            figures.push(Figure::stated(name, error));
        }
    }
    Ok(figures)
}
