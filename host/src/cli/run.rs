//! `mote run`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote run`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote run`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote run` is not built yet");
}
