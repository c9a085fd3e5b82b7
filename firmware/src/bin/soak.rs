//! The app `soak`: long lessons with absurd rates for the cases in the image that learn; the host compares.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::{
    archive, boards,
    cases::{ARENA, CASES, Kernels, ROOM},
    soak::{STEPS, teach},
};
use nn_core::memory::Arena;

#[entry]
fn main() -> ! {
    // `entry` hands out `static mut`s of main as exclusive references, once.
    static mut MOTE_ARENA: Arena<ARENA> = Arena::new();
    static mut TARGETS: [f32; ROOM] = [0.0; ROOM];

    let mut passed = true;
    for (index, blob) in archive::blobs(CASES).enumerate() {
        match teach::<Kernels>(blob, MOTE_ARENA.as_mut_slice(), TARGETS, STEPS) {
            Ok(lesson) => defmt::println!(
                "lesson {=usize} {=u64:016x} {=u32} {=u32} {=u32}",
                index,
                lesson.digest,
                lesson.refused,
                lesson.resets,
                lesson.ruined
            ),
            Err(fault) => {
                passed = false;
                defmt::println!("lesson {=usize} failed: {}", index, fault);
            }
        }
    }
    boards::exit(passed)
}
