//! The app `compare`: the layers that `mote bench` measures by name, by the crate `embedded-nn` and by plain loops, on
//! random numbers. It logs what each takes in instructions and stack. For QEMU with `-icount shift=0`.
#![no_std]
#![no_main]

#[path = "compare/layers.rs"]
mod layers;
#[path = "compare/loops.rs"]
mod loops;
#[path = "compare/rival.rs"]
mod rival;

use cortex_m_rt::entry;
use firmware::{
    boards,
    clock::{Clock, Instant},
    stack::Gauge,
};
use layers::{LAYERS, Layer, Room};
use nn_core::conformance::{Draw, Meter};
use nn_core::digest::Fnv1a;
use nn_core::tensor::DType;

/// Runs a layer; none where the crate has no such layer, or refuses it.
type Runner = fn(&Layer, &mut Room) -> Option<()>;

const RUNNERS: [(&str, Runner); 2] = [("embedded-nn", rival::run), ("loops", loops::run)];

#[entry]
fn main() -> ! {
    static mut MOTE_ARENA: Room = Room::new();

    let Some(core) = cortex_m::Peripherals::take() else {
        boards::exit(false)
    };
    let room = MOTE_ARENA;
    let mut draw = Draw::new();
    draw.fill(DType::I8, bytemuck::cast_slice_mut(&mut room.x));
    draw.fill(DType::I8, bytemuck::cast_slice_mut(&mut room.weight));
    let clock = Clock::start(core.SYST);
    for (name, layer) in LAYERS {
        let mut first = None;
        for (who, runner) in RUNNERS {
            room.y.fill(0);
            let mut gauge = Gauge::new();
            gauge.start();
            let ran = runner(layer, room);
            let stack = gauge.stop();
            let start = Instant::now();
            let again = runner(layer, room);
            let instructions = clock.instructions(start.ticks());
            if ran.is_none() || again.is_none() {
                continue;
            }
            let mut digest = Fnv1a::new();
            digest.update(bytemuck::cast_slice(&room.y));
            let same = *first.get_or_insert(digest.finish()) == digest.finish();
            defmt::println!(
                "row {=str} {=str} {=u32} {=u32} {=usize} {=u8}",
                *name,
                who,
                instructions,
                stack,
                layer.ram(),
                u8::from(same)
            );
        }
    }
    boards::exit(true)
}
