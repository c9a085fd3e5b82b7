//! Whether the chip at the probe is the one that was named, and whether its flash may be written.

use probe_rs::{MemoryInterface, Session};

use super::{Chip, FlashError};
use crate::device::boards::Identity;

/// STM32F4's option bytes (RM0390, chapter 3.8.5): level 0 of readout protection is none.
const OPTIONS: (&str, Identity) = (
    "STM32F4",
    Identity {
        address: 0x4002_3C14,
        mask: 0xFF00,
        value: 0xAA00,
    },
);

/// Compares what the chip says of itself with the board that has the named chip. One that no board has is taken at its word.
///
/// # Errors
/// [`FlashError::WrongChip`], [`FlashError::ReadProtected`], [`FlashError::Identify`].
pub(super) fn check(session: &mut Session, chip: &Chip) -> Result<(), FlashError> {
    let Some(identity) = chip.board().ok().and_then(|board| board.identity) else {
        return Ok(());
    };
    let mut read = |address: u32| {
        let word = session
            .core(0)
            .and_then(|mut core| core.read_word_32(address.into()));
        word.map_err(|source| FlashError::Identify {
            chip: chip.name().to_owned(),
            source: Box::new(source),
        })
    };
    is_wanted(chip, identity, read(identity.address)?)?;
    match OPTIONS {
        (family, free) if chip.name().starts_with(family) => {
            is_free(chip, free, read(free.address)?)
        }
        _ => Ok(()),
    }
}

/// Whether a register's word is that of the chip.
fn fits(identity: Identity, word: u32) -> bool {
    word & identity.mask == identity.value
}

fn is_wanted(chip: &Chip, identity: Identity, word: u32) -> Result<(), FlashError> {
    if fits(identity, word) {
        return Ok(());
    }
    Err(FlashError::WrongChip {
        chip: chip.name().to_owned(),
        address: identity.address,
        wanted: identity.value,
        found: word & identity.mask,
    })
}

fn is_free(chip: &Chip, free: Identity, word: u32) -> Result<(), FlashError> {
    if fits(free, word) {
        return Ok(());
    }
    Err(FlashError::ReadProtected {
        chip: chip.name().to_owned(),
        found: (word & free.mask) >> 8,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;
    use crate::device::boards::BOARDS;

    #[test]
    fn another_chip_is_refused_before_anything_is_erased() {
        for board in BOARDS {
            let Some(name) = board.chip else { continue };
            let chip = Chip::named(name).unwrap();
            let mut session = fake::attach(&chip, true).unwrap();
            let error = check(&mut session, &chip).unwrap_err();
            let FlashError::WrongChip { found: 0, .. } = error else {
                panic!("{name}: {error}");
            };
            let words = error.to_string();
            assert!(words.contains(name) && words.contains("--chip"), "{words}");
        }
    }

    #[test]
    fn the_right_chip_in_any_revision_is_taken() {
        // Revisions as their makers' errata sheets list them: STM32F446 A, nRF52840, RP2040 B0 to B2.
        for (name, words) in [
            ("STM32F446RETx", &[0x1000_0421, 0x1000_6421][..]),
            ("nRF52840_xxAA", &[0x0005_2840]),
            ("RP2040", &[0x1000_2927, 0x2000_2927]),
        ] {
            let chip = Chip::named(name).unwrap();
            let identity = chip.board().unwrap().identity.unwrap();
            for word in words {
                is_wanted(&chip, identity, *word).unwrap();
            }
            // STM32F411, nRF52833, RP2350.
            for other in [0x1000_6431, 0x0005_2833, 0x0000_4927] {
                is_wanted(&chip, identity, other).unwrap_err();
            }
        }
    }

    #[test]
    fn a_chip_that_is_protected_says_what_to_do() {
        let chip = Chip::named("STM32F446RETx").unwrap();
        let (_, free) = OPTIONS;
        is_free(&chip, free, 0x0FFF_AAED).unwrap();
        for level in [0x55, 0xCC] {
            let error = is_free(&chip, free, 0x0FFF_00ED | level << 8).unwrap_err();
            assert!(error.to_string().contains("erases it"), "{error}");
        }
    }
}
