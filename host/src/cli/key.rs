//! `mote key`: the keys that packages and weights are signed with.

use std::path::PathBuf;

use host::package::Key;
use host::ui::Ui;
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  mote key new release.pem           # a new pair, in a file that its owner alone may read
  mote key show release.pem          # the public half, which an agent is built with
  MOTE_KEY=$(mote key show release.pem -q) mote device info --on qemu:an386
  mote package models/mnist-cnn-i8.mote --key release.pem --version 2

ed25519 (RFC 8032), in PKCS#8 and PEM: `openssl pkey -in release.pem -pubout` reads it, too. Who has the file can sign
for every agent that was built with its public half: keep it where releases are made, and nowhere else.

Keys of --json: path, public_key (64 hexadecimal digits), key (the first 16 of them, as packages and agents name it).";

/// Arguments of `mote key`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a pair, and write it to a file that is not there yet.
    New(File),
    /// Print the public half of a pair.
    Show(File),
}

#[derive(clap::Args)]
struct File {
    /// The key file.
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    path: String,
    public_key: String,
    key: String,
}

/// Runs `mote key`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let (file, key) = match args.action {
        Action::New(file) => {
            let key = Key::random()?;
            key.write(&file.path)?;
            ui.note(format_args!(
                "{} is the private half: it signs, and wants to be kept secret",
                file.path.display()
            ));
            (file, key)
        }
        Action::Show(file) => {
            let key = Key::read(&file.path)?;
            (file, key)
        }
    };
    let public = key.public();
    if file.json {
        ui.json(&Report {
            path: file.path.display().to_string(),
            public_key: public.to_string(),
            key: public.short(),
        })?;
    } else {
        ui.result(public);
    }
    Ok(())
}
