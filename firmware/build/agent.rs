//! What an agent's image is built around: places in flash, RAM for models, operators, the key that it trusts.

use std::env;

use super::boards::{AgentFlash, Board, Kernels};

/// What an agent holds in RAM besides frame, stack and what it gives to models: the log's buffer and the drivers.
const STATICS: u32 = 2048;
/// The longest frame that is worth its RAM.
const FRAME: u32 = 64 * 1024;

/// The board with the stack of an agent.
pub(super) fn board(board: &Board) -> Result<Board, String> {
    let agent = agent(board)?;
    check(board, &agent)?;
    let stack = board.stack.max(agent.stack);
    Ok(Board { stack, ..*board })
}

fn agent(board: &Board) -> Result<AgentFlash, String> {
    board.agent.ok_or_else(|| {
        format!(
            "board {} has no flash set apart for an agent: see `agent` in firmware/boards.rs",
            board.name
        )
    })
}

/// The stack of an agent that checks signatures: 12,048 bytes were measured on a Cortex-M4F.
const SIGNATURES: u32 = 14 * 1024;

/// The constants of an image for `board`.
pub(super) fn constants(board: &Board) -> Result<String, String> {
    let agent = agent(board)?;
    let frame = (board.ram.len / 8).min(FRAME);
    let taken = board.stack + STATICS + frame;
    let ram = board.ram.len.checked_sub(taken).ok_or_else(|| {
        format!(
            "an agent wants more than {taken} bytes of RAM (stack {}, frame {frame}, other {STATICS}), {} has {}",
            board.stack, board.name, board.ram.len
        )
    })?;
    // Arenas are aligned.
    let ram = ram / 16 * 16;
    let Kernels { types, train, .. } = agent.kernels;
    let [f32, q16, i8] = types;
    let (len, ops, key) = (agent.total(), ops(&agent)?, key()?);
    if key.is_some() && board.stack < SIGNATURES {
        return Err(format!(
            "board {}: its agent's stack has {} bytes, checking signatures wants {SIGNATURES}: build it without MOTE_KEY",
            board.name, board.stack
        ));
    }
    let AgentFlash {
        origin,
        page,
        journal,
        slot,
        store,
        ..
    } = agent;
    Ok(format!(
        "/// Bytes of RAM for a model.\npub const RAM: usize = {ram};\n\
         /// Bytes of the longest frame that the image takes.\npub const FRAME_MAX: usize = {frame};\n\
         /// The first address of its flash.\npub const ORIGIN: usize = {origin:#x};\n\
         /// Bytes of its flash.\npub const LEN: usize = {len};\n\
         /// Bytes of a page.\npub const PAGE: usize = {page};\n\
         /// What lies where.\npub const PLACES: crate::agent::Places = \
         crate::agent::Places::in_turn({journal}, {slot}, {store});\n\
         /// The key that it trusts.\npub const KEY: Option<crate::agent::Key> = {key:?};\n\
         /// The operators and number types that are linked in.\n\
         #[derive(Debug)]\npub struct Kernels;\n\
         impl nn_core::ops::OpSet for Kernels {{\n\
         const OPS: u64 = {ops:#x};\n\
         const F32: bool = {f32};\nconst Q16: bool = {q16};\nconst I8: bool = {i8};\n\
         const TRAIN: bool = {train};\n}}\n"
    ))
}

/// Whether the parts are whole pages, as many as they want, and leave flash to the code.
fn check(board: &Board, agent: &AgentFlash) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("board {}, agent: {what}", board.name));
    let AgentFlash {
        origin,
        page,
        journal,
        slot,
        store,
        ..
    } = *agent;
    if [origin, journal, slot, store]
        .iter()
        .any(|len| len % page != 0)
    {
        return wrong("journal, slots and stores are whole pages");
    }
    if journal < 2 * page || store < 2 * page || slot < page {
        return wrong("a journal and a store want two pages, a slot one");
    }
    let flash = board.flash.origin..board.flash.origin + board.flash.len;
    let end = origin + agent.total();
    if flash.contains(&origin) && end > flash.end {
        return wrong(&format!(
            "its flash ends at {end:#x}, the board's at {:#x}",
            flash.end
        ));
    }
    let ram = board.ram.origin..board.ram.origin + board.ram.len;
    if origin < ram.end && end > ram.start {
        return wrong("its flash lies in RAM that the image uses");
    }
    Ok(())
}

/// The board's operators, or those of MOTE_OPS, in hexadecimal.
fn ops(agent: &AgentFlash) -> Result<u64, String> {
    let Some(ops) = env::var_os("MOTE_OPS") else {
        return Ok(agent.kernels.ops);
    };
    let digits = ops.to_str().map(|ops| ops.trim_start_matches("0x"));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| {
            "MOTE_OPS wants a hexadecimal number: bit n for the operator of code n, see docs/format.md"
                .into()
        })
}

/// The key of MOTE_KEY.
fn key() -> Result<Option<[u8; 32]>, String> {
    let Some(key) = env::var_os("MOTE_KEY").filter(|key| !key.is_empty()) else {
        return Ok(None);
    };
    let wrong =
        || "MOTE_KEY wants a public key: 64 hexadecimal digits, as `mote key show` prints it";
    let digits = key
        .to_str()
        .filter(|key| key.len() == 64)
        .ok_or_else(wrong)?;
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let digits = str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(Some(bytes))
}
