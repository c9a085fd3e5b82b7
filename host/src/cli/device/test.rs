//! `mote device test`: the list of faults.

use anyhow::ensure;
use host::device::Place;
use host::device::faults::{self, Fault, Plan};
use host::ui::Ui;

const EXAMPLES: &str = "\
Examples:
  mote device test --on qemu:an386
  mote device test --on qemu:an386 --json
  mote device test --on qemu:an386 --quick                 # a fixed sample of positions
  mote device test --on qemu:an386 --only power -v         # the faults with `power` in their names, and how long each takes

Each fault is tried on the agent's image in QEMU, over a flash of its own. Survived is a trial after which the model before,
or the new one, answers with its own digests, and the agent answers within one time-out; lost one after which neither is
served. The exit code is 1 unless all were survived.
Keys of --json, an array: name, tried, survived, lost.";

/// Arguments of `mote device test`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// qemu[:BOARD] (an385, an386, an500, an547, microbit).
    #[arg(long, value_name = "PLACE")]
    on: Place,
    /// Try a fixed sample of positions (every 23rd byte, every 13th operation of the flash), instead of all.
    #[arg(long)]
    quick: bool,
    /// Only the faults whose names have this in them.
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote device test`.
pub(super) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let Place::Qemu(board) = args.on else {
        anyhow::bail!(
            "faults are tried in QEMU, where power can fail at any operation: --on qemu:BOARD, found {}",
            args.on
        );
    };
    let plan = Plan {
        quick: args.quick,
        only: args.only.as_deref(),
    };
    let total = faults::names()
        .filter(|name| plan.only.is_none_or(|only| name.contains(only)))
        .count();
    ensure!(
        total > 0,
        "no fault has these words in its name: {}",
        faults::names().collect::<Vec<_>>().join(", ")
    );
    if args.quick {
        ui.note("a fixed sample of positions: every 23rd byte, every 13th operation of the flash");
    }
    let progress = ui.progress("faults", total as u64);
    let faults = faults::run(board, plan, ui, |fault| {
        progress.inc(1);
        progress.message(fault.name);
    })?;
    progress.finish();
    if args.json {
        ui.json(&faults)?;
    } else {
        print(&faults, ui);
    }
    let failed: Vec<&str> = faults
        .iter()
        .filter(|fault| !fault.passes())
        .map(|fault| fault.name)
        .collect();
    ensure!(failed.is_empty(), "not survived: {}", failed.join(", "));
    Ok(())
}

fn print(faults: &[Fault], ui: &Ui) {
    let mut table = ui.table(&["fault", "tried", "survived", "lost"], &[1, 2, 3]);
    let row = |name: &str, count: &dyn Fn(fn(&Fault) -> u32) -> u32| {
        let [tried, survived, lost] = [
            count(|fault| fault.tried),
            count(|fault| fault.survived),
            count(|fault| fault.lost),
        ];
        [
            name.to_owned(),
            tried.to_string(),
            survived.to_string(),
            lost.to_string(),
        ]
    };
    for fault in faults {
        table.add_row(row(fault.name, &|of| of(fault)));
    }
    table.add_row(row("all", &|of| faults.iter().map(of).sum()));
    ui.result(table);
}
