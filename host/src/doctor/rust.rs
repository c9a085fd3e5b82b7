//! Rust: cargo, and a way to compile for each Cortex-M target.

use super::{Check, first_line};
use crate::device::boards::BOARDS;
use crate::device::firmware::Toolchain;

/// The oldest Rust that the workspace builds with, as its `Cargo.toml` says.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

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

/// One check for each target that a board wants.
pub(super) fn targets() -> Vec<Check> {
    let mut targets: Vec<&'static str> = BOARDS.iter().map(|board| board.target).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
        .into_iter()
        .map(|target| assess_target(target, Toolchain::find(target).ok()))
        .collect()
}

pub(super) fn assess_target(target: &'static str, toolchain: Option<Toolchain>) -> Check {
    let boards: Vec<_> = BOARDS
        .iter()
        .filter(|board| board.target == target)
        .map(|board| board.name)
        .collect();
    let wanted = format!("a compiler for {}", boards.join(", "));
    match toolchain {
        Some(toolchain) => Check::good(target, wanted, toolchain.name()),
        None => {
            let fix = format!("rustup target add {target}, or scripts/setup");
            Check::bad(target, wanted, None, fix)
        }
    }
}
