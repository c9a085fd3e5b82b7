//! Systems that read sequences.

use super::lab::Lab;
use super::trained::{Trained, recipe};
use super::{Figure, ZooError};
use crate::data::Part;
use crate::device::{self, Place};
use crate::generate::{Choice, generate};

pub(super) fn moutai(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("moutai"))?;
    let fit = net.fit("close")?;
    let file = net.write_predictions()?;
    lab.notes.push(format!("predictions: {}", file.display()));
    Ok(vec![
        Figure::exact("parameters", 41.0, net.parameters()),
        Figure::stated("R², the last fifth of the days", fit.r2),
    ])
}

/// A prompt of the text that is learnt from.
const PROMPT: &str = "a session or a trainer works in one arena that the caller owns.";

/// Writes on from a prompt, here and on the device, and says what.
pub(super) fn next_letter(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("next-letter"))?;
    let here = write(lab, &net, &Place::Host)?;
    lab.notes.push(format!("it writes: {PROMPT}|{here}"));
    let mut figures = vec![
        Figure::exact("parameters", 8703.0, net.parameters()),
        Figure::stated("accuracy, training", net.score(Part::Train)?.share()),
        Figure::stated("accuracy, test", net.accuracy()),
    ];
    let place = lab.settings.place.clone();
    if place != Place::Host {
        let there = write(lab, &net, &place)?;
        let equal = f64::from(u8::from(here == there));
        figures.push(Figure::exact(
            format!("{place} writes the same"),
            1.0,
            equal,
        ));
    }
    Ok(figures)
}

/// 40 letters.
fn write(lab: &Lab, net: &Trained, place: &Place) -> Result<String, ZooError> {
    let failed = |error: &dyn std::fmt::Display| ZooError::Measure(error.to_string());
    let model = net.blob.model();
    let text = net.recipe.data.text.as_ref();
    let (Some(text), Some(input), Some(output)) = (text, model.input(0), model.output(0)) else {
        return Err(failed(&"the network reads no text"));
    };
    let choice = Choice {
        temperature: 0.5,
        seed: 1,
    };
    let mut device = device::open(place, &net.blob, lab.ui)?;
    let ends = [&input, &output];
    let written = generate(text, ends, PROMPT, 40, choice, |input| device.infer(input));
    let written = written.map_err(|error| failed(&error))?;
    device.finish()?;
    Ok(written)
}

/// The two others beside the one layer. Which reads more letters rightly is stated, whichever it is.
pub(super) fn letter_variants(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let one = lab.train(recipe!("next-letter"))?;
    let both = lab.train(recipe!("next-letter-bidirectional"))?;
    let stacked = lab.train(recipe!("next-letter-stacked"))?;
    let named = [
        ("one layer", one),
        ("bidirectional", both),
        ("stacked", stacked),
    ];
    let mut figures = Vec::new();
    for (name, net) in &named {
        let train = net.score(Part::Train)?.share();
        figures.push(Figure::stated(
            format!("accuracy, test, {name}"),
            net.accuracy(),
        ));
        figures.push(Figure::stated(format!("accuracy, training, {name}"), train));
    }
    let best = named
        .iter()
        .max_by(|a, b| a.1.accuracy().total_cmp(&b.1.accuracy()));
    if let Some((name, _)) = best {
        lab.notes
            .push(format!("best on letters that were not learnt from: {name}"));
    }
    Ok(figures)
}
