//! The app `conformance`: runs the cases in the image, and logs a line for each; the host compares.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::{
    archive, boards,
    cases::{ARENA, CASES, Kernels, ROOM},
    stack::Gauge,
};
use nn_core::{conformance::check, memory::Arena};

#[entry]
fn main() -> ! {
    // `entry` hands out `static mut`s of main as exclusive references, once.
    static mut MOTE_ARENA: Arena<ARENA> = Arena::new();
    static mut TARGETS: [f32; ROOM] = [0.0; ROOM];

    let mut passed = true;
    let mut gauge = Gauge::new();
    for (index, blob) in archive::blobs(CASES).enumerate() {
        match check::<Kernels>(blob, MOTE_ARENA.as_mut_slice(), TARGETS, &mut gauge) {
            Ok((outcome, stack)) => defmt::println!(
                "case {=usize} {=u64:016x} {=u64:016x} {=u32} {=u32} {=u32}",
                index,
                outcome.inference,
                outcome.training,
                stack.setup,
                stack.run,
                stack.step
            ),
            Err(fault) => {
                passed = false;
                defmt::println!("case {=usize} failed: {}", index, fault);
            }
        }
    }
    boards::exit(passed)
}
