//! `mote generate`: text from a model that tells the next letter, on the host or on a device.

use std::path::PathBuf;

use anyhow::Context;
use host::blob::Blob;
use host::generate::{Choice, generate};
use host::recipe::Recipe;
use host::ui::Ui;
use serde::Serialize;

use super::samples::Where;

const EXAMPLES: &str = "\
Examples:
  mote generate runs/zoo/next-letter/next-letter-f32.mote --recipe models/zoo/next-letter.toml \\
      --prompt 'the arena of a model is as large as'
  mote generate MODEL.mote --recipe FILE.toml --prompt TEXT --temperature 0.5 --seed 3 --on qemu:an386 --json

The recipe says which letters there are. The prompt must be as long as a window, or longer. The same model, seed and
temperature write the same on every machine and device.

Keys of --json: model, on, prompt, text, temperature, seed.";

/// Arguments of `mote generate`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The model.
    #[arg(value_name = "MODEL.mote")]
    model: PathBuf,
    /// The recipe that it was exported from.
    #[arg(long, value_name = "FILE.toml")]
    recipe: PathBuf,
    #[command(flatten)]
    place: Where,
    /// What the text begins with.
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Letters to write.
    #[arg(long, value_name = "N", default_value_t = 200)]
    count: usize,
    /// Below 1 likelier letters more often, at 0 the likeliest alone.
    #[arg(long, value_name = "T", default_value_t = 0.5, value_parser = temperature)]
    temperature: f64,
    /// All chance follows from it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn temperature(text: &str) -> Result<f64, String> {
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|t| (0.0..=100.0).contains(t));
    number.ok_or_else(|| "wanted a number from 0 to 100".to_owned())
}

#[derive(Serialize)]
struct Report {
    model: String,
    on: String,
    prompt: String,
    text: String,
    temperature: f64,
    seed: u64,
}

/// Runs `mote generate`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let recipe = Recipe::load(&args.recipe)?;
    let text = recipe.data.text.as_ref().with_context(|| {
        let path = args.recipe.display();
        format!(
            "{path}: wanted a recipe of the set `text`, found `{}`",
            recipe.data.set
        )
    })?;
    let blob = Blob::open(&args.model)?;
    let model = blob.model();
    let input = model.input(0).context("the model has no input")?;
    let output = model.output(0).context("the model has no output")?;
    let choice = Choice {
        temperature: args.temperature,
        seed: args.seed,
    };
    let mut device = args.place.open(&blob, ui)?;
    let ends = [&input, &output];
    let written = generate(text, ends, &args.prompt, args.count, choice, |input| {
        device.infer(input)
    })?;
    device.finish()?;
    if args.json {
        ui.json(&Report {
            model: args.model.display().to_string(),
            on: args.place.on.to_string(),
            prompt: args.prompt,
            text: written,
            temperature: args.temperature,
            seed: args.seed,
        })?;
    } else {
        ui.result(format_args!("{}|{written}", args.prompt));
    }
    Ok(())
}
