//! The app `lesson`: the model in the image learns from random samples, and logs what a training step takes in
//! instructions, where all inputs are other than 0 and where a fifth is, and how much stack. For QEMU with
//! `-icount shift=0`.
#![no_std]
#![no_main]

use cortex_m::peripheral::SYST;
use cortex_m_rt::entry;
use firmware::{
    boards,
    clock::{Clock, Instant},
    engine::Engine as _,
    marks::{mote_mark_end, mote_mark_layer, mote_mark_start},
    model::{self, ARENA},
    stack::Gauge,
};
use nn_core::{
    conformance::{Draw, Meter},
    memory::Arena,
    train::{MAX_HEADS, StepReport, Target, TrainError, Trainer},
};

/// Steps that are counted: the clock's ticks are longer than an instruction, and the mean is finer.
const STEPS: u32 = 16;
/// Of 100 inputs those other than 0: all of them, or as many as ink leaves on a digit's page.
const SHARES: [(&str, u32); 2] = [("dense", 100), ("sparse", 19)];
/// Numbers of all targets.
const ROOM: usize = 256;

#[entry]
fn main() -> ! {
    static mut MOTE_ARENA: Arena<ARENA> = Arena::new();

    let Some(core) = cortex_m::Peripherals::take() else {
        boards::exit(false)
    };
    boards::exit(teach(core.SYST, MOTE_ARENA.as_mut_slice()).is_some())
}

fn teach(timer: SYST, arena: &'static mut [u8]) -> Option<()> {
    let mut engine = match model::engine(arena) {
        Ok(engine) => engine,
        Err(fault) => {
            defmt::error!("the model in flash cannot be set up: {}", fault);
            return None;
        }
    };
    let Ok(trainer) = engine.trainer() else {
        defmt::error!("the model has no training plan");
        return None;
    };
    let mut draw = Draw::new();
    for (_, percent) in SHARES {
        // For the emulator's trace, which sees these marks. It is slow: these steps come first, and the very first
        // forms the rates, too.
        lesson(trainer, &mut draw, percent, |trainer, targets| {
            mote_mark_start();
            let learnt = step(trainer, targets);
            mote_mark_layer();
            learnt
        })?;
    }
    // The host may end the emulation after it.
    mote_mark_end();
    let mut gauge = Gauge::new();
    for (_, percent) in SHARES {
        let bytes = lesson(trainer, &mut draw, percent, |trainer, targets| {
            gauge.start();
            let learnt = step(trainer, targets);
            let bytes = gauge.stop();
            learnt.map(|_| bytes)
        })?;
        defmt::println!("stack {=u32}", bytes);
    }
    let clock = Clock::start(timer);
    for (name, percent) in SHARES {
        for _ in 0..STEPS {
            let ticks = lesson(trainer, &mut draw, percent, |trainer, targets| {
                let start = Instant::now();
                let learnt = step(trainer, targets);
                let ticks = start.ticks();
                learnt.map(|_| ticks)
            })?;
            defmt::println!("step {=str} {=u32}", name, clock.instructions(ticks));
        }
    }
    Some(())
}

/// A training step, with all of its stack below the caller.
#[inline(never)]
fn step(trainer: &mut Trainer, targets: &[Target]) -> Result<StepReport, TrainError> {
    trainer.step_heads(targets)
}

/// Draws inputs and targets, and learns from them by `teach`.
fn lesson<T>(
    trainer: &mut Trainer,
    draw: &mut Draw,
    percent: u32,
    teach: impl FnOnce(&mut Trainer, &[Target]) -> Result<T, TrainError>,
) -> Option<T> {
    let model = trainer.model();
    for index in 0..model.inputs().as_slice().len() {
        draw.fill_share(
            model.input(index)?.dtype,
            percent,
            trainer.input_mut(index)?,
        );
    }
    let (mut room, mut targets) = ([0.0; ROOM], [Target::Class(0); MAX_HEADS]);
    let heads = draw.targets(&model, &mut room, &mut targets).ok()?;
    match teach(trainer, targets.get(..heads)?) {
        Ok(result) => Some(result),
        Err(error) => {
            defmt::error!("no step: {}", error);
            None
        }
    }
}
