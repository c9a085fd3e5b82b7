//! The boards that images are built for: `firmware/boards.rs`, read by both sides.

include!("../../../firmware/boards.rs");

/// The board of that name.
pub fn named(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.name == name)
}

/// The names of the boards that QEMU emulates, for messages.
pub fn emulated() -> String {
    let names = BOARDS.iter().filter(|board| board.qemu.is_some());
    names.map(|board| board.name).collect::<Vec<_>>().join(", ")
}
