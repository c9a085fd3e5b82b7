//! Random layers and poolings against the reference.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use tests::int8::{self, quantize_multiplier};
use tests::network::Window;
use tests::random::Random;

use crate::{run_layer, run_pool};

pub(crate) fn config(cases: u32) -> Config {
    Config {
        cases,
        // The same cases in every run: a failure elsewhere can be had again here.
        rng_seed: RngSeed::Fixed(8),
        failure_persistence: None,
        ..Config::default()
    }
}

/// A zero point, often at the ends of its range.
pub(crate) fn zero_point() -> impl Strategy<Value = i32> {
    prop_oneof![Just(-128), Just(127), Just(0), -128..=127]
}

/// How numbers are drawn: anywhere, or at the ends.
pub(crate) fn draw(random: &mut Random, count: usize, low: i64, ends: bool) -> Vec<i8> {
    (0..count)
        .map(|_| {
            if ends {
                random.pick(&[low as i8, 127])
            } else {
                random.within(low, 127) as i8
            }
        })
        .collect()
}

fn layer(
    window: Window,
    terms: usize,
    outputs: usize,
    (x_zero, y_zero): (i32, i32),
    (relu, ends): (bool, bool),
    random: &mut Random,
) -> int8::Layer {
    // A sum is about 74 · 90 · √terms; the output then spreads over the int8 range, or far past it.
    let spread = 6_660.0 * (terms as f64).sqrt();
    let multiplier = |random: &mut Random| match random.size(0, 9) {
        0 => (0, 0),
        // Any that a blob may hold.
        1 => (
            random.within(1 << 30, i64::from(i32::MAX)) as i32,
            random.within(-31, 30) as i32,
        ),
        _ => quantize_multiplier(60.0 / spread * f64::from(1.1 + random.unit())),
    };
    int8::Layer {
        window,
        weight: draw(random, outputs * terms, -127, ends),
        bias: (0..outputs)
            .map(|_| match random.size(0, 9) {
                0 => random.pick(&[i32::MIN, i32::MAX]),
                _ => random.within(-(spread as i64), spread as i64) as i32,
            })
            .collect(),
        multipliers: (0..outputs).map(|_| multiplier(random)).collect(),
        x_zero,
        y_zero,
        relu,
    }
}

prop_compose! {
    fn window(largest: usize)(
        kernel in prop::array::uniform2(1..=largest),
        stride in prop::array::uniform2(1..=3usize),
        share in prop::array::uniform4(0.0..1.0f64),
        padded in any::<bool>(),
    ) -> Window {
        let padding = std::array::from_fn(|i| {
            if padded { (share[i] * kernel[i % 2] as f64) as usize } else { 0 }
        });
        Window { kernel, stride, padding }
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn convolutions(
        window in window(5),
        extra in prop::array::uniform2(0..6usize),
        channels in 1..=9usize,
        // Past 4, so that a block of channels and a rest are both met.
        outputs in 1..=9usize,
        zeros in (zero_point(), zero_point()),
        flags in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let shape = [window.kernel[0] + extra[0], window.kernel[1] + extra[1], channels];
        let terms = window.kernel[0] * window.kernel[1] * channels;
        let layer = layer(window, terms, outputs, zeros, flags, random);
        let x = draw(random, shape.iter().product(), -128, flags.1);
        prop_assert_eq!(run_layer(&layer, &x, shape, false), layer.forward(&x, shape));
    }

    #[test]
    fn dense_layers(
        inputs in 1..=70usize,
        outputs in 1..=11usize,
        zeros in (zero_point(), zero_point()),
        flags in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let shape = [1, 1, inputs];
        let layer = layer(Window::square(1, 1), inputs, outputs, zeros, flags, random);
        let x = draw(random, inputs, -128, flags.1);
        prop_assert_eq!(run_layer(&layer, &x, shape, true), layer.forward(&x, shape));
    }

    #[test]
    fn poolings(
        window in window(5),
        extra in prop::array::uniform2(0..6usize),
        channels in 1..=5usize,
        zero in zero_point(),
        flags in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let (max, ends) = flags;
        let shape = [window.kernel[0] + extra[0], window.kernel[1] + extra[1], channels];
        let x = draw(random, shape.iter().product(), -128, ends);
        prop_assert_eq!(run_pool(&window, max, &x, shape, zero), int8::pool(&window, max, &x, shape));
    }
}
