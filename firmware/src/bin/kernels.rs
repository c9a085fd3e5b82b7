//! The app `kernels`: random layers through this core's packed kernels, against naive loops. The exit code says whether
//! all were right.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::{
    boards,
    trial::{KERNELS, Outcome, Room, Trials},
};

/// Layers for each kernel.
const TRIALS: u32 = 500;

#[entry]
fn main() -> ! {
    // All memory that the trials run in; tools find it by this name.
    static mut MOTE_ARENA: Room = Room::new();

    let mut passed = true;
    let mut trials = Trials::new(11);
    for (name, trial) in KERNELS {
        let mut equal = 0;
        while equal < TRIALS {
            match trial(&mut trials, MOTE_ARENA) {
                Outcome::Equal => equal += 1,
                Outcome::Refused => {}
                Outcome::Different(index) => {
                    passed = false;
                    defmt::error!(
                        "{=str}: layer {=u32} differs at {=usize}",
                        *name,
                        equal,
                        index
                    );
                    break;
                }
            }
        }
        defmt::println!("kernel {=str} {=u32}", *name, equal);
    }
    boards::exit(passed)
}
