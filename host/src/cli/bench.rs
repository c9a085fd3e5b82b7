//! `mote bench`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use host::bench::{
    BenchError, Control, Cost, LESSONS, NAMES, ROWS, Section, Tools, compare, layer, lesson,
    measure, measure_control, measure_lesson, page,
};
use host::blob::Blob;
use host::device::boards::{self, Board};
use host::device::{BuildError, Place};
use host::doctor;
use host::export::Builder;
use host::paths;
use host::ui::Ui;
use nn_core::kernels::packed::Layout;
use serde::Serialize;

/// The whole network of the layers that are measured by name.
const CNN: &str = "cnn_i8";
const CNN_BLOB: &str = "models/mnist-cnn-i8.mote";

const HELP: &str = "\
Without a name all of these are measured: conv1_i8, conv2_i8, pool1_i8, pool2_i8, dense1_i8,
softmax_i8, lstm_i8, depthwise_i8, pointwise_i8 (layers with random weights), and cnn_i8
(models/mnist-cnn-i8.mote). They are packed for the board's core, as `mote export --for` does it.

Counted in QEMU with -icount shift=0, as the mean of 16 runs: whole runs, and each layer with the
dispatch to it. The inputs are random.

With --train a training step at batch 1 is measured, of models with a training plan or of
mlp_f32_dense, mlp_f32_digits, iris_f32, cnn_f32_all, cnn_head_last, cnn_f32_conv2_last,
cnn_i8_all, mlp_q16_nearest, mlp_q16_stochastic, lstm_f32: all inputs are other than 0, but of
mlp_f32_digits 19 of 100.

With --control the model answers at a fixed rate, from an exception, and learns in the idle time
(cnn_head_last, iris_f32 and mlp_f32_dense where none is named): how late the latest answer is.

Examples:
  mote bench                                        # on an emulated Cortex-M4F
  mote bench models/mnist-lstm-i8.mote --on qemu:an385
  mote bench conv1_i8 cnn_i8 --on qemu:an386 --json
  mote bench --train mlp_f32_digits iris_f32
  mote bench --control cnn_head_last --on qemu:an386 --json
  mote bench --doc docs/performance.md              # four cores, beside another crate and plain loops

Keys of --json, a list of: name, board, core, math (the functions of f32), macs, instructions,
cycles (of a modelled Cortex-M4 without wait states; null on other cores), flash (an image that only runs this), text (its code and constants without the model), ram (all of
it, stack included), arena, stack (that a run took), ram_of_board (false where the board has less RAM
than that: the same core was measured with more, which QEMU gives the microbit's), layers (a list of:
name, op, macs, instructions, cycles). Of several, one that there is no room for has name, board, error.
With --control: name, board, core, period, run, latest, masked, step (instructions), answers, missed,
torn, steps, watchdog (whether it reset a core that hung; null where QEMU has none), stack.";

