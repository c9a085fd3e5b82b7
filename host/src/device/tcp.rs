//! A board behind a TCP socket: a bridge to its serial port, or QEMU's `-serial tcp:…,server`.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use super::{DeviceError, Port, serial::is_moment};

/// How long [`Port::receive`] waits.
const MOMENT: Duration = Duration::from_millis(10);
/// How long the other end may take to accept, and to take what is sent.
const CONNECT: Duration = Duration::from_secs(5);
const SEND: Duration = Duration::from_secs(20);

/// A socket with a board behind it.
pub struct Tcp {
    stream: TcpStream,
    address: String,
}

impl Tcp {
    /// Connects to `address`, which is HOST:PORT.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Tcp`].
    pub fn open(address: &str) -> Result<Self, DeviceError> {
        let failed = |source| DeviceError::Tcp {
            address: address.to_owned(),
            source,
        };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for resolved in address.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&resolved, CONNECT) {
                Ok(stream) => return Self::over(stream, address).map_err(failed),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    fn over(stream: TcpStream, address: &str) -> io::Result<Self> {
        // Frames are small, and each waits for its answer.
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(MOMENT))?;
        stream.set_write_timeout(Some(SEND))?;
        Ok(Self {
            stream,
            address: address.to_owned(),
        })
    }
}

impl Port for Tcp {
    fn name(&self) -> String {
        format!("tcp:{}", self.address)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Err(error) if is_moment(&error) => Ok(0),
            // The other end has closed: nothing will come any more.
            Ok(0) => Err(io::ErrorKind::ConnectionAborted.into()),
            result => result,
        }
    }
}
