//! Samples in memory: chosen, divided, shifted, and as the bytes that a model reads.

use nn_core::tensor::Tensor;
use serde::Serialize;

use super::{Shift, ShiftError, Stream};
use crate::sample::{self, SampleError};

/// Samples of real numbers, and the numbers that are wanted of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// All inputs one after another.
    pub inputs: Vec<f32>,
    /// One number of each sample for each of `columns`, sample by sample; none where a class alone is wanted.
    pub targets: Vec<f32>,
    /// What the wanted numbers are.
    pub columns: Vec<Column>,
    /// What the numbers of an input are, where they have names.
    pub features: Vec<Column>,
    /// Whether samples follow each other in time, and the wanted number is what comes after the input's last.
    pub series: bool,
}

/// A column of numbers, and how they were scaled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What was taken from each number.
    pub center: f64,
    /// What each was then divided by.
    pub scale: f64,
}

impl Column {
    /// A column whose numbers are as they were.
    pub fn plain(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            center: 0.0,
            scale: 1.0,
        }
    }

    /// What a network reads or gives for `number`.
    pub fn scaled(&self, number: f64) -> f32 {
        // Rounded once.
        ((number - self.center) / self.scale) as f32
    }

    /// The number that a scaled one stands for.
    pub fn number(&self, scaled: f32) -> f64 {
        f64::from(scaled) * self.scale + self.center
    }
}

/// Samples, in memory: labelled images, or numbers with a class or numbers each.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// The set's name.
    pub name: String,
    /// Height, width and channels of one image; 1, 1 and its numbers of a row of a table.
    pub shape: [usize; 3],
    /// How many classes the labels tell apart.
    pub classes: usize,
    /// All images one after another, each in HWC order.
    pub images: Vec<u8>,
    /// The class of each sample, below `classes`; 0 where numbers alone are wanted.
    pub labels: Vec<u8>,
    /// The samples, where they are no images.
    pub values: Option<Values>,
}

impl DataSet {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Whether samples follow each other in time.
    pub fn is_series(&self) -> bool {
        self.values.as_ref().is_some_and(|values| values.series)
    }

    /// Whether a sample is read rightly or not: it has a class, or a price that rises or falls.
    pub fn has_accuracy(&self) -> bool {
        self.classes > 0 || self.is_series()
    }

    /// Bytes of one image.
    pub fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The pixels of sample `index`, HWC.
    ///
    /// # Panics
    /// When `index` is not below [`DataSet::len`].
    pub fn image(&self, index: usize) -> &[u8] {
        let length = self.image_len();
        &self.images[index * length..(index + 1) * length]
    }

    /// The class of sample `index`.
    ///
    /// # Panics
    /// When `index` is not below [`DataSet::len`].
    pub fn label(&self, index: usize) -> usize {
        usize::from(self.labels[index])
    }

    /// The bytes of `input` for sample `index`.
    ///
    /// # Errors
    /// [`SampleError`] when it does not fit.
    ///
    /// # Panics
    /// When `index` is not below [`DataSet::len`].
    pub fn encode(&self, input: &Tensor, index: usize) -> Result<Vec<u8>, SampleError> {
        match &self.values {
            None => sample::encode(input, self.image(index)),
            Some(values) => {
                let len = self.image_len();
                sample::encode_values(input, &values.inputs[index * len..(index + 1) * len])
            }
        }
    }

    /// Image and class of each sample.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.images
            .chunks_exact(self.image_len().max(1))
            .zip(self.labels.iter().map(|&label| usize::from(label)))
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Panics
    /// When an index is not below [`DataSet::len`].
    pub fn select(&self, indices: &[usize]) -> Self {
        let len = self.image_len();
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        let (mut images, mut values) = (Vec::new(), None);
        match &self.values {
            None => images = gather(&self.images, len, indices),
            Some(all) => {
                values = Some(Values {
                    inputs: gather(&all.inputs, len, indices),
                    targets: gather(&all.targets, all.columns.len(), indices),
                    columns: all.columns.clone(),
                    features: all.features.clone(),
                    series: all.series,
                });
            }
        }
        Self {
            images,
            labels,
            values,
            ..self.emptied()
        }
    }

    /// The first `count` samples, or all when there are fewer.
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        self.select(&(0..count).collect::<Vec<_>>())
    }

    /// Divides the samples at random, the same way for the same seed; days of a series in their order, the last held
    /// out.
    ///
    /// `validation` is the share held out, from 0 to below 1.
    pub fn split(&self, validation: f64, seed: u64) -> Split {
        let mut order: Vec<usize> = (0..self.len()).collect();
        // A share of a count: never negative, never above the count.
        let held_out = ((self.len() as f64) * validation).round() as usize;
        if self.is_series() {
            let validation = order.split_off(self.len().saturating_sub(held_out));
            return Split {
                training: order,
                validation,
            };
        }
        Stream::new(seed, Stream::SPLIT, 0, 0).shuffle(&mut order);
        let training = order.split_off(held_out.min(order.len()));
        Split {
            training,
            validation: order,
        }
    }

    /// The set with `shift` applied to every image.
    ///
    /// # Errors
    /// When the shift does not fit the images' shape, or samples are no images.
    pub fn shifted(&self, shift: Shift) -> Result<Self, ShiftError> {
        if shift == Shift::None {
            return Ok(self.clone());
        }
        if self.values.is_some() {
            let set = self.name.clone();
            return Err(ShiftError::NoImages { shift, set });
        }
        let mut images = Vec::with_capacity(self.images.len());
        for (image, _) in self.iter() {
            images.extend(shift.apply(image, self.shape)?);
        }
        Ok(Self {
            images,
            labels: self.labels.clone(),
            ..self.emptied()
        })
    }

    fn emptied(&self) -> Self {
        Self {
            name: self.name.clone(),
            shape: self.shape,
            classes: self.classes,
            images: Vec::new(),
            labels: Vec::new(),
            values: None,
        }
    }
}

/// The runs of `len` items at `indices`.
fn gather<T: Copy>(all: &[T], len: usize, indices: &[usize]) -> Vec<T> {
    let runs = indices.iter().map(|&index| index * len..(index + 1) * len);
    runs.flat_map(|run| all[run].iter().copied()).collect()
}

/// Which samples are learnt from, and which are held out, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Learnt from, in random order.
    pub training: Vec<usize>,
    /// Held out: tells how well unseen samples are read while training goes on.
    pub validation: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> DataSet {
        DataSet {
            name: "small".to_owned(),
            shape: [1, 2, 1],
            classes: 10,
            images: (0..20).collect(),
            labels: (0..10).collect(),
            values: None,
        }
    }

    #[test]
    fn a_split_has_every_sample_once_and_repeats() {
        let set = small();
        let split = set.split(0.3, 7);
        assert_eq!((split.training.len(), split.validation.len()), (7, 3));
        let mut all = [split.training.clone(), split.validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(set.split(0.3, 7), split);
        assert_ne!(set.split(0.3, 8), split);
    }

    #[test]
    fn select_keeps_image_and_label_together() {
        let set = small().select(&[4, 0]);
        assert_eq!(set.images, [8, 9, 0, 1]);
        assert_eq!(set.labels, [4, 0]);
        assert_eq!(set.iter().next(), Some((&[8u8, 9][..], 4)));
    }
}
