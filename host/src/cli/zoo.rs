//! `mote zoo`.

use std::path::PathBuf;

use host::device::Place;
use host::ui::Ui;
use host::zoo::{Outcome, Rule, SYSTEMS, Settings, State, select};

const EXAMPLES: &str = "\
Without a name all systems run, about an hour of training on two cores; what has been trained is taken up from
runs/zoo. Those of the group by-hand are worked out on slides: each figure is compared with what comes out in f64, and with
what nn-core computes in f32 and Q16, here or on a device. The others are trained by the recipes of models/zoo, exported and
measured by nn-core; with --on, a device reads a few test samples, too, and must answer as this machine does.

Examples:
  mote zoo                          # all of them, on the host
  mote zoo --list
  mote zoo backprop-2-2-2 -v        # every figure of one
  mote zoo by-hand --on qemu:an386 --json
  mote zoo tables --data ../shared/data

Keys of --json, an array: system, group, title, parameters, deck and ours (of the first figure that fails, else of the first;
deck is null where slides give no figure), arena (bytes, of the largest network), pass (null where it did not run), state (pass,
fail, no data, no training, error), error (why it could not be run to its end, else null), notes, figures (name, deck, ours, within, rule: near, at_least, at_most, stated), models (recipe,
format, flash, arena, accuracy, r2, digest, path), seconds. A system that fails, or ends with an error, does not keep
the others from running, and makes the exit code 1; data that are not at hand do not.";

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
    /// Where data lie, before the usual folders: $MOTE_DATA, .cache/data, ../shared/data, models/data.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Train again what has been trained already.
    #[arg(long)]
    fresh: bool,
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
    let settings = Settings {
        place: args.on,
        data: args.data,
        fresh: args.fresh,
        ..Settings::default()
    };
    for system in select(&args.names)? {
        ui.detail(format_args!("{}: {}", system.name, system.title));
        let outcome = system.run(&settings, ui);
        ui.detail(format_args!("  {:.1} s", outcome.seconds));
        outcomes.push(outcome);
    }
    if args.json {
        ui.json(&outcomes)?;
    } else {
        print(&outcomes, ui);
    }
    let of = |state| {
        let those = outcomes.iter().filter(|outcome| outcome.state == state);
        those.map(|outcome| outcome.system).collect::<Vec<_>>()
    };
    let words = [
        ("not as on the slides", of(State::Fail)),
        ("not run to the end", of(State::Error)),
    ];
    let failed = words.iter().filter(|(_, systems)| !systems.is_empty());
    let failed = failed.map(|(what, systems)| format!("{what}: {}", systems.join(", ")));
    let failed: Vec<String> = failed.collect();
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("; "));
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
            number(outcome.deck),
            number(outcome.ours),
            format!("{} of {}", right.count(), outcome.figures.len()),
            outcome.arena.to_string(),
            outcome.state.name().to_owned(),
        ]);
    }
    ui.result(table);
    for outcome in outcomes {
        for note in outcome.notes.iter().chain(&outcome.error) {
            ui.note(format_args!("{}: {note}", outcome.system));
        }
    }
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
                number(figure.deck),
                number(figure.ours),
                match figure.rule {
                    Rule::Near => format!("{:e}", figure.within),
                    Rule::AtLeast => "or more".to_owned(),
                    Rule::AtMost => "or less".to_owned(),
                    Rule::Stated => String::new(),
                },
                if figure.passes() { "yes" } else { "no" }.to_owned(),
            ]);
        }
        ui.result(table);
    }
}

/// As in tables: not more digits than figures have, and nothing for none.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    let rounded = format!("{value:.6}");
    let short = rounded.trim_end_matches('0').trim_end_matches('.');
    // Small numbers keep their digits.
    match value.abs() < 0.001 && value != 0.0 {
        true => format!("{value:e}"),
        false => short.to_owned(),
    }
}
