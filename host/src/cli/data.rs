//! `mote data`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote data`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote data`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote data` is not built yet");
}
