//! The section `[data.text]`: letters and the one that comes next.

use std::path::Path;

use super::error::{Misfit, within};
use super::section::Section;
use crate::data::{self, DataError, DataSet, Part, Text};

impl Section for Text {
    fn sample_shape(&self) -> Vec<usize> {
        vec![self.window]
    }

    fn classes(&self) -> Vec<String> {
        self.letters().iter().map(char::to_string).collect()
    }

    fn check(&self) -> Result<(), Misfit> {
        let letters = self.letters();
        let twice = letters
            .iter()
            .enumerate()
            .find(|(at, letter)| letters[..*at].contains(letter));
        if let Some((_, letter)) = twice {
            let found = format!("{letter:?} a second time");
            return Err(Misfit::field("text.alphabet", "each letter once", found));
        }
        if !(2..=256).contains(&letters.len()) {
            return Err(Misfit::field(
                "text.alphabet",
                "2 to 256 letters",
                letters.len(),
            ));
        }
        if !(1..=65_536).contains(&self.window) {
            let wanted = "letters, from 1 to 65536";
            return Err(Misfit::field("text.window", wanted, self.window));
        }
        let wanted = "a number above 0, below 1";
        within("text.train", self.train, f64::MIN_POSITIVE..1.0, wanted)
    }

    fn is_in(&self, folder: &Path) -> bool {
        data::has(folder, &self.file)
    }

    fn load(&self, given: Option<&Path>, _: &[usize], part: Part) -> Result<DataSet, DataError> {
        let (folder, file) = data::place(given, &self.file);
        let path = file.map_or_else(|| folder.join(&self.file), Path::to_path_buf);
        Ok(self.load(&path, part)?)
    }
}
