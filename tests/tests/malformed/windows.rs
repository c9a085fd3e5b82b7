//! Convolutions, poolings, batch norms and dropouts that break a rule.

use nn_core::model::{LoadError, NodeFault};
use nn_core::ops::{AvgPool2d, BatchNorm, Conv2d, Dropout, Op, Pool2d};
use nn_core::tensor::{DType, Shape};
use nn_core::train::{Head, Loss};
use tests::parts::Parts;

use crate::{float, integer};

fn fault(index: usize, fault: NodeFault) -> Result<(), LoadError> {
    Err(LoadError::Node { index, fault })
}

/// The convolution 4x4x1 → 3x3x2 of 2x2, changed.
fn conv(change: impl FnOnce(&mut Parts, &mut Conv2d)) -> Result<(), LoadError> {
    float(|parts| {
        let Op::Conv2d(mut conv) = parts.nodes[0].op else {
            panic!("{:?}", parts.nodes[0].op);
        };
        change(parts, &mut conv);
        parts.nodes[0].op = Op::Conv2d(conv);
    })
}

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).unwrap()
}

#[test]
fn dilations() {
    let geometry = fault(0, NodeFault::Geometry);
    for dilation in [[0, 1], [1, 0], [4, 1], [1, 4], [255, 255]] {
        assert_eq!(conv(|_, conv| conv.dilation = dilation), geometry);
    }
    // It fits, but gives another map.
    let other = conv(|_, conv| conv.dilation = [2, 1]);
    assert_eq!(other, fault(0, NodeFault::Shape(3)));
    let padded = conv(|_, conv| (conv.dilation, conv.padding) = ([3, 1], [1, 0, 1, 0]));
    assert_eq!(padded, Ok(()));
    // Padding as wide as the kernel's span.
    let wide = conv(|_, conv| (conv.dilation, conv.padding) = ([3, 1], [4, 0, 0, 0]));
    assert_eq!(wide, geometry);
}

#[test]
fn groups() {
    assert_eq!(
        conv(|_, conv| conv.groups = 0),
        fault(0, NodeFault::Geometry)
    );
    // More input channels than there are, by the weight's shape.
    for groups in [2, 3, u16::MAX] {
        let found = conv(|_, conv| conv.groups = groups);
        assert_eq!(found, fault(0, NodeFault::Shape(1)), "{groups}");
    }
    let depthwise = |parts: &mut Parts, conv: &mut Conv2d| {
        parts.tensors[0].shape = shape(&[4, 4, 2]);
        conv.groups = 2;
    };
    assert_eq!(conv(depthwise), Ok(()));
    // Three outputs in two groups.
    let odd = conv(|parts, conv| {
        depthwise(parts, conv);
        parts.tensors[1].shape = shape(&[2, 2, 1, 3]);
    });
    assert_eq!(odd, fault(0, NodeFault::Shape(1)));
}

#[test]
fn ranks() {
    for (dims, wanted) in [
        (&[16][..], NodeFault::Shape(0)),
        // Of height 1: the kernel has two rows.
        (&[16, 1], NodeFault::Geometry),
        // Two frames in, one out.
        (&[2, 4, 4, 1], NodeFault::Shape(3)),
    ] {
        let found = float(|parts| parts.tensors[0].shape = shape(dims));
        assert_eq!(found, fault(0, wanted), "{dims:?}");
    }
    let pool = float(|parts| parts.tensors[4].shape = shape(&[1, 2, 1, 2]));
    assert_eq!(pool, fault(1, NodeFault::Shape(4)));
}

#[test]
fn means_of_int8_do_not_count_padding() {
    let pool = Pool2d {
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0; 4],
    };
    let counting = AvgPool2d {
        count_padding: true,
        ..pool.into()
    };
    let found = integer(|parts| parts.nodes[0].op = Op::AvgPool2d(counting));
    assert_eq!(found, fault(0, NodeFault::Geometry));
}

#[test]
fn batch_norms() {
    // Over the logits, in place of the softmax.
    let norm = |change: &dyn Fn(&mut Parts, &mut BatchNorm)| {
        float(|parts| {
            let mut norm = BatchNorm {
                gamma: 7,
                beta: 7,
                mean: 7,
                scale: 7,
            };
            let heads = [Head::new(Loss::MeanSquaredError)];
            parts.train = parts.train.and_then(|spec| spec.with_heads(&heads));
            change(parts, &mut norm);
            parts.nodes[4].op = Op::BatchNorm(norm);
        })
    };
    assert_eq!(norm(&|_, _| {}), Ok(()));
    // A matrix, an activation, nothing, another type.
    let found = norm(&|_, norm| norm.gamma = 6);
    assert_eq!(found, fault(4, NodeFault::Shape(6)));
    let found = norm(&|_, norm| norm.beta = 8);
    assert_eq!(found, fault(4, NodeFault::Parameter));
    let found = norm(&|_, norm| norm.mean = 99);
    assert_eq!(found, fault(4, NodeFault::NoTensor(99)));
    let found = norm(&|parts, norm| {
        norm.scale = 2;
        parts.tensors[2].dtype = DType::Q16;
    });
    assert!(found.is_err());
    let found = norm(&|parts, _| parts.tensors[9].shape = shape(&[1, 2]));
    assert_eq!(found, fault(4, NodeFault::Shape(9)));
    let found = integer(|parts| {
        parts.nodes[0].op = Op::BatchNorm(BatchNorm {
            gamma: 3,
            beta: 3,
            mean: 3,
            scale: 3,
        });
    });
    let dtype = NodeFault::DType {
        id: 0,
        wanted: DType::F32,
        found: DType::I8,
    };
    assert_eq!(found, fault(0, dtype));
}

#[test]
fn dropouts() {
    let dropout = Op::Dropout(Dropout { probability: 1000 });
    let found = integer(|parts| parts.nodes[0].op = dropout);
    let dtype = NodeFault::DType {
        id: 0,
        wanted: DType::F32,
        found: DType::I8,
    };
    assert_eq!(found, fault(0, dtype));
    let over = |dims: &[usize]| {
        float(|parts| {
            let heads = [Head::new(Loss::MeanSquaredError)];
            parts.train = parts.train.and_then(|spec| spec.with_heads(&heads));
            parts.nodes[4].op = dropout;
            parts.tensors[9].shape = shape(dims);
        })
    };
    assert_eq!(over(&[2]), Ok(()));
    assert_eq!(over(&[1, 2]), fault(4, NodeFault::Shape(9)));
}
