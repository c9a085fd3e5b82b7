//! Answers at a fixed rate from a core that learns in its idle time: how late the latest one is, in QEMU.

use serde::Serialize;

use super::{BenchError, PATIENCE, build_roomy};
use crate::blob::Blob;
use crate::device::boards::Board;
use crate::device::firmware::Content;
use crate::device::{Qemu, QemuOptions};
use crate::ui::Ui;

/// Boards whose watchdog QEMU does not emulate.
const SILENT: [&str; 2] = ["microbit", "an547"];

/// What the app `control` showed of a model. Times are in instructions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    /// The model.
    pub name: String,
    /// The board.
    pub board: &'static str,
    /// Its core.
    pub core: &'static str,
    /// Between two answers that are due.
    pub period: u64,
    /// A run without anything beside it: what an answer takes at the least.
    pub run: u64,
    /// From the moment that an answer is due until it is there, at most.
    pub latest: u64,
    /// For how long interrupts were masked at most, while what was learnt was handed over.
    pub masked: u64,
    /// A training step without anything beside it: how late answers could be if it were not interrupted.
    pub step: u64,
    /// Answers that were asked for.
    pub answers: u64,
    /// Those that came after the next one was due.
    pub missed: u64,
    /// Those that are not of weights after a whole number of steps.
    pub torn: u64,
    /// Training steps meanwhile.
    pub steps: u64,
    /// Whether the watchdog reset the core when it hung; `None` where QEMU does not emulate the board's.
    pub watchdog: Option<bool>,
    /// The most bytes of stack that were in use.
    pub stack: u64,
}

/// Runs the model of `blob`, which learns, in the app `control`.
///
/// # Errors
///
/// [`BenchError`]: the image does not build or run, or its model does not learn.
pub fn measure_control(
    name: &str,
    blob: &Blob,
    board: &'static Board,
    ui: &Ui,
) -> Result<Control, BenchError> {
    let (board, image) = build_roomy(board, "control", Content::Model(blob.bytes()), ui)?;
    let options = QemuOptions {
        count_instructions: true,
        ..QemuOptions::default()
    };
    let log = Qemu::run_with(board, &image, options, PATIENCE, ui)?;
    read(name, board, &log).ok_or_else(|| BenchError::NoFigures {
        name: name.to_owned(),
        board: board.name,
        log,
    })
}

fn read(name: &str, board: &'static Board, log: &[String]) -> Option<Control> {
    let figure = |wanted: &str| {
        log.iter().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [.., said, number] if said == wanted => number.parse::<u64>().ok(),
                _ => None,
            }
        })
    };
    let resets = figure("watchdog")? == 1;
    Some(Control {
        name: name.to_owned(),
        board: board.name,
        core: board.core,
        period: figure("period")?,
        run: figure("run")?,
        latest: figure("latest")?,
        masked: figure("masked")?,
        step: figure("step")?,
        answers: figure("answers")?,
        missed: figure("missed")?,
        torn: figure("torn")?,
        steps: figure("steps")?,
        watchdog: (resets || !SILENT.contains(&board.name)).then_some(resets),
        stack: figure("stack")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::boards;

    #[test]
    fn what_the_image_says_is_read() {
        let log = [
            "run 1000",
            "step 5000",
            "period 2000",
            "latest 1090",
            "masked 80",
            "answers 128",
            "steps 25",
            "missed 1",
            "torn 2",
            "stack 900",
            "watchdog 1",
        ];
        let log: Vec<String> = log.iter().map(|line| format!("print {line}")).collect();
        let board = boards::named("an386").unwrap();
        let control = read("m", board, &log).unwrap();
        assert_eq!(
            (control.period, control.run, control.latest),
            (2000, 1000, 1090)
        );
        assert_eq!(
            (control.masked, control.step, control.steps),
            (80, 5000, 25)
        );
        assert_eq!((control.answers, control.missed, control.torn), (128, 1, 2));
        assert_eq!(control.watchdog, Some(true));
        // One that hung for good says nothing of the watchdog.
        assert_eq!(read("m", board, &log[..10]), None);
    }
}
