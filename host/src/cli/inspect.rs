//! `mote inspect`.

mod checkpoint;
mod recipe;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use host::bench::measure;
use host::blob::{Blob, BlobError};
use host::device::Place;
use host::export::{Endpoint, Inspection};
use host::paths::write_whole;
use host::recipe::shape;
use host::report::structure;
use host::ui::Ui;

const HELP: &str = "\
Examples:
  mote inspect models/mnist-cnn-i8.mote
  mote inspect models/mnist-cnn-i8-m4.mote --on qemu:an386   # with instructions, layer by layer
  mote inspect runs/mnist-cnn                                # a run: its weights, before they are exported
  mote inspect models/zoo/vgg-16.toml                        # a recipe: layers, shapes, parameters, sizes at least
  mote inspect models/mnist-cnn-f32.mote --graph cnn.svg     # its structure as a picture; what learns is blue

Of a layer with int8 weights, `kernel` says whether they are packed, and `reason` why not.";

/// Arguments of `mote inspect`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The model (*.mote), a run (its folder, or a *.safetensors), or a recipe (*.toml).
    model: PathBuf,
    /// Measure instructions there, as `mote bench` does: qemu or qemu:BOARD.
    #[arg(long)]
    on: Option<Place>,
    /// Draw its structure: FILE.svg, or FILE.dot for Graphviz.
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote inspect`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    if let Some(file) = super::recipe::checkpoint(&args.model) {
        if args.on.is_some() || args.graph.is_some() {
            bail!(
                "--on and --graph want a model: `mote export {}` makes one",
                args.model.display()
            );
        }
        return checkpoint::run(&file, args.json, ui);
    }
    if args.model.extension().is_some_and(|end| end == "toml") {
        if args.on.is_some() || args.graph.is_some() {
            bail!("--on and --graph want a model: train the recipe, and `mote export` it");
        }
        return recipe::run(&args.model, args.json, ui);
    }
    let blob = Blob::open(&args.model).map_err(|error| match error {
        BlobError::Invalid { .. } => {
            anyhow!("{error}\nCopy the file again, or write it again with `mote export RECIPE`.")
        }
        error => error.into(),
    })?;
    let mut inspection = Inspection::of(&blob);
    match args.on {
        None => {}
        Some(Place::Qemu(board)) => {
            inspection = inspection.measured(&measure(blob.model().name(), &blob, board, ui)?);
        }
        Some(_) => bail!(
            "instructions are counted in QEMU only: take --on qemu:an386, an385, an500, an547 or microbit"
        ),
    }
    if let Some(path) = &args.graph {
        draw(path, &blob, &inspection)?;
        ui.note(format_args!("Written: {}", path.display()));
    }
    if args.json {
        return ui.json(&inspection).context("cannot print the inspection");
    }
    print(&inspection, ui);
    Ok(())
}

/// Writes the model's structure as the file's name asks.
fn draw(path: &Path, blob: &Blob, inspection: &Inspection) -> anyhow::Result<()> {
    let dot = structure::dot(&blob.model(), inspection);
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("dot" | "gv") => dot,
        Some("svg") => structure::svg(&dot).map_err(|error| anyhow!("cannot draw it: {error}"))?,
        _ => bail!(
            "--graph {}: wanted a file that ends in .svg, .dot or .gv",
            path.display()
        ),
    };
    write_whole(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn print(inspection: &Inspection, ui: &Ui) {
    let mut header = vec![
        "layer",
        "operator",
        "type",
        "output",
        "parameters",
        "flash",
        "RAM",
        "MACs",
        "kernel",
    ];
    let mut numbers = vec![4, 5, 6, 7];
    if inspection.board.is_some() {
        header.push("instructions");
        numbers.push(9);
    }
    if inspection.cycles.is_some() {
        header.push("cycles");
        numbers.push(10);
    }
    let mut table = ui.table(&header, &numbers);
    for layer in &inspection.layers {
        let mut row = vec![
            layer.name.clone(),
            layer.op.to_owned(),
            layer.dtype.to_owned(),
            dims(&layer.output_shape),
            layer.parameters.to_string(),
            layer.flash.to_string(),
            layer.ram.to_string(),
            layer.macs.to_string(),
            match layer.kernel {
                "none" => "-".to_owned(),
                kernel => kernel.to_owned(),
            },
        ];
        row.extend(layer.instructions.map(|count| count.to_string()));
        row.extend(layer.cycles.map(|count| count.to_string()));
        table.add_row(row);
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
        ("layout", inspection.layout.to_owned()),
    ];
    for (name, value) in lines {
        ui.result(format_args!("{name:<17} {value}"));
    }
    for (layer, reason) in inspection.plain() {
        ui.result(format_args!("plain             {layer}: {reason}"));
    }
    if let (Some(board), Some(instructions)) = (inspection.board, inspection.instructions) {
        ui.result(format_args!("instructions      {instructions} on {board}"));
    }
    if let Some(cycles) = inspection.cycles {
        ui.result(format_args!("cycles, modelled  {cycles}"));
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
