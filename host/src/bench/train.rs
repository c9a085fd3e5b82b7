//! What a training step takes on a core: instructions, RAM and stack, measured in QEMU, of the networks of the
//! project's training table.

use std::path::Path;

use nn_core::kernels::packed::Layout;
use nn_core::ops::{Activation, Op};
use nn_core::scalar::MATH;
use nn_core::tensor::{DType, Quant, TensorId};
use nn_core::train::{Loss, Rounding, TrainSpec, Trainable};

use super::{BenchError, Cost, PATIENCE, build_roomy, mean, trace};
use crate::blob::Blob;
use crate::data::Stream;
use crate::device::boards::{Board, is_own_ram};
use crate::device::firmware::Content;
use crate::device::{Qemu, QemuOptions};
use crate::export::{AlignedBytes, BuildError, Builder, Gives, Inspection, Packed};
use crate::paths;
use crate::ui::Ui;

/// What can be measured by name: networks of f32, of Q16, of int8, and with an int8 backbone.
pub const LESSONS: [&str; 10] = [
    "mlp_f32_dense",
    "mlp_f32_digits",
    "iris_f32",
    "cnn_f32_all",
    "cnn_head_last",
    "cnn_f32_conv2_last",
    "cnn_i8_all",
    "mlp_q16_nearest",
    "mlp_q16_stochastic",
    "lstm_f32",
];

/// A power of two: fixed point then multiplies by it with a shift.
const RATE: f32 = 1.0 / 128.0;

/// The nodes of the digits' CNN that hold its second convolution and its last dense layer.
const CONV2_AND_LAST: u64 = 1 << 2 | 1 << 6;

/// The model of the row `name`, packed or plain.
///
/// # Errors
///
/// [`BenchError::Unknown`], or the model that it is made from is missing.
pub fn lesson(name: &str, layout: Option<Layout>) -> Result<(&'static str, Blob), BenchError> {
    let known = LESSONS.into_iter().find(|known| *known == name);
    let name = known.ok_or_else(|| BenchError::UnknownLesson(name.to_owned()))?;
    let blob_error = |source| BenchError::Blob { name, source };
    let trained = |file: &str, nodes: Trainable, rounding: Rounding| {
        let path = paths::workspace_root().join("models").join(file);
        let blob = Blob::open(&path).map_err(blob_error)?;
        let (mut builder, mut outputs) = Builder::of(&blob.model());
        let real = builder.real_outputs(&mut outputs);
        real.map_err(|source| BenchError::Layer { name, source })?;
        let spec = |nodes| {
            let spec = TrainSpec::sgd(nodes, Loss::CrossEntropy, RATE);
            Some(spec.with_rounding(rounding))
        };
        let made = if let Some(layout) = layout {
            // Where all learns, no int8 is packed.
            let learning: Vec<usize> = match nodes {
                Trainable::All => (0..blob.model().nodes().len()).collect(),
                _ => Vec::new(),
            };
            let packed = builder.to_packed_but(layout, &outputs, &learning);
            packed.and_then(|packed| {
                let nodes = match nodes {
                    Trainable::Nodes(mask) => Trainable::Nodes(packed_mask(&packed, mask)),
                    other => other,
                };
                packed.builder.finish(&packed.outputs, spec(nodes))
            })
        } else {
            builder.finish(&outputs, spec(nodes))
        };
        made.map_err(|source| BenchError::Layer { name, source })
    };
    let at_random = |file, nodes| trained(file, nodes, Rounding::Stochastic);
    let bytes = match name {
        "mlp_f32_dense" | "mlp_f32_digits" => at_random("mnist-mlp-f32.mote", Trainable::All)?,
        "mlp_q16_nearest" => trained("mnist-mlp-q16.mote", Trainable::All, Rounding::Nearest)?,
        "mlp_q16_stochastic" => at_random("mnist-mlp-q16.mote", Trainable::All)?,
        "cnn_f32_all" => at_random("mnist-cnn-f32.mote", Trainable::All)?,
        "cnn_f32_conv2_last" => at_random("mnist-cnn-f32.mote", Trainable::Nodes(CONV2_AND_LAST))?,
        "cnn_i8_all" => at_random("mnist-cnn-i8.mote", Trainable::All)?,
        "cnn_head_last" => at_random("mnist-cnn-head.mote", Trainable::Last(1))?,
        "iris_f32" => iris(name).map_err(|source| BenchError::Layer { name, source })?,
        _ => lstm(name).map_err(|source| BenchError::Layer { name, source })?,
    };
    let blob = Blob::new(Path::new(name), bytes).map_err(blob_error)?;
    Ok((name, blob))
}

/// The nodes of a packed graph that stand for those of the plain one.
fn packed_mask(packed: &Packed, mask: u64) -> u64 {
    let named = (0..64).filter(|node| mask >> node & 1 == 1);
    let nodes = named.filter_map(|node| packed.node_of(node));
    nodes.fold(0, |mask, node| mask | 1 << node)
}

/// 4 inputs, 16 units, 3 classes.
fn iris(name: &str) -> Result<AlignedBytes, BuildError> {
    let mut draft = Draft::new(name);
    let x = draft.builder.input(&[4], DType::F32, Quant::None)?;
    let x = draft.dense(x, "hidden", [4, 16], Activation::Relu)?;
    let x = draft.dense(x, "dense", [16, 3], Activation::None)?;
    let output = draft.builder.same("softmax", Op::Softmax(None), x)?;
    let spec = TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, RATE);
    draft.builder.finish(&[output], Some(spec))
}

