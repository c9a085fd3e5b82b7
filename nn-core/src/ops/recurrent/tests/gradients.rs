//! Backpropagation through time against central differences.

use super::*;
use crate::scalar::Q16;

/// Gradients found by `train` at rate 1: what the weights lost.
pub(super) fn found<S: Scalar>(before: &Numbers<S>, after: &Numbers<S>) -> Numbers<f64> {
    let mut lost = after.map(|v| f64::from(v.to_f32()));
    let before = before.map(|v| f64::from(v.to_f32()));
    // The input and the state hold their gradients already.
    for part in 1..5 {
        for (after, before) in lost.parts_mut()[part]
            .iter_mut()
            .zip(before.parts()[part].1)
        {
            *after = before - *after;
        }
    }
    lost
}

fn compare<S: Scalar>(kind: Kind, walk: &Walk, seed: u32, tolerance: f64) {
    let mut draw = Draw::new(seed);
    let numbers = draw.layer(kind, walk);
    let delta = draw.values(walk.y_len(), 0.5);
    let wanted = reference::gradient(kind, walk, &numbers, &delta);
    let numbers = numbers.map(|v| S::from_f32(v as f32));
    let delta: Vec<S> = delta.iter().map(|v| S::from_f32(*v as f32)).collect();
    let below = Some(Activation::None);
    let (_, after) = train(kind, walk, &numbers, &delta, below, ALL, 1.0);
    let found = found(&numbers, &after);
    for ((name, found), (_, wanted)) in found.parts().into_iter().zip(wanted.parts()) {
        let context = format!("{name} of {kind:?}, {walk:?}, seed {seed}");
        assert_close(found, wanted, tolerance, &context);
    }
}

/// Gradients and weights are about 1, sums have up to some hundred terms of f32 in some steps one after the other:
/// 10⁻⁵ is about a hundred roundings.
const F32: f64 = 1e-5;

#[test]
fn every_walk_of_every_cell() {
    for (seed, walk) in (1..).zip(walks()) {
        for kind in KINDS {
            compare::<f32>(kind, &walk, seed, F32);
        }
    }
}

#[test]
fn every_activation() {
    for activation in [Activation::None, Activation::Sigmoid] {
        compare::<f32>(Kind::Rnn(activation), &PLAIN, 5, F32);
    }
}

#[test]
fn truncated_it_passes_no_border() {
    for kind in KINDS {
        // Chunks of even and uneven length, of one step, and longer than the sequence.
        for truncate in [1, 2, 4, 5, 6, 9] {
            for whole in [false, true] {
                let walk = Walk {
                    truncate,
                    whole,
                    reverse: truncate == 4,
                    ..PLAIN
                };
                compare::<f32>(kind, &walk, 11, F32);
            }
        }
    }
}

#[test]
fn in_fixed_point() {
    // A number of Q16 is off by 2⁻¹⁷, or up to 2⁻¹⁶ after its stochastic update; sigmoid and tanh by 2⁻¹⁷ or so. A
    // gradient is a sum over 6 steps of products of five or so such numbers, each about 1 or less, after up to 6 steps
    // back through sums of 3 · 5 of them: some hundred errors of 10⁻⁵, that mostly cancel.
    for (seed, walk) in (1..).zip(walks()) {
        if walk.units <= 8 {
            for kind in KINDS {
                compare::<Q16>(kind, &walk, seed, 5e-4);
                // 2⁻⁸ of that error.
                compare::<fixed::types::I8F24>(kind, &walk, seed, 1e-5);
            }
        }
    }
}

#[test]
fn the_gradient_at_the_input_passes_the_activation_below() {
    for kind in KINDS {
        for repeat in [false, true] {
            let walk = Walk { repeat, ..PLAIN };
            let mut draw = Draw::new(17);
            let numbers = draw.layer(kind, &walk).map(|v| v as f32);
            let delta: Vec<f32> = draw
                .values(walk.y_len(), 0.5)
                .iter()
                .map(|v| *v as f32)
                .collect();
            let below = |below| train(kind, &walk, &numbers, &delta, below, ALL, 0.5).1;
            let plain = below(Some(Activation::None));
            let through = below(Some(Activation::Tanh));
            for ((x, plain), through) in numbers.x.iter().zip(&plain.x).zip(&through.x) {
                assert_eq!(*through, plain * (1.0 - x * x));
            }
            // Without one, the input stays, and all that learns does so alike.
            let none = below(None);
            assert_eq!(none.x, numbers.x);
            assert_eq!(
                Numbers { x: vec![], ..none },
                Numbers { x: vec![], ..plain }
            );
        }
    }
}

#[test]
fn what_is_frozen_stays_and_changes_nothing_else() {
    for kind in KINDS {
        let mut draw = Draw::new(23);
        let numbers = draw.layer(kind, &PLAIN).map(|v| v as f32);
        let delta: Vec<f32> = draw
            .values(PLAIN.y_len(), 0.5)
            .iter()
            .map(|v| *v as f32)
            .collect();
        let below = Some(Activation::Tanh);
        let train = |learns| train(kind, &PLAIN, &numbers, &delta, below, learns, 0.5).1;
        let all = train(ALL);
        for part in 0..3 {
            let learns = Learns {
                kernel: part == 0,
                recurrent: part == 1,
                bias: part == 2,
            };
            let one = train(learns);
            let pick = |learns, from: &Numbers<f32>| {
                if learns {
                    from.clone()
                } else {
                    numbers.clone()
                }
            };
            let bias = pick(learns.bias, &all);
            let wanted = Numbers {
                x: all.x.clone(),
                kernel: pick(learns.kernel, &all).kernel,
                recurrent: pick(learns.recurrent, &all).recurrent,
                bias: bias.bias,
                recurrent_bias: bias.recurrent_bias,
                state: all.state.clone(),
            };
            assert_eq!(one, wanted, "{kind:?}, part {part}");
        }
        assert_ne!(all.kernel, numbers.kernel);
        assert_ne!(all.recurrent, numbers.recurrent);
        assert_ne!(all.bias, numbers.bias);
    }
}
