//! Damage of every kind behind a checksum that matches: what loads must also run and train, or say why not.

use std::panic::{AssertUnwindSafe, catch_unwind};

use host::export::AlignedBytes;
use nn_core::SetupError;
use nn_core::model::{HEADER_LEN, Model};
use nn_core::ops::Activation;
use nn_core::session::Session;
use nn_core::tensor::DType;
use nn_core::train::{Loss, Target, TrainSpec, Trainable, Trainer};
use tests::network::{Network, poisoned_arena};
use tests::parts::{refresh_crc, set_word, word};
use tests::random::Random;
use tests::sequence::{Gives, Graph, Kind, recurrent};

use crate::*;

/// Runs and trains whatever loads. A wrong arena size, which is told, is mended first.
fn exercise(blob: &mut AlignedBytes) -> bool {
    const LARGEST: usize = 1 << 20;
    let mut loaded = false;
    for (at, train) in [(ARENA_INFER, false), (ARENA_TRAIN, true)] {
        for _ in 0..2 {
            let Ok(model) = Model::load(blob) else {
                return loaded;
            };
            loaded = true;
            let stated = if train {
                model.arena_train()
            } else {
                model.arena_infer()
            };
            let mut arena = poisoned_arena(LARGEST);
            let refusal = if train {
                match Trainer::new(model, arena.as_mut_slice()) {
                    Ok(mut trainer) => {
                        for class in 0..3 {
                            trainer.input_mut(0).into_iter().for_each(|x| x.fill(class));
                            // An answer either way.
                            let _ = trainer.step(Target::Class(u16::from(class)));
                            let _ = trainer.step(Target::Values(&[0.5, 0.25]));
                            let _ = trainer.run();
                        }
                        trainer.reset();
                        None
                    }
                    Err(error) => Some(error),
                }
            } else {
                match Session::new(model, arena.as_mut_slice()) {
                    Ok(mut session) => {
                        session.input_mut(0).into_iter().for_each(|x| x.fill(0x7F));
                        session.run().expect("a checked model runs");
                        None
                    }
                    Err(error) => Some(error),
                }
            };
            match refusal {
                Some(SetupError::Header { wanted, .. })
                    if wanted != stated && wanted <= LARGEST =>
                {
                    set_word(blob.as_mut_slice(), at, wanted as u32);
                    refresh_crc(blob.as_mut_slice());
                }
                _ => break,
            }
        }
    }
    loaded
}

fn survives(mut blob: AlignedBytes, what: impl Fn() -> String) -> bool {
    catch_unwind(AssertUnwindSafe(|| exercise(&mut blob)))
        .unwrap_or_else(|_| panic!("panicked: {}", what()))
}

/// A chain of f32 layers that all learn.
fn drawn(random: &mut Random) -> AlignedBytes {
    let network = Network::draw(random);
    let parameters = network.draw_parameters(random);
    let plan = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.01).with_momentum(0.5);
    network.blob(&parameters, Some(plan))
}

/// A recurrent layer of each kind, that all learn.
fn recurrent_layers() -> AlignedBytes {
    let node = |kind, gives, reads: &[usize]| (recurrent(kind, 2, gives), reads.to_vec());
    let graph = Graph {
        inputs: vec![vec![3, 2]],
        nodes: vec![
            node(Kind::Gru { reset_after: true }, Gives::Last, &[0]),
            node(Kind::Rnn(Activation::Tanh), Gives::Whole, &[0, 1]),
            node(Kind::Lstm, Gives::Last, &[2, 1, 1]),
        ],
    };
    let plan = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.01).with_momentum(0.5);
    let parameters = graph.draw(&mut Random::new(6));
    graph.blob(DType::F32, &parameters, Some(plan))
}

#[test]
fn every_byte_of_the_graph_with_every_value() {
    for blob in both().into_iter().chain([recurrent_layers()]) {
        let end = HEADER_LEN + word(&blob, GRAPH_LEN) as usize;
        let mut loaded = 0;
        for at in HEADER_LEN..end {
            for value in 0..=255 {
                let damaged = changed(&blob, |bytes| bytes[at] = value);
                let what = || format!("byte {at} = {value:#04x}");
                loaded += usize::from(survives(damaged, what));
            }
        }
        // Names, rates, zero points: there are always some that mean something else but nothing wrong.
        assert!(
            loaded > 256,
            "only {loaded} loaded: is the checksum refreshed?"
        );
    }
}

#[test]
fn several_bytes_of_the_graph_at_once() {
    let mut random = Random::new(4);
    let drawn = (0..20)
        .map(|_| (drawn(&mut random), 1_000))
        .collect::<Vec<_>>();
    let both = both().into_iter().chain([recurrent_layers()]);
    for (blob, rounds) in both.map(|blob| (blob, 20_000)).chain(drawn) {
        let end = HEADER_LEN + word(&blob, GRAPH_LEN) as usize;
        for round in 0..rounds {
            let damaged = changed(&blob, |bytes| {
                for _ in 0..random.size(2, 4) {
                    let at = random.size(HEADER_LEN, end - 1);
                    // Small numbers are ids, tags and sizes: near misses.
                    bytes[at] = match random.size(0, 2) {
                        0 => random.within(0, 12) as u8,
                        1 => bytes[at].wrapping_add(random.pick(&[1, 255, 2, 128])),
                        _ => random.bits() as u8,
                    };
                }
            });
            survives(damaged, || format!("round {round}"));
        }
    }
}

#[test]
fn any_weights_run() {
    let mut random = Random::new(5);
    for blob in both() {
        let weights = word(&blob, WEIGHTS_AT) as usize;
        for round in 0..2_000 {
            let damaged = changed(&blob, |bytes| {
                for byte in &mut bytes[weights..] {
                    if random.once_in(3) {
                        let any = random.bits() as u8;
                        *byte = random.pick(&[0, 0xFF, 0x7F, 0x80, any]);
                    }
                }
            });
            survives(damaged, || format!("round {round}"));
        }
    }
}
