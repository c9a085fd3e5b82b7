//! The image to write: what its ELF file wants to fill.

use std::ops::Range;
use std::path::{Path, PathBuf};

use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, elf};

use super::{Chip, FlashError};

/// A stretch of the image, at the address it is loaded to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies: load addresses, as the programmer sees them.
    pub addresses: Range<u64>,
}

/// An ELF file for a Cortex-M, with the addresses that it fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    path: PathBuf,
    segments: Vec<Segment>,
}

impl Image {
    /// Reads the file's header and its program headers.
    ///
    /// # Errors
    /// When the file cannot be read, or is no 32-bit little-endian Arm ELF with something to load.
    pub fn read(path: &Path) -> Result<Self, FlashError> {
        let bytes = std::fs::read(path).map_err(|source| FlashError::ReadImage {
            path: path.to_owned(),
            source,
        })?;
        let not_an_image = |found| FlashError::NotAnImage {
            path: path.to_owned(),
            found,
        };
        let segments = segments(&bytes).map_err(not_an_image)?;
        Ok(Self {
            path: path.to_owned(),
            segments,
        })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The stretches that it fills.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes that it fills.
    pub fn flash_bytes(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.addresses.end - segment.addresses.start)
            .sum()
    }

    /// Checks that the chip has memory wherever the image wants to be.
    ///
    /// # Errors
    /// [`FlashError::DoesNotFit`] with the first segment that lies elsewhere.
    pub fn check_fit(&self, chip: &Chip) -> Result<(), FlashError> {
        let memory = chip.memory();
        let outside = self.segments.iter().find(|segment| {
            !memory.iter().any(|range| {
                range.start <= segment.addresses.start && segment.addresses.end <= range.end
            })
        });
        match outside {
            None => Ok(()),
            Some(segment) => Err(FlashError::DoesNotFit {
                chip: chip.name().to_owned(),
                wanted: segment.addresses.clone(),
                found: memory,
            }),
        }
    }
}

/// The segments with bytes in the file, or what the file is instead of an image.
fn segments(bytes: &[u8]) -> Result<Vec<Segment>, &'static str> {
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err("another kind of file");
    }
    let header = FileHeader32::<LittleEndian>::parse(bytes).map_err(|_| "a damaged ELF header")?;
    let endian = header.endian().map_err(|_| "a big-endian or 64-bit ELF")?;
    if header.e_machine(endian) != elf::EM_ARM {
        return Err("an ELF for another processor");
    }
    let headers = header
        .program_headers(endian, bytes)
        .map_err(|_| "an ELF whose program headers are damaged")?;
    let mut segments = Vec::new();
    for header in headers {
        if header.p_type(endian) != PT_LOAD || header.p_filesz(endian) == 0 {
            continue;
        }
        header
            .data(endian, bytes)
            .map_err(|()| "an ELF that is cut short")?;
        let start = u64::from(header.p_paddr(endian));
        segments.push(Segment {
            addresses: start..start + u64::from(header.p_filesz(endian)),
        });
    }
    if segments.is_empty() {
        return Err("an ELF with nothing to load");
    }
    Ok(segments)
}

#[cfg(test)]
impl Image {
    /// The image in the bytes of an ELF file.
    pub(super) fn of(elf: &[u8]) -> Self {
        Self {
            path: PathBuf::from("image.elf"),
            segments: segments(elf).expect("an image"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::elf;
    use super::*;

    fn image(addresses: &[u32], len: u32) -> Image {
        Image::of(&elf(addresses, len))
    }

    #[test]
    fn an_image_in_the_chips_flash_fits() {
        let chip = Chip::named("STM32F446RETx").unwrap();
        let image = image(&[0x0800_0000, 0x0807_ff00], 0x100);
        assert_eq!(image.flash_bytes(), 0x200);
        image.check_fit(&chip).unwrap();
    }

    #[test]
    fn an_image_past_the_end_or_for_another_board_does_not_fit() {
        let chip = Chip::named("STM32F446RETx").unwrap();
        // One byte too many at the end of the flash; then the address of QEMU's boards.
        for (address, len) in [(0x0807_ff00, 0x101), (0x1000_0000, 0x100)] {
            let error = image(&[0x0800_0000, address], len)
                .check_fit(&chip)
                .unwrap_err();
            let FlashError::DoesNotFit { wanted, found, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(wanted.start, u64::from(address));
            assert!(found.contains(&(0x0800_0000..0x0808_0000)));
        }
    }

    #[test]
    fn a_file_cut_short_anywhere_is_refused() {
        let file = elf(&[0x0800_0000], 64);
        segments(&file).unwrap();
        for len in 0..file.len() {
            segments(&file[..len]).expect_err("a cut file");
        }
    }

    #[test]
    fn what_is_no_arm_elf_is_named() {
        assert_eq!(segments(b"MOTE"), Err("another kind of file"));
        assert_eq!(segments(&elf(&[], 0)), Err("an ELF with nothing to load"));
        let mut x86 = elf(&[0x0800_0000], 64);
        x86[18] = 62;
        assert_eq!(segments(&x86), Err("an ELF for another processor"));
    }

    #[test]
    fn the_programs_own_binary_is_no_image() {
        let error = Image::read(&std::env::current_exe().unwrap()).unwrap_err();
        assert!(matches!(error, FlashError::NotAnImage { .. }), "{error}");
    }
}
