//! `mote zoo`.

use host::device::Place;
use host::ui::Ui;
use host::zoo::{Outcome, SYSTEMS, select};

const EXAMPLES: &str = "\
Without a name all systems run. Those of the group by-hand are worked out on slides: each figure is compared with what comes
out in f64, and with what nn-core computes in f32 and Q16, here or on a device.

Examples:
  mote zoo                          # all of them, on the host
  mote zoo --list
  mote zoo backprop-2-2-2 -v        # every figure of one
  mote zoo by-hand --on qemu:an386 --json

Keys of --json, an array: system, group, title, parameters, deck and ours (of the first figure that fails, else of the first), arena
(bytes, of the largest network), pass, figures (name, deck, ours, within). A system that fails makes the exit code 1.";

/// Arguments of `mote zoo`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Systems or groups; all where none is given.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Where they run: host, qemu, or qemu:BOARD.
    #[arg(long, value_name = "PLACE", default_value = "host")]
    on: Place,
    /// Name the systems, and run none.
    #[arg(long, conflicts_with_all = ["json", "on"])]
    list: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mote zoo`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    if args.list {
        let mut table = ui.table(&["system", "group", ""], &[]);
        for system in SYSTEMS {
            table.add_row([system.name, system.group, system.title]);
        }
        ui.result(table);
        return Ok(());
    }
    let mut outcomes = Vec::new();
    for system in select(&args.names)? {
        ui.detail(format_args!("{}: {}", system.name, system.title));
        outcomes.push(system.run(&args.on, ui)?);
    }
    if args.json {
        ui.json(&outcomes)?;
    } else {
        print(&outcomes, ui);
    }
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| !outcome.pass)
        .map(|outcome| outcome.system)
        .collect();
    anyhow::ensure!(
        failed.is_empty(),
        "not as on the slides: {}",
        failed.join(", ")
    );
    Ok(())
}

fn print(outcomes: &[Outcome], ui: &Ui) {
    let header = [
        "system",
        "parameters",
        "deck",
        "ours",
        "figures",
        "arena",
        "pass",
    ];
    let mut table = ui.table(&header, &[1, 2, 3, 4, 5]);
    for outcome in outcomes {
        let right = outcome.figures.iter().filter(|figure| figure.passes());
        table.add_row([
            outcome.title.to_owned(),
            outcome.parameters.to_string(),
            outcome.deck.to_string(),
            outcome.ours.to_string(),
            format!("{} of {}", right.count(), outcome.figures.len()),
            outcome.arena.to_string(),
            if outcome.pass { "yes" } else { "no" }.to_owned(),
        ]);
    }
    ui.result(table);
    for outcome in outcomes {
        let wanted = |figure: &&host::zoo::Figure| ui.verbosity() > 0 || !figure.passes();
        let figures: Vec<_> = outcome.figures.iter().filter(wanted).collect();
        if figures.is_empty() {
            continue;
        }
        let mut table = ui.table(
            &[outcome.title, "deck", "ours", "within", "pass"],
            &[1, 2, 3],
        );
        for figure in figures {
            table.add_row([
                figure.name.clone(),
                figure.deck.to_string(),
                figure.ours.to_string(),
                format!("{:e}", figure.within),
                if figure.passes() { "yes" } else { "no" }.to_owned(),
            ]);
        }
        ui.result(table);
    }
}
