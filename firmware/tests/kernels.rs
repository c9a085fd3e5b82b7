//! Random layers through the packed kernels, against naive loops: to the bit.

use firmware::trial::{Outcome, Room, Trials};

fn run(mut trial: impl FnMut(&mut Trials, &mut Room) -> Outcome, count: usize) {
    let mut room = Box::new(Room::new());
    let mut trials = Trials::new(4);
    let mut equal = 0;
    for number in 0..count {
        match trial(&mut trials, &mut room) {
            Outcome::Equal => equal += 1,
            Outcome::Refused => {}
            Outcome::Different(index) => panic!("trial {number}: output {index} differs"),
        }
    }
    assert!(equal > count / 4, "only {equal} of {count} were layers");
}

#[test]
fn dense() {
    run(Trials::dense, 4_000);
}

#[test]
fn conv2d() {
    run(Trials::conv2d, 4_000);
}

#[test]
fn lstm() {
    run(Trials::lstm, 4_000);
}

/// Minutes: `cargo test -p firmware --release --test kernels -- --ignored`.
#[test]
#[ignore = "a million layers take minutes"]
fn a_million_layers() {
    run(Trials::dense, 500_000);
    run(Trials::conv2d, 500_000);
    run(Trials::lstm, 100_000);
}
