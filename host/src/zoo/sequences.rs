//! Systems that read sequences.

use super::lab::Lab;
use super::trained::recipe;
use super::{Figure, ZooError};

pub(super) fn moutai(lab: &mut Lab) -> Result<Vec<Figure>, ZooError> {
    let net = lab.train(recipe!("moutai"))?;
    let fit = net.fit("close")?;
    Ok(vec![
        Figure::exact("parameters", 41.0, net.parameters()),
        Figure::stated("R², the last fifth of the days", fit.r2),
    ])
}
