//! `mote doctor`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote doctor`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote doctor`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote doctor` is not built yet");
}
