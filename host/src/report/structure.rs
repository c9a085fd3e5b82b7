//! The structure of a model: Graphviz text, and the same laid out as SVG.

use std::fmt::Write as _;

use layout::backends::svg::SVGWriter;
use layout::gv::{DotParser, GraphBuilder};
use nn_core::model::Model;
use nn_core::tensor::TensorId;

use crate::export::{Endpoint, Inspection, LayerCost};
use crate::recipe::shape;

/// The graph of `model`, which `inspection` describes, in Graphviz's language: inputs and outputs as ellipses, a box for each
/// layer, those that learn on the device filled, and an edge for each tensor that a layer reads.
pub fn dot(model: &Model<'_>, inspection: &Inspection) -> String {
    let mut text = format!("digraph {} {{\n", quoted(model.name()));
    text.push_str("  rankdir=TB;\n");
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {line};");
    };
    let ends = |ids: &[TensorId], ends: &[Endpoint]| -> Vec<(TensorId, String)> {
        let ends = ends
            .iter()
            .map(|end| format!("{} {}", end.dtype, dims(&end.shape)));
        ids.iter().copied().zip(ends).collect()
    };
    let inputs = ends(model.inputs().as_slice(), &inspection.inputs);
    for (index, (_, what)) in inputs.iter().enumerate() {
        let label = quoted(&format!("input {index}\n{what}"));
        line(format_args!("input{index} [shape=ellipse, label={label}]"));
    }
    let learning = inspection.train.as_ref();
    let learns = |name: &String| learning.is_some_and(|plan| plan.trainable.contains(name));
    for layer in &inspection.layers {
        let fill = match learns(&layer.name) {
            true => ", style=filled, fillcolor=lightblue",
            false => "",
        };
        let label = quoted(&described(layer));
        line(format_args!(
            "layer{} [shape=box, label={label}{fill}]",
            layer.index
        ));
    }
    let outputs = ends(model.outputs().as_slice(), &inspection.outputs);
    for (index, (_, what)) in outputs.iter().enumerate() {
        let label = quoted(&format!("output {index}\n{what}"));
        line(format_args!("output{index} [shape=ellipse, label={label}]"));
    }
    // Where a tensor comes from: an input of the graph, or the layer that gives it.
    let origin = |id: TensorId| {
        let mut nodes = model.nodes().iter();
        match nodes.position(|node| node.output == id) {
            Some(index) => Some(format!("layer{index}")),
            None => {
                let index = inputs.iter().position(|(input, _)| *input == id);
                index.map(|index| format!("input{index}"))
            }
        }
    };
    for (index, node) in model.nodes().iter().enumerate() {
        for from in node.inputs.as_slice().iter().filter_map(|&id| origin(id)) {
            line(format_args!("{from} -> layer{index}"));
        }
    }
    for (index, (id, _)) in outputs.iter().enumerate() {
        if let Some(from) = origin(*id) {
            line(format_args!("{from} -> output{index}"));
        }
    }
    text.push_str("}\n");
    text
}

/// Graphviz text laid out from the top down.
///
/// # Errors
/// What is wrong with the text.
pub fn svg(dot: &str) -> Result<String, String> {
    let graph = DotParser::new(dot).process()?;
    let mut builder = GraphBuilder::new();
    builder.visit_graph(&graph);
    let mut picture = SVGWriter::new();
    builder.get().do_it(false, false, false, &mut picture);
    Ok(picture.finalize())
}

/// What a box says.
fn described(layer: &LayerCost) -> String {
    let mut text = layer.name.clone();
    let mut add = |line: std::fmt::Arguments<'_>| {
        // Writing to a String does not fail.
        let _ = write!(text, "\n{line}");
    };
    add(format_args!(
        "{}, {} {}",
        layer.op,
        layer.dtype,
        dims(&layer.output_shape)
    ));
    if layer.parameters > 0 {
        add(format_args!("{} parameters", layer.parameters));
    }
    if layer.macs > 0 {
        add(format_args!("{} MACs", layer.macs));
    }
    if let Some(instructions) = layer.instructions {
        add(format_args!("{instructions} instructions"));
    }
    text
}

fn dims(dims: &[u32]) -> String {
    shape(&dims.iter().map(|&dim| dim as usize).collect::<Vec<_>>())
}

/// A string of Graphviz's language.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nn_core::ops::{Activation, Op};
    use nn_core::tensor::{DType, Quant};
    use nn_core::train::{Loss, TrainSpec, Trainable};

    use super::*;
    use crate::blob::Blob;
    use crate::export::{BuildError, Builder};

    /// Two layers side by side, summed; only the last learns.
    fn branched() -> Result<Blob, BuildError> {
        let mut builder = Builder::new("a \"branch\"");
        let x = builder.input(&[2], DType::F32, Quant::None)?;
        let a = builder.dense("left", x, &[1.0; 4], &[0.0; 2], Activation::Relu)?;
        let b = builder.dense("right", x, &[1.0; 4], &[0.0; 2], Activation::None)?;
        let sum = builder.add("sum", [a, b], Activation::None)?;
        let y = builder.dense("last", sum, &[1.0; 6], &[0.0; 3], Activation::None)?;
        let y = builder.same("softmax", Op::Softmax(None), y)?;
        let spec = TrainSpec::sgd(Trainable::Last(1), Loss::CrossEntropy, 0.1);
        let bytes = builder.finish(&[y], Some(spec))?;
        Ok(Blob::new(Path::new("branched"), bytes).unwrap())
    }

    #[test]
    fn every_tensor_is_an_edge_and_what_learns_is_filled() {
        let blob = branched().unwrap();
        let text = dot(&blob.model(), &Inspection::of(&blob));
        for wanted in [
            "digraph \"a \\\"branch\\\"\" {",
            "input0 -> layer0;",
            "input0 -> layer1;",
            "layer0 -> layer2;",
            "layer1 -> layer2;",
            "layer2 -> layer3;",
            "layer4 -> output0;",
            "label=\"left\\ndense, f32 2\\n6 parameters\\n4 MACs\"];",
        ] {
            assert!(text.contains(wanted), "no {wanted:?} in {text}");
        }
        assert_eq!(text.matches(" -> ").count(), 7);
        assert_eq!(text.matches("lightblue").count(), 1);
        let last = text.lines().find(|line| line.contains("\"last")).unwrap();
        assert!(last.contains("lightblue"), "{last}");
    }

    #[test]
    fn the_picture_names_every_layer() {
        let blob = branched().unwrap();
        let picture = svg(&dot(&blob.model(), &Inspection::of(&blob))).unwrap();
        assert!(picture.starts_with("<?xml") && picture.ends_with("</svg>"));
        for name in [
            "input 0", "left", "right", "sum", "last", "softmax", "output 0",
        ] {
            assert!(picture.contains(&format!(">{name}</")), "{name}: {picture}");
        }
        assert!(svg("digraph {").is_err());
    }
}
