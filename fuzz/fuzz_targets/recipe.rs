//! Any text as a recipe: it is refused in words that name its line, or it is read.
#![no_main]

use std::path::Path;

use host::recipe::Recipe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Recipe::parse(text, Path::new("recipe.toml")) {
        Ok(recipe) => {
            let learnt = recipe.parameters().checked_sub(recipe.frozen());
            learnt.expect("no more is frozen than there is");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
