//! `mote inspect`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote inspect`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote inspect`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote inspect` is not built yet");
}
