//! Number formats: rounding, saturation, rates, random numbers, softmax.

use fixed::types::{I1F15, I1F31, I8F8, I8F24, I16F0, I16F16, I32F0};
use nn_core::scalar::{FixedRate, Q16, Rounder, Scalar, XorShift32, hash};

/// Every operation at the ends of a format stays there; sums of products do so in their accumulator.
fn saturates<S: Scalar + Copy>(max: S) {
    let (min, zero) = (S::MIN, S::ZERO);
    let least = S::LEAST;
    let mut rounder = Rounder::stochastic(5);
    assert_eq!(max.add(max), max);
    assert_eq!(min.add(min), min);
    assert_eq!(max.sub(min), max);
    assert_eq!(min.sub(max), min);
    assert_eq!(zero.sub(min), max);
    assert_eq!(max.div(zero), max);
    assert_eq!(min.div(zero), min);
    assert_eq!(zero.div(zero), zero);
    assert_eq!(S::from_f32(f32::INFINITY), max);
    assert_eq!(S::from_f32(f32::NEG_INFINITY), min);
    assert_eq!(S::from_f32(f32::MAX), max);
    assert_eq!(S::from_f32(f32::NAN), zero);
    assert_eq!(zero.ln(), min);
    assert_eq!(min.ln(), min);
    assert_eq!(min.sqrt(), zero);
    assert_eq!(zero.rsqrt(), max);
    assert_eq!(max.scale(S::rate(1e30)), max);
    assert_eq!(min.scale(S::rate(1e30)), min);
    assert_eq!(max.scale(S::rate(-1e30)), min);
    assert_eq!(zero.scale(S::rate(1e30)), zero);
    assert_eq!(max.scale(S::rate(1e-30)), zero);
    assert_eq!(least.scale(S::rate(1e30)), max);

    // Far past what 64 bits hold.
    let (mut up, mut down) = (S::ZERO_ACC, S::ZERO_ACC);
    for _ in 0..10 {
        up = S::mul_acc(up, min, min);
        down = S::mul_acc(down, min, max);
    }
    for _ in 0..70 {
        up = S::sum_acc(up, up);
        down = S::sum_acc(down, down);
    }
    up = S::add_scaled(
        S::add_acc(S::mul_acc(up, max, max), max),
        max,
        S::rate(1e30),
    );
    down = S::add_scaled(
        S::add_acc(S::mul_acc(down, min, max), min),
        min,
        S::rate(1e30),
    );
    assert_eq!(S::narrow(up), max);
    assert_eq!(S::narrow(down), min);
    assert_eq!(S::narrow_by(up, &mut rounder), max);
    assert_eq!(S::narrow_by(down, &mut rounder), min);
    assert_eq!(S::mean(up, 1), max);
    assert_eq!(S::mean(down, 0), min);
    for rate in [1e30, 1024.0, 0.75] {
        let rate = S::rate(rate);
        assert_eq!(max.descend(rate, down, &mut rounder), max);
        assert_eq!(min.descend(rate, up, &mut rounder), min);
    }
}

#[test]
fn every_operation_saturates() {
    saturates(I16F16::MAX);
    saturates(I8F24::MAX);
    saturates(I32F0::MAX);
    saturates(I1F31::MAX);
    saturates(I8F8::MAX);
    saturates(I16F0::MAX);
    saturates(I1F15::MAX);
}

#[test]
fn products_and_conversions_round_to_nearest() {
    let q = |bits: i32| Q16::from_bits(bits);
    // 1.5 units and −1.5 units: halves go up.
    assert_eq!(Scalar::mul(q(3), q(1 << 15)), q(2));
    assert_eq!(Scalar::mul(q(-3), q(1 << 15)), q(-1));
    assert_eq!(Scalar::div(q(3), q(2 << 16)), q(2));
    assert_eq!(Scalar::div(q(-3), q(2 << 16)), q(-1));
    assert_eq!(Scalar::div(q(3), q(-(2 << 16))), q(-1));
    // From f32, to the even one.
    let unit = 1.0 / 65536.0;
    for (x, bits) in [
        (0.5, 0),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (0.75, 1),
    ] {
        assert_eq!(<Q16 as Scalar>::from_f32(x * unit), q(bits), "{x}");
    }
    // To f32 and back, wherever f32's 24 bits hold it.
    for bits in (-(1 << 24)..1 << 24).step_by(997) {
        assert_eq!(<Q16 as Scalar>::from_f32(Scalar::to_f32(q(bits))), q(bits));
    }
    assert_eq!(Scalar::to_f32(Q16::MAX), 32768.0);
    assert_eq!(Scalar::to_f32(Q16::MIN), -32768.0);
}

