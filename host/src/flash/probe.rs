//! Which debug probes are plugged in, and which one is meant.

use std::fmt;
use std::path::Path;

use probe_rs::probe::DebugProbeInfo;
use probe_rs::probe::DebugProbeSelector;
use probe_rs::probe::list::{Accessibility, Lister, ProbeListItem};
use serde::Serialize;

use super::FlashError;

/// The kinds of probe that probe-rs looks for.
pub const PROBES: &[&str] = &[
    "ST-LINK",
    "J-Link",
    "CMSIS-DAP (DAPLink, debugprobe, MCU-Link …)",
    "Black Magic Probe",
    "FTDI",
    "WCH-Link",
    "CH347",
    "Glasgow",
    "SiFli",
];

/// A probe as messages and `--json` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What `--probe` takes: VID:PID or VID:PID:SERIAL.
    pub selector: String,
    /// Whether this user may open it.
    pub accessible: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.selector)
    }
}

impl From<&ProbeListItem> for Found {
    fn from(item: &ProbeListItem) -> Self {
        let info = &item.info;
        let mut selector = format!("{:04x}:{:04x}", info.vendor_id, info.product_id);
        if let Some(serial) = info
            .serial_number
            .as_deref()
            .filter(|text| !text.is_empty())
        {
            selector.push(':');
            selector.push_str(serial);
        }
        Self {
            name: info.identifier.clone(),
            selector,
            accessible: item.accessibility == Accessibility::Accessible,
        }
    }
}

/// All probes that are plugged in, with whether this user may open them.
///
/// Where the system shows no devices, as in a bare chroot, there are none.
pub fn list() -> Vec<ProbeListItem> {
    // probe-rs' search of serial ports panics without it.
    if cfg!(target_os = "linux") && !Path::new("/sys/class/tty").is_dir() {
        return Vec::new();
    }
    Lister::new().list_all_with_access()
}

/// Reads `--probe`: `VID:PID` or `VID:PID:SERIAL`, the first two in hexadecimal.
///
/// # Errors
/// [`FlashError::Selector`] when `text` has another form.
pub fn selector(text: &str) -> Result<DebugProbeSelector, FlashError> {
    text.parse().map_err(|_| FlashError::Selector {
        found: text.to_owned(),
    })
}

/// The one probe of `found` that is meant: the only one, or the only one that `wanted` matches.
///
/// # Errors
/// When there is none, more than one, or when the one may not be opened.
pub fn choose(found: &[ProbeListItem], wanted: Option<&str>) -> Result<DebugProbeInfo, FlashError> {
    let wanted = match wanted {
        Some(text) => Some((text, selector(text)?)),
        None => None,
    };
    if found.is_empty() {
        return Err(FlashError::NoProbe);
    }
    let matching: Vec<&ProbeListItem> = found
        .iter()
        .filter(|item| {
            wanted
                .as_ref()
                .is_none_or(|(_, selector)| selector.matches_probe(&item.info))
        })
        .collect();
    match (matching.as_slice(), wanted) {
        ([], wanted) => Err(FlashError::NoSuchProbe {
            wanted: wanted.map_or_else(String::new, |(text, _)| text.to_owned()),
            found: found.iter().map(Found::from).collect(),
        }),
        ([one], _) if one.accessibility == Accessibility::PermissionDenied => {
            Err(FlashError::NotAllowed {
                probe: Found::from(*one),
            })
        }
        ([one], _) => Ok(one.info.clone()),
        (several, _) => Err(FlashError::SeveralProbes {
            found: several.iter().copied().map(Found::from).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use probe_rs::probe::{DebugProbe, DebugProbeError, ProbeCreationError, ProbeFactory};

    use super::*;

    /// Lists nothing and opens nothing: [`DebugProbeInfo`] wants one.
    #[derive(Debug)]
    struct NoFactory;

    impl fmt::Display for NoFactory {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("none")
        }
    }

    impl ProbeFactory for NoFactory {
        fn open(&self, _: &DebugProbeSelector) -> Result<Box<dyn DebugProbe>, DebugProbeError> {
            Err(ProbeCreationError::NotFound.into())
        }

        fn list_probes(&self) -> Vec<ProbeListItem> {
            Vec::new()
        }
    }

    fn plugged_in(name: &str, product: u16, serial: &str) -> ProbeListItem {
        let serial = Some(serial.to_owned());
        let info = DebugProbeInfo::new(name, 0x0483, product, serial, &NoFactory, None, false);
        ProbeListItem::accessible(info)
    }

    #[test]
    fn without_a_probe_the_error_says_what_was_looked_for() {
        let error = choose(&[], None).unwrap_err();
        assert!(matches!(error, FlashError::NoProbe));
        let words = error.to_string();
        for kind in PROBES {
            assert!(words.contains(kind), "{words}");
        }
        assert!(words.contains("--on qemu"), "{words}");
    }

    #[test]
    fn the_only_probe_is_taken() {
        let probe = choose(&[plugged_in("STLink V2-1", 0x374b, "A1")], None).unwrap();
        assert_eq!(probe.identifier, "STLink V2-1");
    }

    #[test]
    fn several_probes_are_listed_with_what_to_type() {
        let found = [
            plugged_in("STLink V2-1", 0x374b, "A1"),
            plugged_in("STLink V2-1", 0x374b, "B2"),
            plugged_in("STLink V3", 0x374e, "C3"),
        ];
        let error = choose(&found, None).unwrap_err();
        assert!(error.to_string().contains("(0483:374b:B2)"), "{error}");
        // Two of them share VID:PID; the serial number tells them apart.
        let error = choose(&found, Some("0483:374b")).unwrap_err();
        assert!(matches!(error, FlashError::SeveralProbes { found } if found.len() == 2));
        let probe = choose(&found, Some("0483:374b:B2")).unwrap();
        assert_eq!(probe.serial_number.as_deref(), Some("B2"));
        let probe = choose(&found, Some("0483:374E")).unwrap();
        assert_eq!(probe.identifier, "STLink V3");
    }

    #[test]
    fn what_messages_show_selects_that_probe() {
        let item = plugged_in("STLink V2-1", 0x374b, "066AFF:53");
        let shown = Found::from(&item).selector;
        assert!(
            selector(&shown).unwrap().matches_probe(&item.info),
            "{shown}"
        );
    }

    #[test]
    fn a_selector_that_matches_nothing_names_what_is_there() {
        let found = [plugged_in("STLink V2-1", 0x374b, "A1")];
        let error = choose(&found, Some("1366:0101")).unwrap_err();
        assert!(error.to_string().contains("0483:374b:A1"), "{error}");
    }

    #[test]
    fn a_malformed_selector_is_refused() {
        for text in ["", "stlink", "0483", "0483:xyz", "10483:374b"] {
            let error = selector(text).unwrap_err();
            assert!(matches!(error, FlashError::Selector { .. }), "{text}");
        }
    }

    #[test]
    fn a_probe_that_may_not_be_opened_points_to_the_udev_rules() {
        let mut item = plugged_in("STLink V2-1", 0x374b, "A1");
        item.accessibility = Accessibility::PermissionDenied;
        let error = choose(&[item], None).unwrap_err();
        assert!(error.to_string().contains("udev"), "{error}");
    }
}
