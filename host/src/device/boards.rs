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

/// The names of the emulated boards that have room for an agent's models, for messages.
pub fn with_agents() -> String {
    let names = BOARDS
        .iter()
        .filter(|board| board.qemu.is_some() && board.agent.is_some());
    names.map(|board| board.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as the table writes them: `256 KiB` or `1 MiB`.
    fn bytes(text: &str) -> u32 {
        let (number, unit) = text.split_once(' ').unwrap();
        let unit = if unit == "MiB" { 1024 * KIB } else { KIB };
        number.parse::<u32>().unwrap() * unit
    }

    #[test]
    fn the_page_about_porting_has_the_boards_that_there_are() {
        let page = include_str!("../../../docs/porting.md");
        let (_, table) = page.split_once("| board | core |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let rows = table.lines().skip(2).map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, core, target, memory, ..] = cells[..] else {
                panic!("{line}");
            };
            let (memory, _) = memory.split_once(" (").unwrap_or((memory, ""));
            let (flash, ram) = memory.split_once(", ").unwrap();
            let name = name.trim_matches('`').to_owned();
            (
                name,
                core,
                target.trim_matches('`'),
                bytes(flash),
                bytes(ram),
            )
        });
        let mut rows: Vec<_> = rows.collect();
        let boards = BOARDS.iter().map(|board| {
            let (flash, ram) = (board.flash.len, board.ram.len);
            (board.name.to_owned(), board.core, board.target, flash, ram)
        });
        let mut boards: Vec<_> = boards.collect();
        rows.sort();
        boards.sort();
        assert_eq!(rows, boards);
    }

    #[test]
    fn every_board_has_a_file_and_a_feature() {
        let root = crate::paths::workspace_root().join("firmware");
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
        for board in BOARDS {
            let file = format!("src/boards/{}.rs", board.name.replace('-', "_"));
            assert!(root.join(&file).is_file(), "{file}");
            let feature = format!("\nboard-{} = [", board.name);
            assert!(manifest.contains(&feature), "{feature}");
        }
    }

    #[test]
    fn an_image_that_learns_leaves_the_store_and_what_the_chip_starts_alone() {
        for board in BOARDS {
            let (plain, learning) = (board.code(false), board.code(true));
            assert_eq!(plain.origin, board.flash.origin + board.boot);
            assert_eq!(
                plain.origin + plain.len,
                board.flash.origin + board.flash.len
            );
            let end = board.store.map(|store| store.origin);
            let end = end.unwrap_or(plain.origin + plain.len);
            assert_eq!(learning.origin + learning.len, end, "{}", board.name);
        }
    }

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
