//! Builds an image: an app, a board, a model.

use std::{
    borrow::Cow,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nn_core::{crc::crc32, scalar::MATH};

use super::{
    BuildError, Image,
    boards::{Board, is_own_ram},
};
use crate::{package::PublicKey, paths, ui::Ui};

/// A compiler that can build for a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// rustc on the path has the target's core library.
    Rustup,
    /// Debian's packages have core's source, and build it along.
    Debian,
}

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/src/rust/library/core";
const LLD: &str = "/usr/bin/ld.lld";

impl Toolchain {
    /// The one that images for `target` are built with.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoToolchain`] when there is none.
    pub fn find(target: &'static str) -> Result<Self, BuildError> {
        let libraries = Command::new("rustc")
            .args(["--print", "target-libdir", "--target", target])
            .stderr(Stdio::null())
            .output();
        let has_core = libraries.is_ok_and(|output| {
            let directory = String::from_utf8_lossy(&output.stdout);
            output.status.success()
                && fs::read_dir(directory.trim()).is_ok_and(|files| {
                    files
                        .flatten()
                        .any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
                })
        });
        let there = |path: &&str| Path::new(path).exists();
        if has_core {
            Ok(Toolchain::Rustup)
        } else if [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_CORE, LLD]
            .iter()
            .all(there)
        {
            Ok(Toolchain::Debian)
        } else {
            Err(BuildError::NoToolchain { target })
        }
    }

    /// `cargo build`, as this toolchain wants it.
    fn build(&self, target: &str) -> Command {
        match self {
            Toolchain::Rustup => {
                let mut cargo = Command::new("cargo");
                cargo.arg("build");
                cargo
            }
            Toolchain::Debian => {
                let mut cargo = Command::new(DEBIAN_CARGO);
                let linker = target.replace(['-', '.'], "_").to_uppercase();
                cargo
                    .args(["build", "-Zbuild-std=core"])
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env(format!("CARGO_TARGET_{linker}_LINKER"), LLD)
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("RUSTC_WORKSPACE_WRAPPER")
                    .env_remove("RUSTC_WRAPPER");
                cargo
            }
        }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Toolchain::Rustup => "rustup's target",
            Toolchain::Debian => "Debian's rust-web-src and build-std",
        }
    }
}

/// The app that measures others: with a crate that no other app has.
pub const COMPARE: &str = "compare";

/// The app that takes models over the link: with crates for signatures.
pub const AGENT: &str = "agent";

/// What an image holds besides code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A model, a blob. It learns where it has a training plan.
    Model(&'a [u8]),
    /// A model that only runs, even where it has a training plan.
    Inference(&'a [u8]),
    /// Several, in an archive, for the app `conformance`.
    Cases(&'a [u8]),
    /// None: an agent, which takes what this key has signed, or anything.
    Agent(Option<PublicKey>),
}

impl<'a> Content<'a> {
    fn bytes(&self) -> Cow<'a, [u8]> {
        match self {
            Content::Model(bytes) | Content::Inference(bytes) | Content::Cases(bytes) => {
                Cow::Borrowed(bytes)
            }
            Content::Agent(key) => {
                Cow::Owned(key.map_or_else(String::new, |key| key.to_string()).into())
            }
        }
    }

    /// The suffix of the file that it lies in.
    fn suffix(&self) -> &'static str {
        match self {
            Content::Model(_) => "mote",
            Content::Inference(_) => "infer.mote",
            Content::Cases(_) => "cases",
            Content::Agent(_) => "key",
        }
    }

    /// Tells the firmware's build script of it, and of its file.
    fn tell(&self, cargo: &mut Command, file: &Path) {
        match self {
            Content::Model(_) | Content::Inference(_) => cargo.env("MOTE_MODEL", file),
            Content::Cases(_) => cargo.env("MOTE_CASES", file),
            Content::Agent(Some(key)) => cargo.env("MOTE_KEY", key.to_string()),
            Content::Agent(None) => cargo,
        };
    }
}

/// Builds `app` for `board` around `content`, or finds that the image is up to date.
///
/// Images lie side by side in `target/firmware/images`, so that several may be in use at once.
///
/// # Errors
///
/// [`BuildError`]: no toolchain, the image does not fit, or what cargo said.
pub fn build(
    board: &'static Board,
    app: &str,
    content: Content<'_>,
    ui: &Ui,
) -> Result<Image, BuildError> {
    let root = paths::workspace_root();
    let target_dir = root.join("target/firmware");
    let images = target_dir.join("images");
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::File { path, source }
    };
    fs::create_dir_all(&images).map_err(file_error(&images))?;
    // One build at a time: cargo would wait too, but between its end and the copy below another
    // build must not slip in.
    let lock_path = images.join("lock");
    let lock = File::create(&lock_path).map_err(file_error(&lock_path))?;
    lock.lock().map_err(file_error(&lock_path))?;

    let bytes = &*content.bytes();
    let suffix = content.suffix();
    let ram = match is_own_ram(board) {
        true => String::new(),
        false => format!("-{}", board.ram.len),
    };
    let name = format!("{app}-{}{ram}-{MATH}-{:08x}", board.name, crc32(bytes));
    let file = images.join(format!("{name}.{suffix}"));
    if fs::read(&file).ok().as_deref() != Some(bytes) {
        fs::write(&file, bytes).map_err(file_error(&file))?;
    }
    let toolchain = Toolchain::find(board.target)?;
    ui.note(format_args!(
        "building {app} for {} ({}, {})",
        board.name,
        board.core,
        toolchain.name()
    ));
    let mut cargo = toolchain.build(board.target);
    // An image as it is shipped logs errors; more takes more flash.
    if std::env::var_os("DEFMT_LOG").is_none() && ui.verbosity() > 1 {
        cargo.env("DEFMT_LOG", "info");
    }
    let built = compile(cargo, board, app, &root, &target_dir, content, &file)?;
    // Two images of a model that learns differ in whether they do.
    let elf = images.join(format!("{name}.{suffix}.elf"));
    fs::copy(&built, &elf).map_err(file_error(&built))?;
    let image = Image::read(&elf, board)?;
    ui.detail(format_args!(
        "{}: flash {} of {}, RAM {} of {} (arena {}, stack {})",
        paths::shorten(&image.elf).display(),
        image.flash(),
        board.flash.len,
        image.ram(),
        board.ram.len,
        image.arena,
        image.stack
    ));
    Ok(image)
}

