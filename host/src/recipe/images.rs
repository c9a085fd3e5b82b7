//! The sections `[data.idx]` and `[data.folders]`: labelled images.

use std::path::Path;

use super::error::{Misfit, within};
use super::section::Section;
use crate::data::{self, DataError, DataSet, Folders, IdxFiles, Part};

/// Most rows or columns of an image.
const LONGEST: usize = 4096;

impl Section for IdxFiles {
    fn sample_shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn classes(&self) -> Vec<String> {
        self.classes.clone()
    }

    fn pictures(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), Misfit> {
        each_once("idx.classes", &self.classes)?;
        let [height, width, channels] = self.shape;
        if !(1..=LONGEST).contains(&height) || !(1..=LONGEST).contains(&width) || channels == 0 {
            let wanted = format!("rows and columns from 1 to {LONGEST}, and channels");
            let found = format!("{:?}", self.shape);
            return Err(Misfit::field("idx.shape", wanted, found));
        }
        Ok(())
    }

    fn is_in(&self, folder: &Path) -> bool {
        data::has(folder, Path::new(&self.images))
    }

    fn load(&self, given: Option<&Path>, _: &[usize], part: Part) -> Result<DataSet, DataError> {
        self.load(&data::holding(given, Path::new(&self.images)), part)
    }
}

impl Section for Folders {
    fn sample_shape(&self) -> Vec<usize> {
        self.shape().to_vec()
    }

    fn classes(&self) -> Vec<String> {
        self.classes.clone()
    }

    fn pictures(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), Misfit> {
        each_once("folders.classes", &self.classes)?;
        let inside = |length: &usize| (1..=LONGEST).contains(length);
        if !self.size.iter().all(inside) {
            let wanted = format!("rows and columns from 1 to {LONGEST}");
            let found = format!("{:?}", self.size);
            return Err(Misfit::field("folders.size", wanted, found));
        }
        match (self.train, &self.test) {
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

    fn is_in(&self, folder: &Path) -> bool {
        data::has(folder, &self.folder)
    }

    fn load(&self, given: Option<&Path>, _: &[usize], part: Part) -> Result<DataSet, DataError> {
        Ok(self.load(&data::holding(given, &self.folder), part)?)
    }
}

fn each_once(field: &'static str, names: &[String]) -> Result<(), Misfit> {
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
