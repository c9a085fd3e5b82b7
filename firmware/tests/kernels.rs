//! Random layers through the packed and the plain int8 kernels, against naive loops: to the bit.

use firmware::trial::{KERNELS, Outcome, Room, Trial, Trials};

/// So many layers that were equal, packed and plain.
fn run(name: &str, trial: Trial, seed: u32, count: usize) {
    let mut room = Box::new(Room::new());
    let mut trials = Trials::new(seed);
    let (mut equal, mut drawn) = (0, 0usize);
    while equal < count {
        match trial(&mut trials, &mut room) {
            Outcome::Equal => equal += 1,
            Outcome::Refused => {}
            Outcome::Different(index) => panic!("{name}, layer {drawn}: output {index} differs"),
        }
        drawn += 1;
        assert!(drawn < 20 * count, "{name}: {equal} of {drawn} were layers");
    }
}

/// Shares of each kernel's layers, each with a seed of its own, on all cores.
fn run_all(count: usize) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for seed in 0..threads {
            scope.spawn(move || {
                for (name, trial) in KERNELS {
                    // Not 0, and another in each thread.
                    run(name, *trial, 4 + seed as u32, count.div_ceil(threads));
                }
            });
        }
    });
}

#[test]
fn random_layers_of_each_kernel_are_right() {
    run_all(1_000);
}

/// Minutes: `cargo test -p firmware --release --test kernels -- --ignored`.
#[test]
#[ignore = "a million layers of each kernel take minutes"]
fn a_million_layers_of_each_kernel_are_right() {
    run_all(1_000_000);
}
