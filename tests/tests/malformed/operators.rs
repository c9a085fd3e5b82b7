//! Sums, products and what moves numbers, with a rule broken: each is refused with the fault that names it.

use host::export::{BuildError, Builder};
use nn_core::fixed_point::Rescale;
use nn_core::model::NodeFault;
use nn_core::ops::{
    Activation, Add, AddRequant, Concat, Embedding, Lookup, Mul, Op, Pad, Prelu, Requantize,
    Transpose,
};
use nn_core::tensor::{DType, Quant, Shape, Tensor, TensorId};

const HALF: Rescale = Rescale {
    multiplier: 1 << 30,
    shift: 0,
};

fn quant(dtype: DType, scale: f32) -> Quant {
    match dtype {
        DType::I8 => Quant::PerTensor {
            scale,
            zero_point: 3,
        },
        _ => Quant::None,
    }
}

/// The fault of one node. Its inputs get the ids from 0 on, its weights (given by shape) those after them.
fn fault(
    op: Op,
    inputs: &[(&[usize], DType)],
    weights: &[(&[usize], DType)],
    output: (&[usize], DType),
) -> Option<NodeFault> {
    let mut builder = Builder::new("operator");
    let ids: Vec<TensorId> = inputs
        .iter()
        .map(|(shape, dtype)| builder.input(shape, *dtype, quant(*dtype, 0.5)))
        .collect::<Result<_, _>>()
        .unwrap();
    for (shape, dtype) in weights {
        let bytes = vec![0; shape.iter().product::<usize>() * dtype.size()];
        let quant = quant(*dtype, 0.5);
        builder.weight(shape, *dtype, quant, &bytes).unwrap();
    }
    let (shape, dtype) = output;
    let shape = Shape::new(shape).unwrap();
    let tensor = Tensor::activation(shape, dtype, quant(dtype, 0.5));
    let output = builder.node_of("operator", op, &ids, tensor).unwrap();
    match builder.finish(&[output], None) {
        Ok(_) => None,
        Err(BuildError::Node { fault, .. }) => Some(fault),
        Err(other) => panic!("{other}"),
    }
}

use DType::{F32, I8, I32, Q16};

const MAP: &[usize] = &[2, 3, 4];

#[test]
fn sums_and_products() {
    let requant = AddRequant {
        x0: HALF,
        x1: HALF,
        y: HALF,
    };
    let add = |requant, activation| {
        Op::Add(Add {
            requant,
            activation,
        })
    };
    let mul = |requant| {
        Op::Mul(Mul {
            requant,
            activation: Activation::None,
        })
    };
    let real = add(None, Activation::None);
    let integer = add(Some(requant), Activation::None);
    assert_eq!(
        fault(real, &[(MAP, F32), (&[4], F32)], &[], (MAP, F32)),
        None
    );
    assert_eq!(
        fault(integer, &[(MAP, I8), (&[1], I8)], &[], (MAP, I8)),
        None
    );
    assert_eq!(
        fault(mul(None), &[(MAP, Q16), (MAP, Q16)], &[], (MAP, Q16)),
        None
    );

    let one = fault(real, &[(MAP, F32)], &[], (MAP, F32));
    let arity = |wanted, found| Some(NodeFault::Arity { wanted, found });
    assert_eq!(one, arity(2, 1));
    let three = fault(real, &[(MAP, F32), (MAP, F32), (MAP, F32)], &[], (MAP, F32));
    assert_eq!(three, arity(2, 3));
    // [3] is no end of [2, 3, 4]; the first is not repeated along the second.
    let end = fault(real, &[(MAP, F32), (&[3], F32)], &[], (MAP, F32));
    assert_eq!(end, Some(NodeFault::Shape(1)));
    let first = fault(real, &[(&[4], F32), (MAP, F32)], &[], (MAP, F32));
    assert_eq!(first, Some(NodeFault::Shape(1)));
    let output = fault(real, &[(MAP, F32), (&[4], F32)], &[], (&[4], F32));
    assert_eq!(output, Some(NodeFault::Shape(2)));
    let mixed = fault(real, &[(MAP, F32), (MAP, Q16)], &[], (MAP, F32));
    let wanted = NodeFault::DType {
        id: 1,
        wanted: F32,
        found: Q16,
    };
    assert_eq!(mixed, Some(wanted));
    // Factors just in int8, and in range.
    let int8 = |op| fault(op, &[(MAP, I8), (MAP, I8)], &[], (MAP, I8));
    let float = |op| fault(op, &[(MAP, F32), (MAP, F32)], &[], (MAP, F32));
    for found in [
        int8(real),
        float(integer),
        int8(mul(None)),
        float(mul(Some(HALF))),
    ] {
        assert_eq!(found, Some(NodeFault::Quant));
    }
    for (multiplier, shift) in [(-1, 0), (1 << 30, 31), (1 << 30, -32), (1 << 30, i8::MIN)] {
        let bad = Rescale { multiplier, shift };
        assert_eq!(int8(mul(Some(bad))), Some(NodeFault::Quant));
        let y = Some(AddRequant { y: bad, ..requant });
        assert_eq!(int8(add(y, Activation::None)), Some(NodeFault::Quant));
    }
    // A sum's factors are below 1.
    let above = Rescale { shift: 1, ..HALF };
    let x1 = Some(AddRequant {
        x1: above,
        ..requant
    });
    assert_eq!(int8(add(x1, Activation::None)), Some(NodeFault::Quant));
    let tanh = int8(add(Some(requant), Activation::Tanh));
    assert_eq!(tanh, Some(NodeFault::Activation));
}

