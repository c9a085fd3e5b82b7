//! `mote export`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote export`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote export`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote export` is not built yet");
}