#[test]
fn rates_keep_fifteen_bits_and_powers_of_two() {
    for exponent in -126..=127 {
        let power = (2f32).powi(exponent);
        assert_eq!(FixedRate::new(power).to_f32(), power);
        assert_eq!(FixedRate::new(-power).to_f32(), -power);
        for step in 0..999 {
            let factor = power * (1.0 + step as f32 / 999.0);
            if factor.is_finite() {
                let kept = FixedRate::new(factor);
                let off = (f64::from(kept.to_f32()) / f64::from(factor) - 1.0).abs();
                assert!(off <= (2f64).powi(-15), "{factor}: {off}");
                assert_eq!(FixedRate::new(kept.to_f32()), kept, "{factor}");
            }
        }
    }
    for nothing in [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(FixedRate::new(nothing).to_f32(), 0.0);
    }
    // A power of two is exact: no rounding but the format's.
    assert_eq!(
        Scalar::scale(Q16::from_num(3), Q16::rate(0.25)),
        Q16::from_num(0.75)
    );
    // To nearest, halves up.
    assert_eq!(
        Scalar::scale(Q16::from_bits(1), Q16::rate(0.5)),
        Q16::from_bits(1)
    );
    assert_eq!(
        Scalar::scale(Q16::from_bits(-1), Q16::rate(0.5)),
        Q16::from_bits(0)
    );
}

