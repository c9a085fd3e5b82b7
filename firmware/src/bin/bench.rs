//! The app `bench`: random layers through the kernels of this core, then what each layer of a table takes, in
//! instructions. A line of JSON for each; the exit code says whether all random layers were right.
//!
//! For QEMU with `-icount shift=0`, where an instruction takes a nanosecond of virtual time.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::entry;
use firmware::{
    boards,
    trial::{Outcome, Room, Trials},
};
use nn_core::kernels::packed::{conv2d, dense};
use semihosting::println;

/// Draws a layer and runs it.
type Trial = fn(&mut Trials, &mut Room) -> Outcome;

/// Random layers for each kernel.
const TRIALS: u32 = 500;
/// Runs of each measured layer.
const RUNS: u32 = 20;
/// Instructions of a tick: SysTick counts at 25 MHz.
const TICK: u64 = 40;

/// Tries one random layer.
type Trial = fn(&mut Trials, &mut Room) -> Outcome;

#[entry]
fn main() -> ! {
    static mut ROOM: Room = Room::new();
    static mut WEIGHTS: [i32; 22_000] = [0; 22_000];
    static mut TABLE: [i32; 1024] = [0; 1024];
    static mut X: [i8; 40_000] = [0; 40_000];
    static mut Y: [i8; 40_000] = [0; 40_000];
    static mut SCRATCH: [i32; 4096] = [0; 4096];

    let Some(core) = cortex_m::Peripherals::take() else {
        boards::exit(false)
    };
    let mut clock = core.SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(0x00FF_FFFF);
    clock.clear_current();
    clock.enable_counter();

    let mut passed = true;
    let mut trials = Trials::new(11);
    let kinds: [(&str, Trial); 2] = [("dense", Trials::dense), ("conv2d", Trials::conv2d)];
    for (name, trial) in kinds {
        let mut equal = 0;
        while equal < TRIALS {
            match trial(&mut trials, ROOM) {
                Outcome::Equal => equal += 1,
                Outcome::Refused => {}
                Outcome::Different(index) => {
                    passed = false;
                    println!("{{\"kernel\":\"{name}\",\"equal\":{equal},\"differs\":{index}}}");
                    break;
                }
            }
        }
        println!("{{\"kernel\":\"{name}\",\"equal\":{equal}}}");
    }

    TABLE.as_chunks_mut().0.fill([0, 1 << 30, 1 << 7, 8]);
    let report = |name: &str, macs: usize, instructions: u64| {
        println!(
            "{{\"name\":\"{name}\",\"board\":\"{}\",\"macs\":{macs},\"instructions\":{instructions}}}",
            boards::NAME
        );
    };
    let full = [i8::MIN, i8::MAX];
    for (name, inputs, outputs) in [("dense1_i8", 784, 100), ("dense2_i8", 100, 10)] {
        let [words, table, scratch] = dense::sizes(inputs, outputs);
        let count = measure(&mut clock, || {
            let (weights, table) = (&WEIGHTS[..words], &TABLE[..table]);
            let (x, y) = (&X[..inputs], &mut Y[..outputs]);
            dense::forward(
                black_box(x),
                weights,
                table,
                full,
                &mut SCRATCH[..scratch],
                y,
            );
        });
        report(name, inputs * outputs, count);
    }
    let conv = |size: u16, channels, outputs, kernel: u16, pool| conv2d::Shape {
        input: [size; 2],
        channels,
        kernel: [kernel; 2],
        stride: [1, 1],
        before: [kernel / 2; 2],
        output: [size; 2],
        outputs,
        depthwise: false,
        pool,
    };
    for (name, shape) in [
        ("conv1_i8", conv(28, 1, 8, 5, false)),
        ("conv2_i8", conv(14, 8, 16, 5, false)),
        ("conv1_pool1_i8", conv(28, 1, 8, 5, true)),
        ("conv2_pool2_i8", conv(14, 8, 16, 5, true)),
        (
            "depthwise_i8",
            conv2d::Shape {
                depthwise: true,
                ..conv(48, 16, 16, 3, false)
            },
        ),
        ("pointwise_i8", conv(24, 32, 64, 1, false)),
    ] {
        let [words, table, scratch] = shape.sizes();
        let [height, width] = shape.input.map(usize::from);
        let inputs = height * width * usize::from(shape.channels);
        let [rows, columns] = shape.stored();
        let outputs = rows * columns * usize::from(shape.outputs);
        let layer = conv2d::Layer {
            shape,
            weights: &WEIGHTS[..words],
            table: &TABLE[..table],
            x_zero: -128,
            range: full,
        };
        let count = measure(&mut clock, || {
            let (x, y) = (&X[..inputs], &mut Y[..outputs]);
            conv2d::forward(&layer, black_box(x), &mut SCRATCH[..scratch], y);
        });
        let taps = usize::from(shape.kernel[0]) * usize::from(shape.kernel[1]);
        let seen = if shape.depthwise {
            1
        } else {
            usize::from(shape.outputs)
        };
        let macs = taps * inputs * seen;
        report(name, macs, count);
    }
    boards::exit(passed)
}

/// Instructions of a run.
fn measure(clock: &mut SYST, mut run: impl FnMut()) -> u64 {
    run();
    let _ = &clock;
    let start = SYST::get_current();
    for _ in 0..RUNS {
        run();
    }
    // It counts down, 24 bits.
    let ticks = start.wrapping_sub(SYST::get_current()) & 0x00FF_FFFF;
    u64::from(ticks) * TICK / u64::from(RUNS)
}
