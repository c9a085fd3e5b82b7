//! A board behind a serial port.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use serialport::SerialPort;

use super::{DeviceError, Port};

/// How long [`Port::receive`] waits.
const MOMENT: Duration = Duration::from_millis(10);

/// A serial port with a board behind it: 8 data bits, no parity, 1 stop bit, no flow control.
pub struct Serial {
    port: Box<dyn SerialPort>,
    path: String,
    byte_time: Duration,
}

impl Serial {
    /// Opens the port.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Port`].
    pub fn open(path: &str, baud: u32) -> Result<Self, DeviceError> {
        let port = serialport::new(path, baud).timeout(MOMENT).open();
        let port = port.map_err(|source| DeviceError::Port {
            path: path.to_owned(),
            source,
        })?;
        Ok(Serial {
            port,
            path: path.to_owned(),
            // With its start bit and its stop bit.
            byte_time: Duration::from_secs(10) / baud.max(1),
        })
    }
}

impl Port for Serial {
    fn name(&self) -> String {
        self.path.clone()
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // The port's timeout is for reading; a long frame may need more than a moment to leave.
        while !bytes.is_empty() {
            match self.port.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => bytes = &bytes[len..],
                Err(error) if is_moment(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn byte_time(&self) -> Duration {
        self.byte_time
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.port.read(buffer) {
            Err(error) if is_moment(&error) => Ok(0),
            result => result,
        }
    }
}

/// Whether nothing happened, rather than something bad.
pub(super) fn is_moment(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
