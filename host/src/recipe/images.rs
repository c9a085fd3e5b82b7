//! The sections `[data.idx]` and `[data.folders]`: what images and their classes must have to be read.

use super::error::{Misfit, within};
use crate::data::{Folders, IdxFiles};

/// Most rows or columns of an image.
const LONGEST: usize = 4096;

/// Whether `[data.idx]` says what its files hold.
pub(super) fn idx(files: &IdxFiles) -> Result<(), Misfit> {
    classes("idx.classes", &files.classes)?;
    let [height, width, channels] = files.shape;
    if !(1..=LONGEST).contains(&height) || !(1..=LONGEST).contains(&width) || channels == 0 {
        let wanted = format!("rows and columns from 1 to {LONGEST}, and channels");
        let found = format!("{:?}", files.shape);
        return Err(Misfit::field("idx.shape", wanted, found));
    }
    Ok(())
}

/// Whether `[data.folders]` says what images become.
pub(super) fn folders(folders: &Folders) -> Result<(), Misfit> {
    classes("folders.classes", &folders.classes)?;
    let inside = |length: &usize| (1..=LONGEST).contains(length);
    if !folders.size.iter().all(inside) {
        let wanted = format!("rows and columns from 1 to {LONGEST}");
        let found = format!("{:?}", folders.size);
        return Err(Misfit::field("folders.size", wanted, found));
    }
    match (folders.train, &folders.test) {
        (Some(_), Some(_)) => {
            let wanted = "nothing beside `test`: all images of `folder` are learnt from";
            Err(Misfit::field("folders.train", wanted, "a share"))
        }
        (Some(share), None) => {
            let wanted = "a number above 0, below 1";
            within("folders.train", share, f64::MIN_POSITIVE..1.0, wanted)
        }
        (None, _) => Ok(()),
    }
}

fn classes(field: &'static str, names: &[String]) -> Result<(), Misfit> {
    // A label is a byte.
    if !(2..=256).contains(&names.len()) {
        let wanted = "the names of 2 to 256 classes, in the order of the network's outputs";
        return Err(Misfit::field(field, wanted, names.len()));
    }
    let again = |(index, name): &(usize, &String)| names[..*index].contains(name);
    match names.iter().enumerate().find(again) {
        None => Ok(()),
        Some((_, name)) => {
            let found = format!("`{name}` a second time");
            Err(Misfit::field(field, "each class once", found))
        }
    }
}
