//! The list of faults, a fixed sample of each, on the agent's image in QEMU. All of it: `mote device test --on qemu:an386`.

use host::{
    device::{
        BuildError, DeviceError, Place,
        faults::{self, FaultError, Plan},
    },
    ui::Ui,
};
use tests::skip;

const BOARD: &str = "qemu:an386";

#[test]
fn an_agent_survives_a_sample_of_every_fault() {
    let Place::Qemu(board) = BOARD.parse().unwrap() else {
        panic!("a board in QEMU");
    };
    let plan = Plan {
        quick: true,
        only: None,
    };
    // Failures are told on stderr.
    let ui = Ui::new(false, 0);
    let faults = match faults::run(board, plan, &ui, |_| {}) {
        Ok(faults) => faults,
        Err(
            FaultError::Device(error @ DeviceError::NoQemu { .. })
            | FaultError::Device(error @ DeviceError::Build(BuildError::NoToolchain { .. })),
        ) => return skip(BOARD, &error),
        Err(FaultError::Build(error @ BuildError::NoToolchain { .. })) => {
            return skip(BOARD, &error);
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(faults.len(), faults::names().count());
    for fault in &faults {
        assert!(fault.passes(), "{fault:?}");
    }
}
