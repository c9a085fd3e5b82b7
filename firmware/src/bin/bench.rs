//! The app `bench`: random layers through the kernels of this core, then what each layer of a table takes, in
//! instructions, and what the model in the image takes. A line of JSON for each; the exit code says whether all random
//! layers were right.
//!
//! For QEMU with `-icount shift=0`, where an instruction takes a nanosecond of virtual time.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::entry;
use firmware::{
    boards,
    model::{ARENA, Kernels, MODEL},
    trial::{Outcome, Room, Trials},
};
use nn_core::fixed_point::InputRescale;
use nn_core::kernels::packed::{conv2d, dense};
use nn_core::memory::Arena;
use nn_core::model::{Model, cost};
use nn_core::ops::recurrent::Walk;
use nn_core::ops::recurrent::int8::{self, CellI8, LstmI8, StateI8, WeightsI8};
use nn_core::ops::{self, Requant, softmax};
use nn_core::session::Session;
use semihosting::println;

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
    static mut MOTE_ARENA: Arena<ARENA> = Arena::new();
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
    let count = measure(&mut clock, || {
        let weights: &[i8] = bytemuck::cast_slice(&WEIGHTS[..784 * 100 / 4]);
        let requant = Requant::new(&TABLE[..200], &[], 0, full);
        ops::dense::forward_i8(black_box(&X[..784]), weights, 3, &requant, &mut Y[..100]);
    });
    report("dense1_plain_i8", 784 * 100, count);
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
    let input = InputRescale {
        multiplier: 1 << 30,
        shift: 22,
        radius: 248,
    };
    let count = measure(&mut clock, || {
        for (index, value) in (0..).zip(&mut Y[..10]) {
            *value = 9 * index - 40;
        }
        softmax::forward_i8(black_box(&mut Y[..10]), &input);
    });
    report("softmax_i8", 0, count);
    let walk = Walk {
        steps: 30,
        inputs: 33,
        units: 30,
        repeat: false,
        reverse: false,
        whole: false,
        truncate: 0,
    };
    let mut table = [0; 20];
    table.as_chunks_mut().0.fill([1 << 30, 0]);
    table[16..].copy_from_slice(&[1 << 30, -22, -12, 0]);
    let kernel: &[i8] = bytemuck::cast_slice(&WEIGHTS[..120 * 33 / 4]);
    let recurrent: &[i8] = bytemuck::cast_slice(&WEIGHTS[..120 * 30 / 4]);
    let count = measure(&mut clock, || {
        let (hidden, y) = Y.split_at_mut(30);
        let wide: &mut [i16] = bytemuck::cast_slice_mut(&mut SCRATCH[..1024]);
        let (wide, scratch) = wide.split_at_mut(64);
        let mut state = StateI8 {
            hidden,
            wide: &mut wide[..LstmI8::WIDE * 30],
        };
        let weights = WeightsI8 {
            kernel,
            recurrent,
            bias: &TABLE[..120],
            recurrent_bias: &[],
            requant: &table,
            zeros: [3, 4],
        };
        let scratch = &mut scratch[..LstmI8::SCRATCH * 30];
        let x = black_box(&X[..990]);
        int8::forward(
            LstmI8,
            &walk,
            x,
            &weights,
            &mut state,
            scratch,
            &mut y[..30],
        );
    });
    report("lstm_i8", walk.steps * 120 * 63, count);
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
    let model = match Model::load_with::<Kernels>(MODEL) {
        Ok(model) => model,
        Err(_) => boards::exit(false),
    };
    let macs: u64 = model
        .nodes()
        .iter()
        .map(|node| cost(&model, &node).macs)
        .sum();
    // Measured as it runs, whether it learns or not.
    let Ok(mut session) =
        Session::with::<Kernels>(model, &mut MOTE_ARENA.as_mut_slice()[..model.arena_infer()])
    else {
        boards::exit(false)
    };
    let count = measure(&mut clock, || {
        passed &= session.run().is_ok();
    });
    println!(
        "{{\"name\":\"{}\",\"board\":\"{}\",\"macs\":{macs},\"instructions\":{count},\"arena\":{}}}",
        model.name(),
        boards::NAME,
        model.arena_infer()
    );
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
