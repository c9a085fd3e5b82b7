//! The app `mnist`: serves the model in the image over the board's serial port.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::{
    boards::{self, Flash, StorePort},
    engine::Engine as _,
    model::{self, ARENA, CARD, Engine, FRAME_MAX, VALUES},
    server::{Card, Server},
    stack,
    store::{Keep, Store},
};
use nn_core::memory::Arena;

#[entry]
fn main() -> ! {
    // `entry` hands out `static mut`s of main as exclusive references, once.
    // MOTE_ARENA is all memory that the model runs and learns in; tools find it by its name.
    static mut MOTE_ARENA: Arena<ARENA> = Arena::new();
    static mut ENGINE: Option<Engine> = None;
    static mut FRAME: [u8; FRAME_MAX] = [0; FRAME_MAX];
    static mut TARGET: [f32; VALUES] = [0.0; VALUES];
    static mut STORE: Option<Store<Flash>> = None;

    stack::paint();
    let mut board = boards::take();
    let engine = set_up(ENGINE, MOTE_ARENA.as_mut_slice());
    let store = if Engine::TRAINS {
        restore(STORE, board.store, engine)
    } else {
        None
    };
    stack::setup_done();
    let card = Card {
        board: boards::NAME,
        core: boards::CORE,
        model: CARD,
        arena: ARENA,
        frame_max: FRAME_MAX,
        stack: stack::report,
    };
    let mut server = Server::new(engine, TARGET, card).with_store(store);
    let Ok(()) = server.serve(&mut board.uart, &mut board.led, FRAME);
    defmt::info!("bye");
    boards::exit(true)
}

/// Puts the model's engine in its place. A function of its own: what it needs of the stack is free again afterwards.
#[inline(never)]
fn set_up(place: &'static mut Option<Engine>, arena: &'static mut [u8]) -> &'static mut Engine {
    match model::engine(arena) {
        Ok(engine) => {
            defmt::info!(
                "{=str} ({=str}): {=str}, CRC-32 {=u32:08x}, arena {=usize} bytes",
                boards::NAME,
                boards::CORE,
                CARD.name,
                CARD.crc32,
                ARENA
            );
            place.insert(engine)
        }
        Err(fault) => {
            defmt::error!("the model in flash cannot be set up: {}", fault);
            boards::exit(false);
        }
    }
}

/// Opens the store, and gives the model what it learnt before; none where the board has no flash for it.
#[inline(never)]
fn restore(
    place: &'static mut Option<Store<Flash>>,
    port: StorePort,
    engine: &mut Engine,
) -> Option<&'static mut dyn Keep> {
    let (flash, range) = port.open()?;
    let trainer = engine.trainer().ok()?;
    let store = place.insert(Store::new(flash, range, CARD.crc32)?);
    let report = store.restore(trainer);
    defmt::info!(
        "store: {}, generation {=u32}",
        report.state,
        report.generation
    );
    Some(store)
}