/// The rule in 128 bits, as docs/numerics.md states it; without a draw, to nearest.
fn descended(weight: i32, rate: f32, gradient: i64, frac: i32, draw: Option<u32>) -> i32 {
    // The rate's 15 bits, found apart from FixedRate.
    let kept = f64::from(FixedRate::new(rate).to_f32());
    let mut exponent = 0i32;
    let mut mantissa = kept;
    while mantissa != 0.0 && mantissa.fract() != 0.0 {
        mantissa *= 2.0;
        exponent += 1;
    }
    while mantissa != 0.0 && mantissa % 2.0 == 0.0 {
        mantissa /= 2.0;
        exponent -= 1;
    }
    let mantissa = mantissa as i128;
    let gradient = if mantissa == 1 {
        i128::from(gradient)
    } else {
        i128::from(gradient.clamp(-(1 << 47), 1 << 47))
    };
    let product = gradient * mantissa;
    let shift = exponent + frac;
    let step = match draw {
        _ if shift <= 0 => product << (-shift).min(60),
        // Halves up, in one step, whatever the shift is.
        None if shift <= 64 => (product + (1i128 << (shift - 1))) >> shift,
        // Below 2⁶³ in size: less than a half.
        None => 0,
        Some(draw) if shift <= 32 => {
            (product + i128::from(u64::from(draw) & ((1u64 << shift) - 1))) >> shift
        }
        Some(draw) => ((product >> (shift - 32).min(120)) + i128::from(draw)) >> 32,
    };
    (i128::from(weight) - step).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

const RATES: [f32; 16] = [
    1.0,
    0.5,
    0.015625,
    1.0 / 1024.0,
    1.0 / 65536.0,
    1.0 / 131072.0,
    1e-9,
    0.01,
    0.1,
    0.05,
    0.75,
    3.0,
    -0.25,
    70000.0,
    131072.0,
    0.0,
];

#[test]
fn the_update_is_its_rule() {
    let mut values = XorShift32::new(77);
    for rate in RATES {
        let kept = Q16::rate(rate);
        for seed in 1..4_000 {
            // Of any size.
            let mut bits = || (values.draw() as i32) >> (values.draw() % 31);
            let (weight, x, delta) = (bits(), bits(), bits());
            let gradient = i64::from(x) * i64::from(delta);
            let draw = XorShift32::new(seed).draw();
            let wanted = descended(weight, rate, gradient, 16, Some(draw));
            let [mut one, mut two] = [Rounder::stochastic(seed); 2];
            let q = Q16::from_bits;
            let found = Scalar::descend(q(weight), kept, gradient, &mut one);
            assert_eq!(found.to_bits(), wanted, "{weight} {rate} {gradient}");
            let found = Scalar::descend_product(q(weight), kept, q(x), q(delta), &mut two);
            assert_eq!(found.to_bits(), wanted, "{weight} {rate} {x} {delta}");
            // One draw, whatever the rate.
            assert_eq!(one.state(), Some(draw));
            assert_eq!(two.state(), Some(draw));
            let wanted = descended(weight, rate, gradient, 16, None);
            let mut nearest = Rounder::NEAREST;
            let found = Scalar::descend(q(weight), kept, gradient, &mut nearest);
            assert_eq!(
                found.to_bits(),
                wanted,
                "to nearest: {weight} {rate} {gradient}"
            );
            let found = Scalar::descend_product(q(weight), kept, q(x), q(delta), &mut nearest);
            assert_eq!(
                found.to_bits(),
                wanted,
                "to nearest: {weight} {rate} {x} {delta}"
            );
            assert_eq!(nearest, Rounder::NEAREST);
        }
    }
}

/// A row, whichever way it takes, is its products one by one.
fn row_is_products<S: Scalar>(of: impl Fn(i32) -> S) {
    let mut values = XorShift32::new(31);
    for rate in RATES {
        let rate = S::rate(rate);
        for round in 1..300 {
            let mut draw = || of((values.draw() as i32) >> (values.draw() % 31));
            let x = draw();
            let delta: [S; 9] = core::array::from_fn(|_| draw());
            let weights: [S; 9] = core::array::from_fn(|_| draw());
            for rounder in [Rounder::stochastic(round), Rounder::NEAREST] {
                let [mut one, mut two] = [rounder; 2];
                let mut row = weights;
                S::descend_row(&mut row, rate, x, &delta, &mut one);
                let single: Vec<S> = weights
                    .iter()
                    .zip(&delta)
                    .map(|(weight, delta)| weight.descend_product(rate, x, *delta, &mut two))
                    .collect();
                assert_eq!(row[..], single[..]);
                assert_eq!(one, two);
            }
        }
    }
}

#[test]
fn rows_descend_as_their_products() {
    row_is_products(I16F16::from_bits);
    row_is_products(I8F24::from_bits);
    row_is_products(I32F0::from_bits);
    row_is_products(|bits| I8F8::from_bits((bits >> 16) as i16));
    row_is_products(|bits| bits as f32 / 65536.0);
}

/// The mean of many updates is the exact one: its standard error is at most ½ / √n units.
#[test]
fn stochastic_rounding_is_unbiased() {
    const DRAWS: u32 = 200_000;
    let allowed = 5.0 * 0.5 / f64::from(DRAWS).sqrt();
    let mut rounder = Rounder::stochastic(2_024);
    for (rate, gradient) in [
        (1.0 / 64.0, 12_345_678i64),
        (1.0 / 64.0, -12_345_678),
        (1.0 / 64.0, 1),
        (0.01, 1_000_003),
        (0.01, -77),
        (1e-4, 123_456_789),
        (1e-7, -987_654_321),
    ] {
        let kept = Q16::rate(rate);
        let weight = Q16::from_num(1);
        let mut sum = 0i64;
        for _ in 0..DRAWS {
            let new = Scalar::descend(weight, kept, gradient, &mut rounder);
            sum += i64::from(new.to_bits() - weight.to_bits());
        }
        let mean = sum as f64 / f64::from(DRAWS);
        let exact = -f64::from(kept.to_f32()) * gradient as f64 / 65536.0;
        assert!(
            (mean - exact).abs() < allowed,
            "{rate} · {gradient}: {mean}, exactly {exact}"
        );
    }
    for acc in [1i64, 65_535, -1, 32_768, -20_000_000_001, 123_456_789] {
        let mut sum = 0i64;
        for _ in 0..DRAWS {
            sum += i64::from(Q16::narrow_by(acc, &mut rounder).to_bits());
        }
        let mean = sum as f64 / f64::from(DRAWS);
        let exact = acc as f64 / 65536.0;
        assert!(
            (mean - exact).abs() < allowed,
            "{acc}: {mean}, exactly {exact}"
        );
    }
}

/// χ² over 256 cells: 255 expected, standard deviation 22.6; five of them are allowed.
fn uniform(draws: impl Iterator<Item = u8>, what: &str) {
    let mut cells = [0u32; 256];
    let mut count = 0u32;
    for draw in draws {
        cells[usize::from(draw)] += 1;
        count += 1;
    }
    let expected = f64::from(count) / 256.0;
    let chi2: f64 = cells
        .iter()
        .map(|&n| (f64::from(n) - expected).powi(2) / expected)
        .sum();
    assert!((142.0..368.0).contains(&chi2), "{what}: χ² {chi2}");
}

#[test]
fn random_numbers_are_uniform() {
    for byte in 0..4 {
        let mut rng = XorShift32::new(1);
        let draws = (0..100_000).map(|_| (rng.draw() >> (8 * byte)) as u8);
        uniform(draws, &format!("xorshift32, byte {byte}"));
        for seed in [0, 1, 2, 0xDEAD_BEEF] {
            let draws = (0..100_000).map(|i| (hash(seed, i) >> (8 * byte)) as u8);
            uniform(draws, &format!("hash of seed {seed}, byte {byte}"));
        }
        // One place over many seeds.
        let draws = (0..100_000).map(|seed| (hash(seed, 7) >> (8 * byte)) as u8);
        uniform(draws, &format!("hash at 7, byte {byte}"));
    }
    // To nearest nothing is drawn.
    let mut nearest = Rounder::NEAREST;
    assert_eq!(
        [1, 2, 31, 32].map(|bits| nearest.addend(bits)),
        [1, 2, 1 << 30, 1 << 31]
    );
    for acc in [0x7FFF, 0x8000, 0x1_8000, -0x8000, -0x8001] {
        assert_eq!(Q16::narrow_by(acc, &mut nearest), Q16::narrow(acc));
    }
    // 0 counts as 1, and the state goes on.
    let mut rng = XorShift32::new(0);
    assert_eq!(rng, XorShift32::new(1));
    rng.draw();
    let mut again = XorShift32::new(rng.state());
    assert_eq!(rng.draw(), again.draw());
}

/// Against f64: each within `units` of the exact probability, the sum within what rounding each may add up to.
fn softmax_case<S: Scalar>(values: &[f32], frac: i32, units: f64) {
    let unit = (2f64).powi(-frac);
    let x: Vec<S> = values.iter().map(|x| S::from_f32(*x)).collect();
    let exact: Vec<f64> = x.iter().map(|x| f64::from(x.to_f32())).collect();
    let max = exact.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = exact.iter().map(|x| (x - max).exp()).sum();
    let mut p = x.clone();
    S::softmax(&mut p);
    let mut log = x.clone();
    S::log_softmax(&mut log);
    let lowest = f64::from(S::MIN.to_f32());
    let mut total = 0.0;
    for ((x, p), log) in exact.iter().zip(&p).zip(&log) {
        let (p, log) = (f64::from(p.to_f32()), f64::from(log.to_f32()));
        let wanted = (x - max).exp() / sum;
        assert!(
            (p - wanted).abs() <= units * unit,
            "softmax {x}: {p}, exactly {wanted}"
        );
        let wanted = (x - max - sum.ln()).max(lowest);
        // An f32 holds the result to 24 bits.
        let room = units * unit + wanted.abs() * (2f64).powi(-24);
        assert!(
            (log - wanted).abs() <= room,
            "log softmax {x}: {log}, exactly {wanted}"
        );
        total += p;
    }
    let room = units * unit * values.len() as f64;
    assert!(
        (total - 1.0).abs() <= room,
        "{} probabilities sum to {total}",
        values.len()
    );
}

#[test]
fn softmax_is_good_for_a_thousand_classes() {
    let mut rng = XorShift32::new(8);
    for count in [1usize, 2, 10, 1000] {
        for spread in [0.0, 0.1, 1.0, 8.0, 60.0] {
            let values: Vec<f32> = (0..count)
                .map(|_| (rng.draw() as f32 / 4_294_967_296.0 - 0.5) * spread)
                .collect();
            softmax_case::<I16F16>(&values, 16, 0.51);
            softmax_case::<I8F24>(&values, 24, 0.53);
            softmax_case::<I8F8>(&values, 8, 0.51);
        }
        // One far above the rest.
        let mut values = vec![-11.0f32; count];
        values[0] = 0.0;
        softmax_case::<I16F16>(&values, 16, 0.51);
        softmax_case::<I8F8>(&values, 8, 0.51);
    }
    // Differences past the format's range.
    let mut ends = [Q16::MAX, Q16::MIN, Q16::MAX];
    Q16::softmax(&mut ends);
    assert_eq!(ends, [Q16::from_num(0.5), Q16::ZERO, Q16::from_num(0.5)]);
    let mut ends = [Q16::MAX, Q16::MIN];
    Q16::log_softmax(&mut ends);
    assert_eq!(ends, [Q16::ZERO, Q16::MIN]);
    Q16::softmax(&mut []);
    Q16::log_softmax(&mut []);
}
