//! The app `agent`: knows no model when it is built; takes them over the serial port, keeps two in flash, serves one.
#![no_std]
#![no_main]

use core::cell::RefCell;

use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::entry;
use firmware::{
    agent::{Agent, End, Lap, Site},
    boards::{self, AgentFlash},
    clock::{Clock, Instant},
    layout::{FRAME_MAX, KEY, Kernels, PLACES, RAM},
    stack,
};
use nn_core::{link::agent::Unit, memory::Arena};

#[entry]
fn main() -> ! {
    // `entry` hands out `static mut`s of main as exclusive references, once.
    // MOTE_ARENA is all memory that models run and learn in; tools find it by its name.
    static mut MOTE_ARENA: Arena<RAM> = Arena::new();
    static mut FRAME: [u8; FRAME_MAX] = [0; FRAME_MAX];
    static mut FLASH: Option<RefCell<AgentFlash>> = None;

    stack::paint();
    let mut board = boards::take();
    let Some(core) = cortex_m::Peripherals::take() else {
        boards::exit(false)
    };
    let flash = FLASH.insert(RefCell::new(board.store.open_for_agent()));
    let site = Site {
        board: boards::NAME,
        core: boards::CORE,
        clock: boards::CLOCK,
        places: PLACES,
        key: KEY,
        stack: stack::report,
        ends: cfg!(feature = "emulated"),
    };
    let Some(mut agent) = Agent::<_, Kernels, _>::new(flash, site, Laps::start(core.SYST)) else {
        defmt::error!("the flash has not the pages that the image names");
        boards::exit(false)
    };
    stack::setup_done();
    let ram = MOTE_ARENA.as_mut_slice();
    let Ok(end) = agent.serve(&mut board.uart, &mut board.led, FRAME, ram);
    match end {
        End::Restart => SCB::sys_reset(),
        End::Bye | End::Closed => boards::exit(true),
    }
}

/// What SysTick counts: instructions in QEMU with `-icount shift=0`, cycles on a board.
struct Laps {
    clock: Clock,
    last: Instant,
}

impl Laps {
    fn start(timer: SYST) -> Self {
        Self {
            clock: Clock::start(timer),
            last: Instant::now(),
        }
    }
}

impl Lap for Laps {
    const UNIT: Unit = if cfg!(feature = "emulated") {
        Unit::Instructions
    } else {
        Unit::Cycles
    };

    fn lap(&mut self) -> u32 {
        let ticks = self.last.ticks();
        self.last = Instant::now();
        match Self::UNIT {
            Unit::Instructions => self.clock.instructions(ticks),
            Unit::Cycles => ticks,
        }
    }
}
