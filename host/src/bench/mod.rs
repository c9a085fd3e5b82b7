//! What models take on a core: instructions, layer by layer, flash, RAM and stack, measured in QEMU.
//!
//! A run is counted with `-icount shift=0`, where each instruction takes the same virtual time.

mod compare;
mod control;
mod cycles;
mod document;
mod layers;
mod train;

pub use compare::{Rival, compare};
pub use control::{Control, measure_control};
pub use document::{ROWS, Section, Tools, page};
pub use layers::{NAMES, layer};
pub use train::{LESSONS, lesson, measure_lesson};

use std::ops::ControlFlow;
use std::time::Duration;

use nn_core::scalar::MATH;
use object::{Object, ObjectSymbol};
use serde::Serialize;

use self::cycles::{Code, Counter};
use crate::blob::{Blob, BlobError};
use crate::device::boards::{Board, is_own_ram, with_more_ram};
use crate::device::firmware::{Content, build};
use crate::device::{BuildError, DeviceError, Image, Qemu, QemuOptions};
use crate::export::{self, Inspection};
use crate::ui::Ui;

/// A run of 10⁹ instructions takes about ten seconds.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why nothing is measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// No measured layer is called so.
    #[error("no layer to measure is called `{0}`: take a model (*.mote) or one of {names}", names = NAMES.join(", "))]
    Unknown(String),
    /// No measured training step is called so.
    #[error("no training step to measure is called `{0}`: take a model (*.mote) or one of {names}", names = LESSONS.join(", "))]
    UnknownLesson(String),
    /// A layer cannot be made.
    #[error("cannot make the layer {name}")]
    Layer {
        /// Which.
        name: &'static str,
        /// Why.
        source: export::BuildError,
    },
    /// The model of a layer is refused.
    #[error("cannot use the layer {name}")]
    Blob {
        /// Which.
        name: &'static str,
        /// Why.
        source: BlobError,
    },
    /// The image cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The image does not run to its end.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The image has not said what it measured.
    #[error("the image for {name} on {board} ended without its figures: its log is {log:?}")]
    NoFigures {
        /// The model.
        name: String,
        /// The board.
        board: &'static str,
        /// What it said.
        log: Vec<String>,
    },
}

/// What a model takes on a board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The model or layer.
    pub name: String,
    /// The board.
    pub board: &'static str,
    /// Its core.
    pub core: &'static str,
    /// The functions of f32 in use, [`MATH`].
    pub math: &'static str,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Instructions of a run.
    pub instructions: u64,
    /// Cycles of a run as modelled (see `cycles.rs`) for a Cortex-M4; none on another core.
    pub cycles: Option<u64>,
    /// Bytes of flash of an image that only runs this model: code, constants, model.
    pub flash: u64,
    /// Of that, code and constants without the model.
    pub text: u64,
    /// Bytes of RAM of that image: variables, arena, and the stack that the board sets aside.
    pub ram: u64,
    /// Of that, the arena.
    pub arena: u64,
    /// Bytes of stack that a run took.
    pub stack: u64,
    /// Whether the board has as much RAM; where it has not, the same core was measured with more.
    pub ram_of_board: bool,
    /// Each layer, in the order in which they run.
    pub layers: Vec<LayerCost>,
}

/// What a layer takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerCost {
    /// Its name.
    pub name: String,
    /// What it computes.
    pub op: &'static str,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Instructions, the dispatch to it among them.
    pub instructions: u64,
    /// Cycles as modelled for a Cortex-M4; none on another core.
    pub cycles: Option<u64>,
}

/// Measures `blob` on `board`. It is called `name` in the result.
///
/// # Errors
///
/// [`BenchError`]: the image does not build or run.
pub fn measure(
    name: &str,
    blob: &Blob,
    board: &'static Board,
    ui: &Ui,
) -> Result<Cost, BenchError> {
    let (board, image) = build_roomy(board, "profile", Content::Inference(blob.bytes()), ui)?;
    let options = QemuOptions {
        count_instructions: true,
        ..QemuOptions::default()
    };
    let log = Qemu::run_with(board, &image, options, PATIENCE, ui)?;
    let inspection = Inspection::of(blob);
    let said = Said::read(&log, inspection.layers.len());
    let (Some(instructions), Some(stack)) = (mean(&said.runs), said.stack) else {
        let (name, board) = (name.to_owned(), board.name);
        return Err(BenchError::NoFigures { name, board, log });
    };
    let traced = match board.core {
        "Cortex-M4F" => trace(board, &image)?,
        _ => Vec::new(),
    };
    let layers = inspection.layers.iter().zip(&said.layers).enumerate();
    Ok(Cost {
        name: name.to_owned(),
        board: board.name,
        core: board.core,
        math: MATH,
        macs: inspection.macs,
        instructions,
        cycles: (!traced.is_empty()).then(|| traced.iter().sum()),
        flash: image.flash(),
        text: image.text.saturating_sub(blob.bytes().len() as u64),
        ram: image.ram(),
        arena: image.arena,
        stack,
        ram_of_board: is_own_ram(board),
        layers: layers
            .map(|(index, (layer, counts))| LayerCost {
                name: layer.name.clone(),
                op: layer.op,
                macs: layer.macs,
                instructions: mean(counts).unwrap_or(0),
                cycles: traced.get(index).copied(),
            })
            .collect(),
    })
}

