//! Text: the letters of a window, and the one that comes next.
//!
//! ```text
//! x(t) = place of letter[t − window .. t] in the alphabet, from 0
//! y(t) = place of letter[t]
//! ```
//!
//! Runs of white space count as one space.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{DataSet, Part, Values};

/// Which text, and how it is cut: the section `[data.text]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// A file in the folder of the data sets, when `--data` names none.
    pub file: PathBuf,
    /// The letters that there are, each once; a network has as many outputs.
    pub alphabet: String,
    /// Letters that a sample shows.
    pub window: usize,
    /// The share of the text, from its beginning, that is learnt from; the rest is tested on.
    #[serde(default = "share")]
    pub train: f64,
    /// Read upper case as lower.
    #[serde(default)]
    pub lower: bool,
}

fn share() -> f64 {
    0.9
}

/// Why a file is no text of these letters.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The file cannot be read.
    #[error(
        "cannot read {path}: {source}. Name a text in UTF-8 with --data FILE, or in [data.text] of the recipe"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A letter that the alphabet does not have.
    #[error("{place}: {found:?} is not in the alphabet {alphabet:?}; the text has {letters:?}")]
    Letter {
        /// The file, or what was given.
        place: String,
        /// The letter.
        found: char,
        /// The alphabet.
        alphabet: String,
        /// All letters that the text has.
        letters: String,
    },
    /// Too little text.
    #[error("{place}: wanted more than {wanted} letters {what}, found {found}")]
    Short {
        /// The file, or what was given.
        place: String,
        /// What for.
        what: &'static str,
        /// The window.
        wanted: usize,
        /// The letters.
        found: usize,
    },
}

impl Text {
    /// The letters, in the order of a network's outputs.
    pub fn letters(&self) -> Vec<char> {
        self.alphabet.chars().collect()
    }

    /// Reads one part from `path`.
    ///
    /// # Errors
    /// [`TextError`].
    pub fn load(&self, path: &Path, part: Part) -> Result<DataSet, TextError> {
        let text = std::fs::read_to_string(path).map_err(|source| TextError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let place = path.file_name().unwrap_or_default().to_string_lossy();
        let letters = self.encode(&text, &place)?;
        // A share of a count: never negative, never above the count.
        let middle = ((letters.len() as f64) * self.train.clamp(0.0, 1.0)).round() as usize;
        let (train, test) = letters.split_at(middle.min(letters.len()));
        let (part, what) = match part {
            Part::Train => (train, "to learn from"),
            Part::Test => (test, "to test on"),
        };
        if part.len() <= self.window {
            return Err(TextError::Short {
                place: place.into_owned(),
                what,
                wanted: self.window,
                found: part.len(),
            });
        }
        let samples = part.windows(self.window + 1);
        let inputs = samples.clone().flat_map(|sample| {
            let seen = sample.iter().take(self.window);
            seen.map(|&letter| f32::from(letter))
        });
        Ok(DataSet {
            name: place.into_owned(),
            shape: [1, 1, self.window],
            classes: self.letters().len(),
            images: Vec::new(),
            labels: samples
                .filter_map(|sample| sample.last().copied())
                .collect(),
            values: Some(Values {
                inputs: inputs.collect(),
                targets: Vec::new(),
                columns: Vec::new(),
                features: Vec::new(),
                series: false,
            }),
        })
    }

    /// The places of a text's letters in the alphabet; `place` is where it comes from, for messages.
    ///
    /// # Errors
    /// [`TextError::Letter`].
    pub fn encode(&self, text: &str, place: &str) -> Result<Vec<u8>, TextError> {
        let text = match self.lower {
            true => text.to_lowercase(),
            false => text.to_owned(),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let alphabet = self.letters();
        let text = words.join(" ");
        let places = text.chars().map(|letter| {
            let at = alphabet.iter().position(|&other| other == letter);
            // An alphabet has at most 256 letters.
            at.and_then(|at| u8::try_from(at).ok()).ok_or(letter)
        });
        places.collect::<Result<_, char>>().map_err(|found| {
            let mut letters: Vec<char> = text.chars().collect();
            letters.sort_unstable();
            letters.dedup();
            TextError::Letter {
                place: place.to_owned(),
                found,
                alphabet: self.alphabet.clone(),
                letters: letters.into_iter().collect(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: &str) -> Text {
        toml::from_str(&format!(
            "file = \"a.txt\"\nalphabet = \" abc\"\nwindow = 2\n{fields}"
        ))
        .unwrap()
    }

    #[test]
    fn a_window_is_followed_by_its_letter() {
        let path = std::env::temp_dir().join(format!("mote-{}-text.txt", std::process::id()));
        std::fs::write(&path, "ab\n  cA b\tca\n").unwrap();
        let text = text("train = 0.5\nlower = true");
        let set = text.load(&path, Part::Train).unwrap();
        // "ab ca b ca" is cut in the middle.
        assert_eq!((set.classes, set.len(), set.image_len()), (4, 3, 2));
        assert_eq!(set.labels, [0, 3, 1]);
        assert_eq!(set.values.unwrap().inputs, [1.0, 2.0, 2.0, 0.0, 0.0, 3.0]);
        assert_eq!(text.load(&path, Part::Test).unwrap().labels, [0, 3, 1]);
        let _ = std::fs::remove_file(path);
    }

    #[test]
    fn other_letters_and_short_texts_are_refused() {
        let error = text("").encode("abd", "prompt").unwrap_err().to_string();
        assert!(
            error.contains("prompt: 'd' is not in the alphabet \" abc\"; the text has \"abd\""),
            "{error}"
        );
        let path = std::env::temp_dir().join(format!("mote-{}-short.txt", std::process::id()));
        std::fs::write(&path, "abcabc").unwrap();
        let error = text("").load(&path, Part::Test).unwrap_err().to_string();
        assert!(
            error.contains("more than 2 letters to test on, found 1"),
            "{error}"
        );
        let _ = std::fs::remove_file(path);
    }
}
