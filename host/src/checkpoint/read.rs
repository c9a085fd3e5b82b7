//! Tensors of any safetensors file, as f32.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};

use super::{CheckpointError, Values};

/// The tensors of real numbers in a safetensors file, whoever wrote it: F32, F64, F16, BF16. Others, such as the counters
/// that PyTorch keeps of batch normalizations, are left out.
///
/// # Errors
/// A file that is missing or damaged.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Values>, CheckpointError> {
    let bytes = std::fs::read(path).map_err(|source| CheckpointError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|source| CheckpointError::Format {
        path: path.to_path_buf(),
        source,
    })?;
    let real = tensors.iter().filter_map(|(name, view)| {
        let values = values(view.dtype(), view.data())?;
        let shape = view.shape().to_vec();
        Some((name.to_owned(), Values { shape, values }))
    });
    Ok(real.collect())
}

/// Little-endian numbers of this type; `None` where they are not real.
pub(super) fn values(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().copied().map(number).collect()
    }
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        // Rounded to the nearest.
        Dtype::F64 => each(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::BF16 => each(bytes, |bytes| {
            f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
        }),
        Dtype::F16 => each(bytes, |bytes| half(u16::from_le_bytes(bytes))),
        _ => return None,
    })
}

/// An IEEE 754 binary16 as f32, which holds each of them.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    /// A file as PyTorch writes it: two types of real numbers, and the counter of a batch normalization.
    #[test]
    fn a_foreign_file_gives_its_real_numbers() {
        let path = std::env::temp_dir().join(format!("mote-foreign-{}", std::process::id()));
        let view = |dtype, shape: &[usize], bytes: &'static [u8]| {
            TensorView::new(dtype, shape.to_vec(), bytes).unwrap()
        };
        let tensors = [
            (
                "fc.weight",
                view(Dtype::F32, &[1, 2], &[0, 0, 128, 63, 0, 0, 0, 192]),
            ),
            ("fc.bias", view(Dtype::F16, &[1], &[0x00, 0x38])),
            (
                "bn.num_batches_tracked",
                view(Dtype::I64, &[], &[7, 0, 0, 0, 0, 0, 0, 0]),
            ),
        ];
        safetensors::serialize_to_file(tensors, None, &path).unwrap();
        let read = read_tensors(&path);
        std::fs::write(&path, "no tensors").unwrap();
        let damaged = read_tensors(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        let values = |shape: &[usize], values: &[f32]| Values {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let wanted = BTreeMap::from([
            ("fc.weight".to_owned(), values(&[1, 2], &[1.0, -2.0])),
            ("fc.bias".to_owned(), values(&[1], &[0.5])),
        ]);
        assert_eq!(read.unwrap(), wanted);
        assert!(damaged.contains("no safetensors file"), "{damaged}");
    }

    #[test]
    fn halves_are_what_they_stand_for() {
        // IEEE 754-2019: 1, −2, the largest, the least normal, the least of all.
        let exact = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 2f32.powi(-14)),
            (0x0001, 2f32.powi(-24)),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, number) in exact {
            assert_eq!(half(bits), number, "{bits:04x}");
        }
        assert!(half(0x7e00).is_nan());
        assert_eq!(values(Dtype::BF16, &[0x80, 0x3f]), Some(vec![1.0]));
        assert_eq!(values(Dtype::F64, &1.5f64.to_le_bytes()), Some(vec![1.5]));
        assert_eq!(values(Dtype::I64, &[0; 8]), None);
    }
}
