//! `mote doctor`.

use anyhow::bail;
use host::doctor::{self, Check};
use host::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  mote doctor           # a table: what is there, what is missing, what mends it
  mote doctor --json    # the same for programs: [{name, ok, optional, found, wanted, fix}]

The exit code is 1 when something is missing that is not optional.";

/// Arguments of `mote doctor`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote doctor`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let checks = doctor::examine();
    if args.json {
        ui.json(&checks)?;
    } else {
        print(&checks, ui);
    }
    let missing = checks
        .iter()
        .filter(|check| !check.ok && !check.optional)
        .count();
    if missing > 0 {
        bail!("{missing} of {} things are missing", checks.len());
    }
    Ok(())
}

fn print(checks: &[Check], ui: &Ui) {
    let mut table = ui.table(&["", "what", "found"], &[]);
    for check in checks {
        let mark = match (check.ok, check.optional) {
            (true, _) => "ok",
            (false, true) => "-",
            (false, false) => "missing",
        };
        let found = check.found.as_deref().unwrap_or("nothing");
        let cell = if check.ok {
            found.to_owned()
        } else {
            format!("{found}; wanted: {}", check.wanted)
        };
        table.add_row([mark, check.name, &cell]);
    }
    ui.result(table);
    for check in checks {
        if let Some(fix) = &check.fix {
            let optional = if check.optional { " (optional)" } else { "" };
            ui.result(format_args!("{}{optional}: {fix}", check.name));
        }
    }
}
