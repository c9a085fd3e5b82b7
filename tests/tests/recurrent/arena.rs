//! The sums of docs/memory.md for recurrent layers.

use super::*;

const UNITS: usize = 32;
const STEPS: usize = 20;

/// The arena for training a layer of 32 units alone, over 20 steps of one number, and its parameters.
fn training(kind: Kind) -> (usize, usize) {
    let graph = Graph::chain(&[STEPS, 1], vec![recurrent(kind, UNITS, Gives::Last)]);
    let parameters = graph.draw(&mut Random::new(1));
    let spec = spec(Loss::MeanSquaredError, 0.1);
    let blob = graph.blob(DType::F32, &parameters, Some(spec));
    let arena = Model::load(&blob).unwrap().arena_train();
    (arena, parameters.len())
}

/// P + T(I + 5H) + 8H numbers is the least known for an LSTM of H units over T steps of I numbers.
#[test]
fn an_lstm_learns_in_no_more_than_two_percent_over_the_least() {
    let (arena, parameters) = training(Kind::Lstm);
    assert_eq!(parameters, 4 * UNITS * (1 + UNITS + 1));
    let least = 4 * (parameters + STEPS * (1 + 5 * UNITS) + 8 * UNITS);
    assert_eq!(least, 31_312);
    assert!(arena <= least + least / 50, "{arena}");
}

/// No copy of the weights: what is kept for each step, and what one step needs.
#[test]
fn the_others_learn_without_a_copy_of_their_weights() {
    for (kind, kept) in [
        (Kind::Rnn(Activation::Tanh), 2),
        (Kind::Gru { reset_after: true }, 5),
        (Kind::Gru { reset_after: false }, 5),
    ] {
        let (arena, parameters) = training(kind);
        let sum = 4 * (parameters + STEPS * (1 + kept * UNITS) + 8 * UNITS);
        // The tables of the node.
        assert!(arena <= sum + 320, "{kind:?}: {arena}, {sum}");
        // With a copy it would not do.
        assert!(arena < sum + 4 * parameters);
    }
}

/// Inference needs its input and output, and the state and the gates of one step.
#[test]
fn inference_keeps_one_step() {
    let len = |steps| {
        let graph = Graph::chain(&[steps, 1], vec![recurrent(Kind::Lstm, UNITS, Gives::Last)]);
        let parameters = graph.draw(&mut Random::new(1));
        let blob = graph.blob(DType::F32, &parameters, None);
        Model::load(&blob).unwrap().arena_infer()
    };
    assert!(len(4) <= 4 * (4 + UNITS + 6 * UNITS) + 320, "{}", len(4));
    assert_eq!(len(1_000) - len(4), 4 * 996);
}
