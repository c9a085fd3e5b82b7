//! `mote package`: a model as agents take it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use host::blob::Blob;
use host::package::{Key, Package, PublicKey, hex, id_digits};
use host::paths::write_whole;
use host::ui::Ui;
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  mote package models/mnist-cnn-i8.mote                                   # writes models/mnist-cnn-i8.motp
  mote package models/mnist-cnn-head.mote --key release.pem --version 7 -o release-7.motp
  mote package models/mnist-cnn-head.mote --key release.pem --version 8 --floor 7   # 6 and below are ruled out
  mote package --show release-7.motp --json
  mote package --show release-7.motp --public-key 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c

A package is the model with a manifest before it: SHA-512, version, floor, the digests of a self-test that the agent repeats
before it serves the model, and a signature. --show verifies all of it; the signature where it is given the key.
`mote device load` takes a package, or makes one of a model as it goes. The layout: docs/agent.md.

Keys of --json: path, model, bytes, blob_bytes, blob_crc32, sha512, version, floor, inference, training (null where the
self-test takes no training steps), signed, key (null where it is not signed), verified (null where no key was given).";

/// Arguments of `mote package`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    /// The model.
    #[arg(value_name = "MODEL.mote", required_unless_present = "show")]
    model: Option<PathBuf>,
    /// Sign it with this key (`mote key new` makes one); with --show, verify its signature.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    release: Release,
    /// The package [default: beside the model, with the ending .motp].
    #[arg(short, long, value_name = "OUT.motp", conflicts_with = "show")]
    out: Option<PathBuf>,
    /// Verify a package and say what is in it, instead.
    #[arg(long, value_name = "FILE.motp", conflicts_with_all = ["model", "version", "floor"])]
    show: Option<PathBuf>,
    /// With --show: verify the signature with this public key, as `mote key show` prints it.
    #[arg(long, value_name = "DIGITS", conflicts_with = "key", requires = "show")]
    public_key: Option<PublicKey>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Where a package stands among others.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Release {
    /// Its version, which counts up from release to release.
    #[arg(long, default_value_t = 1, value_name = "N")]
    version: u32,
    /// Once an agent has served it, it takes no version below this any more.
    #[arg(long, default_value_t = 0, value_name = "N")]
    floor: u32,
}

impl Release {
    /// The package of a file, which is one, or a model. A package is taken as it is, unless it is to be signed anew.
    pub(crate) fn package(self, path: &Path, key: Option<&Path>) -> anyhow::Result<Package> {
        let mut start = [0; 4];
        if let Ok(mut file) = std::fs::File::open(path) {
            std::io::Read::read_exact(&mut file, &mut start).ok();
        }
        let package = match host::package::is_package(&start) {
            true if key.is_some() => bail!(
                "{} is a package already, signed or not: give its model to sign it",
                path.display()
            ),
            true => Package::read(path)?,
            false => Package::new(Blob::open(path)?, self.version, self.floor)?,
        };
        Ok(match key {
            Some(key) => package.signed(&Key::read(key)?),
            None => package,
        })
    }
}

#[derive(Serialize)]
struct Report {
    path: String,
    model: String,
    bytes: usize,
    blob_bytes: u32,
    blob_crc32: String,
    sha512: String,
    version: u32,
    floor: u32,
    inference: String,
    training: Option<String>,
    signed: bool,
    key: Option<String>,
    verified: Option<bool>,
}

/// Runs `mote package`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let (path, package, verified) = match (args.show, args.model) {
        (Some(path), _) => {
            let package = Package::read(&path)?;
            let key = match (&args.key, args.public_key) {
                (Some(key), _) => Some(Key::read(key)?.public()),
                (None, key) => key,
            };
            let verified = key.map(|key| package.verify(&key)).transpose()?;
            (path, package, verified.map(|()| true))
        }
        (None, Some(model)) => {
            let package = args.release.package(&model, args.key.as_deref())?;
            let path = args.out.unwrap_or_else(|| model.with_extension("motp"));
            write_whole(&path, &package.bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            let verified = args.key.map(|_| true);
            (path, package, verified)
        }
        (None, None) => bail!("which model?"),
    };
    let manifest = package.manifest;
    let key = package.is_signed().then(|| id_digits(manifest.key));
    if args.json {
        ui.json(&Report {
            path: path.display().to_string(),
            model: package.blob.model().name().to_owned(),
            bytes: manifest.package_len(),
            blob_bytes: manifest.blob_len,
            blob_crc32: format!("{:08x}", manifest.blob_crc32),
            sha512: hex(&manifest.hash),
            version: manifest.version,
            floor: manifest.floor,
            inference: format!("{:016x}", manifest.inference),
            training: trained(manifest.training),
            signed: package.is_signed(),
            key,
            verified,
        })?;
        return Ok(());
    }
    let signature = match (key, verified) {
        (None, _) => "not signed".to_owned(),
        (Some(key), Some(true)) => format!("signed by key {key}, verified"),
        (Some(key), _) => {
            format!("signed by key {key}, which --key FILE or --public-key DIGITS verifies")
        }
    };
    ui.result(format_args!(
        "{}: {}, version {}, floor {}, {} bytes, CRC-32 {:08x}\n  self-test: inference {:016x}, training {}\n  SHA-512 {}\n  {signature}",
        path.display(),
        package.blob.model().name(),
        manifest.version,
        manifest.floor,
        manifest.package_len(),
        manifest.blob_crc32,
        manifest.inference,
        trained(manifest.training).as_deref().unwrap_or("none"),
        hex(&manifest.hash),
    ));
    Ok(())
}

fn trained(digest: u64) -> Option<String> {
    (digest != 0).then(|| format!("{digest:016x}"))
}
