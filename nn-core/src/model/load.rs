//! The checks that a blob passes before anything runs.

use crate::kernels::packed::Layout;
use crate::model::header::{ALIGN, checksum, layout};
use crate::model::{
    HEADER_LEN, Header, Ids, LoadError, MAGIC, Model, Node, NodeFault, Seq, TensorFault, VERSION,
};
use crate::ops::{Check, OpSet};
use crate::tensor::{DType, Quant, Source, Tensor, TensorId};
use crate::train::PlanView;

pub(super) fn load<K: OpSet>(bytes: &[u8]) -> Result<Model<'_>, LoadError> {
    let (header, graph, weights) = sections(bytes)?;
    let model = parse::<K>(header, graph, weights).map_err(|left| match left {
        0 => LoadError::Graph,
        left => LoadError::GraphLength { left },
    })?;
    check_tensors(&model)?;
    check_endpoints(&model)?;
    check_nodes::<K>(&model)?;
    if K::TRAIN {
        check_train(&model)?;
    }
    Ok(model)
}

/// Splits the blob by its header.
fn sections(bytes: &[u8]) -> Result<(Header, &[u8], &[u8]), LoadError> {
    let found = bytes.len();
    let truncated = |wanted| LoadError::Truncated { wanted, found };
    let head = bytes
        .first_chunk::<HEADER_LEN>()
        .ok_or(truncated(HEADER_LEN))?;
    if let Some(&magic) = bytes.first_chunk::<4>().filter(|magic| **magic != MAGIC) {
        return Err(LoadError::Magic { found: magic });
    }
    let header = Header::decode(head);
    if header.version != VERSION {
        return Err(LoadError::Version {
            wanted: VERSION,
            found: header.version,
        });
    }
    if !layout::is_known(header.layout) {
        return Err(LoadError::Layout {
            found: header.layout,
        });
    }
    let too_long = truncated(usize::MAX);
    let graph_end = HEADER_LEN
        .checked_add(header.graph_len as usize)
        .ok_or(too_long)?;
    let weights_at = graph_end.checked_next_multiple_of(ALIGN).ok_or(too_long)?;
    if header.weights_at as usize != weights_at {
        return Err(LoadError::WeightsOffset {
            wanted: weights_at,
            found: header.weights_at as usize,
        });
    }
    // Offsets into the weights use 31 bits.
    if header.weights_len > i32::MAX as u32 {
        let wanted = weights_at.saturating_add(header.weights_len as usize);
        return Err(truncated(wanted));
    }
    let end = weights_at
        .checked_add(header.weights_len as usize)
        .ok_or(too_long)?;
    if found < end {
        return Err(truncated(end));
    }
    if found > end {
        return Err(LoadError::TrailingBytes { wanted: end, found });
    }
    let crc = checksum(bytes);
    if crc != header.crc {
        return Err(LoadError::Crc {
            wanted: header.crc,
            found: crc,
        });
    }
    if bytes.as_ptr().align_offset(ALIGN) != 0 {
        return Err(LoadError::Misaligned);
    }
    let graph = bytes.get(HEADER_LEN..graph_end).ok_or(LoadError::Graph)?;
    let weights = bytes.get(weights_at..end).ok_or(LoadError::Graph)?;
    Ok((header, graph, weights))
}

/// Decodes the graph's fields. The error is how many bytes are left behind them, 0 where they do not decode.
fn parse<'m, K: OpSet>(
    header: Header,
    graph: &'m [u8],
    weights: &'m [u8],
) -> Result<Model<'m>, usize> {
    let (name, rest) = postcard::take_from_bytes::<&str>(graph).map_err(|_| 0usize)?;
    let (tensors, rest) = Seq::<Tensor>::take(rest).ok_or(0usize)?;
    let (nodes, rest) = Seq::<Node>::take(rest).ok_or(0usize)?;
    let (inputs, rest) = postcard::take_from_bytes::<Ids>(rest).map_err(|_| 0usize)?;
    let (outputs, rest) = postcard::take_from_bytes::<Ids>(rest).map_err(|_| 0usize)?;
    let train = if K::TRAIN { train_plan(rest)? } else { None };
    let mut model = Model {
        header,
        name,
        tensors,
        nodes,
        inputs,
        outputs,
        train,
        weights,
        has_real: false,
    };
    // Only those that learn are asked.
    model.has_real =
        train.is_some() && nodes.iter().any(|node| model.has_real_parameters(&node.op));
    Ok(model)
}

/// Decodes what is left: whether there is a training plan, and the plan.
#[inline(never)]
fn train_plan(rest: &[u8]) -> Result<Option<PlanView<'_>>, usize> {
    let (learns, rest) = postcard::take_from_bytes::<bool>(rest).map_err(|_| 0usize)?;
    let (plan, rest) = if learns {
        let (plan, rest) = PlanView::take(rest).ok_or(0usize)?;
        (Some(plan), rest)
    } else {
        (None, rest)
    };
    match rest.len() {
        0 => Ok(plan),
        left => Err(left),
    }
}

fn check_tensors(model: &Model) -> Result<(), LoadError> {
    // Ids and planner entries are 16 bits.
    if model.tensors.len() > 0x3FFF || model.nodes.len() > 0x3FFF {
        return Err(LoadError::Graph);
    }
    for (id, tensor) in (0..).zip(model.tensors.iter()) {
        let fail = |fault| LoadError::Tensor { id, fault };
        check_tensor(model, &tensor).map_err(fail)?;
    }
    Ok(())
}

