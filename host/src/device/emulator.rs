//! The command that boots an image in QEMU.

use std::{
    io,
    process::{Command, Stdio},
};

use super::{
    DeviceError, Image,
    boards::{Board, is_own_ram},
};

pub(super) const PROGRAM: &str = "qemu-system-arm";

/// How QEMU keeps time, and what it gives the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QemuOptions {
    /// One instruction takes one nanosecond of the image's time: counts of instructions are exact
    /// and repeat, and the emulation is slower.
    pub count_instructions: bool,
    /// The file that is the board's flash for what it learns.
    pub store: Option<String>,
    /// The flash of an agent.
    pub agent: Option<FlashFile>,
    /// Emulators of different numbers run on different processors, where there are so many.
    pub lane: usize,
}

/// An agent's flash: a file, and what befalls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlashFile {
    /// Its absolute path.
    pub path: String,
    /// The operation at which power fails, counted from the start.
    pub cut: Option<u32>,
    /// The page that can no longer be erased.
    pub worn: Option<u32>,
}

/// QEMU with `image` on `board`, but for the UART.
pub(super) fn emulator(
    board: &'static Board,
    image: &Image,
    options: QemuOptions,
) -> Result<Command, DeviceError> {
    let machine = board.qemu.ok_or_else(|| DeviceError::NoQemu {
        program: PROGRAM.into(),
        source: io::Error::other(format!("it does not emulate {}", board.name)),
    })?;
    let mut command = pinned(PROGRAM, options.lane);
    command
        .args(["-M", machine, "-display", "none", "-monitor", "none"])
        .args(["-semihosting-config", &semihosting(&options)])
        .arg("-kernel")
        .arg(&image.elf)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let (Some(more), false) = (board.more_ram, is_own_ram(board)) {
        let setting = format!("{}={}", more.property, board.ram.len);
        command.args(["-global", &setting]);
    }
    if options.count_instructions {
        command.args(["-icount", "shift=0"]);
    }
    Ok(command)
}

/// The setting of semihosting; its arguments reach the image as its command line.
fn semihosting(options: &QemuOptions) -> String {
    let mut arguments = Vec::new();
    if let Some(path) = &options.store {
        arguments.extend(["store".to_owned(), path.clone()]);
    }
    if let Some(flash) = &options.agent {
        arguments.extend(["flash".to_owned(), flash.path.clone()]);
        arguments.extend(flash.cut.map(|operation| format!("cut={operation}")));
        arguments.extend(flash.worn.map(|page| format!("worn={page}")));
    }
    let mut setting = "enable=on,target=native".to_owned();
    for argument in arguments {
        // A comma ends an argument; two are one.
        setting.push_str(",arg=");
        setting.push_str(&argument.replace(',', ",,"));
    }
    setting
}

/// QEMU's two threads hand each byte of a UART to each other. On one processor that takes half the
/// time that it takes between two, so it is bound to one where `taskset` is at hand: the last, counted down by `lane`.
fn pinned(program: &str, lane: usize) -> Command {
    let processors = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = processors
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .map(|list| processors_of(list.trim()))
        .unwrap_or_default();
    let one = allowed.iter().rev().nth(lane % allowed.len().max(1));
    let taskset = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join("taskset").exists())
    });
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).exists())
    });
    // Without QEMU it is QEMU that must fail to start.
    match one {
        Some(processor) if taskset && found => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &processor.to_string(), program]);
            command
        }
        _ => Command::new(program),
    }
}

/// The processors of a list as the kernel writes it: `0-3,6`.
fn processors_of(list: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().ok();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(number(first)?..=number(last)?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(processors_of("0-3,6"), [0, 1, 2, 3, 6]);
        assert_eq!(processors_of("5"), [5]);
        assert_eq!(processors_of("what"), [0; 0]);
    }

    #[test]
    fn paths_with_commas_and_faults_reach_the_image() {
        let flash = FlashFile {
            path: "/a,b".into(),
            cut: Some(3),
            worn: Some(4096),
        };
        let options = QemuOptions {
            agent: Some(flash),
            ..QemuOptions::default()
        };
        let wanted = "enable=on,target=native,arg=flash,arg=/a,,b,arg=cut=3,arg=worn=4096";
        assert_eq!(semihosting(&options), wanted);
    }
}
