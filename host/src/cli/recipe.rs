//! Recipes as commands take them: a TOML file, or one that a run keeps beside its weights.

use std::path::{Path, PathBuf};

use anyhow::Context;
use host::checkpoint::Checkpoint;
use host::paths;
use host::recipe::Recipe;

/// The checkpoint that `path` names: itself, or that in a run's folder.
pub(crate) fn checkpoint(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.join(paths::CHECKPOINT));
    }
    let is_one = path.extension().is_some_and(|end| end == "safetensors");
    is_one.then(|| path.to_owned())
}

/// Reads a recipe.
pub(crate) fn load(path: &Path) -> anyhow::Result<Recipe> {
    let Some(file) = checkpoint(path) else {
        return Ok(Recipe::load(path)?);
    };
    let checkpoint = Checkpoint::load(&file)?;
    let kept = || format!("the recipe kept in {}", file.display());
    checkpoint.recipe().with_context(kept)
}
