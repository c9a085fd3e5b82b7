//! Nodes, inputs, outputs and training plans that break a rule.

use nn_core::memory::PlanError;
use nn_core::model::{Ids, LoadError, NodeFault};
use nn_core::ops::{Activation, Conv2d, Dense, Op, Pool2d};
use nn_core::tensor::{DType, Quant, Shape};
use nn_core::train::{Clip, Head, Loss, SpecError, TrainSpec, Trainable};
use tests::parts::Parts;

use crate::{float, integer};

fn node_fault(index: usize, fault: NodeFault) -> Result<(), LoadError> {
    Err(LoadError::Node { index, fault })
}

#[test]
fn tensors_that_do_not_exist() {
    let inputs = float(|parts| parts.nodes[3].inputs = Ids::one(10));
    assert_eq!(inputs, node_fault(3, NodeFault::NoTensor(10)));
    let output = float(|parts| parts.nodes[4].output = 10);
    // The graph's output is then written by nobody.
    assert_eq!(output, Err(LoadError::Endpoint { id: Some(9) }));
    let output = float(|parts| parts.nodes[0].output = u16::MAX);
    assert_eq!(output, node_fault(0, NodeFault::NoTensor(u16::MAX)));
    let weight = float(|parts| change_conv(parts, |conv| conv.weight = 99));
    assert_eq!(weight, node_fault(0, NodeFault::NoTensor(99)));
    let bias = float(|parts| change_conv(parts, |conv| conv.bias = Some(99)));
    assert_eq!(bias, node_fault(0, NodeFault::NoTensor(99)));
    let requant = integer(|parts| change_dense(parts, 0, |dense| dense.requant = Some(99)));
    assert_eq!(requant, node_fault(0, NodeFault::NoTensor(99)));
}

fn change_conv(parts: &mut Parts, change: impl FnOnce(&mut Conv2d)) {
    match &mut parts.nodes[0].op {
        Op::Conv2d(conv) => change(conv),
        other => panic!("{other:?}"),
    }
}

fn change_dense(parts: &mut Parts, node: usize, change: impl FnOnce(&mut Dense)) {
    match &mut parts.nodes[node].op {
        Op::Dense(dense) => change(dense),
        other => panic!("{other:?}"),
    }
}

