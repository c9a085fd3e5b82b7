//! `mote run`: single predictions, with the scores, on the host or on a device.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use host::blob::Blob;
use host::data::Part;
use host::sample;
use host::ui::Ui;
use nn_core::tensor::Tensor;
use serde::Serialize;

use super::samples::{Samples, Where};

const EXAMPLES: &str = "\
Examples:
  mote run models/mnist-cnn-i8.mote --sample 0 --sample 7
  mote run models/mnist-cnn-i8.mote --image digit.png --on qemu:microbit
  mote run models/mnist-mlp-f32.mote --sample 3 --shift invert --json

A picture is PNG, 8-bit, of the model's size; colours become grey where the model has one channel.
MNIST's digits are white on black: add `--shift invert` for ink on paper.";

/// Arguments of `mote run`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The model.
    #[arg(value_name = "MODEL.mote")]
    model: PathBuf,
    #[command(flatten)]
    place: Where,
    /// A sample of the test set, by its number from 0; may be given several times.
    #[arg(long, value_name = "INDEX")]
    sample: Vec<usize>,
    /// A picture; may be given several times.
    #[arg(long, value_name = "FILE.png")]
    image: Vec<PathBuf>,
    #[command(flatten)]
    samples: Samples,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Prediction {
    source: String,
    label: Option<usize>,
    prediction: usize,
    scores: Vec<f32>,
}

/// Runs `mote run`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let blob = Blob::open(&args.model)?;
    let model = blob.model();
    let input = model.input(0).context("the model has no input")?;
    let output = model.output(0).context("the model has no output")?;
    let inputs = inputs(&args, &input)?;
    let mut device = args.place.open(&blob, ui)?;
    let mut predictions = Vec::new();
    for given in inputs {
        let scores = sample::scores(&output, &device.infer(&given.bytes)?)?;
        if !args.json {
            show(&given, input.shape.dims(), &scores, ui);
        }
        predictions.push(Prediction {
            source: given.source,
            label: given.label,
            prediction: sample::prediction(&scores),
            scores,
        });
    }
    device.finish()?;
    if args.json {
        ui.json(&predictions)?;
    }
    Ok(())
}

/// What a model is given.
struct Given {
    source: String,
    label: Option<usize>,
    bytes: Vec<u8>,
    /// Of an image.
    pixels: Vec<u8>,
}

fn inputs(args: &Args, input: &Tensor) -> anyhow::Result<Vec<Given>> {
    let mut inputs = Vec::new();
    for path in &args.image {
        let (pixels, shape) = read_png(path, input.shape.dims())?;
        let pixels = args.samples.shift.apply(&pixels, shape)?;
        let source = path.display().to_string();
        inputs.push(Given {
            bytes: sample::encode(input, &pixels).with_context(|| source.clone())?,
            source,
            label: None,
            pixels,
        });
    }
    let numbers = match (args.sample.as_slice(), args.image.is_empty()) {
        ([], true) => &[0],
        (numbers, _) => numbers,
    };
    if !numbers.is_empty() {
        let set = args.samples.load(Part::Test, None)?;
        for &index in numbers {
            ensure!(
                index < set.len(),
                "there is no sample {index}: the test set has {} (0 to {})",
                set.len(),
                set.len() - 1
            );
            let source = format!("{} test sample {index}", set.name);
            inputs.push(Given {
                bytes: set.encode(input, index).with_context(|| source.clone())?,
                source,
                label: (set.classes > 0).then(|| set.label(index)),
                pixels: match set.values {
                    None => set.image(index).to_vec(),
                    Some(_) => Vec::new(),
                },
            });
        }
    }
    Ok(inputs)
}

/// Reads a picture of `[height, width, channels]` pixels.
fn read_png(path: &Path, wanted: &[u32]) -> anyhow::Result<(Vec<u8>, [usize; 3])> {
    let name = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {name}"))?;
    let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder
        .read_info()
        .with_context(|| format!("{name} is no PNG picture"))?;
    let size = reader
        .output_buffer_size()
        .with_context(|| format!("{name} is too large"))?;
    let mut pixels = vec![0; size];
    let info = reader
        .next_frame(&mut pixels)
        .with_context(|| format!("{name} is damaged"))?;
    pixels.truncate(info.buffer_size());
    let (height, width) = (info.height as usize, info.width as usize);
    let samples = info.color_type.samples();
    let (&[rows, columns, channels], true) = (wanted, samples > 0) else {
        anyhow::bail!("the model reads no pictures: its input has the shape {wanted:?}");
    };
    ensure!(
        [height, width] == [rows as usize, columns as usize],
        "{name} has {width} x {height} pixels, the model reads {columns} x {rows}"
    );
    let colours = if samples < 3 { 1 } else { 3 };
    let pixels: Vec<u8> = match (channels, colours) {
        (1, 1) => pixels.chunks(samples).map(|pixel| pixel[0]).collect(),
        // Rec. 601 luma.
        (1, _) => pixels
            .chunks(samples)
            .map(|p| {
                ((299 * u32::from(p[0]) + 587 * u32::from(p[1]) + 114 * u32::from(p[2])) / 1000)
                    as u8
            })
            .collect(),
        (3, 3) => pixels
            .chunks(samples)
            .flat_map(|pixel| pixel[..3].to_vec())
            .collect(),
        _ => anyhow::bail!("{name} has {colours} colours, the model reads {channels} channels"),
    };
    Ok((pixels, [height, width, channels as usize]))
}

fn show(given: &Given, shape: &[u32], scores: &[f32], ui: &Ui) {
    let Given {
        source,
        label,
        pixels,
        ..
    } = given;
    if let &[_, width, 1] = shape {
        const SHADES: &[u8] = b" .:-=+*#%@";
        for row in pixels.chunks(width as usize) {
            let line: String = row
                .iter()
                .map(|&pixel| char::from(SHADES[usize::from(pixel) * SHADES.len() / 256]))
                .flat_map(|shade| [shade, shade])
                .collect();
            if !line.trim().is_empty() {
                ui.result(line);
            }
        }
    }
    let prediction = sample::prediction(scores);
    let label = label.map_or(String::new(), |label| format!(", labelled {label}"));
    ui.result(format_args!("{source}{label}: predicted {prediction}"));
    for (class, score) in scores.iter().enumerate() {
        let bar = "█".repeat((score.clamp(0.0, 1.0) * 40.0).round() as usize);
        ui.result(format_args!("  {class:>3} {score:7.4} {bar}"));
    }
}
