//! The command line: one file a command, each with its `Args` and its `run`.
//!
//! Results go to stdout, progress and notes to stderr, so that `--json` can be piped.

mod bench;
mod data;
mod demo;
mod device;
mod doctor;
mod eval;
mod export;
mod flash;
mod generate;
mod inspect;
mod key;
mod metrics;
mod package;
mod personalize;
mod plan;
mod recipe;
mod run;
mod samples;
mod search;
mod size;
mod stock;
mod store;
mod train;
mod tune;
mod zoo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use host::ui::Ui;

const EXAMPLES: &str = "\
The path through the house:
  mote data                                       # which data sets there are
  mote train models/mnist-cnn.toml                # train with libtorch, on CPU or CUDA
  mote search models/mnist-mlp.toml --set train.optimizer.learning_rate=0.001,0.002 --set layer.dense_1.units=64,128
  mote export models/mnist-cnn.toml               # quantize, plan memory, write models/*.mote
  mote inspect models/mnist-cnn-i8.mote           # layer, shape, parameters, flash, MACs
  mote plan models/mnist-cnn-head.mote            # every buffer of its arena, and what training costs
  mote eval models/mnist-cnn-i8.mote --on qemu    # accuracy on an emulated Cortex-M4F
  mote tune models/mnist-cnn-head.mote --on qemu --shift rot90
  mote stock prices.csv --on qemu                 # predict, then learn from the true price, day by day

Something is missing on this machine? `mote doctor` says what, and which command mends it.";

/// Train a neural network here; run it, and keep training it, on a microcontroller.
#[derive(Parser)]
#[command(name = "mote", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    /// Print results and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more: -v what is done, -vv the device's own log.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List, describe and check data sets.
    Data(data::Args),
    /// Train a recipe with libtorch.
    Train(train::Args),
    /// Try every combination of some fields of a recipe, and find the best on the samples held out.
    Search(search::Args),
    /// Calibrate, quantize, plan memory; write the model blobs and their cards.
    Export(export::Args),
    /// Show a model layer by layer: shapes, parameters, flash, RAM, MACs.
    Inspect(inspect::Args),
    /// Show where everything lies in a model's arena, and what training it costs.
    Plan(plan::Args),
    /// Build images, and show what they take of flash and RAM, and nn-core of that.
    Size(size::Args),
    /// Count what models and layers take on a core: instructions, flash, RAM, stack.
    Bench(bench::Args),
    /// Measure accuracy, on the host or on a device.
    Eval(eval::Args),
    /// Predict single samples, on the host or on a device.
    Run(run::Args),
    /// Fine-tune on labelled samples, on the host or on a device.
    Tune(tune::Args),
    /// Let many writers teach the model their digits, and count errors before and after.
    Personalize(personalize::Args),
    /// Foretell prices day by day, and learn from each as it comes.
    Stock(stock::Args),
    /// Write text, letter by letter, on the host or on a device.
    Generate(generate::Args),
    /// Run the systems of a course on neural networks, and compare them with its slides.
    Zoo(zoo::Args),
    /// Show or forget what a device keeps in flash of what it learnt.
    Store(store::Args),
    /// Load models into a device in the field, watch it, test it against faults.
    Device(device::Args),
    /// Make a pair of keys that packages are signed with, or show its public half.
    Key(key::Args),
    /// Make a package of a model for agents, sign it; or show one and verify it.
    Package(package::Args),
    /// Write firmware and model to a board through a debug probe.
    Flash(flash::Args),
    /// Say what is missing on this machine, and the command that mends it.
    Doctor(doctor::Args),
    /// The whole path once, from data to a model fine-tuned on a device.
    Demo(demo::Args),
}

/// Runs the command that the arguments name; errors end on stderr, with their causes.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.quiet, cli.verbose);
    let result = match cli.command {
        Command::Data(args) => data::run(args, &ui),
        Command::Train(args) => train::run(args, &ui),
        Command::Search(args) => search::run(args, &ui),
        Command::Export(args) => export::run(args, &ui),
        Command::Inspect(args) => inspect::run(args, &ui),
        Command::Plan(args) => plan::run(args, &ui),
        Command::Size(args) => size::run(args, &ui),
        Command::Bench(args) => bench::run(args, &ui),
        Command::Eval(args) => eval::run(args, &ui),
        Command::Run(args) => run::run(args, &ui),
        Command::Tune(args) => tune::run(args, &ui),
        Command::Personalize(args) => personalize::run(args, &ui),
        Command::Stock(args) => stock::run(args, &ui),
        Command::Generate(args) => generate::run(args, &ui),
        Command::Zoo(args) => zoo::run(args, &ui),
        Command::Store(args) => store::run(args, &ui),
        Command::Device(args) => device::run(args, &ui),
        Command::Key(args) => key::run(args, &ui),
        Command::Package(args) => package::run(args, &ui),
        Command::Flash(args) => flash::run(args, &ui),
        Command::Doctor(args) => doctor::run(args, &ui),
        Command::Demo(args) => demo::run(args, &ui),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::FAILURE
        }
    }
}
