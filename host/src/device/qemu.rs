//! An image in QEMU: its UART is a socket, its log comes over semihosting, its exit code is the
//! verdict.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    ops::ControlFlow,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    BuildError, DeviceError, Image, Port, QemuOptions,
    boards::Board,
    emulator::{PROGRAM, emulator},
    log::{LastLines, follow_defmt, follow_text},
    serial::is_moment,
};
use crate::ui::Ui;

/// How long [`Port::receive`] waits.
const MOMENT: Duration = Duration::from_millis(10);
/// How long QEMU may take to open the socket, and to end after the image has said goodbye.
const START: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_secs(10);

/// An emulation that runs; dropping it kills it.
pub struct Qemu {
    child: Child,
    uart: UnixStream,
    board: &'static Board,
    last: LastLines,
    followers: Vec<JoinHandle<()>>,
    status: Option<ExitStatus>,
}

impl Qemu {
    /// Boots `image` on `board`.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NoQemu`] when it is not installed, [`DeviceError::QemuEnded`] when it ends
    /// at once.
    pub fn start(
        board: &'static Board,
        image: &Image,
        options: QemuOptions,
        ui: &Ui,
    ) -> Result<Self, DeviceError> {
        let no_qemu = |source| DeviceError::NoQemu {
            program: PROGRAM.into(),
            source,
        };
        let elf = read(image)?;
        let socket = SocketPath::new();
        let listener = UnixListener::bind(&socket.0).map_err(no_qemu)?;
        listener.set_nonblocking(true).map_err(no_qemu)?;
        let mut command = emulator(board, image, options)?;
        command
            .arg("-chardev")
            .arg(format!("socket,id=uart,path={}", socket.0.display()))
            .args(["-serial", "chardev:uart"]);
        let mut child = command.spawn().map_err(no_qemu)?;
        let last = LastLines::default();
        let mut followers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            followers.push(follow_defmt(stdout, &elf, board.name, last.clone(), *ui));
        }
        if let Some(stderr) = child.stderr.take() {
            followers.push(follow_text(stderr, last.clone()));
        }
        match accept(&listener, &mut child) {
            Ok(Some(uart)) => Ok(Qemu {
                child,
                uart,
                board,
                last,
                followers,
                status: None,
            }),
            Ok(None) => {
                let status = child.wait().map_err(no_qemu)?;
                for follower in followers {
                    follower.join().ok();
                }
                let log = last.take();
                Err(DeviceError::QemuEnded { status, log })
            }
            Err(source) => {
                child.kill().ok();
                child.wait().ok();
                Err(no_qemu(source))
            }
        }
    }

    /// Boots an `image` that ends by itself, and gives its log.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); [`DeviceError::Verdict`] when it ends with a failure,
    /// [`DeviceError::Silent`] when it does not end in time.
    pub fn run(
        board: &'static Board,
        image: &Image,
        patience: Duration,
        ui: &Ui,
    ) -> Result<Vec<String>, DeviceError> {
        Self::run_with(board, image, QemuOptions::default(), patience, ui)
    }

    /// The same with options.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_with(
        board: &'static Board,
        image: &Image,
        options: QemuOptions,
        patience: Duration,
        ui: &Ui,
    ) -> Result<Vec<String>, DeviceError> {
        let no_qemu = |source| DeviceError::NoQemu {
            program: PROGRAM.into(),
            source,
        };
        let elf = read(image)?;
        let mut child = emulator(board, image, options)?
            .args(["-serial", "null"])
            .spawn()
            .map_err(no_qemu)?;
        let log = LastLines::keeping(usize::MAX);
        let stdout = child.stdout.take();
        let follower =
            stdout.map(|stdout| follow_defmt(stdout, &elf, board.name, log.clone(), *ui));
        let stderr = child.stderr.take();
        let errors = stderr.map(|stderr| follow_text(stderr, log.clone()));
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(no_qemu)? {
                break status;
            }
            if Instant::now() >= deadline {
                child.kill().ok();
                child.wait().ok();
                let place = format!("qemu:{}", board.name);
                return Err(DeviceError::Silent { place, patience });
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        for follower in [follower, errors].into_iter().flatten() {
            follower.join().ok();
        }
        let log = log.take();
        if status.success() {
            Ok(log)
        } else {
            Err(DeviceError::Verdict { status, log })
        }
    }

    /// Boots an `image` and shows `visit` the address of each instruction that it runs, until that breaks off or the
    /// image ends. Some hundred thousand a second.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NoQemu`] when it is not installed; [`DeviceError::Build`] when the image cannot be read.
    pub fn trace(
        board: &'static Board,
        image: &Image,
        mut visit: impl FnMut(u32) -> ControlFlow<()>,
    ) -> Result<(), DeviceError> {
        let no_qemu = |source| DeviceError::NoQemu {
            program: PROGRAM.into(),
            source,
        };
        let mut child = emulator(board, image, QemuOptions::default())?
            .args(["-serial", "null", "-singlestep", "-d", "exec,nochain"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(no_qemu)?;
        let mut lines = child.stderr.take().map(BufReader::new);
        let mut line = Vec::new();
        while let Some(lines) = &mut lines {
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(no_qemu)? == 0 {
                break;
            }
            // Trace 0: 0x7f0000000000 [00000000/00000410/…] symbol
            let mut fields = line.split(|byte| *byte == b'/');
            let address = fields
                .nth(1)
                .and_then(|field| std::str::from_utf8(field).ok());
            let address = address.and_then(|field| u32::from_str_radix(field, 16).ok());
            if address.is_some_and(|address| visit(address).is_break()) {
                break;
            }
        }
        child.kill().ok();
        child.wait().map_err(no_qemu)?;
        Ok(())
    }

    /// QEMU has closed its end: it is about to end, and how it does is what counts.
    fn end_soon(&mut self) {
        let deadline = Instant::now() + END;
        while matches!(self.ended(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How it ended, if it has; the log is complete then.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                for follower in self.followers.drain(..) {
                    follower.join().ok();
                }
            }
        }
        Ok(self.status)
    }
}

fn read(image: &Image) -> Result<Vec<u8>, BuildError> {
    std::fs::read(&image.elf).map_err(|source| BuildError::File {
        path: image.elf.clone(),
        source,
    })
}

/// QEMU's end of the UART, or `None` when QEMU ended first.
fn accept(listener: &UnixListener, child: &mut Child) -> io::Result<Option<UnixStream>> {
    let deadline = Instant::now() + START;
    loop {
        match listener.accept() {
            Ok((uart, _)) => {
                uart.set_nonblocking(false)?;
                uart.set_read_timeout(Some(MOMENT))?;
                return Ok(Some(uart));
            }
            Err(error) if is_moment(&error) => {}
            Err(error) => return Err(error),
        }
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Port for Qemu {
    fn name(&self) -> String {
        format!("qemu:{}", self.board.name)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.uart.write_all(bytes);
        if sent.is_err() {
            self.end_soon();
        }
        sent
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.uart.read(buffer) {
            Err(error) if is_moment(&error) => Ok(0),
            Ok(len @ 1..) => Ok(len),
            closed => {
                self.end_soon();
                closed
            }
        }
    }

    fn check(&mut self) -> Result<(), DeviceError> {
        match self.ended() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let log = self.last.take();
                Err(DeviceError::QemuEnded { status, log })
            }
            Err(source) => {
                let place = self.name();
                Err(DeviceError::Line { place, source })
            }
        }
    }

    fn finish(&mut self) -> Result<(), DeviceError> {
        let place = self.name();
        let deadline = Instant::now() + END;
        loop {
            match self.ended() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    let log = self.last.take();
                    return Err(DeviceError::Verdict { status, log });
                }
                Err(source) => return Err(DeviceError::Line { place, source }),
                Ok(None) if Instant::now() >= deadline => {
                    let patience = END;
                    return Err(DeviceError::Silent { place, patience });
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        for follower in self.followers.drain(..) {
            follower.join().ok();
        }
    }
}

/// A path for a socket of this process alone; the file goes with it.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("mote-{process}-{count}.sock"));
        // One that a process of the same number left behind.
        std::fs::remove_file(&path).ok();
        SocketPath(path)
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}
