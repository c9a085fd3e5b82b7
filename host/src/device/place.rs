//! `--on PLACE`: where a model runs.

use std::{fmt, str::FromStr};

use super::boards::{self, Board};

/// What `--on qemu` alone means.
const DEFAULT_BOARD: &str = "an386";
/// What `--on serial:PATH` alone means.
const DEFAULT_BAUD: u32 = 115_200;

/// Where a model runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Host,
    /// In QEMU, on a board that it emulates.
    Qemu(&'static Board),
    /// On a board behind a serial port, flashed already.
    Serial {
        /// The port, e.g. `/dev/ttyACM0`.
        path: String,
        /// Bits a second.
        baud: u32,
    },
    /// On a board behind a TCP socket, as HOST:PORT: a bridge, or QEMU with `-serial tcp:HOST:PORT,server`.
    Tcp(String),
}

/// A `--on` that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The first word is none of the four.
    #[error("`{0}` is no place: wanted host, qemu[:BOARD], serial:PATH[@BAUD] or tcp:HOST:PORT")]
    Unknown(String),
    /// QEMU does not emulate it.
    #[error("QEMU has no board `{found}`: wanted one of {wanted}")]
    Board {
        /// What was asked for.
        found: String,
        /// What there is.
        wanted: String,
    },
    /// A serial port without a path.
    #[error("which serial port? For instance serial:/dev/ttyACM0 (`ls /dev/serial/by-id`)")]
    Path,
    /// A socket without an address.
    #[error("`{0}` is no address: wanted tcp:HOST:PORT, such as tcp:localhost:5555")]
    Address(String),
    /// A baud rate that is no number.
    #[error("`{0}` is no baud rate: wanted a number such as 115200, after the @")]
    Baud(String),
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(place: &str) -> Result<Self, PlaceError> {
        let (kind, rest) = match place.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (place, None),
        };
        match (kind, rest) {
            ("host", None) => Ok(Place::Host),
            ("qemu", board) => {
                let name = board.unwrap_or(DEFAULT_BOARD);
                boards::named(name)
                    .filter(|board| board.qemu.is_some())
                    .map(Place::Qemu)
                    .ok_or_else(|| PlaceError::Board {
                        found: name.to_owned(),
                        wanted: boards::emulated(),
                    })
            }
            ("serial", None | Some("")) => Err(PlaceError::Path),
            ("serial", Some(port)) => {
                let (path, baud) = match port.rsplit_once('@') {
                    Some((path, baud)) => {
                        let rate = baud.parse().ok().filter(|&rate| rate > 0);
                        (path, rate.ok_or_else(|| PlaceError::Baud(baud.to_owned()))?)
                    }
                    None => (port, DEFAULT_BAUD),
                };
                if path.is_empty() {
                    return Err(PlaceError::Path);
                }
                let path = path.to_owned();
                Ok(Place::Serial { path, baud })
            }
            ("tcp", address) => {
                let address = address.unwrap_or_default();
                let port = address
                    .rsplit_once(':')
                    .filter(|(host, _)| !host.is_empty());
                match port.map(|(_, port)| port.parse::<u16>()) {
                    Some(Ok(1..)) => Ok(Place::Tcp(address.to_owned())),
                    _ => Err(PlaceError::Address(address.to_owned())),
                }
            }
            _ => Err(PlaceError::Unknown(place.to_owned())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Host => f.write_str("host"),
            Place::Qemu(board) => write!(f, "qemu:{}", board.name),
            Place::Serial { path, baud } => write!(f, "serial:{path}@{baud}"),
            Place::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for (text, wanted) in [
            ("host", "host"),
            ("qemu", "qemu:an386"),
            ("qemu:microbit", "qemu:microbit"),
            ("serial:/dev/ttyACM0", "serial:/dev/ttyACM0@115200"),
            ("serial:/dev/ttyACM0@921600", "serial:/dev/ttyACM0@921600"),
            ("serial:COM3", "serial:COM3@115200"),
            ("tcp:localhost:5555", "tcp:localhost:5555"),
            ("tcp:[::1]:5555", "tcp:[::1]:5555"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn wrong_places_say_what_was_wanted() {
        for (text, part) in [
            ("", "wanted host, qemu[:BOARD]"),
            ("gpu", "`gpu` is no place"),
            ("host:1", "`host:1` is no place"),
            ("qemu:an999", "one of microbit, an385, an386, an500"),
            ("qemu:nucleo-f446re", "QEMU has no board `nucleo-f446re`"),
            ("qemu:", "QEMU has no board ``"),
            ("serial", "which serial port?"),
            ("serial:", "which serial port?"),
            ("serial:@9600", "which serial port?"),
            ("tcp", "wanted tcp:HOST:PORT"),
            ("tcp:localhost", "`localhost` is no address"),
            ("tcp::1", "`:1` is no address"),
            ("tcp:localhost:0", "`localhost:0` is no address"),
            ("tcp:localhost:99999", "`localhost:99999` is no address"),
            ("serial:/dev/x@fast", "`fast` is no baud rate"),
            ("serial:/dev/x@0", "`0` is no baud rate"),
        ] {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
