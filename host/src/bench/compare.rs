//! What the crate `embedded-nn` and plain loops take for the layers that are measured by name: the app `compare`.

use super::{BenchError, PATIENCE};
use crate::blob::Blob;
use crate::device::boards::Board;
use crate::device::firmware::{COMPARE, Content, build};
use crate::device::{Qemu, QemuOptions};
use crate::ui::Ui;

/// The layers of the digits' CNN, in the app's names.
const CNN: [&str; 7] = [
    "conv1_i8",
    "pool1_i8",
    "conv2_i8",
    "pool2_i8",
    "dense1_i8",
    "dense2_i8",
    "softmax_i8",
];
/// What runs each layer, as the app names them.
const RUNNERS: [&str; 2] = ["embedded-nn", "loops"];

/// What another runtime takes for a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// The layer.
    pub layer: String,
    /// `embedded-nn` or `loops`.
    pub who: &'static str,
    /// Instructions of a run.
    pub instructions: u64,
    /// Bytes of stack.
    pub stack: u64,
    /// Bytes of input, output and state.
    pub ram: u64,
    /// Whether its answers are those of the first one.
    pub same: bool,
}

/// Measures both on `board`; `blob` fills a place that every image has.
///
/// # Errors
///
/// [`BenchError`]: the image does not build or run.
pub fn compare(blob: &Blob, board: &'static Board, ui: &Ui) -> Result<Vec<Rival>, BenchError> {
    let image = build(board, COMPARE, Content::Inference(blob.bytes()), ui)?;
    let options = QemuOptions {
        count_instructions: true,
        ..QemuOptions::default()
    };
    let log = Qemu::run_with(board, &image, options, PATIENCE, ui)?;
    let mut rivals: Vec<Rival> = log.iter().filter_map(|line| row(line)).collect();
    if rivals.is_empty() {
        let (name, board) = (COMPARE.to_owned(), board.name);
        return Err(BenchError::NoFigures { name, board, log });
    }
    let networks: Vec<Rival> = RUNNERS
        .iter()
        .filter_map(|who| network(&rivals, who))
        .collect();
    rivals.extend(networks);
    Ok(rivals)
}

/// `row LAYER WHO INSTRUCTIONS STACK RAM SAME`.
fn row(line: &str) -> Option<Rival> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [.., "row", layer, who, instructions, stack, ram, same] = words[..] else {
        return None;
    };
    Some(Rival {
        layer: layer.to_owned(),
        who: RUNNERS.into_iter().find(|name| *name == who)?,
        instructions: instructions.parse().ok()?,
        stack: stack.parse().ok()?,
        ram: ram.parse().ok()?,
        same: same == "1",
    })
}

/// The digits' CNN: its layers in turn. None where one is not there.
fn network(rivals: &[Rival], who: &&'static str) -> Option<Rival> {
    let of = |layer: &&str| rivals.iter().find(|r| r.layer == *layer && r.who == *who);
    let layers: Vec<&Rival> = CNN.iter().map(of).collect::<Option<_>>()?;
    Some(Rival {
        layer: "cnn_i8".to_owned(),
        who,
        instructions: layers.iter().map(|layer| layer.instructions).sum(),
        stack: layers.iter().map(|layer| layer.stack).max()?,
        ram: layers.iter().map(|layer| layer.ram).max()?,
        same: layers.iter().all(|layer| layer.same),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_a_network_is_the_sum_of_its_layers() {
        let log = CNN.map(|layer| format!("INFO row {layer} embedded-nn 10 64 100 1"));
        let mut rivals: Vec<Rival> = log.iter().filter_map(|line| row(line)).collect();
        rivals[3].ram = 300;
        assert_eq!(network(&rivals, &"loops"), None);
        let cnn = network(&rivals, &"embedded-nn").unwrap();
        let wanted = Rival {
            layer: "cnn_i8".to_owned(),
            who: "embedded-nn",
            instructions: 70,
            stack: 64,
            ram: 300,
            same: true,
        };
        assert_eq!(cnn, wanted);
        assert_eq!(row("row conv1_i8 other 1 2 3 1"), None);
        assert_eq!(row("bye"), None);
    }
}
