//! Systems that read digits and clothes.

use super::lab::Lab;
use super::trained::{Source, recipe};
use super::{Figure, ZooError};

/// A network whose accuracy on the test samples is to be met, and perhaps its parameters.
fn accuracy(
    lab: &mut Lab,
    source: Source,
    deck: f64,
    parameters: Option<f64>,
) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(source)?;
    let mut figures = vec![Figure::at_least("accuracy, test", deck, net.accuracy())];
    let exact = |deck| Figure::exact("parameters", deck, net.parameters());
    figures.extend(parameters.map(exact));
    Ok(figures)
}

pub(super) fn mlp(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    accuracy(lab, recipe!("mnist-mlp"), 0.973, Some(101_770.0))
}

pub(super) fn mse(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    accuracy(lab, recipe!("mnist-mse"), 0.870, None)
}

pub(super) fn cnn(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    accuracy(lab, recipe!("mnist-cnn"), 0.9898, None)
}

pub(super) fn cnn_wide(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    accuracy(lab, recipe!("mnist-cnn-wide"), 0.99, None)
}

pub(super) fn alexnet(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    accuracy(lab, recipe!("mnist-alexnet"), 0.9875, None)
}

pub(super) fn lenet(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("lenet-5"))?;
    Ok(vec![
        Figure::at_least("accuracy, test", 0.985, net.accuracy()),
        // With all feature maps read by each of the second convolution, and a dense output.
        Figure::near("parameters", 60_000.0, net.parameters(), 2_000.0),
    ])
}

pub(super) fn fashion(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    accuracy(lab, recipe!("fashion-mlp"), 0.8913, Some(386_718.0))
}
