//! The card beside a blob: what it is, how well it reads, what it costs, how it was made.
//!
//! It holds no date and no path of the machine: the same export gives the same card.

use std::fmt::{self, Display, Formatter};

use super::{Exported, Inspection, Report};
use crate::evaluate::ColumnFit;
use crate::recipe::shape;

/// A card, displayed as Markdown.
#[derive(Debug, Clone, Copy)]
pub struct Card<'r> {
    /// The export that wrote the blob.
    pub report: &'r Report,
    /// The blob.
    pub exported: &'r Exported,
}

impl Display for Card<'_> {
    fn fmt(&self, text: &mut Formatter<'_>) -> fmt::Result {
        let Self { report, exported } = *self;
        let inspection = &exported.inspection;
        writeln!(text, "# {}\n\n{}\n", inspection.name, report.description)?;
        facts(text, report, exported)?;
        columns(text, report)?;
        layers(text, inspection)?;
        origin(text, report, exported)
    }
}

fn facts(text: &mut Formatter<'_>, report: &Report, exported: &Exported) -> fmt::Result {
    let inspection = &exported.inspection;
    writeln!(text, "| | |\n|---|---|")?;
    let numbers = match exported.format.as_str() {
        "f32" => "f32",
        "i8" => "int8",
        "i8-train" => "int8, in which it learns; the last function in f32",
        "head" => "int8; what learns, and all after it, in f32",
        "q16" => "Q16: fixed point, 16 integer and 16 fractional bits",
        _ => {
            "int8; what learns, and all after it, in Q16 (fixed point, 16 integer and 16 fractional bits)"
        }
    };
    writeln!(text, "| numbers | {numbers} |")?;
    let (samples, set) = (exported.samples, &report.data_set);
    match (exported.accuracy, exported.fit) {
        (_, Some(fit)) if report.series => writeln!(
            text,
            "| fit | R² {:.4}, MAE {:.5}, RMSE {:.5} (scaled) on the last {samples} days of {set}; direction told rightly: {:.1} % |",
            fit.r2,
            fit.mae,
            fit.rmse,
            100.0 * fit.direction.unwrap_or(0.0),
        )?,
        (Some(accuracy), _) => writeln!(
            text,
            "| accuracy | {:.2} % of {samples} test samples of {set} (the network in f32: {:.2} %) |",
            100.0 * accuracy,
            100.0 * report.f32_accuracy.unwrap_or(accuracy),
        )?,
        (None, _) => {}
    }
    for ColumnFit { column, fit } in exported.fits.iter().filter(|_| !report.series) {
        writeln!(
            text,
            "| fit of {column} | R² {:.4}, MAE {:.5}, RMSE {:.5} on {samples} test samples of {set} |",
            fit.r2, fit.mae, fit.rmse
        )?;
    }
    for (name, endpoint) in [("input", &inspection.input), ("output", &inspection.output)] {
        let dims: Vec<usize> = endpoint.shape.iter().map(|&dim| dim as usize).collect();
        write!(text, "| {name} | {} {}", endpoint.dtype, shape(&dims))?;
        if let (Some(scale), Some(zero_point)) = (endpoint.scale, endpoint.zero_point) {
            write!(text, ", scale {scale:e}, zero point {zero_point}")?;
        }
        writeln!(text, " |")?;
    }
    writeln!(text, "| flash | {} bytes |", inspection.flash)?;
    writeln!(
        text,
        "| arena, inference | {} bytes |",
        inspection.arena_infer
    )?;
    if let Some(train) = &inspection.train {
        writeln!(
            text,
            "| arena, training | {} bytes |",
            inspection.arena_train
        )?;
        writeln!(text, "| learns on the device | {} |", train.line())?;
    }
    writeln!(
        text,
        "| multiply-accumulates | {} |\n| parameters | {} |",
        inspection.macs, inspection.parameters
    )?;
    writeln!(
        text,
        "| digest (FNV-1a 64 of the blob) | `{}` |\n| CRC-32 | `{}` |",
        inspection.digest, inspection.crc32
    )?;
    writeln!(
        text,
        "| digest of the answers to those samples | `{}` |\n",
        exported.output_digest
    )
}

/// What a device must know to read a row of a table, and to understand the answer.
fn columns(text: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    if report.inputs.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "## Columns\n\nThe network reads and gives (number − center) / scale.\n\n\
         | | column | center | scale |\n|---|---|---:|---:|"
    )?;
    let inputs = report.inputs.iter().map(|column| ("input", column));
    let outputs = report.outputs.iter().map(|column| ("output", column));
    for (place, column) in inputs.chain(outputs) {
        let (name, center, scale) = (&column.name, column.center, column.scale);
        writeln!(text, "| {place} | {name} | {center} | {scale} |")?;
    }
    writeln!(text)
}

fn layers(text: &mut Formatter<'_>, inspection: &Inspection) -> fmt::Result {
    writeln!(
        text,
        "## Layers\n\n\
         | layer | operator | output | parameters | flash, bytes | output, bytes | MACs |\n\
         |---|---|---|---:|---:|---:|---:|"
    )?;
    for layer in &inspection.layers {
        let dims: Vec<usize> = layer.output_shape.iter().map(|&dim| dim as usize).collect();
        writeln!(
            text,
            "| {} | {} | {} {} | {} | {} | {} | {} |",
            layer.name,
            layer.op,
            layer.dtype,
            shape(&dims),
            layer.parameters,
            layer.flash,
            layer.ram,
            layer.macs
        )?;
    }
    writeln!(text)
}

fn origin(text: &mut Formatter<'_>, report: &Report, exported: &Exported) -> fmt::Result {
    let origin = &report.origin;
    writeln!(
        text,
        "## How it was made\n\n\
         Recipe `{}`, seed {}, {} of {} epochs.",
        origin.recipe, origin.seed, origin.epoch, origin.epochs
    )?;
    if !matches!(exported.format.as_str(), "f32" | "q16") {
        writeln!(
            text,
            "int8 ranges are the smallest and largest activations on {} training samples.",
            report.calibration
        )?;
    }
    writeln!(
        text,
        "\n```\n{}\n{}\n```",
        origin.train_command, origin.export_command
    )
}
