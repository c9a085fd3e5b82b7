//! `mote device`: agents, which take models over the link.

mod live;
mod models;
mod show;
mod test;
mod weights;

use std::path::PathBuf;

use anyhow::Context;
use host::device::agent::Agent;
use host::device::{self, AgentOptions, Place, Port};
use host::package::PublicKey;
use host::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  mote device models/mnist-cnn-head.mote --on qemu:an386 --shift rot90   # watch it learn
  mote device info --on qemu:an386
  mote device load models/mnist-cnn-head.mote --on qemu:an386 --flash board.flash
  mote device load release-7.motp --on serial:/dev/ttyACM0
  mote device rollback --on serial:/dev/ttyACM0
  mote device profile models/mnist-cnn-head.mote --on qemu:an386 --flash board.flash
  mote device read learnt.safetensors --on tcp:localhost:5555
  mote device test --on qemu:an386                                # the list of faults, each tried

In QEMU the agent's image is built and booted; its flash is a file, which outlasts the session (--flash). With MOTE_KEY=DIGITS
(`mote key show`) the image is locked: it takes only what that key has signed. A board is flashed once: `mote flash --app
agent`. What an agent is, and what it refuses: docs/agent.md.";

/// Arguments of `mote device`.
#[derive(clap::Args)]
#[command(
    after_help = EXAMPLES,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    live: live::Live,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Say what an agent is, and what its slots hold.
    Info(show::Info),
    /// Load a model or a package, and have it served.
    Load(models::Load),
    /// Serve what was loaded.
    Activate(models::Switch),
    /// Serve the model before again.
    Rollback(models::Switch),
    /// Keep what was learnt in the agent's flash.
    Save(weights::Keep),
    /// Go back to what was saved last.
    Restore(weights::Keep),
    /// Go back to the model's own weights.
    Reset(weights::Keep),
    /// Count what each layer takes.
    Profile(show::Profile),
    /// Say what was served so far.
    Status(show::Status),
    /// Read what was learnt into a file.
    Read(weights::Read),
    /// Write what was learnt elsewhere from a file.
    Write(weights::Write),
    /// Start the agent anew.
    Restart(models::Restart),
    /// Try every fault on the agent in QEMU, and print which it survived.
    Test(test::Args),
}

/// Where the agent is.
#[derive(clap::Args)]
pub(crate) struct At {
    /// qemu[:BOARD] (an385, an386, an500, an547, microbit), serial:PATH[@BAUD] or tcp:HOST:PORT.
    #[arg(long, value_name = "PLACE")]
    pub(crate) on: Place,
    /// The flash of a board in QEMU, a file; made where there is none [default: target/agent/BOARD.flash].
    #[arg(long, value_name = "FILE")]
    pub(crate) flash: Option<PathBuf>,
}

/// An agent, wherever it is.
pub(crate) type AnyAgent = Agent<Box<dyn Port>>;

impl At {
    fn open(&self, ui: &Ui) -> anyhow::Result<AnyAgent> {
        self.open_with(false, ui)
    }

    /// The same; in QEMU it counts instructions, where it `counts`.
    fn open_with(&self, counts: bool, ui: &Ui) -> anyhow::Result<AnyAgent> {
        let options = AgentOptions {
            flash: self.flash.clone(),
            key: trusted()?,
            counts,
        };
        Ok(device::open_agent(&self.on, &options, ui)?)
    }
}

/// The key that an image in QEMU is built with.
pub(crate) fn trusted() -> anyhow::Result<Option<PublicKey>> {
    let Ok(digits) = std::env::var("MOTE_KEY") else {
        return Ok(None);
    };
    if digits.is_empty() {
        return Ok(None);
    }
    Ok(Some(digits.parse().context("MOTE_KEY")?))
}

/// Runs `mote device`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    match args.action {
        None => live::run(args.live, ui),
        Some(Action::Info(args)) => show::info(args, ui),
        Some(Action::Load(args)) => models::load(args, ui),
        Some(Action::Activate(args)) => models::activate(args, ui),
        Some(Action::Rollback(args)) => models::rollback(args, ui),
        Some(Action::Save(args)) => weights::save(args, ui),
        Some(Action::Restore(args)) => weights::restore(args, ui),
        Some(Action::Reset(args)) => weights::reset(args, ui),
        Some(Action::Profile(args)) => show::profile(args, ui),
        Some(Action::Status(args)) => show::status(args, ui),
        Some(Action::Read(args)) => weights::read(args, ui),
        Some(Action::Write(args)) => weights::write(args, ui),
        Some(Action::Restart(args)) => models::restart(args, ui),
        Some(Action::Test(args)) => test::run(args, ui),
    }
}
