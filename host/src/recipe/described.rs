//! The section `[data.described]`: samples that are not read.

use std::path::Path;

use serde::Deserialize;

use super::Size;
use super::error::Misfit;
use super::section::Section;
use crate::data::{DataError, DataSet, Part, Stream, Values};

/// The section `[data.described]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// Height, width and channels of a sample, or fewer axes.
    pub sample: Vec<Size>,
    /// How many classes there are.
    pub classes: Size,
    /// Samples by chance, to learn from and to test on, if any.
    #[serde(default)]
    pub random: Option<[Size; 2]>,
}

impl Section for Described {
    fn sample_shape(&self) -> Vec<usize> {
        self.sample.iter().map(|size| size.get()).collect()
    }

    fn classes(&self) -> Vec<String> {
        let classes = 0..self.classes.get();
        classes.map(|class| class.to_string()).collect()
    }

    fn check(&self) -> Result<(), Misfit> {
        if !(1..=3).contains(&self.sample.len()) {
            let wanted = "1 to 3 sizes, such as [224, 224, 3]";
            return Err(Misfit::field("described.sample", wanted, self.sample.len()));
        }
        if self.random.is_some() && !(2..=256).contains(&self.classes.get()) {
            let wanted = "2 to 256 classes of random samples";
            return Err(Misfit::field(
                "described.classes",
                wanted,
                self.classes.get(),
            ));
        }
        Ok(())
    }

    /// There are no files.
    fn is_in(&self, _: &Path) -> bool {
        false
    }

    /// Samples by chance, always the same.
    fn load(&self, _: Option<&Path>, _: &[usize], part: Part) -> Result<DataSet, DataError> {
        let [train, test] = self.random.as_ref().ok_or(DataError::Described)?;
        let (count, place) = match part {
            Part::Train => (train.get(), 0),
            Part::Test => (test.get(), 1),
        };
        let length: usize = self.sample.iter().map(|size| size.get()).product();
        let mut stream = Stream::new(0, Stream::RANDOM_SAMPLES, place, 0);
        let inputs = (0..count * length)
            .map(|_| stream.uniform(0.0, 1.0))
            .collect();
        let classes = self.classes.get();
        // There are at most 256 classes.
        let labels = (0..count)
            .map(|_| stream.below(classes as u64) as u8)
            .collect();
        let shape = match self.sample.as_slice() {
            [height, width, channels] => [height.get(), width.get(), channels.get()],
            _ => [1, 1, length],
        };
        Ok(DataSet {
            name: "random".to_owned(),
            shape,
            classes,
            images: Vec::new(),
            labels,
            values: Some(Values {
                inputs,
                targets: Vec::new(),
                columns: Vec::new(),
                features: Vec::new(),
                series: false,
            }),
        })
    }
}
