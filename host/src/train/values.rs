//! Between libtorch's tensors and the plain values of a checkpoint.

use tch::{Device, Kind, Tensor};

use super::TrainError;
use crate::checkpoint::Values;

/// A copy of `tensor`, row-major, in f32.
pub(super) fn to_values(tensor: &Tensor) -> Result<Values, TrainError> {
    let plain = tensor
        .f_detach()?
        .f_to(Device::Cpu)?
        .f_to_kind(Kind::Float)?
        .f_contiguous()?;
    let count = plain.numel();
    let mut values = vec![0.0f32; count];
    plain.f_copy_data(&mut values, count)?;
    let shape = plain.size().iter().map(|&length| length as usize).collect();
    Ok(Values { shape, values })
}

/// A tensor of these values on `device`.
pub(super) fn from_values(values: &Values, device: Device) -> Result<Tensor, TrainError> {
    let shape: Vec<i64> = values.shape.iter().map(|&length| length as i64).collect();
    Ok(Tensor::f_from_slice(&values.values)?
        .f_reshape(shape)?
        .f_to(device)?)
}