/// Arguments of `mote bench`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Models (*.mote) and layers by name; all layers and the CNN where none is named.
    what: Vec<String>,
    /// Where: qemu or qemu:BOARD.
    #[arg(long, default_value = "qemu:an386")]
    on: Place,
    /// Training steps instead of runs.
    #[arg(long)]
    train: bool,
    /// Answers at a fixed rate, while the model learns in the idle time.
    #[arg(long, conflicts_with = "train")]
    control: bool,
    /// Measure the page's layers on an386, an385 and microbit, and write it: minutes.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["what", "on", "train", "control", "json"])]
    doc: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote bench`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    if let Some(path) = args.doc {
        return document(&path, ui);
    }
    let Place::Qemu(board) = args.on else {
        bail!(
            "instructions are counted in QEMU only: take --on qemu:an386, an385, an500, an547 or microbit"
        );
    };
    if args.control {
        return control(&args.what, board, args.json, ui);
    }
    let what = if args.what.is_empty() && args.train {
        LESSONS.into_iter().map(str::to_owned).collect()
    } else if args.what.is_empty() {
        NAMES.into_iter().chain([CNN]).map(str::to_owned).collect()
    } else {
        args.what
    };
    // Before the first image is built.
    let models: Vec<(String, Blob)> = what
        .iter()
        .map(|what| open(what, layout_of(board, what), args.train))
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for (name, blob) in &models {
        let measured = match args.train {
            true => measure_lesson(name, blob, board, ui),
            false => measure(name, blob, board, ui),
        };
        rows.push(match measured {
            Ok(cost) => Row::Measured(cost),
            // One that the board has no room for leaves the others their figures.
            Err(BenchError::Build(error @ BuildError::TooLarge { .. })) if models.len() > 1 => {
                let (name, error) = (name.clone(), error.to_string());
                ui.warn(format_args!("{name}: {error}"));
                let board = board.name;
                Row::TooLarge { name, board, error }
            }
            Err(error) => return Err(error.into()),
        });
    }
    if args.json {
        return ui.json(&rows).context("cannot print the figures");
    }
    let measured = rows.into_iter().filter_map(|row| match row {
        Row::Measured(cost) => Some(cost),
        Row::TooLarge { .. } => None,
    });
    let costs: Vec<Cost> = measured.collect();
    print(&costs, ui);
    Ok(())
}

/// What is measured with `--control` where nothing is named: small and large weights to hand over.
const CONTROLS: [&str; 3] = ["cnn_head_last", "iris_f32", "mlp_f32_dense"];

/// Models that answer at a fixed rate and learn meanwhile.
fn control(what: &[String], board: &'static Board, json: bool, ui: &Ui) -> anyhow::Result<()> {
    let own = CONTROLS.map(str::to_owned);
    let what = if what.is_empty() { &own } else { what };
    let mut rows: Vec<Control> = Vec::new();
    for what in what {
        let (name, blob) = open(what, layout_of(board, what), true)?;
        rows.push(measure_control(&name, &blob, board, ui)?);
    }
    if json {
        ui.json(&rows).context("cannot print the figures")?;
    } else {
        let header = [
            "name", "period", "a run", "latest", "masked", "a step", "answers", "missed", "torn",
            "steps", "watchdog",
        ];
        let mut table = ui.table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        for row in &rows {
            let numbers = [
                row.period,
                row.run,
                row.latest,
                row.masked,
                row.step,
                row.answers,
                row.missed,
                row.torn,
                row.steps,
            ];
            let watchdog = match row.watchdog {
                Some(true) => "resets",
                Some(false) => "did not reset",
                None => "not emulated",
            };
            let numbers = numbers.map(|number| number.to_string());
            let cells = std::iter::once(row.name.clone()).chain(numbers);
            table.add_row(cells.chain([watchdog.to_owned()]));
        }
        ui.result(table);
    }
    let failed = rows.iter().filter(|row| {
        row.missed + row.torn > 0 || row.latest > row.period || row.watchdog == Some(false)
    });
    let failed: Vec<_> = failed.map(|row| row.name.as_str()).collect();
    if !failed.is_empty() {
        bail!(
            "not all answers came in time and whole, or the watchdog did not bite: {}",
            failed.join(", ")
        );
    }
    Ok(())
}

/// What came of a model.
#[derive(Serialize)]
#[serde(untagged)]
enum Row {
    Measured(Cost),
    /// The board has no room for it.
    TooLarge {
        name: String,
        board: &'static str,
        error: String,
    },
}

/// Layers that are faster packed on a Cortex-M55, too: they become tables.
const PACKED_ON_HELIUM: [&str; 2] = ["sigmoid_i8", "tanh_i8"];

/// The layout that a board's fastest kernels for `what` read; none for plain weights.
fn layout_of(board: &Board, what: &str) -> Option<Layout> {
    match board.core {
        "Cortex-M55" if !PACKED_ON_HELIUM.contains(&what) => None,
        _ if board.has_dsp() => Some(Layout::Armv7em),
        _ => Some(Layout::Armv7m),
    }
}

/// Boards of the page, and whether others are measured there: the microbit has no room for them, and on the M55 they are
/// those of the M4F.
const PAGE: [(&str, bool); 4] = [
    ("an386", true),
    ("an385", true),
    ("microbit", false),
    ("an547", false),
];

/// Measures all that the page tells.
fn document(path: &Path, ui: &Ui) -> anyhow::Result<()> {
    let mut sections = Vec::new();
    for (name, rivals) in PAGE {
        let board = boards::named(name).context("a board of the page")?;
        let layers = ROWS.iter().map(|name| measure_or_say(name, board, ui));
        let layers = layers.collect::<anyhow::Result<Vec<_>>>()?;
        let rivals = match rivals {
            true => compare(&open(CNN, layout_of(board, CNN), false)?.1, board, ui)?,
            false => Vec::new(),
        };
        sections.push(Section {
            board: board.name,
            core: board.core,
            layers,
            rivals,
        });
    }
    let version = |program: &str| {
        let text = doctor::first_line(program, &["--version"]);
        text.with_context(|| format!("{program} does not say its version"))
    };
    let tools = Tools {
        qemu: version("qemu-system-arm")?,
        rustc: version("rustc")?,
    };
    paths::write_whole(path, page(&sections, &tools).as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    ui.result(format_args!("written: {}", path.display()));
    Ok(())
}

/// What a layer takes; where the board has no room for it, that.
fn measure_or_say(
    name: &str,
    board: &'static Board,
    ui: &Ui,
) -> anyhow::Result<(String, Result<Cost, String>)> {
    let (name, blob) = open(name, layout_of(board, name), false)?;
    match measure(&name, &blob, board, ui) {
        Err(BenchError::Build(BuildError::TooLarge { .. })) => {
            Ok((name, Err("does not fit".to_owned())))
        }
        cost => Ok((name, Ok(cost?))),
    }
}

/// A model, or the model of a layer or of a training step.
fn open(what: &str, layout: Option<Layout>, train: bool) -> anyhow::Result<(String, Blob)> {
    if what == CNN && !train {
        let path = paths::workspace_root().join(CNN_BLOB);
        let plain = Blob::open(&path)?;
        let Some(layout) = layout else {
            return Ok((what.to_owned(), plain));
        };
        let (builder, outputs) = Builder::of(&plain.model());
        let packed = builder.to_packed(layout, &outputs)?;
        let bytes = packed.builder.finish(&packed.outputs, None)?;
        return Ok((what.to_owned(), Blob::new(&path, bytes)?));
    }
    if Path::new(what).extension().is_some() {
        let blob = Blob::open(&PathBuf::from(what))?;
        return Ok((blob.model().name().to_owned(), blob));
    }
    let (name, blob) = match train {
        true => lesson(what, layout)?,
        false => layer(what, layout)?,
    };
    Ok((name.to_owned(), blob))
}

fn print(costs: &[Cost], ui: &Ui) {
    let header = [
        "name",
        "layer",
        "operator",
        "MACs",
        "instructions",
        "a MAC",
        "cycles",
    ];
    let mut table = ui.table(&header, &[3, 4, 5, 6]);
    let modelled = |cycles: Option<u64>| cycles.map_or(String::new(), |cycles| cycles.to_string());
    for cost in costs {
        let each = |macs: u64, instructions: u64| match macs {
            0 => String::new(),
            // Below 2^53.
            _ => format!("{:.2}", instructions as f64 / macs as f64),
        };
        table.add_row([
            cost.name.clone(),
            String::new(),
            String::new(),
            cost.macs.to_string(),
            cost.instructions.to_string(),
            each(cost.macs, cost.instructions),
            modelled(cost.cycles),
        ]);
        if cost.layers.len() < 2 {
            continue;
        }
        for layer in &cost.layers {
            table.add_row([
                String::new(),
                layer.name.clone(),
                layer.op.to_owned(),
                layer.macs.to_string(),
                layer.instructions.to_string(),
                each(layer.macs, layer.instructions),
                modelled(layer.cycles),
            ]);
        }
    }
    ui.result(table);
    let header = ["name", "flash", "code", "RAM", "arena", "stack"];
    let mut table = ui.table(&header, &[1, 2, 3, 4, 5]);
    for cost in costs {
        table.add_row([
            cost.name.clone(),
            cost.flash.to_string(),
            cost.text.to_string(),
            cost.ram.to_string(),
            cost.arena.to_string(),
            cost.stack.to_string(),
        ]);
    }
    ui.result(table);
}
