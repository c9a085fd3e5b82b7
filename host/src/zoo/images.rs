//! Systems that read pictures.

use super::lab::Lab;
use super::trained::recipe;
use super::{Figure, ZooError};

pub(super) fn cats_and_dogs(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("cats-and-dogs"))?;
    Ok(vec![
        Figure::at_least("accuracy, test", 0.7535, net.accuracy()),
        Figure::exact("parameters", 506_017.0, net.parameters()),
    ])
}
