//! `mote data`: which data sets there are, and whether their files are good.

use std::path::PathBuf;

use anyhow::{Context, bail};
use host::data::{self, DataError, FileCheck, FileState, SetInfo};
use host::{paths, ui::Ui};

const EXAMPLES: &str = "\
Examples:
  mote data                     # all sets, and whether their files are there
  mote data mnist               # one set: files, SHA-256, source
  mote data --json
  mote data fetch mnist         # runs the command that fetches what is missing";

/// Arguments of `mote data`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The set to describe [default: all].
    set: Option<String>,
    /// Folder of the data sets [default: $MOTE_DATA, else .cache/data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Fetch what is missing.
    Fetch {
        /// The set to fetch.
        set: String,
    },
}

/// Runs `mote data`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    if let Some(Action::Fetch { set }) = &args.action {
        return fetch(known(set)?, ui);
    }
    let sets = match &args.set {
        Some(name) => vec![known(name)?],
        None => data::SETS.to_vec(),
    };
    let mut checked = Vec::new();
    for set in sets {
        checked.push((set, data::check(set, args.data.as_deref())?));
    }
    if args.json {
        let sets: Vec<_> = checked
            .iter()
            .map(|(set, files)| to_json(set, files))
            .collect();
        ui.json(&sets)?;
    } else if args.set.is_some() {
        checked
            .iter()
            .for_each(|(set, files)| describe(set, files, ui));
    } else {
        list(&checked, ui);
    }
    Ok(())
}

/// A set whose files are known; those of recipes are any files.
fn known(name: &str) -> Result<&'static SetInfo, DataError> {
    let set = data::set(name)?;
    match set.files {
        [] => Err(DataError::NoRecipe(set.name)),
        _ => Ok(set),
    }
}

/// `good`, or what is wrong and what mends it.
fn verdict(set: &SetInfo, files: &[FileCheck]) -> String {
    let count = |wanted: fn(&FileState) -> bool| files.iter().filter(|f| wanted(&f.state)).count();
    let missing = count(|state| *state == FileState::Missing);
    let different = count(|state| matches!(state, FileState::Differs(_)));
    match (missing, different) {
        (0, 0) => "good".to_owned(),
        (0, different) => format!("{different} of {} files differ", files.len()),
        (missing, _) => format!("{missing} of {} files missing: {}", files.len(), set.fetch),
    }
}

fn state_name(state: &FileState) -> &'static str {
    match state {
        FileState::Good => "good",
        FileState::Differs(_) => "differs",
        FileState::Missing => "missing",
    }
}

fn list(checked: &[(&SetInfo, Vec<FileCheck>)], ui: &Ui) {
    let header = ["set", "what", "image", "classes", "train", "test", "files"];
    let mut table = ui.table(&header, &[3, 4, 5]);
    for (set, files) in checked {
        let [train, test] = set.samples;
        table.add_row([
            set.name.to_owned(),
            set.title.to_owned(),
            host::recipe::shape(&set.shape),
            set.classes.len().to_string(),
            train.to_string(),
            test.to_string(),
            verdict(set, files),
        ]);
    }
    ui.result(table);
}

fn describe(set: &SetInfo, files: &[FileCheck], ui: &Ui) {
    let [train, test] = set.samples;
    ui.result(format_args!("{}: {}", set.name, set.title));
    ui.result(format_args!(
        "  images   {}",
        host::recipe::shape(&set.shape)
    ));
    ui.result(format_args!(
        "  samples  {train} to learn from, {test} to test on"
    ));
    ui.result(format_args!("  classes  {}", set.classes.join(", ")));
    ui.result(format_args!("  source   {}", set.source));
    ui.result(format_args!("  files    {}", verdict(set, files)));
    for file in files {
        let state = state_name(&file.state);
        ui.result(format_args!(
            "    {state:8} {}",
            paths::shorten(&file.path).display()
        ));
        if let FileState::Differs(found) = &file.state {
            ui.result(format_args!("             wanted SHA-256 {}", file.wanted));
            ui.result(format_args!("             found  SHA-256 {found}"));
        }
    }
}

fn to_json(set: &SetInfo, files: &[FileCheck]) -> serde_json::Value {
    let files: Vec<_> = files
        .iter()
        .map(|file| {
            let found = match &file.state {
                FileState::Good => Some(file.wanted),
                FileState::Differs(found) => Some(found.as_str()),
                FileState::Missing => None,
            };
            serde_json::json!({
                "name": file.name,
                "path": file.path,
                "state": state_name(&file.state),
                "wanted": file.wanted,
                "found": found,
            })
        })
        .collect();
    serde_json::json!({
        "name": set.name,
        "title": set.title,
        "shape": set.shape,
        "classes": set.classes,
        "train": set.samples[0],
        "test": set.samples[1],
        "source": set.source,
        "fetch": set.fetch,
        "files": files,
    })
}

fn fetch(set: &SetInfo, ui: &Ui) -> anyhow::Result<()> {
    let good = |files: &[FileCheck]| files.iter().all(|file| file.state == FileState::Good);
    if good(&data::check(set, None)?) {
        ui.result(format_args!("{}: the files are there, and good", set.name));
        return Ok(());
    }
    anyhow::ensure!(
        !set.fetch.is_empty(),
        "{} has to be fetched by hand: {}",
        set.name,
        set.source
    );
    let command = paths::workspace_root().join(set.fetch);
    ui.note(format_args!(
        "Running {}",
        paths::shorten(&command).display()
    ));
    let status = std::process::Command::new(&command)
        .status()
        .with_context(|| format!("cannot run {}", command.display()))?;
    let files = data::check(set, None)?;
    if !status.success() || !good(&files) {
        bail!(
            "{} did not bring {}: {}",
            set.fetch,
            set.name,
            verdict(set, &files)
        );
    }
    ui.result(format_args!("{}: the files are there, and good", set.name));
    Ok(())
}
