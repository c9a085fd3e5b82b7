//! Writing an image to a board, through a debug probe and the probe-rs library.
//!
//! ```no_run
//! use host::flash::{self, Chip, Options};
//!
//! let chip = Chip::named("STM32F446RETx")?;
//! let image = flash::Image::read("target/image.elf".as_ref())?;
//! image.check_fit(&chip)?;
//! let probe = flash::choose_probe(&flash::list_probes(), None)?;
//! let (report, running) = flash::write(&probe, &chip, &image, Options::default(), &host::ui::Ui::silent())?;
//! println!("{} bytes in {:.1} s", report.bytes, report.seconds);
//! running.follow(&image, |line| println!("{line}"))?; // until the core stops
//! # Ok::<(), flash::FlashError>(())
//! ```

mod chip;
mod error;
#[cfg(test)]
mod fake;
mod follow;
mod identity;
mod image;
mod plan;
mod probe;

use std::time::Instant;

use probe_rs::architecture::arm::ArmError;
use probe_rs::flashing::{
    DownloadOptions, ElfLoader, ElfOptions, FlashProgress, ProgressEvent, ProgressOperation,
    download_file_with_options,
};
use probe_rs::probe::DebugProbeInfo;
use probe_rs::{Permissions, Session};
use serde::Serialize;

pub use chip::Chip;
pub use error::FlashError;
pub use image::{Image, Segment};
pub use plan::{Sector, sectors};
pub use probe::{Found, PROBES, choose as choose_probe, list as list_probes, selector};

use crate::ui::{Progress, Ui};

/// How to reach the chip.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Hold the chip in reset while attaching: for firmware that has switched off the debug port.
    pub under_reset: bool,
    /// Allow probe-rs to unlock a protected chip by erasing it whole.
    pub allow_erase_all: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// probe-rs' name of the chip.
    pub chip: String,
    /// The probe's name.
    pub probe: String,
    /// Bytes of flash that the image fills.
    pub bytes: u64,
    /// Seconds from attaching to the reset.
    pub seconds: f64,
}

/// Writes `image` into the flash of `chip`, reads it back to verify it, and resets the chip, so
/// that the firmware starts.
///
/// # Errors
/// When the probe cannot be opened, the chip does not answer, the download or its verification
/// fails, or the reset does. The cause is in the error's chain.
pub fn write(
    probe: &DebugProbeInfo,
    chip: &Chip,
    image: &Image,
    options: Options,
    ui: &Ui,
) -> Result<(Report, Running), FlashError> {
    let started = Instant::now();
    let mut session = attach(probe, chip, options)?;
    identity::check(&mut session, chip)?;
    let mut bar: Option<Progress> = None;
    let mut totals = [None; 4];
    let progress = FlashProgress::new(|event| match event {
        ProgressEvent::AddProgressBar { operation, total } => totals[operation as usize] = total,
        ProgressEvent::Started(operation) => {
            let total = totals[operation as usize];
            bar = Some(match total {
                Some(total) => ui.progress(label(operation), total),
                None => ui.spinner(label(operation)),
            });
        }
        ProgressEvent::Progress { size, .. } => {
            if let Some(bar) = &bar {
                bar.inc(size);
            }
        }
        ProgressEvent::Failed(_) | ProgressEvent::Finished(_) => bar = None,
        ProgressEvent::DiagnosticMessage { message } => ui.detail(message),
        ProgressEvent::FlashLayoutReady { .. } => {}
    });
    let mut download = DownloadOptions::default();
    download.progress = progress;
    download.verify = true;
    let loader = ElfLoader(ElfOptions::default());
    download_file_with_options(&mut session, image.path(), loader, download).map_err(|source| {
        FlashError::Download {
            chip: chip.name().to_owned(),
            source: Box::new(source),
        }
    })?;
    session
        .core(0)
        .and_then(|mut core| core.reset())
        .map_err(|source| FlashError::Reset {
            chip: chip.name().to_owned(),
            source: Box::new(source),
        })?;
    let report = Report {
        chip: chip.name().to_owned(),
        probe: probe.identifier.clone(),
        bytes: image.flash_bytes(),
        seconds: started.elapsed().as_secs_f64(),
    };
    let chip = chip.clone();
    Ok((report, Running { session, chip }))
}

/// A chip that runs what was written to it, with the probe still attached.
pub struct Running {
    session: Session,
    chip: Chip,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("chip", &self.chip)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Starts `image`, which was written, once more, and gives each line of its log to `line`, from the first one on: until
    /// the core stops, or the probe is gone.
    ///
    /// # Errors
    /// [`FlashError::NoLog`] for an image without a log; [`FlashError::Stopped`], [`FlashError::Follow`] at the end.
    pub fn follow(mut self, image: &Image, line: impl FnMut(String)) -> Result<(), FlashError> {
        follow::follow(&mut self.session, &self.chip, image, line)
    }
}

fn attach(probe: &DebugProbeInfo, chip: &Chip, options: Options) -> Result<Session, FlashError> {
    let open = probe.open().map_err(|source| FlashError::Open {
        probe: probe.to_string(),
        source: Box::new(source),
    })?;
    let mut permissions = Permissions::new();
    if options.allow_erase_all {
        permissions = permissions.allow_erase_all();
    }
    let target = chip.target().clone();
    let attached = if options.under_reset {
        open.attach_under_reset(target, permissions)
    } else {
        open.attach(target, permissions)
    };
    attached.map_err(|source| refused(chip, &probe.identifier, source))
}

/// Why a chip does not let a probe in.
fn refused(chip: &Chip, probe: &str, source: probe_rs::Error) -> FlashError {
    let chip = chip.name().to_owned();
    // probe-rs says so of chips that an erase unlocks.
    let is_protected = matches!(
        source,
        probe_rs::Error::Arm(ArmError::MissingPermissions(_))
    );
    let source = Box::new(source);
    match is_protected {
        true => FlashError::Protected { chip, source },
        false => FlashError::Attach {
            chip,
            probe: probe.to_owned(),
            source,
        },
    }
}

fn label(operation: ProgressOperation) -> &'static str {
    match operation {
        ProgressOperation::Fill => "reading",
        ProgressOperation::Erase => "erasing",
        ProgressOperation::Program => "writing",
        ProgressOperation::Verify => "verifying",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protected_chip_is_told_from_one_that_does_not_answer() {
        let chip = Chip::named("nRF52840_xxAA").unwrap();
        assert!(fake::attach(&chip, true).is_ok());
        // Nobody allowed that it be erased.
        let denied = fake::attach(&chip, false).unwrap_err();
        let error = refused(&chip, "J-Link", denied);
        assert!(matches!(error, FlashError::Protected { .. }), "{error}");
        assert!(error.to_string().contains("--allow-erase-all"), "{error}");
        let silent = refused(&chip, "J-Link", ArmError::Timeout.into());
        assert!(matches!(silent, FlashError::Attach { .. }), "{silent}");
    }
}
