//! Tensors that break a rule.

use nn_core::model::{LoadError, TensorFault};
use nn_core::tensor::{Quant, Shape, Source};
use tests::parts::Parts;

use crate::{float, integer};

fn tensor_fault(id: u16, fault: TensorFault) -> Result<(), LoadError> {
    Err(LoadError::Tensor { id, fault })
}

/// A shape of any rank and dimensions, as only a damaged blob holds it.
fn any_shape(rank: u8, dims: [u32; 4]) -> Shape {
    let mut bytes = vec![rank];
    bytes.extend(postcard::to_stdvec(&dims).unwrap());
    postcard::from_bytes(&bytes).unwrap()
}

#[test]
fn shapes() {
    let refused = tensor_fault(3, TensorFault::Shape);
    for shape in [
        any_shape(0, [1; 4]),
        any_shape(5, [1; 4]),
        any_shape(255, [1; 4]),
        any_shape(3, [3, 0, 2, 1]),
        any_shape(3, [0; 4]),
        // A dimension past the rank that is not 1.
        any_shape(3, [3, 3, 2, 2]),
        // Overflowing products: of the dimensions, past 31 bits, and only in bytes.
        any_shape(4, [65536, 65536, 1, 1]),
        any_shape(4, [u32::MAX; 4]),
        any_shape(1, [u32::MAX, 1, 1, 1]),
        any_shape(1, [1 << 31, 1, 1, 1]),
        any_shape(2, [1 << 28, 2, 1, 1]),
    ] {
        let found = float(|parts| parts.tensors[3].shape = shape);
        assert_eq!(found, refused, "{shape:?}");
    }
}

#[test]
fn offsets_into_the_weights() {
    let section = Parts::float().weights.len();
    let offset = |offset| float(|parts| parts.tensors[7].source = Source::Weight { offset });
    // Two numbers: the last place is 8 bytes before the end.
    let last = section as u32 - 8;
    assert_eq!(offset(last), Ok(()));
    for at in [last + 4, section as u32, i32::MAX as u32 - 3, u32::MAX - 3] {
        let (wanted, found) = (section, at as usize + 8);
        let fault = TensorFault::OutOfRange { wanted, found };
        assert_eq!(offset(at), tensor_fault(7, fault));
    }
    for at in [1, 2, 3, last - 1] {
        assert_eq!(offset(at), tensor_fault(7, TensorFault::Misaligned));
    }
    let larger = float(|parts| parts.tensors[1].shape = Shape::new(&[2, 2, 1, 1 << 20]).unwrap());
    let (wanted, found) = (section, 1 << 24);
    let fault = TensorFault::OutOfRange { wanted, found };
    assert_eq!(larger, tensor_fault(1, fault));
}

#[test]
fn quantizations() {
    let refused = tensor_fault(5, TensorFault::Quant);
    for scale in [0.0, -0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let zero_point = 0;
        let quant = Quant::PerTensor { scale, zero_point };
        assert_eq!(integer(|parts| parts.tensors[5].quant = quant), refused);
    }
    for zero_point in [-129, 128, i32::MIN, i32::MAX] {
        let scale = 0.5;
        let quant = Quant::PerTensor { scale, zero_point };
        assert_eq!(integer(|parts| parts.tensors[5].quant = quant), refused);
    }
    let per_tensor = Quant::PerTensor {
        scale: 0.5,
        zero_point: 0,
    };
    assert_eq!(
        float(|parts| parts.tensors[3].quant = per_tensor),
        tensor_fault(3, TensorFault::Quant)
    );
    // Scales for each channel: only for weights, and only from an f32 weight.
    let scales = |scales| Quant::PerChannel { scales };
    assert_eq!(integer(|parts| parts.tensors[5].quant = scales(1)), refused);
    for id in [0, 2, 3, 6, 7, u16::MAX] {
        let found = integer(|parts| parts.tensors[2].quant = scales(id));
        assert_eq!(found, tensor_fault(2, TensorFault::Quant), "scales {id}");
    }
}
