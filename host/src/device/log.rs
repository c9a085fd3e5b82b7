//! The image's log: defmt frames, decoded with the table in its ELF file.

use std::{
    collections::VecDeque,
    io::Read,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use defmt_decoder::{DecodeError, StreamDecoder, Table};

use crate::ui::Ui;

/// Lines that are kept for an error's message.
const KEPT: usize = 12;

/// The last lines that an image or its emulator said.
#[derive(Debug, Clone)]
pub(super) struct LastLines {
    lines: Arc<Mutex<VecDeque<String>>>,
    kept: usize,
}

impl Default for LastLines {
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl LastLines {
    pub(super) fn keeping(kept: usize) -> Self {
        Self {
            lines: Arc::default(),
            kept,
        }
    }

    pub(super) fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(|error| error.into_inner());
        if lines.len() == self.kept {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub(super) fn take(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap_or_else(|error| error.into_inner());
        lines.drain(..).collect()
    }
}

/// Reads plain text line by line until it ends.
pub(super) fn follow_text(from: impl Read + Send + 'static, last: LastLines) -> JoinHandle<()> {
    use std::io::{BufRead, BufReader};
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            last.push(line);
        }
    })
}

/// Reads and decodes defmt frames until they end, and shows them with `-v`.
///
/// An image without a table has its bytes passed over: the log is for people, and no reason to fail.
pub(super) fn follow_defmt(
    mut from: impl Read + Send + 'static,
    elf: &[u8],
    board: &'static str,
    last: LastLines,
    ui: Ui,
) -> JoinHandle<()> {
    let table = Table::parse(elf).ok().flatten();
    std::thread::spawn(move || {
        let mut decoder = table.as_ref().map(Table::new_stream_decoder);
        let mut chunk = [0; 1024];
        while let Ok(len @ 1..) = from.read(&mut chunk) {
            let Some(decoder) = &mut decoder else {
                continue;
            };
            decode(decoder.as_mut(), &chunk[..len], |line| {
                ui.detail(format_args!("{board}: {line}"));
                last.push(line);
            });
        }
    })
}

/// Takes bytes of a log, and gives each of its lines that is whole.
pub(crate) fn decode(decoder: &mut dyn StreamDecoder, bytes: &[u8], mut line: impl FnMut(String)) {
    decoder.received(bytes);
    loop {
        match decoder.decode() {
            Ok(frame) => {
                let level = frame.level().map_or("print", |level| level.as_str());
                line(format!("{level:5} {}", frame.display_message()));
            }
            Err(DecodeError::UnexpectedEof) => break,
            // The decoder is in step again at the next frame.
            Err(DecodeError::Malformed) => line("a damaged log frame".into()),
        }
    }
}
