//! Which kernels run a layer of int8 weights, and why not packed ones.

use nn_core::kernels::packed::Layout;
use nn_core::model::{Model, Node, layout};
use nn_core::ops::Op;
use nn_core::tensor::DType;

use crate::export::Builder;

/// A layout of weights, by its name.
pub(super) fn layout_name(number: u16) -> &'static str {
    match number {
        layout::PLAIN => "plain",
        layout::ARMV7EM => "armv7em",
        layout::ARMV7M => "armv7m",
        _ => "unknown",
    }
}

/// The layers that a packed layout leaves plain, the model's own or else that of Cortex-M4, and why.
pub(super) fn unpacked(model: &Model) -> Vec<(String, String)> {
    let (builder, outputs) = Builder::of(model);
    let layout = match model.header().layout {
        layout::ARMV7M => Layout::Armv7m,
        _ => Layout::Armv7em,
    };
    let packed = builder.to_packed(layout, &outputs);
    let plain = packed.map_or(Vec::new(), |packed| packed.plain);
    let reasons = plain.into_iter();
    reasons
        .map(|(name, error)| (name, error.to_string()))
        .collect()
}

/// `packed`, `plain` or `none`, and why it is plain.
pub(super) fn of(
    model: &Model,
    node: &Node,
    unpacked: &[(String, String)],
) -> (&'static str, Option<String>) {
    if matches!(
        node.op,
        Op::PackedDense(_) | Op::PackedConv2d(_) | Op::PackedLstm(_)
    ) {
        return ("packed", None);
    }
    let weight = node.op.parameters().next().and_then(|id| model.tensor(id));
    if weight.is_none_or(|weight| weight.dtype != DType::I8) {
        return ("none", None);
    }
    let refused = unpacked.iter().find(|(name, _)| name == node.name);
    let reason = match (refused, node.op) {
        (Some((_, reason)), _) => reason.clone(),
        (None, Op::Conv2d(conv)) if conv.dilation != [1, 1] => {
            "packed kernels have no dilation".to_owned()
        }
        (None, Op::Conv2d(conv)) if conv.groups > 1 && !is_depthwise(model, node, conv.groups) => {
            "packed kernels have one group, or as many as input and output channels".to_owned()
        }
        (None, op) if !has_packed_form(op) => format!("{} has no packed form", op.name()),
        _ => "this file has the plain layout: `mote export --for m4` packs it".to_owned(),
    };
    ("plain", Some(reason))
}

fn is_depthwise(model: &Model, node: &Node, groups: u16) -> bool {
    let channels = |id| Some(*model.tensor(id)?.shape.dims().last()?);
    let x = node.inputs.as_slice().first().and_then(|id| channels(*id));
    x == Some(u32::from(groups)) && x == channels(node.output)
}

fn has_packed_form(op: Op) -> bool {
    matches!(op, Op::Dense(_) | Op::Conv2d(_) | Op::Lstm(_))
}
