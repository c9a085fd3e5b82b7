//! What an image takes of a board's flash and RAM, and how much of it is nn-core.

use nn_core::{
    scalar::MATH,
    tensor::{DType, Source},
};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::{
    blob::Blob,
    device::{
        BuildError, Image,
        boards::Board,
        firmware::{Content, build},
    },
    ui::Ui,
};

/// An image's sizes, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Size {
    /// The model.
    pub name: String,
    /// The board.
    pub board: String,
    /// Its functions of f32, [`MATH`].
    pub math: &'static str,
    /// The number formats in which it computes: operators are linked in for these only.
    pub formats: Vec<&'static str>,
    /// Whether it learns, or only runs.
    pub learns: bool,
    /// Code.
    pub text: u64,
    /// Constants but for the model.
    pub rodata: u64,
    /// Code and constants of nn-core alone, as far as they have symbols of its own; what was inlined elsewhere is not
    /// counted.
    pub nn_core: u64,
    /// The blob.
    pub model: u64,
    /// All of the flash: code, constants, initial values, model.
    pub total: u64,
    /// All of the RAM: variables, arena, stack.
    pub ram: u64,
    /// The arena, of that.
    pub arena: u64,
    /// The stack, of that, as the board sets it aside.
    pub stack: u64,
}

/// Builds the image that serves `blob` on `board`, and measures it. With `infer_only` nothing learns in it.
///
/// # Errors
///
/// Those of building it.
pub fn measure(
    blob: &Blob,
    board: &'static Board,
    infer_only: bool,
    ui: &Ui,
) -> Result<Size, BuildError> {
    let bytes = blob.bytes();
    let content = if infer_only {
        Content::Inference(bytes)
    } else {
        Content::Model(bytes)
    };
    let image = build(board, "mnist", content, ui)?;
    let (sections, symbols) = read(&image, board)?;
    let section = |wanted: &str| {
        let found = sections.iter().find(|(name, _)| name == wanted);
        found.map_or(0, |(_, size)| *size)
    };
    let model = bytes.len() as u64;
    let symbols = symbols.iter().filter(|(name, _)| name.contains("nn_core"));
    Ok(Size {
        name: blob.model().name().to_owned(),
        board: board.name.to_owned(),
        math: MATH,
        formats: formats(blob),
        learns: blob.model().learns() && !infer_only,
        text: section(".text"),
        rodata: section(".rodata").saturating_sub(model),
        nn_core: symbols.map(|(_, size)| size).sum(),
        model,
        total: image.flash(),
        ram: image.ram(),
        arena: image.arena,
        stack: image.stack,
    })
}

/// The number formats of a model's activations.
fn formats(blob: &Blob) -> Vec<&'static str> {
    let model = blob.model();
    let has = |dtype: &DType| {
        let mut tensors = model.tensors().iter();
        tensors.any(|tensor| tensor.dtype == *dtype && tensor.source == Source::Activation)
    };
    let all = [DType::F32, DType::Q16, DType::I8];
    let found = all.iter().filter(|dtype| has(dtype));
    found.map(|dtype| dtype.name()).collect()
}

/// Names with sizes in bytes.
type Sizes = Vec<(String, u64)>;

/// The symbols of code and constants that lie in an image's flash, mangled, with their sizes.
///
/// # Errors
///
/// [`BuildError::File`] or [`BuildError::Image`].
pub fn symbols(image: &Image, board: &Board) -> Result<Sizes, BuildError> {
    Ok(read(image, board)?.1)
}

/// Sections and symbols.
fn read(image: &Image, board: &Board) -> Result<(Sizes, Sizes), BuildError> {
    let path = || image.elf.clone();
    let file = std::fs::read(&image.elf).map_err(|source| {
        let path = path();
        BuildError::File { path, source }
    })?;
    let object = object::File::parse(&*file).map_err(|error| BuildError::Image {
        path: path(),
        reason: error.to_string(),
    })?;
    let sections = object.sections().filter_map(|section| {
        let name = section.name().ok()?;
        Some((name.to_owned(), section.size()))
    });
    // What lies in RAM is counted apart; defmt's symbols, in braces, take no memory.
    let ram = u64::from(board.ram.origin)..u64::from(board.ram.origin) + u64::from(board.ram.len);
    let symbols = object.symbols().filter_map(|symbol| {
        let name = symbol.name().ok().filter(|name| !name.starts_with('{'))?;
        let counts = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data)
            && !ram.contains(&symbol.address());
        counts.then(|| (name.to_owned(), symbol.size()))
    });
    Ok((sections.collect(), symbols.collect()))
}
