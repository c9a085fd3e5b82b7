//! `mote plan`.

use std::path::PathBuf;

use anyhow::Context;
use host::blob::Blob;
use host::plan::{
    ArenaPlan, PlanReport, PlannedBuffer, SpecRequest, TrainingPlan, with_real_outputs,
};
use host::ui::Ui;
use nn_core::model::Model;

const HELP: &str = "\
SPEC says what learns, then options, divided by spaces or commas. What it leaves out is as the blob says; a blob
without a training plan learns all, by cross-entropy where it ends with a softmax, else by mean squared error.
  all                     each layer with f32 or Q16 weights
  last:K                  the last K of them
  layers:NAME,NAME        those of these names
  biases                  the biases of each
  channels:NAME:0-7       these output channels of a layer, up to 64
  top:NAME:K              the K output channels of a layer with the largest gradients, chosen step by step
  optimizer=sgd           or adam, adamw, rmsprop
  momentum=0.9 nesterov=true learning_rate=0.01 weight_decay=0.001 l1=0.001
  rounding=nearest        or stochastic: what Q16 stores
  accumulate=8            one step of the optimizer for so many samples
  clip_value=1 clip_norm=1

Examples:
  mote plan models/mnist-cnn-head.mote
  mote plan models/mnist-cnn-f32.mote --train 'last:2 momentum=0.9'
  mote plan models/mnist-cnn-f32.mote --train 'channels:conv2d_1:0-3 layers:dense_2 optimizer=adam'
  mote plan models/mnist-cnn-f32.mote --train layers:dense_1,dense_2 --json

Time runs in steps: of n nodes, node i runs forward at step i, the loss is formed at step n, node i runs backward at
step 2n - i. `docs/memory.md` explains the sums.

Keys of --json: name, nodes, inference, training (null without a plan).
  inference, training.arena   total, header, parts, lower_bound, ratio, buffers; header is what the blob states, null
                              where the plan is not the blob's own
    parts                     steps, operands, back_steps, slots, heads, picks, learnt, weights, copies, buffers, table,
                              padding: they sum up to total
    buffers                   kind, owner, bytes, first, last, offset, shares (the owner in whose buffer it lies)
  training                    plan, arena, learnt (name, bytes), copies, options (option, difference)";

/// Arguments of `mote plan`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The model (*.mote).
    model: PathBuf,
    /// Plan this training, instead of the blob's own.
    #[arg(long, value_name = "SPEC")]
    train: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote plan`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let blob = Blob::open(&args.model)?;
    let real;
    let (model, train) = match &args.train {
        None => (blob.model(), blob.model().train_spec()),
        Some(text) => {
            real = with_real_outputs(&blob.model())?;
            let model = Model::load(&real)?;
            let spec = text.parse::<SpecRequest>()?.apply(&model)?;
            (model, Some(spec))
        }
    };
    let report = PlanReport::of(&model, train)
        .with_context(|| format!("{} cannot be planned", args.model.display()))?;
    if args.json {
        return ui.json(&report).context("cannot print the plan");
    }
    print(&report, ui);
    Ok(())
}

fn print(report: &PlanReport, ui: &Ui) {
    ui.result(format_args!("{}: {} nodes", report.name, report.nodes));
    arena("inference", &report.inference, report.nodes, ui);
    match &report.training {
        None => ui.result("\ntraining: no plan; `--train all` shows what one would cost"),
        Some(training) => {
            arena("training", &training.arena, report.nodes, ui);
            learning(training, ui);
        }
    }
}

fn arena(title: &str, arena: &ArenaPlan, nodes: usize, ui: &Ui) {
    let mut table = ui.table(
        &["buffer", "of", "bytes", "from", "to", "at"],
        &[2, 3, 4, 5],
    );
    for buffer in &arena.buffers {
        table.add_row([
            buffer.kind.to_owned(),
            owner(buffer),
            buffer.bytes.to_string(),
            step(buffer.first, nodes),
            step(buffer.last, nodes),
            buffer.offset.map_or("-".to_owned(), |at| at.to_string()),
        ]);
    }
    ui.result(format_args!("\n{title}: {} bytes", arena.total));
    ui.result(table);
    for (name, bytes) in arena.parts.named() {
        if bytes > 0 {
            ui.result(format_args!("{name:<17} {bytes:>9}"));
        }
    }
    ui.result(format_args!("{:<17} {:>9}", "together", arena.total));
    ui.result(format_args!(
        "{:<17} {:>9}  most live at once; the buffers take {:.3} times that",
        "lower bound", arena.lower_bound, arena.ratio
    ));
    if arena.header.is_some_and(|header| header != arena.total) {
        let header = arena.header.unwrap_or(0);
        ui.warn(format_args!(
            "the blob's header states {header} bytes: it was written by another version; export it again"
        ));
    }
}

fn learning(training: &TrainingPlan, ui: &Ui) {
    ui.result(format_args!("\nlearns: {}", training.plan.line()));
    let mut table = ui.table(&["learnt", "bytes", "copies"], &[1, 2]);
    for learnt in &training.learnt {
        table.add_row([
            learnt.name.clone(),
            learnt.bytes.to_string(),
            (learnt.bytes * training.copies).to_string(),
        ]);
    }
    ui.result(table);
    for cost in &training.options {
        ui.result(format_args!(
            "with {:<28} {:>+9} bytes",
            cost.option, cost.difference
        ));
    }
}

fn owner(buffer: &PlannedBuffer) -> String {
    match &buffer.shares {
        Some(other) => format!("{} (in {other})", buffer.owner),
        None => buffer.owner.clone(),
    }
}

/// A step: its number, and which way the node runs at it.
fn step(step: u16, nodes: usize) -> String {
    match usize::from(step) {
        65_535 => "always".to_owned(),
        at if at == nodes => format!("{at} loss"),
        at if at > nodes => format!("{at} back"),
        at => format!("{at}     "),
    }
}
