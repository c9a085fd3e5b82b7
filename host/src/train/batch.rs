//! From a data set to the tensors of one batch.

use tch::{Device, Tensor};

use super::TrainError;
use crate::data::{Augmenter, DataSet};

/// A batch on the training device.
pub(super) struct Batch {
    /// `[N, H, W, C]`, from 0 to 1.
    pub(super) images: Tensor,
    /// `[N]`, classes.
    pub(super) labels: Tensor,
}

/// Builds batches in buffers that are used again.
pub(super) struct Loader<'d> {
    set: &'d DataSet,
    device: Device,
    pixels: Vec<f32>,
    labels: Vec<i64>,
}

impl<'d> Loader<'d> {
    pub(super) fn new(set: &'d DataSet, device: Device) -> Self {
        Self {
            set,
            device,
            pixels: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// The samples at `indices` as `augmenter` shows them in `epoch`.
    pub(super) fn load(
        &mut self,
        indices: &[usize],
        augmenter: &Augmenter,
        epoch: u64,
    ) -> Result<Batch, TrainError> {
        let length = self.set.image_len();
        self.pixels.resize(indices.len() * length, 0.0);
        for (&index, pixels) in indices.iter().zip(self.pixels.chunks_exact_mut(length)) {
            augmenter.apply(self.set.image(index), epoch, index as u64, pixels);
        }
        self.labels.clear();
        self.labels
            .extend(indices.iter().map(|&index| self.set.label(index) as i64));

        let [height, width, channels] = self.set.shape.map(|length| length as i64);
        let shape = [indices.len() as i64, height, width, channels];
        let images = Tensor::f_from_slice(&self.pixels)?
            .f_reshape(shape)?
            .f_to(self.device)?;
        let labels = Tensor::f_from_slice(&self.labels)?.f_to(self.device)?;
        Ok(Batch { images, labels })
    }
}
