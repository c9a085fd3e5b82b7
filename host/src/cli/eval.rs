//! `mote eval`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote eval`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote eval`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote eval` is not built yet");
}
