//! `mote train`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote train`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote train`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote train` is not built yet");
}
