//! `mote demo`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote demo`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote demo`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote demo` is not built yet");
}