fn change_pool(parts: &mut Parts, change: impl FnOnce(&mut Pool2d)) {
    match &mut parts.nodes[1].op {
        Op::MaxPool2d(pool) => change(pool),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cycles_and_order() {
    // A node that reads what it writes.
    let own = float(|parts| parts.nodes[2].inputs = Ids::one(5));
    assert_eq!(own, node_fault(2, NodeFault::Order(5)));
    // A cycle over two nodes.
    let cycle = float(|parts| parts.nodes[0].inputs = Ids::one(4));
    assert_eq!(cycle, node_fault(0, NodeFault::Order(4)));
    // No cycle, but out of order.
    let order = float(|parts| parts.nodes.swap(2, 3));
    assert_eq!(order, node_fault(2, NodeFault::Order(5)));
    // Nobody writes it at all.
    let missing = float(|parts| {
        parts.nodes.remove(0);
    });
    assert_eq!(missing, node_fault(0, NodeFault::Order(3)));
}

#[test]
fn outputs_that_may_not_be_written() {
    // A graph input, a weight, and what another node wrote.
    for id in [0, 1, 4] {
        let found = float(|parts| parts.nodes[2].output = id);
        assert_eq!(found, node_fault(2, NodeFault::Output(id)));
    }
}

#[test]
fn arity() {
    for ids in [&[][..], &[4, 3], &[4, 4, 4, 4]] {
        let found = float(|parts| parts.nodes[2].inputs = Ids::new(ids).unwrap());
        let (wanted, found_arity) = (1, ids.len());
        let fault = NodeFault::Arity {
            wanted,
            found: found_arity,
        };
        assert_eq!(found, node_fault(2, fault));
    }
}

#[test]
fn number_types() {
    let of = |id, wanted, found| NodeFault::DType { id, wanted, found };
    let output = float(|parts| parts.tensors[8].dtype = DType::Q16);
    assert_eq!(output, node_fault(3, of(8, DType::F32, DType::Q16)));
    let weight = float(|parts| parts.tensors[6].dtype = DType::I32);
    assert_eq!(weight, node_fault(3, of(6, DType::F32, DType::I32)));
    let bias = integer(|parts| parts.tensors[3].dtype = DType::F32);
    assert_eq!(bias, node_fault(0, of(3, DType::I32, DType::F32)));
    let requant = integer(|parts| parts.tensors[4].dtype = DType::F32);
    assert_eq!(requant, node_fault(0, of(4, DType::I32, DType::F32)));
    let real = integer(|parts| parts.tensors[6].dtype = DType::I32);
    assert_eq!(real, node_fault(1, of(6, DType::F32, DType::I32)));
    let input = float(|parts| parts.tensors[0].dtype = DType::I32);
    assert_eq!(input, node_fault(0, of(0, DType::F32, DType::I32)));
    // A convolution computes in Q16 where all of it is Q16.
    let input = float(|parts| parts.tensors[0].dtype = DType::Q16);
    assert_eq!(input, node_fault(0, of(3, DType::Q16, DType::F32)));
    let other_way = float(|parts| parts.nodes[4].op = Op::Dequantize);
    assert_eq!(other_way, node_fault(4, of(8, DType::I8, DType::F32)));
    let quantize = float(|parts| parts.nodes[4].op = Op::Quantize);
    assert_eq!(quantize, node_fault(4, of(9, DType::I8, DType::F32)));
}

#[test]
fn shapes_that_do_not_follow() {
    for (id, node, dims) in [
        (0u16, 0usize, &[16][..]),
        (1, 0, &[2, 2, 1, 1]),
        (2, 0, &[1]),
        (3, 0, &[3, 3, 1]),
        (3, 0, &[3, 2, 2]),
        (4, 1, &[2, 2, 1]),
        (5, 2, &[2, 2]),
        (6, 3, &[8]),
        (7, 3, &[1]),
        (8, 3, &[1]),
        (9, 4, &[1, 2]),
    ] {
        let found = float(|parts| parts.tensors[usize::from(id)].shape = Shape::new(dims).unwrap());
        // Where a weight shrinks, it is the output's or the bias's shape that no longer follows.
        let reported = match (id, node) {
            (1, 0) => 3,
            _ => id,
        };
        assert_eq!(
            found,
            node_fault(node, NodeFault::Shape(reported)),
            "tensor {id} as {dims:?}"
        );
    }
    // Channels of the input that the kernel does not have.
    let channels = float(|parts| parts.tensors[0].shape = Shape::new(&[4, 4, 3]).unwrap());
    assert_eq!(channels, node_fault(0, NodeFault::Shape(1)));
    // A dense layer reads a vector of the weight's length.
    let length = float(|parts| parts.tensors[6].shape = Shape::new(&[2, 2]).unwrap());
    assert_eq!(length, node_fault(3, NodeFault::Shape(5)));
    // Multipliers and shifts: two rows.
    let table = integer(|parts| parts.tensors[4].shape = Shape::new(&[4]).unwrap());
    assert_eq!(table, node_fault(0, NodeFault::Shape(4)));
    let scales = integer(|parts| parts.tensors[1].shape = Shape::new(&[1]).unwrap());
    assert_eq!(scales, node_fault(0, NodeFault::Shape(1)));
    // A softmax keeps its input's shape.
    let softmax = float(|parts| parts.nodes[2].op = Op::Softmax(None));
    assert_eq!(softmax, node_fault(2, NodeFault::Shape(5)));
}

#[test]
fn parameters() {
    let refused = node_fault(3, NodeFault::Parameter);
    // An activation as a weight or a bias, a weight as an input.
    assert_eq!(float(|p| change_dense(p, 3, |d| d.weight = 5)), refused);
    assert_eq!(float(|p| change_dense(p, 3, |d| d.bias = Some(8))), refused);
    assert_eq!(float(|p| p.nodes[3].inputs = Ids::one(7)), refused);
    // A requantization in f32, none in int8.
    assert_eq!(
        float(|p| change_dense(p, 3, |d| d.requant = Some(7))),
        refused
    );
    let missing = integer(|p| change_dense(p, 0, |d| d.requant = None));
    assert_eq!(missing, node_fault(0, NodeFault::Parameter));
    // Without a bias is fine, in either type.
    assert_eq!(float(|p| change_dense(p, 3, |d| d.bias = None)), Ok(()));
    assert_eq!(integer(|p| change_dense(p, 0, |d| d.bias = None)), Ok(()));
}

#[test]
fn windows() {
    let conv = node_fault(0, NodeFault::Geometry);
    for stride in [[0, 1], [1, 0]] {
        assert_eq!(float(|p| change_conv(p, |c| c.stride = stride)), conv);
    }
    for padding in [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 255]] {
        assert_eq!(float(|p| change_conv(p, |c| c.padding = padding)), conv);
    }
    let pool = node_fault(1, NodeFault::Geometry);
    for kernel in [[0, 1], [1, 0], [4, 1], [1, 4], [16, 17], [255, 255]] {
        let found = float(|p| change_pool(p, |c| c.kernel = kernel));
        assert_eq!(found, pool, "{kernel:?}");
    }
    // A kernel larger than a byte.
    let wide = float(|p| {
        p.tensors[1].shape = Shape::new(&[256, 1, 1, 2]).unwrap();
        p.weights.resize(4096, 0);
    });
    assert_eq!(wide, conv);
}

#[test]
fn int8_rules() {
    let quant = node_fault(0, NodeFault::Quant);
    assert_eq!(integer(|p| p.tensors[0].quant = Quant::None), quant);
    assert_eq!(integer(|p| p.tensors[5].quant = Quant::None), quant);
    assert_eq!(integer(|p| p.tensors[2].quant = Quant::None), quant);
    // Multipliers below 2^30, shifts past their range, scales that are no scale.
    let set = |at: usize, value: i32| {
        integer(|p| p.weights[at..at + 4].copy_from_slice(&value.to_le_bytes()))
    };
    for multiplier in [1, -1, (1 << 30) - 1, i32::MIN] {
        assert_eq!(set(32, multiplier), quant, "multiplier {multiplier}");
        assert_eq!(set(36, multiplier), quant, "multiplier {multiplier}");
    }
    assert_eq!(set(32, 0), Ok(()));
    for shift in [31, -32, i32::MAX, i32::MIN] {
        assert_eq!(set(40, shift), quant, "shift {shift}");
        assert_eq!(set(44, shift), quant, "shift {shift}");
    }
    for shift in [30, -31] {
        assert_eq!(set(40, shift), Ok(()));
    }
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(
            set(4, scale.to_bits().cast_signed()),
            quant,
            "scale {scale}"
        );
    }
    for activation in [Activation::Sigmoid, Activation::Tanh] {
        let found = integer(|p| change_dense(p, 0, |d| d.activation = activation));
        assert_eq!(found, node_fault(0, NodeFault::Activation));
    }
}

