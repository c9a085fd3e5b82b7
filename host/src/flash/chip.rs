//! Which chip is meant: probe-rs' list, and the nearest names where it has no such chip.

use std::ops::Range;

use probe_rs::Target;
use probe_rs::config::{MemoryRegion, Registry, RegistryError};

use super::FlashError;
use crate::device::boards::{BOARDS, Board};

/// How many names an error suggests.
const SUGGESTIONS: usize = 6;

/// A chip that probe-rs knows: its cores, its memory, how its flash is written.
#[derive(Debug, Clone)]
pub struct Chip {
    target: Target,
}

impl Chip {
    /// The chip of that name, in any case; a beginning that fits only one chip will do.
    ///
    /// # Errors
    /// [`FlashError::UnknownChip`] with the nearest names; [`FlashError::SeveralChips`] when the
    /// name is the beginning of several.
    pub fn named(name: &str) -> Result<Self, FlashError> {
        let registry = Registry::from_builtin_families();
        match registry.get_target_by_name(name) {
            Ok(target) if !name.is_empty() => Ok(Self { target }),
            Err(RegistryError::ChipNotUnique(..)) if !name.is_empty() => {
                let mut some = registry.search_chips(name);
                some.dedup();
                let count = some.len();
                some.truncate(SUGGESTIONS);
                Err(FlashError::SeveralChips {
                    name: name.to_owned(),
                    count,
                    some,
                })
            }
            _ => Err(FlashError::UnknownChip {
                name: name.to_owned(),
                nearest: nearest(&registry, name),
            }),
        }
    }

    /// probe-rs' name of it.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// The board of the firmware that has this chip.
    ///
    /// # Errors
    /// [`FlashError::NoBoard`], with the boards that there are.
    pub fn board(&self) -> Result<&'static Board, FlashError> {
        let has = |board: &&Board| {
            board
                .chip
                .is_some_and(|chip| chip.eq_ignore_ascii_case(self.name()))
        };
        BOARDS.iter().find(has).ok_or_else(|| FlashError::NoBoard {
            chip: self.name().to_owned(),
            boards: BOARDS
                .iter()
                .filter_map(|board| Some(format!("{} ({})", board.name, board.chip?)))
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether all of `addresses` lies in RAM.
    pub(super) fn is_ram(&self, addresses: &Range<u64>) -> bool {
        self.target.memory_map.iter().any(|region| {
            matches!(region, MemoryRegion::Ram(ram)
                if ram.range.start <= addresses.start && addresses.end <= ram.range.end)
        })
    }

    /// The addresses of its flash and RAM; neighbours are joined.
    pub fn memory(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = self
            .target
            .memory_map
            .iter()
            .filter_map(|region| match region {
                MemoryRegion::Nvm(region) => Some(region.range.clone()),
                MemoryRegion::Ram(region) => Some(region.range.clone()),
                MemoryRegion::Generic(_) => None,
            })
            .collect();
        ranges.sort_by_key(|range| range.start);
        ranges.dedup_by(|next, joined| {
            let touching = next.start <= joined.end;
            if touching {
                joined.end = joined.end.max(next.end);
            }
            touching
        });
        ranges
    }
}

/// The names most like `name`, best first: those with the fewest letters to change.
fn nearest(registry: &Registry, name: &str) -> Vec<String> {
    let wanted = name.to_lowercase();
    let mut names: Vec<(usize, &str)> = registry
        .families()
        .iter()
        .flat_map(|family| &family.variants)
        // The names that a chip goes by: those of its packages.
        .flat_map(|chip| chip.package_variants())
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&wanted, &name.to_lowercase());
            (distance, name.as_str())
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .take(SUGGESTIONS)
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nucleos_chip_has_its_memory() {
        let chip = Chip::named("stm32f446retx").unwrap();
        assert_eq!(chip.name(), "STM32F446RETx");
        let memory = chip.memory();
        // Datasheet DS10693: 512 KB of flash, 112 + 16 KB of SRAM.
        assert!(memory.contains(&(0x0800_0000..0x0808_0000)), "{memory:#x?}");
        assert!(memory.contains(&(0x2000_0000..0x2002_0000)), "{memory:#x?}");
    }

    #[test]
    fn a_chip_leads_to_its_board_or_to_the_boards_that_there_are() {
        let board = Chip::named("STM32F446RETx").unwrap().board().unwrap();
        assert_eq!(board.name, "nucleo-f446re");
        for (chip, board) in [("nRF52840_xxAA", "nrf52840-dk"), ("RP2040", "pico")] {
            assert_eq!(Chip::named(chip).unwrap().board().unwrap().name, board);
        }
        let error = Chip::named("nRF52833_xxAA").unwrap().board().unwrap_err();
        assert!(
            error.to_string().contains("nucleo-f446re (STM32F446RETx)"),
            "{error}"
        );
    }

    #[test]
    fn the_boards_memory_is_the_chips() {
        for board in BOARDS {
            let Some(name) = board.chip else { continue };
            let chip = Chip::named(name).unwrap();
            assert_eq!(chip.name(), name);
            for region in [board.flash, board.ram] {
                let start = u64::from(region.origin);
                let end = start + u64::from(region.len);
                // A Pico's flash is a chip of its own, smaller than what an RP2040 could have.
                let memory = chip.memory();
                let mut ranges = memory.iter();
                assert!(
                    ranges.any(|range| range.start == start && range.end >= end),
                    "{name}: {start:#x}..{end:#x}"
                );
            }
        }
    }

    #[test]
    fn a_beginning_that_fits_one_chip_will_do() {
        assert_eq!(Chip::named("STM32F446RET").unwrap().name(), "STM32F446RETx");
    }

    #[test]
    fn a_beginning_that_fits_several_lists_them() {
        let FlashError::SeveralChips { count, some, .. } = Chip::named("STM32F446").unwrap_err()
        else {
            panic!("STM32F446 is a family, not a chip");
        };
        assert!(count > 1);
        assert!(
            some.iter().all(|name| name.starts_with("STM32F446")),
            "{some:?}"
        );
    }

    #[test]
    fn a_misspelt_chip_gets_the_nearest_names() {
        for misspelt in ["STM32F446RXTx", "SMT32F446RETx", "STM32F446RETx-nucleo"] {
            let FlashError::UnknownChip { nearest, .. } = Chip::named(misspelt).unwrap_err() else {
                panic!("{misspelt} is no chip");
            };
            assert!(
                nearest.contains(&"STM32F446RETx".to_owned()),
                "{misspelt}: {nearest:?}"
            );
        }
    }

    #[test]
    fn no_name_is_no_chip() {
        assert!(matches!(
            Chip::named("").unwrap_err(),
            FlashError::UnknownChip { .. }
        ));
    }
}
