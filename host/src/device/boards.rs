//! The boards that images are built for: `firmware/boards.rs`, read by both sides.

use std::sync::LazyLock;

include!("../../../firmware/boards.rs");

/// The board of that name.
pub fn named(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.name == name)
}

/// The same board with more RAM than it has, where QEMU can give it some.
pub fn with_more_ram(board: &Board) -> Option<&'static Board> {
    static BOARDS_WITH_MORE: LazyLock<Vec<Board>> = LazyLock::new(|| {
        let more = |board: &Board| {
            let mut board = *board;
            board.ram.len = board.more_ram?.len;
            Some(board)
        };
        BOARDS.iter().filter_map(more).collect()
    });
    let mut boards = BOARDS_WITH_MORE.iter();
    boards.find(|more| more.name == board.name && more.ram.len > board.ram.len)
}

/// Whether that is RAM which the board itself has.
pub fn is_own_ram(board: &Board) -> bool {
    named(board.name).is_some_and(|named| named.ram == board.ram)
}

/// The names of the boards that QEMU emulates, for messages.
pub fn emulated() -> String {
    let names = BOARDS.iter().filter(|board| board.qemu.is_some());
    names.map(|board| board.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_with_more_ram_is_the_same_otherwise() {
        for board in BOARDS {
            assert!(is_own_ram(board));
            let more = with_more_ram(board);
            assert_eq!(more.is_some(), board.name == "microbit");
            let Some(more) = more else { continue };
            assert!(!is_own_ram(more));
            assert_eq!(with_more_ram(more), None);
            assert_eq!(more.ram.len, 128 * KIB);
            let ram = board.ram;
            assert_eq!(Board { ram, ..*more }, *board);
        }
    }
}
