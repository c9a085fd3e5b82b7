use std::vec;
use std::vec::Vec;

use super::*;
use crate::scalar::hash;

/// Numbers drawn from a seed.
fn draw(seed: u32, len: usize) -> Vec<i8> {
    // The low byte.
    (0..len as u32).map(|i| hash(seed, i) as i8).collect()
}

const UNITS: usize = 5;
const INPUTS: usize = 3;
const STEPS: usize = 7;

fn walk(steps: usize, reverse: bool, whole: bool) -> Walk {
    Walk {
        steps,
        inputs: INPUTS,
        units: UNITS,
        repeat: false,
        reverse,
        whole,
        truncate: 0,
    }
}

/// Factors of 2^−4 for sums, of 2^−8 for outputs.
fn table<C: CellI8>() -> Vec<i32> {
    let mut table = vec![0; C::REQUANT];
    for pair in table.chunks_exact_mut(2) {
        pair.copy_from_slice(&[1 << 30, -3]);
    }
    match C::REQUANT {
        20 => table[16..].copy_from_slice(&[1 << 30, -22, -12, 30_000]),
        len => table[len - 2..].copy_from_slice(&[1 << 30, -7]),
    }
    assert!(C::check(&table));
    table
}

/// The output over x, and the state at its end.
fn run<C: CellI8>(cell: C, walk: &Walk, x: &[i8], start: Option<&State>) -> (Vec<i8>, State) {
    let kernel = draw(1, C::GATES * UNITS * INPUTS);
    let recurrent = draw(2, C::GATES * UNITS * UNITS);
    let bias: Vec<i32> = (0..C::GATES as i32 * UNITS as i32)
        .map(|i| 97 * i - 400)
        .collect();
    let requant = table::<C>();
    let weights = WeightsI8 {
        kernel: &kernel,
        recurrent: &recurrent,
        bias: &bias,
        recurrent_bias: &bias,
        requant: &requant,
        zeros: [-7, 3],
    };
    let begin = State {
        hidden: vec![3; UNITS],
        wide: vec![0; C::WIDE * UNITS],
    };
    let mut state = start.cloned().unwrap_or(begin);
    let mut scratch = vec![-1; C::SCRATCH * UNITS];
    let mut y = vec![
        0;
        if walk.whole {
            walk.steps * UNITS
        } else {
            UNITS
        }
    ];
    let mut at = StateI8 {
        hidden: &mut state.hidden,
        wide: &mut state.wide,
    };
    forward(cell, walk, x, &weights, &mut at, &mut scratch, &mut y);
    (y, state)
}

#[derive(Debug, Clone, PartialEq)]
struct State {
    hidden: Vec<i8>,
    wide: Vec<i16>,
}

fn holds<C: CellI8>(cell: C) {
    let x = draw(3, STEPS * INPUTS);
    let (whole, end) = run(cell, &walk(STEPS, false, true), &x, None);
    // A test of nothing if the outputs stood still.
    assert_ne!(whole[..UNITS], whole[UNITS..2 * UNITS]);

    let (mut stepped, mut state) = (Vec::new(), None);
    for x in x.chunks(INPUTS) {
        let (y, next) = run(cell, &walk(1, false, false), x, state.as_ref());
        stepped.extend(y);
        state = Some(next);
    }
    assert_eq!((whole.clone(), Some(end)), (stepped, state));

    let (last, _) = run(cell, &walk(STEPS, false, false), &x, None);
    assert_eq!(last, whole[whole.len() - UNITS..]);

    let turned: Vec<i8> = x.chunks(INPUTS).rev().flatten().copied().collect();
    let (reversed, _) = run(cell, &walk(STEPS, true, true), &turned, None);
    let back: Vec<i8> = reversed.chunks(UNITS).rev().flatten().copied().collect();
    assert_eq!(back, whole);

    let repeat = Walk {
        repeat: true,
        ..walk(STEPS, false, true)
    };
    let (repeated, _) = run(cell, &repeat, &x[..INPUTS], None);
    let many = x[..INPUTS].repeat(STEPS);
    assert_eq!(
        run(cell, &walk(STEPS, false, true), &many, None).0,
        repeated
    );
}

#[test]
fn steps_with_a_kept_state_give_the_whole_sequence() {
    holds(LstmI8);
    holds(GruI8);
    holds(RnnI8 { relu: false });
    holds(RnnI8 { relu: true });
}

fn refuses<C: CellI8>() {
    let valid = table::<C>();
    assert!(!C::check(&[]));
    assert!(!C::check(&valid[1..]));
    for (index, value) in [(0, -1), (0, 5), (1, 31), (1, -32), (3, i32::MAX)] {
        let mut table = valid.clone();
        table[index] = value;
        assert!(!C::check(&table), "{index}: {value}");
    }
}

#[test]
fn a_table_out_of_range_is_refused() {
    refuses::<LstmI8>();
    refuses::<GruI8>();
    refuses::<RnnI8>();
    for (index, value) in [(18, -8), (18, -29), (19, -1), (19, 32_768)] {
        let mut table = table::<LstmI8>();
        table[index] = value;
        assert!(!LstmI8::check(&table), "{index}: {value}");
    }
}

/// Slices and tables of any size and value: no panic.
#[test]
fn nothing_panics() {
    for len in [0, 1, 5, 19, 20, 21] {
        for word in [0, 1, -1, i32::MIN, i32::MAX] {
            for long in [0usize, 1, 9] {
                let (words, bytes) = (vec![word; len], vec![-128; long]);
                let weights = WeightsI8 {
                    kernel: &bytes,
                    recurrent: &bytes,
                    bias: &words,
                    recurrent_bias: &[],
                    requant: &words,
                    zeros: [127, 127],
                };
                any(LstmI8, &weights, long);
                any(GruI8, &weights, long);
                any(RnnI8 { relu: true }, &weights, long);
            }
        }
    }
}

fn any<C: CellI8>(cell: C, weights: &WeightsI8<'_>, long: usize) {
    let (mut hidden, mut wide) = (vec![i8::MIN; long], vec![i16::MIN; 3]);
    let (mut scratch, mut y) = (vec![i16::MAX; 2 * long], vec![0; 2]);
    let mut state = StateI8 {
        hidden: &mut hidden,
        wide: &mut wide,
    };
    let walk = walk(2, true, true);
    forward(
        cell,
        &walk,
        weights.kernel,
        weights,
        &mut state,
        &mut scratch,
        &mut y,
    );
}
