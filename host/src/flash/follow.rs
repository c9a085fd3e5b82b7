//! Following an image's log: defmt frames over RTT, which the probe reads while the core runs.

use std::time::Duration;

use defmt_decoder::Table;
use probe_rs::Session;
use probe_rs::rtt::{Rtt, ScanRegion, find_rtt_control_block_in_raw_file, try_attach_to_rtt};

use super::{Chip, FlashError, Image};
use crate::device::log;

/// How long an image may take to set its log up.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at a log that had nothing.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a core may take to halt.
const HALT: Duration = Duration::from_millis(500);

/// What a log comes from.
trait Source {
    /// Reads what there is, which may be nothing.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FlashError>;

    /// Where the core has stopped; none while it runs.
    fn stopped(&mut self) -> Result<Option<u64>, FlashError>;
}

/// Starts the image that lies on the chip, and gives each line of its log to `line`, until the core stops or the probe is
/// gone.
///
/// # Errors
/// [`FlashError::NoLog`] for an image without one; [`FlashError::Stopped`] when the core stops, as it does after an error;
/// [`FlashError::Follow`].
pub(super) fn follow(
    session: &mut Session,
    chip: &Chip,
    image: &Image,
    mut line: impl FnMut(String),
) -> Result<(), FlashError> {
    let no_log = || FlashError::NoLog {
        path: image.path().to_owned(),
    };
    let bytes = std::fs::read(image.path()).map_err(|source| FlashError::ReadImage {
        path: image.path().to_owned(),
        source,
    })?;
    let table = Table::parse(&bytes).ok().flatten().ok_or_else(no_log)?;
    let block = find_rtt_control_block_in_raw_file(&bytes);
    let block = ScanRegion::Exact(block.ok().flatten().ok_or_else(no_log)?);
    let error = |source: probe_rs::rtt::Error| FlashError::Follow {
        chip: chip.name().to_owned(),
        source: Box::new(source),
    };
    let mut core = session.core(0).map_err(|source| error(source.into()))?;
    // What an image before has left there must not be taken for this one's.
    core.reset_and_halt(HALT)
        .map_err(|source| error(source.into()))?;
    Rtt::clear_control_block(&mut core, &block).map_err(error)?;
    core.run().map_err(|source| error(source.into()))?;
    let rtt = try_attach_to_rtt(&mut core, PATIENCE, &block).map_err(error)?;
    let mut decoder = table.new_stream_decoder();
    pump(&mut Probed { core, rtt, chip }, |bytes| {
        log::decode(decoder.as_mut(), bytes, &mut line);
    })
}

struct Probed<'s> {
    core: probe_rs::Core<'s>,
    rtt: Rtt,
    chip: &'s Chip,
}

impl Probed<'_> {
    fn error(&self, source: probe_rs::rtt::Error) -> FlashError {
        FlashError::Follow {
            chip: self.chip.name().to_owned(),
            source: Box::new(source),
        }
    }
}

impl Source for Probed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FlashError> {
        let Some(channel) = self.rtt.up_channel(0) else {
            return Ok(0);
        };
        let read = channel.read(&mut self.core, buffer);
        read.map_err(|source| self.error(source))
    }

    fn stopped(&mut self) -> Result<Option<u64>, FlashError> {
        let place = self.core.core_halted().and_then(|halted| match halted {
            false => Ok(None),
            true => {
                let counter = self.core.program_counter();
                self.core.read_core_reg(counter).map(Some)
            }
        });
        place.map_err(|source| self.error(source.into()))
    }
}

/// Hands on what comes, until the core stops.
fn pump(source: &mut impl Source, mut take: impl FnMut(&[u8])) -> Result<(), FlashError> {
    let mut buffer = [0; 1024];
    loop {
        // Looked at before the log: what was said before it stopped is still read.
        let stopped = source.stopped()?;
        let len = source.read(&mut buffer)?;
        take(&buffer[..len]);
        if len > 0 {
            continue;
        }
        if let Some(address) = stopped {
            return Err(FlashError::Stopped { address });
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Pieces of a log, then a core that has stopped.
    struct Script(VecDeque<Vec<u8>>);

    impl Source for Script {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FlashError> {
            let piece = self.0.pop_front().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }

        fn stopped(&mut self) -> Result<Option<u64>, FlashError> {
            // It stops with a piece that nobody has read yet.
            Ok((self.0.len() <= 1).then_some(0x0800_1234))
        }
    }

    #[test]
    fn all_that_was_said_before_the_core_stopped_is_heard() {
        let pieces = [&b"one"[..], b"", b"two"].map(<[u8]>::to_vec);
        let mut heard = Vec::new();
        let mut script = Script(pieces.into());
        let error = pump(&mut script, |bytes| heard.extend_from_slice(bytes)).unwrap_err();
        assert_eq!(heard, b"onetwo");
        assert!(error.to_string().contains("0x08001234"), "{error}");
    }
}
