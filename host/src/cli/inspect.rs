//! `mote inspect`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use host::blob::{Blob, BlobError};
use host::export::{Endpoint, Inspection};
use host::recipe::shape;
use host::ui::Ui;

/// Arguments of `mote inspect`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  mote inspect models/mnist-cnn-i8.mote")]
pub(crate) struct Args {
    /// The model (*.mote).
    model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote inspect`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let blob = Blob::open(&args.model).map_err(|error| match error {
        BlobError::Invalid { .. } => {
            anyhow!("{error}\nCopy the file again, or write it again with `mote export RECIPE`.")
        }
        error => error.into(),
    })?;
    let inspection = Inspection::of(&blob);
    if args.json {
        return ui.json(&inspection).context("cannot print the inspection");
    }
    print(&inspection, ui);
    Ok(())
}

fn print(inspection: &Inspection, ui: &Ui) {
    let header = [
        "layer",
        "operator",
        "type",
        "output",
        "parameters",
        "flash",
        "RAM",
        "MACs",
    ];
    let mut table = ui.table(&header, &[4, 5, 6, 7]);
    for layer in &inspection.layers {
        table.add_row([
            layer.name.clone(),
            layer.op.to_owned(),
            layer.dtype.to_owned(),
            dims(&layer.output_shape),
            layer.parameters.to_string(),
            layer.flash.to_string(),
            layer.ram.to_string(),
            layer.macs.to_string(),
        ]);
    }
    ui.result(format_args!(
        "{}: format {}, crc32 {}, digest {}",
        inspection.name, inspection.format_version, inspection.crc32, inspection.digest
    ));
    ui.result(table);
    let ends = |ends: &[Endpoint]| {
        let ends: Vec<String> = ends.iter().map(endpoint).collect();
        ends.join("; ")
    };
    let lines = [
        ("input", ends(&inspection.inputs)),
        ("output", ends(&inspection.outputs)),
        ("flash", format!("{} bytes", inspection.flash)),
        (
            "arena, inference",
            format!("{} bytes", inspection.arena_infer),
        ),
        ("parameters", inspection.parameters.to_string()),
        ("MACs", inspection.macs.to_string()),
    ];
    for (name, value) in lines {
        ui.result(format_args!("{name:<17} {value}"));
    }
    match &inspection.train {
        None => ui.result("training          none planned"),
        Some(train) => {
            let arena = inspection.arena_train;
            ui.result(format_args!("arena, training   {arena} bytes"));
            ui.result(format_args!("training          {}", train.line()));
        }
    }
}

fn dims(dims: &[u32]) -> String {
    shape(&dims.iter().map(|&dim| dim as usize).collect::<Vec<_>>())
}

fn endpoint(endpoint: &Endpoint) -> String {
    let text = format!("{} {}", endpoint.dtype, dims(&endpoint.shape));
    match (endpoint.scale, endpoint.zero_point) {
        (Some(scale), Some(zero_point)) => {
            format!("{text}, scale {scale:e}, zero point {zero_point}")
        }
        _ => text,
    }
}
