//! `mote size`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use host::blob::Blob;
use host::device::boards;
use host::size::{Size, measure};
use host::ui::Ui;

const HELP: &str = "\
A model with a training plan is shown twice: only running, and learning too.

Examples:
  mote size                                        # every model in models/
  mote size models/mnist-{mlp,cnn,lstm}-f32.mote   # three side by side
  mote size models/mnist-mlp-i8.mote --board microbit --json

Keys of --json, a list of: name, board, math (the functions of f32), formats (in which it computes), learns, text,
rodata (without the model), nn_core (of both, what has a symbol of the runtime), model, total (all of the flash), ram
(all of it), arena, stack (of that).";

/// Arguments of `mote size`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The models (*.mote); all in models/ where none is named.
    models: Vec<PathBuf>,
    /// The board that the images are for.
    #[arg(long, default_value = "an386")]
    board: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote size`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let board = boards::named(&args.board).ok_or_else(|| {
        let names: Vec<_> = boards::BOARDS.iter().map(|board| board.name).collect();
        anyhow!(
            "no board is named {}: take one of {}",
            args.board,
            names.join(", ")
        )
    })?;
    let mut sizes = Vec::new();
    for path in models(args.models)? {
        let blob = Blob::open(&path)?;
        sizes.push(measure(&blob, board, true, ui)?);
        if blob.model().learns() {
            sizes.push(measure(&blob, board, false, ui)?);
        }
    }
    if args.json {
        return ui.json(&sizes).context("cannot print the sizes");
    }
    let header = [
        "model",
        "formats",
        "learns",
        "code",
        "constants",
        "nn-core",
        "model",
        "flash",
        "RAM",
        "arena",
    ];
    let mut table = ui.table(&header, &[3, 4, 5, 6, 7, 8, 9]);
    for size in &sizes {
        table.add_row(row(size));
    }
    ui.result(format_args!("{} ({}), bytes", board.name, board.core));
    ui.result(table);
    Ok(())
}

fn row(size: &Size) -> [String; 10] {
    [
        size.name.clone(),
        size.formats.join(" "),
        if size.learns { "yes" } else { "no" }.to_owned(),
        size.text.to_string(),
        size.rodata.to_string(),
        size.nn_core.to_string(),
        size.model.to_string(),
        size.total.to_string(),
        size.ram.to_string(),
        size.arena.to_string(),
    ]
}

fn models(named: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named);
    }
    let folder = host::paths::workspace_root().join("models");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "mote")
    });
    paths.sort();
    Ok(paths)
}
