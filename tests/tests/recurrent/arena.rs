//! The sums of docs/memory.md for recurrent layers.

use super::*;

/// LSTM of H units over T steps of I numbers, all learnt: P + T(I + 5H) + 8H numbers is the least known.
#[test]
fn an_lstm_learns_in_no_more_than_two_percent_over_the_least() {
    const H: usize = 32;
    const T: usize = 20;
    let graph = Graph::chain(&[T, 1], vec![recurrent(Kind::Lstm, H, Gives::Last)]);
    let parameters = graph.draw(&mut Random::new(1));
    assert_eq!(parameters.len(), 4 * H * (1 + H + 1));
    let spec = spec(Loss::MeanSquaredError, 0.1);
    let blob = graph.blob(DType::F32, &parameters, Some(spec));
    let model = Model::load(&blob).unwrap();
    let least = 4 * (parameters.len() + T * (1 + 5 * H) + 8 * H);
    assert_eq!(least, 31_312);
    assert!(
        model.arena_train() <= least + least / 50,
        "{}",
        model.arena_train()
    );
}
