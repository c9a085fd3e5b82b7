//! Forward: against the formulas, and one way to walk against another.

use fixed::types::{I4F12, I8F24};

use super::*;
use crate::scalar::{BOUNDS, Q16};

fn compare<S: Scalar>(kind: Kind, walk: &Walk, seed: u32, tolerance: f64) {
    let numbers = Draw::new(seed).layer(kind, walk);
    let (wanted, states) = reference::run(kind, walk, &numbers, None);
    let numbers = numbers.map(|v| S::from_f32(v as f32));
    let (y, state) = infer(kind, walk, &numbers);
    let context = format!("{kind:?}, {walk:?}, seed {seed}");
    assert_close(&wide(&y), &wanted, tolerance, &context);
    assert_close(&wide(&state), states.last().unwrap(), tolerance, &context);
}

#[test]
fn every_walk_of_every_cell() {
    for (seed, walk) in (1..).zip(walks()) {
        for kind in KINDS {
            // About 30 products in a sum and a few steps, in f32. What a function is off by, at most its bound, goes
            // through the next step's weights, of both signs, and slopes below 1: it does not grow.
            let tolerance = match kind {
                Kind::Rnn(Activation::Relu) => 1e-6,
                _ => 1e-6 + BOUNDS.sigmoid.relative.max(BOUNDS.tanh.relative),
            };
            compare::<f32>(kind, &walk, seed, tolerance);
            // A sum is off by its products' rounded factors: up to 30 · 2⁻¹⁷, and h of the step before carries on.
            compare::<Q16>(kind, &walk, seed, 2e-4);
            // Other splits: 2⁻²⁵ in the place of 2⁻¹⁷, and 2⁻¹³.
            compare::<I8F24>(kind, &walk, seed, 4e-6);
            compare::<I4F12>(kind, &walk, seed, 4e-3);
        }
    }
}

#[test]
fn step_by_step_gives_the_same_bits() {
    for kind in KINDS {
        let numbers = Draw::new(7).layer(kind, &PLAIN).map(|v| v as f32);
        let (whole, state) = infer(kind, &PLAIN, &numbers);
        let fixed = numbers.map(Q16::from_f32);
        let (whole_fixed, state_fixed) = infer(kind, &PLAIN, &fixed);
        // One step, or two, at a time.
        for steps in [1, 2] {
            let part = Walk { steps, ..PLAIN };
            assert_eq!(
                in_parts(kind, &part, &numbers),
                (whole.clone(), state.clone())
            );
            let found = in_parts(kind, &part, &fixed);
            assert_eq!(found, (whole_fixed.clone(), state_fixed.clone()));
        }
    }
}

fn in_parts<S: Scalar>(kind: Kind, walk: &Walk, numbers: &Numbers<S>) -> (Vec<S>, Vec<S>) {
    let mut y = vec![];
    let mut now = numbers.clone();
    for x in numbers.x.chunks(walk.x_len()) {
        now.x = x.to_vec();
        let (outputs, state) = infer(kind, walk, &now);
        y.extend(outputs);
        now.state = state;
    }
    (y, now.state)
}

#[test]
fn the_last_output_is_the_end_of_the_whole() {
    for kind in KINDS {
        for reverse in [false, true] {
            let walk = Walk { reverse, ..PLAIN };
            let numbers = Draw::new(9).layer(kind, &walk).map(|v| v as f32);
            let (whole, state) = infer(kind, &walk, &numbers);
            let last = Walk {
                whole: false,
                ..walk
            };
            let (last, last_state) = infer(kind, &last, &numbers);
            let mut rows = whole.chunks(walk.units);
            let end = if reverse { rows.next() } else { rows.last() };
            assert_eq!(end.unwrap(), last);
            assert_eq!(last, state[..walk.units]);
            assert_eq!(state, last_state);
        }
    }
}

fn reversed<T: Clone>(rows: &[T], width: usize) -> Vec<T> {
    rows.chunks(width).rev().flatten().cloned().collect()
}

#[test]
fn in_reverse_is_forward_over_the_reversed_sequence() {
    for kind in KINDS {
        let numbers = Draw::new(13).layer(kind, &PLAIN).map(|v| v as f32);
        let walk = Walk {
            reverse: true,
            ..PLAIN
        };
        let turned = Numbers {
            x: reversed(&numbers.x, walk.inputs),
            ..numbers.clone()
        };
        let (y, state) = infer(kind, &walk, &numbers);
        let (forward, forward_state) = infer(kind, &PLAIN, &turned);
        assert_eq!(y, reversed(&forward, walk.units));
        assert_eq!(state, forward_state);
    }
}

#[test]
fn a_repeated_row_is_the_sequence_of_that_row() {
    for kind in KINDS {
        let walk = Walk {
            repeat: true,
            ..PLAIN
        };
        let numbers = Draw::new(15).layer(kind, &walk).map(|v| v as f32);
        let many = Numbers {
            x: numbers.x.repeat(walk.steps),
            ..numbers.clone()
        };
        assert_eq!(infer(kind, &walk, &numbers), infer(kind, &PLAIN, &many));
    }
}

#[test]
fn training_computes_what_inference_does() {
    for kind in KINDS {
        for walk in walks() {
            let numbers = Draw::new(19).layer(kind, &walk).map(|v| v as f32);
            let delta = vec![0.0; walk.y_len()];
            let (y, _) = train(kind, &walk, &numbers, &delta, None, ALL, 0.0);
            assert_eq!(y, infer(kind, &walk, &numbers).0);
        }
    }
}

#[test]
fn without_biases_they_are_zero() {
    for kind in KINDS {
        let mut numbers = Draw::new(21).layer(kind, &PLAIN).map(|v| v as f32);
        numbers.bias.fill(0.0);
        numbers.recurrent_bias.fill(0.0);
        let none = Numbers {
            bias: vec![],
            recurrent_bias: vec![],
            ..numbers.clone()
        };
        assert_eq!(infer(kind, &PLAIN, &none), infer(kind, &PLAIN, &numbers));
    }
}

#[test]
fn what_is_kept() {
    let count = |kind| with_cell!(kind, _cell => kept(_cell));
    fn kept<C: Cell<f32>>(_: C) -> usize {
        saved_len::<f32, C>(20, 32)
    }
    // T · 5H and the state before: the sum of docs/memory.md.
    assert_eq!(count(Kind::Lstm), 20 * 5 * 32 + 2 * 32);
    assert_eq!(count(Kind::Gru { reset_after: true }), 20 * 5 * 32 + 32);
    assert_eq!(count(Kind::Rnn(Activation::Tanh)), 20 * 32 + 32);
}
