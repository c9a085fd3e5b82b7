//! Between images and a model's bytes: what goes into a model, and what its answer says.

use nn_core::ops::quantize::quantize;
use nn_core::scalar::{Q16, Scalar};
use nn_core::tensor::{DType, Quant, Tensor};

/// An image that a model cannot take, or an answer that is no list of scores.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// Another number of pixels than the input has.
    #[error("the model reads {wanted} values ({shape:?}), the sample has {found}")]
    Length {
        /// The input's shape.
        shape: Vec<u32>,
        /// The values that it holds.
        wanted: usize,
        /// The sample's.
        found: usize,
    },
    /// An input or output of another type than f32, Q16 and int8.
    #[error("a tensor of type {0} is neither read nor written here; wanted f32, q16 or i8")]
    DType(&'static str),
}

/// The bytes of `input` for an image of pixels from 0 to 255: x = pixel / 255, as f32, Q16 or int8.
///
/// # Errors
/// [`SampleError`].
pub fn encode(input: &Tensor, image: &[u8]) -> Result<Vec<u8>, SampleError> {
    if image.len() != input.elements() {
        return Err(SampleError::Length {
            shape: input.shape.dims().to_vec(),
            wanted: input.elements(),
            found: image.len(),
        });
    }
    let intensity = |pixel: &u8| f32::from(*pixel) / 255.0;
    match (input.dtype, input.quant) {
        (DType::F32, _) => Ok(image
            .iter()
            .flat_map(|pixel| intensity(pixel).to_le_bytes())
            .collect()),
        (DType::Q16, _) => Ok(image
            .iter()
            .flat_map(|pixel| {
                <Q16 as Scalar>::from_f32(intensity(pixel))
                    .to_bits()
                    .to_le_bytes()
            })
            .collect()),
        (DType::I8, Quant::PerTensor { scale, zero_point }) => {
            // There are fewer values than pixels.
            let values: [u8; 256] = std::array::from_fn(|pixel| {
                let pixel = pixel as u8;
                quantize(intensity(&pixel), scale, zero_point).cast_unsigned()
            });
            Ok(image
                .iter()
                .map(|&pixel| values[usize::from(pixel)])
                .collect())
        }
        (dtype, _) => Err(SampleError::DType(dtype.name())),
    }
}

/// The bytes of `input` for numbers as they are: f32, Q16 or int8.
///
/// # Errors
/// [`SampleError`].
pub fn encode_values(input: &Tensor, values: &[f32]) -> Result<Vec<u8>, SampleError> {
    if values.len() != input.elements() {
        return Err(SampleError::Length {
            shape: input.shape.dims().to_vec(),
            wanted: input.elements(),
            found: values.len(),
        });
    }
    match (input.dtype, input.quant) {
        (DType::F32, _) => Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        (DType::Q16, _) => Ok(values
            .iter()
            .flat_map(|&x| <Q16 as Scalar>::from_f32(x).to_bits().to_le_bytes())
            .collect()),
        (DType::I8, Quant::PerTensor { scale, zero_point }) => Ok(values
            .iter()
            .map(|&x| quantize(x, scale, zero_point).cast_unsigned())
            .collect()),
        (dtype, _) => Err(SampleError::DType(dtype.name())),
    }
}

/// The numbers that the bytes of `output` stand for.
///
/// # Errors
/// [`SampleError`].
pub fn scores(output: &Tensor, bytes: &[u8]) -> Result<Vec<f32>, SampleError> {
    if bytes.len() != output.bytes() {
        return Err(SampleError::Length {
            shape: output.shape.dims().to_vec(),
            wanted: output.elements(),
            found: bytes.len() / output.dtype.size(),
        });
    }
    match output.dtype {
        DType::F32 => Ok(bytes
            .chunks_exact(4)
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect()),
        DType::Q16 => Ok(bytes
            .chunks_exact(4)
            .map(|word| {
                let bits = i32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                Q16::from_bits(bits).to_f32()
            })
            .collect()),
        DType::I8 => Ok(bytes
            .iter()
            .map(|byte| {
                let steps = i32::from(byte.cast_signed()) - output.zero_point();
                output.scale() * steps as f32
            })
            .collect()),
        dtype => Err(SampleError::DType(dtype.name())),
    }
}

/// The class with the largest score, the first of equals.
pub fn prediction(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn_core::tensor::Shape;

    fn tensor(dtype: DType, quant: Quant) -> Tensor {
        Tensor::activation(Shape::vector(3), dtype, quant)
    }

    #[test]
    fn pixels_become_int8_by_subtracting_128() {
        let quant = Quant::PerTensor {
            scale: 1.0 / 255.0,
            zero_point: -128,
        };
        let input = Tensor::activation(Shape::vector(256), DType::I8, quant);
        let pixels: Vec<u8> = (0..=255).collect();
        let wanted: Vec<u8> = (-128..=127i8).map(i8::cast_unsigned).collect();
        assert_eq!(encode(&input, &pixels).unwrap(), wanted);
    }

    #[test]
    fn pixels_and_scores_in_q16() {
        let q16 = tensor(DType::Q16, Quant::None);
        let bytes = encode(&q16, &[0, 51, 255]).unwrap();
        // 51 / 255 = 0.2; 0.2 · 65,536 = 13,107.2.
        let wanted: Vec<u8> = [0i32, 13_107, 65_536]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        assert_eq!(bytes, wanted);
        let raw: Vec<u8> = [-32_768i32, 1, 98_304]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        assert_eq!(scores(&q16, &raw).unwrap(), [-0.5, 1.0 / 65_536.0, 1.5]);
    }

    #[test]
    fn scores_of_both_types() {
        let quant = Quant::PerTensor {
            scale: 0.5,
            zero_point: -1,
        };
        let int8 = scores(&tensor(DType::I8, quant), &[255, 1, 128]).unwrap();
        assert_eq!(int8, [0.0, 1.0, -63.5]);
        let bytes: Vec<u8> = [0.25f32, 2.0, 2.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let float = scores(&tensor(DType::F32, Quant::None), &bytes).unwrap();
        assert_eq!(prediction(&float), 1);
    }

    #[test]
    fn a_sample_of_the_wrong_length_is_refused() {
        let error = encode(&tensor(DType::F32, Quant::None), &[1, 2]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the model reads 3 values ([3]), the sample has 2"
        );
    }
}
