//! A line that made-up bytes come from, and what is needed to put messages on it.

use std::{convert::Infallible, fs, path::Path, process};

use embedded_io::{ErrorType, Read, Write};
use nn_core::{crc::crc32, link::encode};
use serde::Serialize;

/// Messages, each behind a byte that is its length, as frames: a checksum that no mutation finds must not hide what comes
/// behind it. A length of 255 stands for the next two bytes.
pub(crate) fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    let mut seq = 0u8;
    while let Some((&len, rest)) = bytes.split_first() {
        let (len, rest) = match rest {
            [low, high, rest @ ..] if len == 255 => (u16::from_le_bytes([*low, *high]), rest),
            rest => (u16::from(len), rest),
        };
        let (message, rest) = rest.split_at(rest.len().min(len.into()));
        frame(seq, message, &mut line);
        seq = seq.wrapping_add(1);
        bytes = rest;
    }
    line
}

/// With `MOTE_SEEDS` the program writes into that folder what to begin with, and ends: each message alone, in the form that
/// [`framed`] takes behind a first byte of 1.
pub(crate) fn seeds(write: impl FnOnce(&mut Seeds)) {
    if let Some(folder) = std::env::var_os("MOTE_SEEDS") {
        fs::create_dir_all(&folder).expect("a folder for the seeds");
        let (folder, count) = (Path::new(&folder), 0);
        write(&mut Seeds { folder, count });
        process::exit(0);
    }
}

/// Where seeds go.
pub(crate) struct Seeds<'f> {
    folder: &'f Path,
    count: usize,
}

impl Seeds<'_> {
    /// A request, as the host would send it.
    pub(crate) fn request(&mut self, request: &impl Serialize) {
        let mut wire = Vec::new();
        let sent = encode(0, request, |bytes| {
            wire.extend_from_slice(bytes);
            Ok::<(), Infallible>(())
        });
        sent.expect("a request is encoded");
        let mut buffer = vec![0; wire.len()];
        let mut decoder = nn_core::link::Decoder::new(&mut buffer);
        let (_, frame) = decoder.push(&wire);
        let frame = frame.expect("a frame").expect("that holds");
        let len = frame.message.len() as u16;
        let [low, high] = len.to_le_bytes();
        let seed = [&[1, 255, low, high], frame.message].concat();
        let path = self.folder.join(format!("request-{:02}", self.count));
        fs::write(path, seed).expect("a seed is written");
        self.count += 1;
    }
}

/// A frame of that message.
fn frame(seq: u8, message: &[u8], line: &mut Vec<u8>) {
    let mut frame = vec![seq];
    frame.extend(message);
    frame.extend(crc32(&frame).to_le_bytes());
    // COBS.
    for block in frame.split(|byte| *byte == 0) {
        let mut rest = block;
        while rest.len() >= 254 {
            let (full, tail) = rest.split_at(254);
            line.push(255);
            line.extend(full);
            rest = tail;
        }
        // Below 255: a zero follows, or the frame's end.
        line.push(rest.len() as u8 + 1);
        line.extend(rest);
    }
    line.push(0);
}

/// The line: what comes is given, what is sent is thrown away.
pub(crate) struct Line<'l>(pub(crate) &'l [u8]);

impl ErrorType for Line<'_> {
    type Error = Infallible;
}

impl Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let len = self.0.len().min(buffer.len());
        let (now, later) = self.0.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

pub(crate) struct NoLight;

impl embedded_hal::digital::ErrorType for NoLight {
    type Error = Infallible;
}

impl embedded_hal::digital::OutputPin for NoLight {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
