//! What is kept in flash: saved, restored, refused, forgotten; and power that fails at every operation.

mod flash;
mod line;

use firmware::store::{Keep, Store};
use flash::{Cut, Flash, PAGE, Torn};
use nn_core::{
    link::{ErrorCode, StoreState},
    memory::Aligned,
    model::Model,
    train::{Loss, Target, TrainSpec, Trainable, Trainer},
};

const INPUTS: usize = 24;
const OUTPUTS: usize = 6;
const BLOB: usize = 2048;
const ARENA: usize = 2048;

/// A dense layer that learns: 600 bytes of weights, in five parts of 128 and one of the biases.
fn blob(out: &mut [u8; BLOB]) -> usize {
    let plan = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.0625);
    let values: Vec<f32> = (0..INPUTS * OUTPUTS + OUTPUTS)
        .map(|index| (index % 7) as f32 / 8.0 - 0.375)
        .collect();
    let (weight, bias) = values.split_at(INPUTS * OUTPUTS);
    line::blob(weight, bias, Some(plan), out)
}

/// Calls `work` with a trainer as after a start, with the blob's weights.
fn started<T>(work: impl FnOnce(&mut Trainer<'_>) -> T) -> T {
    let mut bytes = Box::new(Aligned([0; BLOB]));
    let len = blob(&mut bytes.0);
    let model = Model::load(&bytes.0[..len]).unwrap();
    let mut arena = Box::new(Aligned([0; ARENA]));
    let arena = &mut arena.0[..model.arena_train()];
    work(&mut Trainer::new(model, arena).unwrap())
}

/// Learns; another lesson gives other weights.
fn learn(trainer: &mut Trainer<'_>, lesson: u32) {
    let input = trainer.input_mut(0).unwrap();
    for (index, bytes) in input.chunks_exact_mut(4).enumerate() {
        let value = ((index as u32 * 37 + lesson * 11) % 64) as f32 / 64.0;
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    let target = [lesson as f32 / 8.0; OUTPUTS];
    trainer.step(Target::Values(&target)).unwrap();
}

const MODEL: u32 = 0x1234_5678;

fn store(flash: Flash) -> Store<Flash> {
    let pages = embedded_storage::nor_flash::ReadNorFlash::capacity(&flash) as u32;
    Store::new(flash, 0..pages, MODEL).unwrap()
}

/// What a start finds: the state, and the digest of the weights after it.
fn boot(flash: Flash) -> (StoreState, u64, Store<Flash>) {
    started(|trainer| {
        let mut store = store(flash);
        let state = store.restore(trainer).state;
        (state, trainer.weights_digest(), store)
    })
}

/// The digest after so many lessons from `first` on, and the flash that keeps it.
fn kept(flash: Flash, lessons: std::ops::Range<u32>) -> (u64, Flash) {
    started(|trainer| {
        let mut store = store(flash);
        store.restore(trainer);
        for lesson in lessons {
            learn(trainer, lesson);
        }
        let report = store.save(trainer).unwrap();
        assert_eq!(report.state, StoreState::Kept);
        assert_eq!(report.model_crc32, MODEL);
        (trainer.weights_digest(), store.into_flash())
    })
}

fn own_digest() -> u64 {
    started(|trainer| trainer.weights_digest())
}

#[test]
fn what_is_saved_is_there_after_each_start() {
    let mut flash = Flash::new(4);
    let (state, digest, _) = boot(flash.clone());
    assert_eq!((state, digest), (StoreState::Empty, own_digest()));
    let mut seen = vec![own_digest()];
    for round in 0..40 {
        let (saved, after) = kept(flash, round..round + 1);
        assert!(!seen.contains(&saved), "round {round} learns something");
        seen.push(saved);
        let (state, digest, store) = boot(after);
        assert_eq!((state, digest), (StoreState::Kept, saved), "round {round}");
        flash = store.into_flash();
    }
}

#[test]
fn only_parts_that_changed_are_written() {
    let whole = started(|trainer| {
        learn(trainer, 1);
        let mut store = store(Flash::new(4));
        store.save(trainer).unwrap();
        store.into_flash().operations
    });
    let one = started(|trainer| {
        trainer.write_weights(256, &1.5f32.to_le_bytes()).unwrap();
        let mut store = store(Flash::new(4));
        store.save(trainer).unwrap();
        store.into_flash().operations
    });
    assert!(3 * one < whole, "{one} words of {whole}");
}

#[test]
fn weights_of_another_model_are_not_restored_and_survive() {
    let (saved, flash) = kept(Flash::new(4), 0..3);
    let flash = started(|trainer| {
        let mut other = Store::new(flash, 0..4 * PAGE as u32, MODEL + 1).unwrap();
        let report = other.restore(trainer);
        assert_eq!(report.state, StoreState::OtherModel);
        assert_eq!(report.model_crc32, MODEL);
        assert_eq!(trainer.weights_digest(), own_digest());
        other.into_flash()
    });
    let (state, digest, _) = boot(flash);
    assert_eq!((state, digest), (StoreState::Kept, saved));
}

#[test]
fn what_is_forgotten_stays_forgotten() {
    let (_, flash) = kept(Flash::new(4), 0..3);
    let (.., mut store) = boot(flash);
    assert_eq!(store.forget().unwrap().state, StoreState::Empty);
    let (state, digest, store) = boot(store.into_flash());
    assert_eq!((state, digest), (StoreState::Empty, own_digest()));
    let (saved, flash) = kept(store.into_flash(), 5..6);
    let (state, digest, _) = boot(flash);
    assert_eq!((state, digest), (StoreState::Kept, saved));
}

/// Weights that do not fit are refused, and what was kept still is.
#[test]
fn a_flash_that_is_too_small_keeps_what_it_held() {
    let (saved, flash) = kept(Flash::new(2), 0..1);
    let flash = started(|trainer| {
        let mut store = store(flash);
        store.restore(trainer);
        learn(trainer, 1);
        assert_eq!(store.save(trainer), Err(ErrorCode::StoreFull));
        store.into_flash()
    });
    let (state, digest, _) = boot(flash);
    assert_eq!((state, digest), (StoreState::Kept, saved));
}

/// Whatever a flash holds, a device starts, with the blob's weights, and can save.
#[test]
fn noise_in_the_flash_is_no_store() {
    for seed in 0..50u32 {
        let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let bytes = (0..4 * PAGE)
            .map(|_| match seed % 3 {
                0 => noise() as u8,
                1 => 0,
                _ => [0, 0xFF, noise() as u8][noise() as usize % 3],
            })
            .collect();
        let (state, digest, store) = boot(Flash::holding(bytes));
        assert_ne!(state, StoreState::Kept, "noise {seed}");
        assert_eq!(digest, own_digest(), "noise {seed}");
        let (saved, flash) = kept(store.into_flash(), 0..1);
        let (state, digest, _) = boot(flash);
        assert_eq!((state, digest), (StoreState::Kept, saved), "noise {seed}");
    }
}

/// Power fails at each operation of a save, and of a second save after it: the next start has the old weights or the new
/// ones, and from there on saving works.
#[test]
fn power_that_fails_leaves_the_old_weights_or_the_new() {
    for torn in [Torn::Untouched, Torn::Half] {
        // Saves before it, so that the cut meets full pages and their migration, too.
        for before in 0..9 {
            let (old, flash) = (0..before).fold((own_digest(), Flash::new(4)), |(_, flash), at| {
                kept(flash, at..at + 1)
            });
            let mut after = 0;
            loop {
                let cut = Cut { after, torn };
                let what = format!("{before} saves, then {cut:?}");
                let (new, flash, failed) = started(|trainer| {
                    let mut store = store(flash.clone().powered(None));
                    store.restore(trainer);
                    let flash = store.into_flash().powered(Some(cut));
                    let mut store = self::store(flash);
                    // As the server does: the same store since the start.
                    store.restore(&mut *trainer);
                    learn(trainer, 100);
                    let failed = store.save(trainer).is_err();
                    (trainer.weights_digest(), store.into_flash(), failed)
                });
                let (state, digest, store) = boot(flash.powered(None));
                if failed {
                    assert!(digest == old || digest == new, "{what}: {state:?}");
                } else {
                    assert_eq!(digest, new, "{what}");
                }
                // Again, cut a little later, then for good.
                let again = Cut {
                    after: after / 2,
                    torn,
                };
                let flash = started(|trainer| {
                    let mut store = self::store(store.into_flash().powered(Some(again)));
                    store.restore(trainer);
                    learn(trainer, 200);
                    store.save(trainer).ok();
                    store.into_flash()
                });
                let (saved, flash) = kept(flash.powered(None), 300..301);
                let (state, found, _) = boot(flash);
                assert_eq!((state, found), (StoreState::Kept, saved), "{what}");
                if !failed {
                    break;
                }
                after += 1;
            }
            assert!(after > 100, "a save takes more operations than {after}");
        }
    }
}

#[test]
fn power_that_fails_while_forgetting_leaves_the_weights_or_none() {
    for torn in [Torn::Untouched, Torn::Half] {
        for before in 1..9 {
            let (old, flash) =
                (0..before).fold((0, Flash::new(4)), |(_, flash), at| kept(flash, at..at + 1));
            let mut after = 0;
            loop {
                let cut = Cut { after, torn };
                let (.., mut store) = boot(flash.clone().powered(Some(cut)));
                let failed = store.forget().is_err();
                let (state, digest, _) = boot(store.into_flash().powered(None));
                assert!(
                    (state, digest) == (StoreState::Kept, old) && failed
                        || (state, digest) == (StoreState::Empty, own_digest()),
                    "{before} saves, then {cut:?}: {state:?}"
                );
                if !failed {
                    break;
                }
                after += 1;
            }
        }
    }
}
