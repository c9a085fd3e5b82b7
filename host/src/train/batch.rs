//! From a data set to the tensors of one batch.

use tch::{Device, Tensor};

use super::TrainError;
use crate::data::{Augmenter, DataSet};

/// A batch on the training device.
pub(super) struct Batch {
    /// `[N, H, W, C]`: pixels from 0 to 1, or numbers.
    pub(super) images: Tensor,
    /// `[N]`, classes.
    pub(super) labels: Tensor,
    /// `[N, columns]`, the numbers wanted, where there are any.
    pub(super) values: Option<Tensor>,
    /// Whether those come next, after the numbers of the input.
    pub(super) series: bool,
}

impl Batch {
    /// The numbers wanted.
    pub(super) fn values(&self) -> Result<&Tensor, TrainError> {
        let missing = || TrainError::NoParameter("a value for each sample".to_owned());
        self.values.as_ref().ok_or_else(missing)
    }
}

/// Reads samples from a data set on to a device.
pub(super) struct Loader<'d> {
    set: &'d DataSet,
    device: Device,
}

impl<'d> Loader<'d> {
    pub(super) fn new(set: &'d DataSet, device: Device) -> Self {
        Self { set, device }
    }

    /// The samples at `indices` as `augmenter` shows them in `epoch`.
    pub(super) fn load(
        &self,
        indices: &[usize],
        augmenter: &Augmenter,
        epoch: u64,
    ) -> Result<Batch, TrainError> {
        let length = self.set.image_len();
        let mut pixels = vec![0.0; indices.len() * length];
        for (&index, pixels) in indices.iter().zip(pixels.chunks_exact_mut(length)) {
            match &self.set.values {
                None => augmenter.apply(self.set.image(index), epoch, index as u64, pixels),
                Some(all) => {
                    pixels.copy_from_slice(&all.inputs[index * length..(index + 1) * length]);
                }
            }
        }
        let wanted = self
            .set
            .values
            .as_ref()
            .filter(|all| !all.columns.is_empty());
        let wanted = wanted.map(|all| {
            let columns = all.columns.len();
            let rows = indices
                .iter()
                .map(|&index| index * columns..(index + 1) * columns);
            let wanted: Vec<f32> = rows.flat_map(|row| &all.targets[row]).copied().collect();
            (wanted, columns as i64)
        });
        let labels: Vec<i64> = indices
            .iter()
            .map(|&index| self.set.label(index) as i64)
            .collect();

        let [height, width, channels] = self.set.shape.map(|length| length as i64);
        let shape = [indices.len() as i64, height, width, channels];
        let images = Tensor::f_from_slice(&pixels)?
            .f_reshape(shape)?
            .f_to(self.device)?;
        let labels = Tensor::f_from_slice(&labels)?.f_to(self.device)?;
        let values = wanted.map(|(wanted, columns)| {
            Tensor::f_from_slice(&wanted)?
                .f_reshape([-1, columns])?
                .f_to(self.device)
        });
        Ok(Batch {
            images,
            labels,
            values: values.transpose()?,
            series: self.set.is_series(),
        })
    }
}
