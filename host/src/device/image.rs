//! A firmware image: an ELF file, and what it takes of the board's memory.

use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, elf::SHF_ALLOC};

use super::{BuildError, boards::Board};

/// The static that the firmware keeps its arena in.
const ARENA_SYMBOL: &str = "MOTE_ARENA";

/// An image, ready to boot or to flash. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The ELF file.
    pub elf: PathBuf,
    /// Code, constants and the model.
    pub text: u64,
    /// Initialised variables, in flash and in RAM.
    pub data: u64,
    /// Zeroed variables, the arena among them.
    pub bss: u64,
    /// The stack that the board's entry sets aside.
    pub stack: u64,
    /// The arena alone.
    pub arena: u64,
}

impl Image {
    /// Reads the sizes of the image for `board` in the ELF file `elf`.
    ///
    /// # Errors
    ///
    /// [`BuildError::File`] or [`BuildError::Image`].
    pub fn read(elf: &Path, board: &Board) -> Result<Self, BuildError> {
        let file = std::fs::read(elf).map_err(|source| BuildError::File {
            path: elf.to_owned(),
            source,
        })?;
        let no_image = |reason: String| BuildError::Image {
            path: elf.to_owned(),
            reason,
        };
        let object = object::File::parse(&*file).map_err(|error| no_image(error.to_string()))?;
        let (mut text, mut data, mut bss) = (0, 0, 0);
        for section in object.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else {
                continue;
            };
            if sh_flags & u64::from(SHF_ALLOC) == 0 {
                continue;
            }
            match section.kind() {
                SectionKind::UninitializedData => bss += section.size(),
                SectionKind::Data => data += section.size(),
                _ => text += section.size(),
            }
        }
        let arena = object
            .symbols()
            .filter(|symbol| {
                symbol.is_definition() && symbol.address() >= u64::from(board.ram.origin)
            })
            .find(|symbol| symbol.name().is_ok_and(|name| name.contains(ARENA_SYMBOL)))
            .ok_or_else(|| no_image(format!("it has no symbol {ARENA_SYMBOL}")))?
            .size();
        Ok(Image {
            elf: elf.to_owned(),
            text,
            data,
            bss,
            stack: board.stack.into(),
            arena,
        })
    }

    /// Bytes of flash.
    pub fn flash(&self) -> u64 {
        self.text + self.data
    }

    /// Bytes of RAM, the stack among them.
    pub fn ram(&self) -> u64 {
        self.data + self.bss + self.stack
    }
}
