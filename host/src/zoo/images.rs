//! Systems that read pictures.

use std::path::{Path, PathBuf};

use super::lab::Lab;
use super::trained::{Source, recipe};
use super::{Figure, ZooError};
use crate::data;

/// What the slides' network reaches that learns from all pictures, from random weights.
const FROM_SCRATCH: f64 = 0.7535;

pub(super) fn cats_and_dogs(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("cats-and-dogs"))?;
    Ok(vec![
        Figure::at_least("accuracy, test", FROM_SCRATCH, net.accuracy()),
        Figure::exact("parameters", 506_017.0, net.parameters()),
    ])
}

/// A new head over frozen layers that have seen other pictures: VGG16 where its weights are at hand, else the lower layers
/// of a MobileNetV2.
pub(super) fn transfer(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let vgg = recipe!("cats-and-dogs-vgg16");
    let (source, name, deck) = match weights(lab, vgg)? {
        Some(weights) => ((vgg, weights), "VGG16", Some(0.95)),
        None => {
            let small = recipe!("cats-and-dogs-transfer");
            let weights = weights(lab, small)?.ok_or(ZooError::NoWeights)?;
            ((small, weights), "MobileNetV2", None)
        }
    };
    let (source, weights) = source;
    let recipe = source.recipe()?;
    let net = lab.train_from(source, Some(&weights))?;
    let accuracy = format!("accuracy, test, {name}");
    let mut figures = vec![match deck {
        Some(deck) => Figure::at_least(accuracy, deck, net.accuracy()),
        None => Figure::at_least(
            format!("{accuracy}; beside it the slides' from random weights"),
            FROM_SCRATCH,
            net.accuracy(),
        ),
    }];
    let learnt = recipe.parameters() - recipe.frozen();
    figures.push(Figure::stated("parameters that learn", learnt as f64));
    let samples = recipe.data.limit().unwrap_or(0) as f64;
    figures.push(Figure::stated("pictures learnt from, of 8,000", samples));
    if deck.is_none() {
        lab.notes.push(
            "the slides' 0.95 is VGG16's: it takes MobileNetV2's place where vgg16/vgg16.safetensors lies among the data"
                .to_owned(),
        );
    }
    Ok(figures)
}

/// Where the weights lie that a recipe begins with: among the data, else at the place that it names.
fn weights(lab: &Lab, source: Source) -> Result<Option<PathBuf>, ZooError> {
    let recipe = source.recipe()?;
    let Some(start) = &recipe.train.start else {
        return Ok(None);
    };
    let named = crate::paths::workspace_root().join(start);
    let mut parts = start.components().rev();
    let inside: PathBuf = match (parts.next(), parts.next()) {
        (Some(file), Some(folder)) => Path::new(folder.as_os_str()).join(file),
        _ => start.clone(),
    };
    let given = lab
        .settings
        .data
        .as_deref()
        .map(|folder| folder.join(&inside));
    let usual = data::holding(None, &inside).join(&inside);
    let places = given.into_iter().chain([usual, named]);
    Ok(places.into_iter().find(|place| place.is_file()))
}
