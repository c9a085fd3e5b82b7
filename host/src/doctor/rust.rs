//! Rust: cargo, and a way to compile for each Cortex-M target.

use std::path::Path;

use super::{Check, first_line};

/// The oldest Rust that the workspace builds with, as its `Cargo.toml` says.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// Debian's toolchain, which brings the source of `core`, to be built for any target.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// The targets of the boards, with the cores that they are for.
const TARGETS: &[(&str, &str)] = &[
    ("thumbv6m-none-eabi", "Cortex-M0"),
    ("thumbv7m-none-eabi", "Cortex-M3"),
    ("thumbv7em-none-eabihf", "Cortex-M4F, M7"),
];

pub(super) fn cargo() -> Check {
    assess_cargo(first_line("cargo", &["--version"]))
}

pub(super) fn assess_cargo(version: Option<String>) -> Check {
    const NAME: &str = "cargo";
    let wanted = format!("{RUST_VERSION} or newer");
    match version {
        None => Check::bad(NAME, wanted, None, "install Rust: https://rustup.rs"),
        Some(found) if number(&found) >= number(RUST_VERSION) => Check::good(NAME, wanted, found),
        Some(found) => Check::bad(NAME, wanted, Some(found), "rustup update stable"),
    }
}

/// The first two numbers of the first word that begins with a digit: `cargo 1.95.0 (…)` is (1, 95).
fn number(text: &str) -> Option<(u32, u32)> {
    let word = text
        .split_whitespace()
        .find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()))?;
    let mut parts = word.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

pub(super) fn targets() -> Vec<Check> {
    let debian = debian();
    TARGETS
        .iter()
        .map(|&(target, cores)| {
            let folder = first_line("rustc", &["--print", "target-libdir", "--target", target]);
            let own = folder.is_some_and(|folder| Path::new(&folder).is_dir());
            assess_target(target, cores, own, debian.as_deref())
        })
        .collect()
}

/// `own`: the active toolchain has the target; `debian`: the version of the one to fall back on.
pub(super) fn assess_target(
    target: &'static str,
    cores: &str,
    own: bool,
    debian: Option<&str>,
) -> Check {
    let wanted = format!("a way to compile for {cores}");
    match (own, debian) {
        (true, _) => Check::good(target, wanted, "the active toolchain's own"),
        (false, Some(version)) => {
            let found = format!("Debian's {version}, building core from source");
            Check::good(target, wanted, found)
        }
        (false, None) => Check::bad(
            target,
            wanted,
            None,
            format!("rustup target add {target}, or scripts/setup"),
        ),
    }
}

/// The version of Debian's compiler, if all is there that cross compilation with it needs.
fn debian() -> Option<String> {
    let sysroot = first_line(DEBIAN_RUSTC, &["--print", "sysroot"])?;
    let core = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/src/lib.rs");
    let complete = core.is_file()
        && first_line(DEBIAN_CARGO, &["--version"]).is_some()
        && first_line("ld.lld", &["--version"]).is_some();
    let version = first_line(DEBIAN_RUSTC, &["--version"])?;
    let short = version
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    complete.then_some(short)
}
