//! Pseudo-labels: a hundred digits with a label and 10,000 without, beside the hundred alone.

use super::lab::Lab;
use super::trained::recipe;
use super::{Figure, ZooError};

/// Several, as a hundred digits may be lucky ones.
#[cfg(feature = "train")]
const SEEDS: [u64; 3] = [1, 2, 3];

#[cfg(not(feature = "train"))]
pub(super) fn pseudo_labels(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    lab.train(recipe!("pseudo-labels")).map(|_| Vec::new())
}

#[cfg(feature = "train")]
pub(super) fn pseudo_labels(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    use crate::train::{Files, Options, train};

    let source = recipe!("pseudo-labels");
    let recipe = source.recipe()?;
    let mut figures = Vec::new();
    for seed in SEEDS {
        let folder = lab.settings.runs.join(&recipe.name);
        let directory = match seed == recipe.train.seed {
            true => folder,
            false => folder.join(format!("seed-{seed}")),
        };
        let begun = Files::of(&directory).checkpoint;
        let begun = crate::checkpoint::Checkpoint::load(&begun);
        let same = begun.is_ok_and(|begun| begun.progress.recipe == recipe.text);
        let options = Options {
            resume: same && !lab.settings.fresh,
            directory,
            data: lab.data(&recipe),
            seed: Some(seed),
            ..Options::default()
        };
        let outcome = train(&recipe, &options, &mut ())?;
        let share = |score: Option<crate::train::Score>| {
            score.and_then(|score| score.accuracy).unwrap_or(f64::NAN)
        };
        let (alone, ours) = (share(outcome.alone), share(outcome.test));
        let samples = outcome.test.map_or(1, |score| score.samples);
        let name = format!(
            "seed {seed}: test digits right; beside it one more than from the labels alone"
        );
        figures.push(Figure::at_least(name, alone + 1.0 / samples as f64, ours));
        let last = outcome.labelled.last();
        let right = last.map_or(f64::NAN, |count| count.right as f64 / count.labelled as f64);
        figures.push(Figure::stated(
            format!("seed {seed}: pseudo-labels right"),
            right,
        ));
    }
    let net = lab.train(source)?;
    figures.push(Figure::stated(
        "test digits right, nn-core, seed 1",
        net.accuracy(),
    ));
    Ok(figures)
}
