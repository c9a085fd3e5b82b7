//! What Mote needs on this machine, what it found, and the command that mends what is missing.
//!
//! One function a thing; [`examine`] calls them all. Adding a check is one function and one line.

mod rust;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::data::{self, FileState};
use crate::device::boards::BOARDS;
use crate::paths;

/// The libtorch that tch 0.26 was made for.
const LIBTORCH_VERSION: &str = "2.13.0";

/// One thing that was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// Whether it is there and fits.
    pub ok: bool,
    /// Whether Mote does most of its work without it.
    pub optional: bool,
    /// What was found: a version, a place. `None` when nothing was.
    pub found: Option<String>,
    /// What was looked for.
    pub wanted: String,
    /// The command that mends it, or what else to do. `None` when it is there.
    pub fix: Option<String>,
}

impl Check {
    fn good(name: &'static str, wanted: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            optional: false,
            found: Some(found.into()),
            wanted: wanted.into(),
            fix: None,
        }
    }

    fn bad(
        name: &'static str,
        wanted: impl Into<String>,
        found: Option<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            name,
            ok: false,
            optional: false,
            found,
            wanted: wanted.into(),
            fix: Some(fix.into()),
        }
    }

    fn optional(self, optional: bool) -> Self {
        Self { optional, ..self }
    }
}

/// Looks for everything, in the order in which it is needed.
pub fn examine() -> Vec<Check> {
    let mut checks = vec![rust::cargo()];
    checks.extend(rust::targets());
    checks.push(qemu(first_line("qemu-system-arm", &["--version"]), || {
        output("qemu-system-arm", &["-M", "help"])
    }));
    checks.push(libtorch(&libtorch_directory()));
    checks.push(mnist(None));
    #[cfg(feature = "flash")]
    checks.push(probe(&crate::flash::list_probes()));
    checks
}

/// `version`: QEMU's own words, if it runs; `machines`: its list of machines.
fn qemu(version: Option<String>, machines: impl FnOnce() -> Option<String>) -> Check {
    const NAME: &str = "QEMU";
    let wanted_machines: Vec<&str> = BOARDS.iter().filter_map(|board| board.qemu).collect();
    let wanted = format!("qemu-system-arm with {}", wanted_machines.join(", "));
    let Some(version) = version else {
        return Check::bad(NAME, wanted, None, "scripts/setup");
    };
    let machines = machines().unwrap_or_default();
    let missing: Vec<&str> = wanted_machines
        .into_iter()
        .filter(|machine| {
            !machines
                .lines()
                .any(|line| line.split(' ').next() == Some(machine))
        })
        .collect();
    if missing.is_empty() {
        Check::good(NAME, wanted, version)
    } else {
        let found = format!("{version}, without {}", missing.join(", "));
        Check::bad(
            NAME,
            wanted,
            Some(found),
            "install a newer QEMU (6.0 has them all)",
        )
    }
}

/// Where this program was told to find libtorch.
fn libtorch_directory() -> PathBuf {
    std::env::var_os("LIBTORCH")
        .or_else(|| option_env!("LIBTORCH").map(Into::into))
        .map_or_else(|| paths::cache_dir().join("libtorch"), PathBuf::from)
}

fn libtorch(directory: &Path) -> Check {
    const NAME: &str = "libtorch";
    let optional = cfg!(not(feature = "train"));
    let wanted = format!(
        "{LIBTORCH_VERSION} in {}",
        paths::shorten(directory).display()
    );
    let library = directory.join("lib").join(if cfg!(target_os = "macos") {
        "libtorch_cpu.dylib"
    } else {
        "libtorch_cpu.so"
    });
    if !library.is_file() {
        return Check::bad(NAME, wanted, None, "scripts/setup").optional(optional);
    }
    // A libtorch of the user's own need not say its version.
    let version = std::fs::read_to_string(directory.join("build-version"));
    let version = version.as_deref().map_or("unknown version", str::trim);
    let fits = version == "unknown version" || version.split('+').next() == Some(LIBTORCH_VERSION);
    let found = format!("{version}{}", accelerator());
    if fits {
        Check::good(NAME, wanted, found).optional(optional)
    } else {
        let fix = "unset LIBTORCH, then scripts/setup";
        Check::bad(NAME, wanted, Some(found), fix).optional(optional)
    }
}

#[cfg(feature = "train")]
fn accelerator() -> &'static str {
    if tch::Cuda::is_available() {
        ", trains on CUDA"
    } else {
        ", trains on the CPU"
    }
}

#[cfg(not(feature = "train"))]
fn accelerator() -> &'static str {
    " (this mote was built without training)"
}

fn mnist(directory: Option<&Path>) -> Check {
    const NAME: &str = "MNIST";
    const FIX: &str = "scripts/setup, or with files of your own: scripts/setup --mnist DIR";
    let wanted = "four IDX files, by SHA-256";
    let set = match data::set("mnist") {
        Ok(set) => set,
        Err(error) => return Check::bad(NAME, wanted, Some(error.to_string()), FIX),
    };
    let place = paths::shorten(&set.directory(directory));
    match data::check(set, directory) {
        Err(error) => Check::bad(NAME, wanted, Some(error.to_string()), FIX),
        Ok(files) => {
            let count = |missing: bool| {
                let is_bad = |state: &FileState| match state {
                    FileState::Good => false,
                    FileState::Differs(_) => !missing,
                    FileState::Missing => missing,
                };
                files.iter().filter(|file| is_bad(&file.state)).count()
            };
            let (missing, different) = (count(true), count(false));
            if missing == 0 && different == 0 {
                return Check::good(NAME, wanted, place.display().to_string());
            }
            let found = (missing < files.len()).then(|| {
                format!(
                    "{}: {missing} missing, {different} with other content",
                    place.display()
                )
            });
            Check::bad(NAME, wanted, found, FIX)
        }
    }
}

#[cfg(feature = "flash")]
fn probe(found: &[probe_rs::probe::list::ProbeListItem]) -> Check {
    use crate::flash::Found;

    const NAME: &str = "debug probe";
    let wanted = "a probe on USB, to write to real boards";
    let found: Vec<Found> = found.iter().map(Found::from).collect();
    let names = found
        .iter()
        .map(Found::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let check = if found.is_empty() {
        Check::bad(
            NAME,
            wanted,
            None,
            "plug one in; what is looked for: mote flash --list",
        )
    } else if found.iter().any(|probe| probe.accessible) {
        Check::good(NAME, wanted, names)
    } else {
        let fix = "install probe-rs' udev rules: https://probe.rs/docs/getting-started/probe-setup/#linux-udev-rules";
        Check::bad(NAME, wanted, Some(format!("{names}, not accessible")), fix)
    };
    check.optional(true)
}

/// What `program` prints on stdout, if it runs and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line that a program prints.
pub fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    output(program, arguments)?
        .lines()
        .next()
        .map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests;
