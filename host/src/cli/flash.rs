//! `mote flash`.

use anyhow::bail;
use host::ui::Ui;

/// Arguments of `mote flash`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `mote flash`.
pub(crate) fn run(_args: Args, _ui: &Ui) -> anyhow::Result<()> {
    bail!("`mote flash` is not built yet");
}
