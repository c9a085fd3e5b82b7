//! `mote bench`: layers that are too large for a board, and learning beside a control loop.
//!
//! Where QEMU or a cross compiler is missing a test says so and passes; with CI=true it fails instead.

use host::bench::{BenchError, layer, lesson, measure, measure_control};
use host::device::boards;
use host::device::{BuildError, DeviceError};
use host::ui::Ui;
use nn_core::kernels::packed::Layout;
use tests::skip;

/// Bytes of stack that a run may take.
const STACK: u64 = 1024;

#[test]
fn layers_too_large_for_a_microbit_are_measured_on_its_core() {
    let board = boards::named("microbit").expect("a board");
    // Half of the instructions that the best C library takes; softmax fits.
    let rows = [
        ("depthwise_i8", 6_550_724),
        ("pointwise_i8", 5_341_244),
        ("softmax_i8", 7_046),
    ];
    for (name, most) in rows {
        let (name, blob) = layer(name, Some(Layout::Armv7m)).expect("a layer");
        let cost = match measure(name, &blob, board, &Ui::silent()) {
            Err(
                error @ (BenchError::Build(BuildError::NoToolchain { .. })
                | BenchError::Device(DeviceError::NoQemu { .. })),
            ) => return skip(board.name, &error),
            cost => cost.expect("figures"),
        };
        assert_eq!(cost.board, "microbit");
        let fits = cost.ram <= u64::from(board.ram.len);
        assert_eq!(fits, name == "softmax_i8", "{cost:?}");
        assert_eq!(cost.ram_of_board, fits, "{cost:?}");
        assert!(cost.instructions <= most, "{cost:?}");
        assert!(cost.stack <= STACK, "{cost:?}");
    }
}

/// A core that learns in its idle time answers in time, from weights that are never half learnt.
#[test]
fn answers_keep_their_deadline_while_the_model_learns() {
    let board = boards::named("an386").expect("a board");
    let (name, blob) = lesson("iris_f32", None).expect("a lesson");
    let control = match measure_control(name, &blob, board, &Ui::silent()) {
        Err(
            error @ (BenchError::Build(BuildError::NoToolchain { .. })
            | BenchError::Device(DeviceError::NoQemu { .. })),
        ) => return skip(board.name, &error),
        control => control.expect("its figures"),
    };
    assert_eq!((control.missed, control.torn), (0, 0), "{control:?}");
    assert!(control.latest < control.period, "{control:?}");
    // There is something to interrupt, and training gets on.
    assert!(control.steps > control.answers / 8, "{control:?}");
    assert_eq!(control.watchdog, Some(true), "{control:?}");
}