#[test]
fn what_moves_numbers() {
    let concat = |axis| Op::Concat(Concat { axis });
    let two: &[(&[usize], DType)] = &[(MAP, F32), (&[2, 1, 4], F32)];
    assert_eq!(fault(concat(1), two, &[], (&[2, 4, 4], F32)), None);
    assert_eq!(
        fault(concat(1), two, &[], (MAP, F32)),
        Some(NodeFault::Shape(2))
    );
    for axis in [0, 3, u8::MAX] {
        let found = fault(concat(axis), two, &[], (&[2, 4, 4], F32));
        assert_eq!(found, Some(NodeFault::Shape(2)), "axis {axis}");
    }
    let one = fault(concat(1), &[(MAP, F32)], &[], (MAP, F32));
    assert_eq!(
        one,
        Some(NodeFault::Arity {
            wanted: 2,
            found: 1
        })
    );

    let x: &[(&[usize], DType)] = &[(&[2, 3], I8)];
    let pad = |before, after| Op::Pad(Pad { before, after });
    assert_eq!(
        fault(pad([1, 0, 0, 0], [0, 2, 0, 0]), x, &[], (&[3, 5], I8)),
        None
    );
    // An axis that is not there.
    let axis = fault(pad([0; 4], [0, 0, 1, 0]), x, &[], (&[2, 3], I8));
    assert_eq!(axis, Some(NodeFault::Geometry));
    let shape = fault(
        pad([1; 4], [0; 4]),
        &[(&[2, 3, 1, 1], I8)],
        &[],
        (&[2, 3], I8),
    );
    assert_eq!(shape, Some(NodeFault::Shape(1)));

    let transpose = |axes| Op::Transpose(Transpose { axes });
    assert_eq!(fault(transpose([1, 0, 2, 3]), x, &[], (&[3, 2], I8)), None);
    for axes in [[0, 0, 2, 3], [1, 0, 3, 2], [4, 0, 1, 2], [u8::MAX; 4]] {
        let found = fault(transpose(axes), x, &[], (&[3, 2], I8));
        assert_eq!(found, Some(NodeFault::Geometry), "{axes:?}");
    }
    assert_eq!(fault(Op::Reshape, x, &[], (&[6], I8)), None);
    let more = fault(Op::Reshape, x, &[], (&[7], I8));
    assert_eq!(more, Some(NodeFault::Shape(1)));
}

#[test]
fn pools_slopes_and_tables() {
    let x: &[(&[usize], DType)] = &[(MAP, I8)];
    let mean = |rescale| Op::GlobalAvgPool(rescale);
    assert_eq!(fault(mean(Some(HALF)), x, &[], (&[4], I8)), None);
    assert_eq!(
        fault(mean(None), x, &[], (&[4], I8)),
        Some(NodeFault::Quant)
    );
    let shape = fault(Op::GlobalMaxPool, x, &[], (&[3], I8));
    assert_eq!(shape, Some(NodeFault::Shape(1)));

    let prelu = Op::Prelu(Prelu {
        slope: 1,
        requant: None,
    });
    let x: &[(&[usize], DType)] = &[(MAP, F32)];
    assert_eq!(fault(prelu, x, &[(&[4], F32)], (MAP, F32)), None);
    let slope = fault(prelu, x, &[(&[3], F32)], (MAP, F32));
    assert_eq!(slope, Some(NodeFault::Shape(1)));
    let int8 = fault(prelu, &[(MAP, I8)], &[(&[4], I8)], (MAP, I8));
    assert_eq!(int8, Some(NodeFault::Quant));

    let embedding = Op::Embedding(Embedding { table: 1 });
    let x: &[(&[usize], DType)] = &[(&[5], I32)];
    let table: &[(&[usize], DType)] = &[(&[7, 3], I8)];
    assert_eq!(fault(embedding, x, table, (&[5, 3], I8)), None);
    let features = fault(embedding, x, table, (&[5, 7], I8));
    assert_eq!(features, Some(NodeFault::Shape(2)));
    let map = fault(embedding, &[(&[5, 1], I32)], table, (&[5, 3], I8));
    assert_eq!(map, Some(NodeFault::Shape(0)));
    let index = fault(embedding, &[(&[5], I8)], table, (&[5, 3], I8));
    let wanted = NodeFault::DType {
        id: 0,
        wanted: I32,
        found: I8,
    };
    assert_eq!(index, Some(wanted));

    let lookup = Op::Lookup(Lookup { table: 1 });
    let x: &[(&[usize], DType)] = &[(&[5], I8)];
    assert_eq!(fault(lookup, x, &[(&[256], I8)], (&[5], I8)), None);
    let short = fault(lookup, x, &[(&[255], I8)], (&[5], I8));
    assert_eq!(short, Some(NodeFault::Shape(1)));

    let requantize = |rescale, activation| {
        Op::Requantize(Requantize {
            rescale,
            activation,
        })
    };
    let relu = requantize(HALF, Activation::Relu);
    assert_eq!(fault(relu, x, &[], (&[5], I8)), None);
    let sigmoid = requantize(HALF, Activation::Sigmoid);
    assert_eq!(
        fault(sigmoid, x, &[], (&[5], I8)),
        Some(NodeFault::Activation)
    );
    let shift = requantize(Rescale { shift: 31, ..HALF }, Activation::None);
    assert_eq!(fault(shift, x, &[], (&[5], I8)), Some(NodeFault::Quant));
}