fn compile(
    mut cargo: Command,
    board: &'static Board,
    app: &str,
    root: &Path,
    target_dir: &Path,
    content: Content<'_>,
    file: &Path,
) -> Result<PathBuf, BuildError> {
    cargo
        .args(["-p", "firmware", "--profile", "firmware", "--bin", app])
        .args(["--target", board.target])
        .arg("--features")
        .arg(match app {
            COMPARE => format!("{},compare", features(board)),
            AGENT => format!("{},agent", features(board)),
            _ => features(board),
        })
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(root)
        .env_remove("MOTE_MODEL")
        .env_remove("MOTE_CASES")
        .env_remove("MOTE_TRAIN")
        .env_remove("MOTE_FRAME")
        .env_remove("MOTE_RAM")
        .env_remove("MOTE_KEY")
        // What this process may have from a cargo that runs it.
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    content.tell(&mut cargo, file);
    if app == COMPARE {
        // Its loops are to be as fast as they can.
        cargo.args(["--config", "profile.firmware.package.firmware.opt-level=3"]);
    }
    if matches!(content, Content::Inference(_)) {
        cargo.env("MOTE_TRAIN", "0");
    }
    if !is_own_ram(board) {
        cargo.env("MOTE_RAM", board.ram.len.to_string());
    }
    // They serve nobody.
    if ["profile", "control"].contains(&app) {
        cargo.env("MOTE_FRAME", "0");
    }
    let output = cargo.output().map_err(|source| BuildError::Cargo {
        program: cargo.get_program().into(),
        source,
    })?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        return Err(failure(board, &log));
    }
    Ok(target_dir.join(board.target).join("firmware").join(app))
}

/// The board, and the functions that this process computes with: both have to give the same bits.
fn features(board: &Board) -> String {
    let board = format!("board-{}", board.name);
    match MATH {
        "micromath" => format!("{board},micromath"),
        _ => board,
    }
}

/// What is the matter, out of all that cargo says.
fn failure(board: &'static Board, log: &str) -> BuildError {
    // lld: "section '.rodata' will not fit in region 'FLASH': overflowed by 1234 bytes".
    let overflow = log
        .lines()
        .find(|line| line.contains("will not fit in region"));
    if let Some((_, what)) = overflow.and_then(|line| line.split_once("section ")) {
        let (flash, ram) = (board.flash.len, board.ram.len);
        return BuildError::TooLarge {
            board: board.name,
            reason: format!(
                "{what} (it has {flash} bytes of flash, {ram} of RAM): take a smaller model, or quantize it"
            ),
        };
    }
    // The firmware's build script says what it wants in one line of this form.
    let said = log
        .lines()
        .find_map(|line| line.strip_prefix("error: firmware@")?.split_once(": "));
    let log = match said {
        Some((_, message))
            if [" bytes of RAM (", " bytes of flash, "]
                .iter()
                .any(|says| message.contains(says)) =>
        {
            let (board, reason) = (board.name, message.to_owned());
            return BuildError::TooLarge { board, reason };
        }
        Some((_, message)) => message.to_owned(),
        None => log
            .lines()
            .skip_while(|line| !line.starts_with("error"))
            .take(30)
            .collect::<Vec<_>>()
            .join("\n"),
    };
    BuildError::Failed {
        board: board.name,
        log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::boards;

    #[test]
    fn failures_name_their_cause() {
        let board = boards::named("microbit").unwrap();
        let overflow = "error: linking failed\n  = note: ld.lld: error: section '.rodata' will not \
                        fit in region 'FLASH': overflowed by 1234 bytes\n";
        let error = failure(board, overflow).to_string();
        assert!(error.contains("does not fit microbit"), "{error}");
        assert!(
            error.contains("'FLASH': overflowed by 1234 bytes"),
            "{error}"
        );
        assert!(error.contains("262144 bytes of flash"), "{error}");

        let script = "   Compiling x\nerror: firmware@0.1.0: m.mote wants 9 bytes\nerror: failed";
        let error = failure(board, script).to_string();
        assert!(error.ends_with("\nm.mote wants 9 bytes"), "{error}");

        let other = "   Compiling x\nerror[E0425]: no such thing\n --> a.rs:1";
        let error = failure(board, other).to_string();
        assert!(
            error.contains("E0425") && !error.contains("Compiling"),
            "{error}"
        );
    }
}
