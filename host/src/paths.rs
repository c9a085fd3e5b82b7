//! Where things lie: the workspace, its cache, its training runs.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The nearest directory, from the current one upwards, whose `Cargo.toml` has a `[workspace]`.
///
/// Falls back to the current directory, so that paths in messages stay relative and readable.
pub fn workspace_root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    here.ancestors()
        .find(|directory| is_workspace(directory))
        .map_or_else(|| here.clone(), Path::to_path_buf)
}

fn is_workspace(directory: &Path) -> bool {
    std::fs::read_to_string(directory.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
}

/// What `scripts/setup` fetches: libtorch and the data sets.
pub fn cache_dir() -> PathBuf {
    workspace_root().join(".cache")
}

/// The name of the checkpoint in a run's folder.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// Where a recipe's checkpoint, history and pictures go: `runs/<recipe>`.
pub fn run_dir(recipe: &str) -> PathBuf {
    workspace_root().join("runs").join(recipe)
}

/// Recipes, and the blobs and cards that come of them.
pub fn models_dir() -> PathBuf {
    workspace_root().join("models")
}

/// `path` relative to the current directory when it lies below it, for messages.
pub fn shorten(path: &Path) -> PathBuf {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf))
        .unwrap_or_else(|| path.to_path_buf())
}

/// Writes a file whole or not at all: beside `path` first, then renamed. Makes its folder.
///
/// # Errors
/// Those of the file system.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&beside, path)
}
