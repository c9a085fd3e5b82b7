//! The app `profile`: runs the model in the image on random inputs, and logs what each layer and a whole run take in
//! instructions, and how much stack. For QEMU with `-icount shift=0`.
#![no_std]
#![no_main]

use cortex_m::peripheral::SYST;
use cortex_m_rt::entry;
use firmware::{
    boards,
    clock::{Clock, Instant},
    marks::{mote_mark_end, mote_mark_layer, mote_mark_start},
    model::{self, ARENA, Engine, INPUTS},
    stack::Gauge,
};
use nn_core::{
    conformance::{Draw, Meter},
    memory::Arena,
};

/// Runs that are counted: the clock's ticks are longer than an instruction, and the mean is finer.
const RUNS: u32 = 16;

#[entry]
fn main() -> ! {
    static mut MOTE_ARENA: Arena<ARENA> = Arena::new();

    let Some(core) = cortex_m::Peripherals::take() else {
        boards::exit(false)
    };
    boards::exit(profile(core.SYST, MOTE_ARENA.as_mut_slice()).is_some())
}

fn profile(timer: SYST, arena: &'static mut [u8]) -> Option<()> {
    let mut engine = match model::engine(arena) {
        Ok(engine) => engine,
        Err(fault) => {
            defmt::error!("the model in flash cannot be set up: {}", fault);
            return None;
        }
    };
    let mut draw = Draw::new();
    traced(&mut engine, &mut draw)?;
    let clock = Clock::start(timer);
    let mut gauge = Gauge::new();
    gauge.start();
    run(&mut engine, &mut draw)?;
    defmt::println!("stack {=u32}", gauge.stop());
    for _ in 0..RUNS {
        let instructions = clock.instructions(run(&mut engine, &mut draw)?);
        defmt::println!("run {=u32}", instructions);
    }
    for _ in 0..RUNS {
        fill(&mut engine, &mut draw)?;
        let mut last = Instant::now();
        let ran = engine.run_observed(|index, _| {
            let ticks = last.ticks();
            defmt::println!("layer {=usize} {=u32}", index, clock.instructions(ticks));
            last = Instant::now();
        });
        ran.ok()?;
    }
    Some(())
}

/// A run for the emulator's trace, which sees these marks; the host may end the emulation after it.
#[inline(never)]
fn traced(engine: &mut Engine, draw: &mut Draw) -> Option<()> {
    fill(engine, draw)?;
    mote_mark_start();
    let ran = engine.run_observed(|_, _| mote_mark_layer());
    mote_mark_end();
    ran.ok()
}

/// Ticks of a run.
#[inline(never)]
fn run(engine: &mut Engine, draw: &mut Draw) -> Option<u32> {
    fill(engine, draw)?;
    let start = Instant::now();
    let ran = engine.run();
    let ticks = start.ticks();
    ran.ok().map(|()| ticks)
}

/// A run may have reused the inputs' memory.
fn fill(engine: &mut Engine, draw: &mut Draw) -> Option<()> {
    for (index, dtype) in INPUTS.iter().enumerate() {
        draw.fill(*dtype, engine.input_mut(index)?);
    }
    Some(())
}
