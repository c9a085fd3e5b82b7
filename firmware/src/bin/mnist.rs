//! The app `mnist`: serves the model in the image over the board's serial port.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::{
    boards,
    model::{ARENA, FRAME_MAX, MODEL, VALUES},
    server::{Card, Server},
};
use nn_core::{memory::Arena, model::Model};

#[entry]
fn main() -> ! {
    // `entry` hands out `static mut`s of main as exclusive references, once.
    // MOTE_ARENA is all memory that the model runs and learns in; tools find it by its name.
    static mut MOTE_ARENA: Arena<ARENA> = Arena::new();
    static mut FRAME: [u8; FRAME_MAX] = [0; FRAME_MAX];
    static mut TARGET: [f32; VALUES] = [0.0; VALUES];

    let mut board = boards::take();
    let card = Card {
        board: boards::NAME,
        core: boards::CORE,
        arena: ARENA,
        frame_max: FRAME_MAX,
    };
    let model = match Model::load(MODEL) {
        Ok(model) => model,
        Err(error) => {
            defmt::error!("the model in flash is damaged: {}", error);
            boards::exit(false);
        }
    };
    defmt::info!(
        "{=str} ({=str}): {=str}, CRC-32 {=u32:08x}, arena {=usize} bytes",
        card.board,
        card.core,
        model.name(),
        model.header().crc,
        ARENA
    );
    let mut server = match Server::new(model, MOTE_ARENA.as_mut_slice(), TARGET, card) {
        Ok(server) => server,
        Err(error) => {
            defmt::error!("the model cannot be set up: {}", error);
            boards::exit(false);
        }
    };
    let Ok(()) = server.serve(&mut board.uart, &mut board.led, FRAME);
    defmt::info!("bye");
    boards::exit(true)
}