/// Builds an image for `board`, or, where that has too little RAM and QEMU can give it more, for the same core with more.
fn build_roomy(
    board: &'static Board,
    app: &str,
    content: Content<'_>,
    ui: &Ui,
) -> Result<(&'static Board, Image), BuildError> {
    match (build(board, app, content, ui), with_more_ram(board)) {
        (Err(error @ BuildError::TooLarge { .. }), Some(more)) => {
            let image = build(more, app, content, ui)?;
            let ram = more.ram.len;
            ui.warn(format_args!(
                "{error}\n  Its core is given {ram} bytes of RAM instead."
            ));
            Ok((more, image))
        }
        (image, _) => Ok((board, image?)),
    }
}

/// The cycles of each layer of the traced run, the dispatch to it among them.
fn trace(board: &'static Board, image: &Image) -> Result<Vec<u64>, BenchError> {
    let elf = std::fs::read(&image.elf).map_err(|source| BuildError::File {
        path: image.elf.clone(),
        source,
    })?;
    let (Some(code), Some([start, layer, end])) = (Code::read(&elf), marks(&elf)) else {
        return Ok(Vec::new());
    };
    let mut counter: Option<Counter> = None;
    let mut layers = Vec::new();
    Qemu::trace(board, image, |address| {
        if address == start {
            counter = Some(Counter::new(&code));
        } else if address == end {
            return ControlFlow::Break(());
        } else if let Some(counting) = &mut counter {
            if address == layer {
                layers.push(counting.cycles);
                *counting = Counter::new(&code);
            } else {
                counting.step(address);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(layers)
}

/// Where the marks of the traced run lie: its start, the end of a layer, its end.
fn marks(elf: &[u8]) -> Option<[u32; 3]> {
    let file = object::File::parse(elf).ok()?;
    let address = |wanted: &str| {
        let mut found = file.symbols().filter(|symbol| symbol.name() == Ok(wanted));
        // Without the bit that says Thumb.
        u32::try_from(found.next()?.address() & !1).ok()
    };
    Some([
        address("mote_mark_start")?,
        address("mote_mark_layer")?,
        address("mote_mark_end")?,
    ])
}

/// What the app `profile` said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    stack: Option<u64>,
    runs: Vec<u64>,
    layers: Vec<Vec<u64>>,
}

impl Said {
    fn read(log: &[String], layers: usize) -> Self {
        let mut said = Self {
            layers: vec![Vec::new(); layers],
            ..Self::default()
        };
        for line in log {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |word: &str| word.parse().ok();
            match words[..] {
                [.., "layer", index, count] => {
                    let place = index
                        .parse()
                        .ok()
                        .and_then(|i: usize| said.layers.get_mut(i));
                    if let (Some(place), Some(count)) = (place, number(count)) {
                        place.push(count);
                    }
                }
                [.., "run", count] => said.runs.extend(number(count)),
                [.., "stack", bytes] => said.stack = number(bytes),
                _ => {}
            }
        }
        said
    }
}

fn mean(counts: &[u64]) -> Option<u64> {
    let sum: u64 = counts.iter().sum();
    (sum + counts.len() as u64 / 2).checked_div(counts.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_image_says_is_read() {
        let log = [
            "INFO an386: stack 412",
            "run 1000",
            "run 1003",
            "layer 0 700",
            "layer 1 301",
            "layer 7 1",
            "layer x 1",
            "bye",
        ];
        let log: Vec<String> = log.iter().map(|line| (*line).to_owned()).collect();
        let said = Said::read(&log, 2);
        assert_eq!(said.stack, Some(412));
        assert_eq!(mean(&said.runs), Some(1002));
        assert_eq!(said.layers, [vec![700], vec![301]]);
        assert_eq!(mean(&[]), None);
    }
}
