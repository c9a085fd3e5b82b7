//! What writing an image means for a chip's flash: which sectors are erased.

use std::ops::Range;

use super::{Chip, FlashError, Image};

/// A part of the flash that is erased at once, and written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sector {
    /// Its addresses.
    pub addresses: Range<u64>,
}

/// The sectors of `chip` that an image fills, in order. What lies in others stays: what a device has learnt, for one.
///
/// # Errors
/// [`FlashError::NoAlgorithm`] where probe-rs cannot write a part of the image that lies in flash.
pub fn sectors(chip: &Chip, image: &Image) -> Result<Vec<Sector>, FlashError> {
    let of_chip = all_sectors(chip);
    let mut wanted = Vec::new();
    for segment in image.segments() {
        let part = &segment.addresses;
        if chip.is_ram(part) {
            continue;
        }
        let mut at = part.start;
        while at < part.end {
            let sector = of_chip.iter().find(|sector| sector.contains(&at));
            let sector = sector.ok_or_else(|| FlashError::NoAlgorithm {
                chip: chip.name().to_owned(),
                address: at,
            })?;
            at = sector.end;
            wanted.push(Sector {
                addresses: sector.clone(),
            });
        }
    }
    wanted.sort_by_key(|sector| sector.addresses.start);
    wanted.dedup();
    Ok(wanted)
}

/// The sectors that probe-rs' algorithms for the chip can erase.
fn all_sectors(chip: &Chip) -> Vec<Range<u64>> {
    let mut sectors = Vec::new();
    for algorithm in &chip.target().flash_algorithms {
        let properties = &algorithm.flash_properties;
        let (origin, end) = (properties.address_range.start, properties.address_range.end);
        // Each description holds from its address up to that of the next.
        for (index, description) in properties.sectors.iter().enumerate() {
            let next = properties.sectors.get(index + 1);
            let last = next.map_or(end, |next| origin + next.address);
            let mut start = origin + description.address;
            while start < last && description.size > 0 {
                sectors.push(start..start + description.size);
                start += description.size;
            }
        }
    }
    sectors
}

#[cfg(test)]
mod tests {
    use probe_rs::flashing::{DownloadOptions, ElfLoader, ElfOptions, build_loader};

    use super::super::fake::{self, elf, elf_with_sections};
    use super::*;
    use crate::device::boards::{BOARDS, Board, Region};

    /// The boards that one can hold.
    fn boards() -> impl Iterator<Item = (&'static Board, Chip)> {
        let has_chip = |board: &'static Board| Some((board, Chip::named(board.chip?).unwrap()));
        BOARDS.iter().filter_map(has_chip)
    }

    /// An image that fills all the flash that code may take: `.boot` where there is one, vectors and code, the last bytes.
    fn parts(board: &Board, code: Region) -> Vec<u32> {
        let mut parts = vec![code.origin, code.origin + code.len - PART];
        if board.boot > 0 {
            parts.insert(0, board.flash.origin);
        }
        parts
    }

    const PART: u32 = 256;

    #[test]
    fn what_is_kept_lies_in_sectors_that_no_image_erases() {
        for (board, chip) in boards() {
            let end = board.flash.origin + board.flash.len;
            let store = board.store.unwrap().origin;
            let agents = board.agent.map(|agent| (board.agents_code(), agent.origin));
            for (code, kept) in [(board.code(true), store)].into_iter().chain(agents) {
                let image = Image::of(&elf(&parts(board, code), PART));
                image.check_fit(&chip).unwrap();
                let sectors = sectors(&chip, &image).unwrap();
                assert!(sectors.len() >= 2, "{}: {sectors:?}", board.name);
                let kept = u64::from(kept)..u64::from(end);
                for sector in sectors {
                    let addresses = sector.addresses;
                    assert!(
                        addresses.end <= kept.start || addresses.start >= kept.end,
                        "{}: {addresses:#x?} holds a part of {kept:#x?}",
                        board.name
                    );
                }
            }
        }
    }

    #[test]
    fn parts_in_one_sector_are_erased_once() {
        let chip = Chip::named("nRF52840_xxAA").unwrap();
        let image = Image::of(&elf(&[0, 0x100, 0xF80, 0x5000], 0x100));
        let sectors = sectors(&chip, &image).unwrap();
        let sectors: Vec<_> = sectors.into_iter().map(|sector| sector.addresses).collect();
        assert_eq!(sectors, [0..0x1000, 0x1000..0x2000, 0x5000..0x6000]);
    }

    /// Up to the first byte that goes to a chip, as `mote flash` does it: probe-rs attaches to a core that is made up, reads
    /// the image, and finds the algorithm for each part of it.
    #[test]
    fn probe_rs_takes_the_images_of_every_board() {
        for (board, chip) in boards() {
            let mut session = fake::attach(&chip, true).unwrap();
            let name = format!("mote-plan-{}-{}.elf", board.name, std::process::id());
            let path = std::env::temp_dir().join(name);
            let parts = parts(board, board.code(true));
            std::fs::write(&path, elf_with_sections(&parts, PART)).unwrap();
            let loader = ElfLoader(ElfOptions::default());
            let loader = build_loader(&mut session, &path, loader, None);
            std::fs::remove_file(&path).unwrap();
            let loader = loader.unwrap();
            let bytes: usize = loader.data().map(|(_, bytes)| bytes.len()).sum();
            assert_eq!(bytes, parts.len() * PART as usize, "{}", board.name);
            let mut options = DownloadOptions::default();
            options.dry_run = true;
            loader.commit(&mut session, options).unwrap();
        }
    }
}