fn check_tensor(model: &Model, tensor: &Tensor) -> Result<(), TensorFault> {
    let elements = tensor.shape.elements().filter(|_| tensor.shape.is_valid());
    let bytes = elements
        .and_then(|elements| elements.checked_mul(tensor.dtype.size()))
        .filter(|bytes| *bytes <= i32::MAX as usize && tensor.shape.rank() > 0)
        .ok_or(TensorFault::Shape)?;
    if let Source::Weight { offset } = tensor.source {
        let wanted = model.weights.len();
        let found = (offset as usize).saturating_add(bytes);
        if found > wanted {
            return Err(TensorFault::OutOfRange { wanted, found });
        }
        if !(offset as usize).is_multiple_of(tensor.dtype.size()) {
            return Err(TensorFault::Misaligned);
        }
    }
    match tensor.quant {
        Quant::None => Ok(()),
        Quant::PerTensor { scale, zero_point } => {
            let valid = tensor.dtype == DType::I8
                && scale.is_finite()
                && scale > 0.0
                && (-128..=127).contains(&zero_point);
            valid.then_some(()).ok_or(TensorFault::Quant)
        }
        Quant::PerChannel { scales } => {
            let scales = model.tensor(scales).filter(|scales| {
                scales.dtype == DType::F32
                    && scales.quant == Quant::None
                    && matches!(scales.source, Source::Weight { .. })
            });
            let valid = tensor.dtype == DType::I8
                && matches!(tensor.source, Source::Weight { .. })
                && scales.is_some();
            valid.then_some(()).ok_or(TensorFault::Quant)
        }
    }
}

fn check_endpoints(model: &Model) -> Result<(), LoadError> {
    for list in [&model.inputs, &model.outputs] {
        if list.as_slice().is_empty() {
            return Err(LoadError::Endpoint { id: None });
        }
        for &id in list.as_slice() {
            let is_activation = model
                .tensor(id)
                .is_some_and(|tensor| tensor.source == Source::Activation);
            if !is_activation {
                return Err(LoadError::Endpoint { id: Some(id) });
            }
        }
    }
    for &id in model.outputs.as_slice() {
        // An output that nothing writes would show what lay in the arena before.
        if !model.nodes.iter().any(|node| node.output == id) {
            return Err(LoadError::Endpoint { id: Some(id) });
        }
    }
    Ok(())
}

fn check_nodes<K: OpSet>(model: &Model) -> Result<(), LoadError> {
    for (index, node) in model.nodes.iter().enumerate() {
        let fail = |fault| LoadError::Node { index, fault };
        let written = |id: TensorId| {
            model.inputs.as_slice().contains(&id)
                || model
                    .nodes
                    .iter()
                    .take(index)
                    .any(|before| before.output == id)
        };
        for &id in node.inputs.as_slice() {
            let tensor = model.tensor(id).ok_or(fail(NodeFault::NoTensor(id)))?;
            if tensor.source != Source::Activation {
                return Err(fail(NodeFault::Parameter));
            }
            if !written(id) {
                return Err(fail(NodeFault::Order(id)));
            }
        }
        let output = model
            .tensor(node.output)
            .ok_or(fail(NodeFault::NoTensor(node.output)))?;
        if output.source != Source::Activation || written(node.output) {
            return Err(fail(NodeFault::Output(node.output)));
        }
        let check = Check::new(model.tensors, &node.inputs, node.output).map_err(fail)?;
        node.op.check::<K>(&check).map_err(fail)?;
        check_multipliers(model, &node, &check).map_err(fail)?;
    }
    Ok(())
}

/// Multipliers in [2³⁰, 2³¹) or 0, shifts in −31..=30, channel scales finite and positive.
fn check_multipliers(model: &Model, node: &Node, check: &Check) -> Result<(), NodeFault> {
    let words = |id: TensorId| -> Result<&[i32], NodeFault> {
        let tensor = model.tensor(id);
        let bytes = tensor.map_or(&[][..], |tensor| model.weight_bytes(&tensor));
        crate::memory::numbers(bytes).ok_or(NodeFault::Quant)
    };
    if let Some(table) = node.op.recurrent_table() {
        let valid = node.op.takes_table(words(table)?);
        return valid.then_some(()).ok_or(NodeFault::Quant);
    }
    if let Some([weight, table]) = node.op.packed() {
        if Some(model.header.layout) != check.layout(weight).map(Layout::number) {
            return Err(NodeFault::Layout);
        }
        // Bytes of words begin where words do.
        words(weight)?;
        let valid = node.op.takes_packed(words(table)?);
        return valid.then_some(()).ok_or(NodeFault::Quant);
    }
    let (weight, requant) = match node.op {
        crate::ops::Op::Dense(dense) => (dense.weight, dense.requant),
        crate::ops::Op::Conv2d(conv) => (conv.weight, conv.requant),
        _ => return Ok(()),
    };
    let Some(requant) = requant else {
        return Ok(());
    };
    let table = words(requant)?;
    let (multipliers, shifts) = table.split_at_checked(table.len() / 2).unwrap_or_default();
    let in_range = multipliers.iter().all(|&m| m == 0 || m >= 1 << 30)
        && shifts.iter().all(|shift| (-31..=30).contains(shift));
    let scales = match model.tensor(weight).map(|tensor| tensor.quant) {
        Some(Quant::PerChannel { scales }) => words(scales)?,
        _ => &[],
    };
    let scales_valid = scales.iter().all(|&bits| {
        let scale = f32::from_bits(bits.cast_unsigned());
        scale.is_finite() && scale > 0.0
    });
    (in_range && scales_valid)
        .then_some(())
        .ok_or(NodeFault::Quant)
}

fn check_train(model: &Model) -> Result<(), LoadError> {
    if !model.learns() {
        return if model.header.arena_train == 0 {
            Ok(())
        } else {
            Err(LoadError::NoTrainSpec)
        };
    }
    crate::memory::Training::new(model)
        .map(|_| ())
        .map_err(LoadError::TrainSpec)
}
