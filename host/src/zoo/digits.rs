//! Systems that read digits and clothes.

use super::lab::Lab;
use super::trained::{Source, recipe};
use super::{Figure, ZooError};
use crate::device::boards::BOARDS;
use crate::recipe::Format;

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

/// The size of the hidden layer is chosen on digits held out, then all are learnt from.
#[cfg(feature = "train")]
pub(super) fn hand_coded(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let source = recipe!("mnist-hand-coded");
    let (values, net) = lab.search(source, "layer.hidden.units=100,200,300")?;
    let mut figures = vec![Figure::at_least("accuracy, test", 0.916, net.accuracy())];
    let hidden = net
        .recipe
        .layer("hidden")
        .map_or(0, |layer| layer.output_shape[0]) as f64;
    let weights = (785.0 + 10.0) * hidden;
    figures.push(Figure::exact(
        "parameters: 785 h + 10 h",
        weights,
        net.parameters(),
    ));
    for (value, accuracy) in values {
        figures.push(Figure::stated(
            format!("accuracy, held out, {value}"),
            accuracy,
        ));
    }
    Ok(figures)
}

#[cfg(not(feature = "train"))]
pub(super) fn hand_coded(_: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    Err(ZooError::NoTraining)
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

/// A network that is described, not trained: its parameters, and that a board refuses it.
fn described(lab: &mut Lab, source: Source, deck: f64) -> Result<Vec<Figure>, ZooError> {
    let recipe = source.recipe()?;
    let parameters = recipe.parameters();
    lab.count(0, parameters as u64);
    let mut refused = 0.0;
    for board in BOARDS {
        if let Err(error) = recipe.fits(board, Format::I8) {
            refused += 1.0;
            if board.name == "nucleo-f446re" {
                lab.notes.push(error.to_string());
            }
        }
    }
    Ok(vec![
        Figure::rounded(
            "parameters, millions",
            &deck.to_string(),
            parameters as f64 / 1e6,
        ),
        Figure::exact("boards that it does not fit", BOARDS.len() as f64, refused),
    ])
}

pub(super) fn vgg(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    described(lab, recipe!("vgg-16"), 138.0)
}

pub(super) fn imagenet_alexnet(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    described(lab, recipe!("alexnet"), 61.0)
}

pub(super) fn fashion(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    accuracy(lab, recipe!("fashion-mlp"), 0.8913, Some(386_718.0))
}