/// An LSTM of 32 units over 20 steps of one number, and a dense layer of one: the truncated back-propagation through
/// time goes over all steps.
fn lstm(name: &str) -> Result<AlignedBytes, BuildError> {
    const UNITS: usize = 32;
    let mut draft = Draft::new(name);
    let x = draft.builder.input(&[20, 1], DType::F32, Quant::None)?;
    let columns = 4 * UNITS;
    let (kernel, recurrent) = (draft.values(columns), draft.values(UNITS * columns));
    let bias = draft.values(columns);
    let layer = draft
        .builder
        .recurrent_weights("lstm", x, &kernel, &recurrent, &bias)?;
    let x = draft.builder.lstm("lstm", &[x], layer, Gives::Last)?;
    let output = draft.dense(x, "dense", [UNITS, 1], Activation::None)?;
    let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, RATE);
    draft.builder.finish(&[output], Some(spec))
}

/// A network of random weights under construction.
struct Draft {
    builder: Builder,
    random: Stream,
}

impl Draft {
    fn new(name: &str) -> Self {
        Self {
            builder: Builder::new(name),
            random: Stream::new(8, Stream::BENCH, 0, 0),
        }
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.random.uniform(-0.3, 0.3)).collect()
    }

    fn dense(
        &mut self,
        x: TensorId,
        name: &str,
        [inputs, outputs]: [usize; 2],
        activation: Activation,
    ) -> Result<TensorId, BuildError> {
        let weight = self.values(inputs * outputs);
        let bias = self.values(outputs);
        self.builder.dense(name, x, &weight, &bias, activation)
    }
}

/// Measures a training step of `blob` at batch 1 on `board`. It is called `name` in the result.
///
/// The inputs are other than 0, but for `mlp_f32_digits`, where 19 of 100 are, as on a digit's page.
///
/// # Errors
///
/// [`BenchError`]: the image does not build or run.
pub fn measure_lesson(
    name: &str,
    blob: &Blob,
    board: &'static Board,
    ui: &Ui,
) -> Result<Cost, BenchError> {
    let (board, image) = build_roomy(board, "lesson", Content::Model(blob.bytes()), ui)?;
    let options = QemuOptions {
        count_instructions: true,
        ..QemuOptions::default()
    };
    let log = Qemu::run_with(board, &image, options, PATIENCE, ui)?;
    let (kind, place) = match name {
        "mlp_f32_digits" => ("sparse", 1),
        _ => ("dense", 0),
    };
    let (steps, stack) = read(&log, kind);
    let (Some(instructions), Some(stack)) = (mean(&steps), stack) else {
        let (name, board) = (name.to_owned(), board.name);
        return Err(BenchError::NoFigures { name, board, log });
    };
    let traced = match board.core {
        "Cortex-M4F" => trace(board, &image)?,
        _ => Vec::new(),
    };
    Ok(Cost {
        name: name.to_owned(),
        board: board.name,
        core: board.core,
        math: MATH,
        macs: Inspection::of(blob).macs,
        instructions,
        cycles: traced.get(place).copied(),
        flash: image.flash(),
        text: image.text.saturating_sub(blob.bytes().len() as u64),
        ram: image.ram(),
        arena: image.arena,
        stack,
        ram_of_board: is_own_ram(board),
        layers: Vec::new(),
    })
}

/// The counts of the steps of a kind, and the most stack.
fn read(log: &[String], kind: &str) -> (Vec<u64>, Option<u64>) {
    let (mut steps, mut stack) = (Vec::new(), None);
    for line in log {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [.., "step", of, count] if of == kind => steps.extend(count.parse::<u64>()),
            [.., "stack", bytes] => stack = stack.max(bytes.parse().ok()),
            _ => {}
        }
    }
    (steps, stack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_image_says_is_read() {
        let log = [
            "INFO an386: stack 412",
            "stack 512",
            "step dense 1000",
            "step sparse 7",
            "step dense 1003",
            "step dense x",
        ];
        let log: Vec<String> = log.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(read(&log, "dense"), (vec![1000, 1003], Some(512)));
        assert_eq!(read(&log, "sparse"), (vec![7], Some(512)));
    }

    /// What learns: the table's memory is that of these weights.
    #[test]
    fn each_is_the_network_that_its_name_says() {
        let wanted: [u64; LESSONS.len()] = [
            101_770, 101_770, 131, 82_934, 1_010, 4_226, 82_934, 101_770, 101_770, 4_385,
        ];
        for (name, wanted) in LESSONS.into_iter().zip(wanted) {
            for layout in [None, Some(Layout::Armv7em), Some(Layout::Armv7m)] {
                let (_, blob) = lesson(name, layout).unwrap();
                let inspection = Inspection::of(&blob);
                let plan = inspection.train.unwrap();
                let learns = |name: &str| plan.trainable.iter().any(|learns| learns == name);
                let learnt = inspection.layers.iter().filter(|layer| learns(&layer.name));
                let parameters: u64 = learnt.map(|layer| layer.parameters).sum();
                assert_eq!(parameters, wanted, "{name}");
            }
        }
        assert!(lesson("mlp_f64", None).is_err());
    }
}
