//! `mote tune`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote tune`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote tune`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote tune` is not built yet");
}
