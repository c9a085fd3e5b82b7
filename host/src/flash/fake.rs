//! What stands in for a board in tests: probe-rs' probe that is none, with a core whose every register holds 0, and images that
//! are all header.

use probe_rs::architecture::arm::FullyQualifiedApAddress;
use probe_rs::integration::{FakeProbe, Operation};
use probe_rs::probe::Probe;
use probe_rs::{Permissions, Session};

use super::Chip;

/// nRF52's access port that opens the debug port, and its register that says whether it is open.
const CONTROL: u8 = 1;
const PROTECTION_STATUS: u64 = 0x0C;

/// Attaches to a made-up `chip`. One of a family that can close its debug port has it open or not.
pub(super) fn attach(chip: &Chip, is_open: bool) -> Result<Session, probe_rs::Error> {
    let probe = FakeProbe::with_mocked_core();
    if chip.name().starts_with("nRF52") {
        probe.expect_operation(Operation::ReadRawApRegister {
            ap: FullyQualifiedApAddress::v1_with_default_dp(CONTROL),
            address: PROTECTION_STATUS,
            result: is_open.into(),
        });
    }
    let probe = Probe::from_specific_probe(Box::new(probe));
    probe.attach(chip.target().clone(), Permissions::new())
}

pub(super) const HEADER: usize = 52;
pub(super) const PROGRAM_HEADER: usize = 32;
const SECTION_HEADER: usize = 40;
const NAMES: &[u8] = b"\0.names\0.part\0";

/// A minimal Arm ELF: a header, one program header for each address, their bytes.
pub(super) fn elf(addresses: &[u32], len: u32) -> Vec<u8> {
    let count = addresses.len() as u16;
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [2u16, 40] {
        file.extend(half.to_le_bytes()); // executable, for Arm
    }
    for word in [1u32, 0, HEADER as u32, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [HEADER as u16, PROGRAM_HEADER as u16, count, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let bytes_at = bytes_at(addresses);
    for (index, &address) in (0u32..).zip(addresses) {
        for word in [1, bytes_at + index * len, address, address, len, len, 5, 4] {
            file.extend(word.to_le_bytes());
        }
    }
    file.extend(std::iter::repeat_n(0xa5, addresses.len() * len as usize));
    file
}

/// Where the bytes begin in the file.
fn bytes_at(addresses: &[u32]) -> u32 {
    (HEADER + addresses.len() * PROGRAM_HEADER) as u32
}

/// The same with a section for each program header: probe-rs writes no others.
pub(super) fn elf_with_sections(addresses: &[u32], len: u32) -> Vec<u8> {
    let mut file = elf(addresses, len);
    let names_at = file.len() as u32;
    file.extend(NAMES);
    let table_at = file.len() as u32;
    let (sections, names) = (addresses.len() as u16 + 2, addresses.len() as u16 + 1);
    file[32..36].copy_from_slice(&table_at.to_le_bytes());
    for (at, half) in [(46, SECTION_HEADER as u16), (48, sections), (50, names)] {
        file[at..at + 2].copy_from_slice(&half.to_le_bytes());
    }
    file.extend([0; SECTION_HEADER]);
    let first = bytes_at(addresses);
    let parts = (0u32..).zip(addresses);
    // Name, kind (bytes of the program), flags (in memory, code), address, place, length.
    let parts = parts.map(|(index, address)| [8, 1, 6, *address, first + index * len, len]);
    for section in parts.chain([[1, 3, 0, 0, names_at, NAMES.len() as u32]]) {
        for word in section.into_iter().chain([0, 0, 4, 0]) {
            file.extend(word.to_le_bytes());
        }
    }
    file
}