#[test]
fn endpoints() {
    let refused = |id| Err(LoadError::Endpoint { id });
    assert_eq!(float(|p| p.inputs.clear()), refused(None));
    assert_eq!(float(|p| p.outputs.clear()), refused(None));
    for id in [1, 10, u16::MAX] {
        assert_eq!(float(|p| p.inputs[0] = id), refused(Some(id)));
        assert_eq!(float(|p| p.outputs[0] = id), refused(Some(id)));
    }
    // An output that nobody writes, which would show what lay in the arena before.
    assert_eq!(float(|p| p.outputs[0] = 0), refused(Some(0)));
    assert_eq!(float(|p| p.nodes.clear()), refused(Some(9)));
}

#[test]
fn training_plans() {
    let nothing = Err(LoadError::TrainSpec(PlanError::NothingToTrain));
    let loss = Err(LoadError::TrainSpec(PlanError::Loss { output: 0 }));
    let field = |found: Result<(), LoadError>, field: &str| match found {
        Err(LoadError::TrainSpec(PlanError::Spec(SpecError::Field { name, .. }))) => {
            assert_eq!(name, field);
        }
        other => panic!("{field}: {other:?}"),
    };
    let plan = |change: &dyn Fn(TrainSpec) -> TrainSpec| float(|p| p.train = p.train.map(change));
    for rate in [f32::NAN, f32::INFINITY, -0.1] {
        let rated = |mut spec: TrainSpec| {
            spec.learning_rate = rate;
            spec
        };
        field(plan(&rated), "learning_rate");
        field(plan(&|spec| spec.with_momentum(rate)), "momentum");
        field(plan(&|spec| spec.with_weight_decay(rate)), "weight_decay");
    }
    field(plan(&|spec| spec.with_momentum(1.0)), "momentum");
    field(plan(&|spec| spec.with_accumulation(0)), "accumulate");
    field(plan(&|spec| spec.with_clip(Clip::Norm(0.0))), "clip");
    let heads =
        |heads: &[Head]| float(|p| p.train = p.train.and_then(|spec| spec.with_heads(heads)));
    let none = Err(LoadError::TrainSpec(PlanError::Spec(SpecError::NoHeads)));
    assert_eq!(heads(&[]), none);
    let second = Err(LoadError::TrainSpec(PlanError::Loss { output: 1 }));
    assert_eq!(heads(&[Head::new(Loss::MeanSquaredError).at(1)]), second);
    // Nothing to train: no node named, none of the named with weights.
    for nodes in [
        Trainable::Last(0),
        Trainable::Nodes(0),
        Trainable::Nodes(0b10110),
        Trainable::Node(40),
    ] {
        let found = plan(&|spec| spec.with_rules(&[nodes.into()]).expect("one rule"));
        assert_eq!(found, nothing);
    }
    // int8 learns where no node has real numbers.
    let int8 = integer(|p| {
        p.train = Some(TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.1));
    });
    assert_eq!(int8, Ok(()));
    // Cross-entropy without a softmax at the end, or with one that feeds another node.
    let logits = float(|p| {
        p.nodes.pop();
        p.outputs[0] = 8;
    });
    assert_eq!(logits, loss);
    let fed = float(|p| {
        p.tensors.push(p.tensors[9]);
        let mut again = p.nodes[4];
        (again.inputs, again.output) = (Ids::one(9), 10);
        p.nodes.push(again);
    });
    assert_eq!(fed, loss);
    // Class weights that are no weight, no vector, and such as fit.
    let weighted = |id| heads(&[Head::new(Loss::CrossEntropy).with_class_weights(id)]);
    assert_eq!(weighted(0), loss);
    assert_eq!(weighted(6), loss);
    assert_eq!(weighted(7), Ok(()));
    // … and whose values are no factors.
    for (value, valid) in [(0.0f32, true), (-0.5, false), (f32::NAN, false)] {
        let loaded = float(|p| {
            p.weights[80..84].copy_from_slice(&value.to_le_bytes());
            let head = Head::new(Loss::CrossEntropy).with_class_weights(7);
            p.train = p.train.and_then(|plan| plan.with_heads(&[head]));
        });
        assert_eq!(loaded, if valid { Ok(()) } else { loss }, "{value}");
    }
    // A branch that no loss reads, and an output in the middle, are as good as any.
    assert_eq!(float(|p| p.outputs.push(8)), Ok(()));
    let branch = float(|p| {
        p.tensors.push(p.tensors[9]);
        let mut again = p.nodes[4];
        again.output = 10;
        p.nodes.push(again);
    });
    assert_eq!(branch, Ok(()));
}
