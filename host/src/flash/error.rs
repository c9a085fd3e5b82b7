//! What can go wrong on the way to a board, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

use super::probe::{Found, PROBES};

/// An error of [`super::write`] and of what comes before it.
#[derive(Debug, Error)]
pub enum FlashError {
    /// There is no probe.
    #[error(
        "no debug probe was found on USB.\n  \
         Looked for: {}.\n  \
         Plug the board's debug connector in (on a Nucleo: the ST-LINK's USB socket), with a cable that carries data.\n  \
         In a container or virtual machine, pass the USB device on. Does the system see it? lsusb\n  \
         Without a board: --on qemu runs the same firmware emulated.",
        PROBES.join(", ")
    )]
    NoProbe,

    /// A probe is there, but the user may not open it.
    #[error(
        "{probe} is plugged in, but this user may not open it.\n  \
         Install probe-rs' udev rules, then plug it in again: https://probe.rs/docs/getting-started/probe-setup/#linux-udev-rules"
    )]
    NotAllowed {
        /// The probe.
        probe: Found,
    },

    /// `--probe` matches nothing that is plugged in.
    #[error("--probe {wanted} matches none of the probes found:{}", lines(found))]
    NoSuchProbe {
        /// The selector as given.
        wanted: String,
        /// What is plugged in.
        found: Vec<Found>,
    },

    /// More than one probe, and nothing says which.
    #[error(
        "{} probes match; say which one with --probe VID:PID:SERIAL:{}",
        found.len(),
        lines(found)
    )]
    SeveralProbes {
        /// What is plugged in.
        found: Vec<Found>,
    },

    /// `--probe` is not of the form VID:PID or VID:PID:SERIAL.
    #[error(
        "--probe {found}: wanted VID:PID or VID:PID:SERIAL, VID and PID in hexadecimal, such as 0483:374b"
    )]
    Selector {
        /// The selector as given.
        found: String,
    },

    /// probe-rs knows no such chip.
    #[error("probe-rs knows no chip {name:?}. The nearest names: {}", nearest.join(", "))]
    UnknownChip {
        /// The name as given.
        name: String,
        /// The nearest names, best first.
        nearest: Vec<String>,
    },

    /// The name is the beginning of several chips' names.
    #[error("{name:?} is not one chip but {count}: {}{}", some.join(", "), if *count > some.len() { ", …" } else { "" })]
    SeveralChips {
        /// The name as given.
        name: String,
        /// How many chips' names begin with it.
        count: usize,
        /// The first of them.
        some: Vec<String>,
    },

    /// No board of the firmware has the chip.
    #[error(
        "no board of the firmware has the chip {chip}: there is {boards}.\n  \
         Adding one: docs/porting.md. An image of your own: --elf IMAGE"
    )]
    NoBoard {
        /// The chip.
        chip: String,
        /// The boards that one can hold, with their chips.
        boards: String,
    },

    /// The image cannot be read.
    #[error("the image {} cannot be read", path.display())]
    ReadImage {
        /// The image.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// The image is not an ELF file for Arm.
    #[error("{} is no image for a Cortex-M: wanted a 32-bit little-endian Arm ELF with loadable segments, found {found}", path.display())]
    NotAnImage {
        /// The image.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },

    /// A part of the image lies where the chip has no flash or RAM.
    #[error(
        "the image does not fit {chip}: it wants {wanted:#010x?}, the chip has {}.\n  \
         Was it built for another board? docs/porting.md lists the boards and their chips.",
        found.iter().map(|range| format!("{range:#010x?}")).collect::<Vec<_>>().join(", ")
    )]
    DoesNotFit {
        /// The chip.
        chip: String,
        /// The addresses that the image wants to fill.
        wanted: std::ops::Range<u64>,
        /// The addresses of the chip's flash and RAM.
        found: Vec<std::ops::Range<u64>>,
    },

    /// The probe does not open.
    #[error("{probe} cannot be opened. Does another program (a debugger, an IDE) hold it?")]
    Open {
        /// The probe.
        probe: String,
        /// Why.
        source: Box<probe_rs::probe::DebugProbeError>,
    },

    /// The chip does not answer.
    #[error(
        "{probe} cannot attach to {chip}. Has the board power? Is it this chip? Then try --under-reset, \
         and for a protected chip --allow-erase-all"
    )]
    Attach {
        /// The chip.
        chip: String,
        /// The probe.
        probe: String,
        /// Why.
        source: Box<probe_rs::Error>,
    },

    /// The chip answers, and is another.
    #[error(
        "the chip at the probe is not the {chip} that was named: at {address:#010x} it says {found:#x}, a {chip} says {wanted:#x}.\n  \
         Nothing was written. Name the chip that is on the board with --chip, or choose another probe: mote flash --list"
    )]
    WrongChip {
        /// The chip that was named.
        chip: String,
        /// Where chips of this family say what they are.
        address: u32,
        /// What that chip says.
        wanted: u32,
        /// What this one says.
        found: u32,
    },

    /// The chip's debug port is closed until all of its flash is erased.
    #[error(
        "{chip} is protected: its debug port opens only when the whole chip is erased.\n  \
         Everything on it is then lost, what it has learnt, too: --allow-erase-all does it"
    )]
    Protected {
        /// The chip.
        chip: String,
        /// Why.
        source: Box<probe_rs::Error>,
    },

    /// The chip's flash cannot be read or written through the debug port.
    #[error(
        "{chip} has readout protection (level byte {found:#x}, 0xaa is none): its flash cannot be written.\n  \
         Taking the protection off erases it: with ST's STM32CubeProgrammer, option byte RDP to 0xAA. At level 2 (0xcc) it stays \
         for good"
    )]
    ReadProtected {
        /// The chip.
        chip: String,
        /// The byte of its options.
        found: u32,
    },

    /// The chip does not say what it is.
    #[error(
        "{chip} cannot be asked what it is. Is it this chip, and has the board power? Then try --under-reset"
    )]
    Identify {
        /// The chip that was named.
        chip: String,
        /// Why.
        source: Box<probe_rs::Error>,
    },

    /// probe-rs cannot write there.
    #[error(
        "probe-rs has no algorithm that writes to {address:#010x} of {chip}: was the image built for another board?"
    )]
    NoAlgorithm {
        /// The chip.
        chip: String,
        /// The address.
        address: u64,
    },

    /// The image has no log.
    #[error(
        "{} has no defmt log over RTT to follow: images for real boards have one. Without --follow it is flashed all the same",
        path.display()
    )]
    NoLog {
        /// The image.
        path: PathBuf,
    },

    /// The log cannot be read.
    #[error(
        "the log of {chip} cannot be followed any more; the image on it runs on. Is the probe still plugged in?"
    )]
    Follow {
        /// The chip.
        chip: String,
        /// Why.
        source: Box<probe_rs::rtt::Error>,
    },

    /// The core has stopped.
    #[error(
        "the image has stopped at {address:#010x}: the lines above say why. The board's reset button starts it again"
    )]
    Stopped {
        /// Where.
        address: u64,
    },

    /// Erasing, writing or verifying failed.
    #[error(
        "the image could not be written to {chip}; its flash may be half-written: flash it again"
    )]
    Download {
        /// The chip.
        chip: String,
        /// Why.
        source: Box<probe_rs::flashing::FileDownloadError>,
    },

    /// The image is written, but the chip could not be reset.
    #[error("the image is on {chip}, but the reset failed: press the board's reset button")]
    Reset {
        /// The chip.
        chip: String,
        /// Why.
        source: Box<probe_rs::Error>,
    },
}

fn lines(found: &[Found]) -> String {
    found.iter().map(|probe| format!("\n  {probe}")).collect()
}
