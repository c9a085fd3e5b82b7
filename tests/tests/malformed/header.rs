//! The header, the lengths, the alignment; and arenas that do not fit.

use host::export::AlignedBytes;
use nn_core::SetupError;
use nn_core::model::{HEADER_LEN, LoadError, Model};
use nn_core::session::Session;
use nn_core::train::Trainer;
use tests::network::poisoned_arena;
use tests::parts::{Parts, set_word, word};

use crate::*;

#[test]
fn the_whole_ones_load() {
    for blob in both() {
        Model::load(&blob).unwrap();
    }
}

#[test]
fn truncated_at_every_byte() {
    for blob in both() {
        let wanted = blob.len();
        for found in 0..wanted {
            let wanted = if found < HEADER_LEN {
                HEADER_LEN
            } else {
                wanted
            };
            let short = AlignedBytes::copy_of(&blob[..found]);
            assert_eq!(error(&short), LoadError::Truncated { wanted, found });
        }
        let mut long = AlignedBytes::zeroed(wanted + 1);
        long.as_mut_slice()[..wanted].copy_from_slice(&blob);
        let found = wanted + 1;
        assert_eq!(error(&long), LoadError::TrailingBytes { wanted, found });
    }
}

#[test]
fn every_byte_damaged_is_noticed() {
    for blob in both() {
        for at in 0..blob.len() {
            for bit in 0..8 {
                let mut damaged = blob.clone();
                damaged.as_mut_slice()[at] ^= 1 << bit;
                let error = error(&damaged);
                // Where the lengths are whole, it is the checksum that notices, even in the padding.
                if at >= ARENA_INFER {
                    assert!(matches!(error, LoadError::Crc { .. }), "byte {at}: {error}");
                }
            }
        }
    }
}

/// A float blob whose graph can lose its last byte while the weights stay where they are: at the
/// next multiple of 16.
fn of_two_graph_bytes_in_the_last_block() -> AlignedBytes {
    ["float", "float "]
        .into_iter()
        .map(|name| {
            let parts = Parts {
                name,
                ..Parts::float()
            };
            parts.encode().unwrap()
        })
        .find(|blob| word(blob, GRAPH_LEN) % 16 != 1)
        .unwrap()
}

#[test]
fn each_header_field() {
    let blob = of_two_graph_bytes_in_the_last_block();
    let field = |at, value| changed(&blob, |bytes| set_word(bytes, at, value));
    let (wanted, found) = (2, 1);
    assert_eq!(
        error(&field(0, u32::from_le_bytes(*b"MOTA"))),
        LoadError::Magic { found: *b"MOTA" }
    );
    assert_eq!(
        error(&field(VERSION_AND_LAYOUT, 1)),
        LoadError::Version { wanted, found }
    );
    assert_eq!(
        error(&field(VERSION_AND_LAYOUT, 2 | 7 << 16)),
        LoadError::Layout { found: 7 }
    );

    let (graph, at, weights) = (
        word(&blob, GRAPH_LEN),
        word(&blob, WEIGHTS_AT),
        word(&blob, WEIGHTS_LEN),
    );
    let end = blob.len();
    assert_eq!(
        error(&field(GRAPH_LEN, graph + 16)),
        LoadError::WeightsOffset {
            wanted: at as usize + 16,
            found: at as usize
        }
    );
    for value in [0, at - 16, at + 1, at + 16, u32::MAX] {
        assert_eq!(
            error(&field(WEIGHTS_AT, value)),
            LoadError::WeightsOffset {
                wanted: at as usize,
                found: value as usize
            }
        );
    }
    assert_eq!(
        error(&field(WEIGHTS_LEN, weights + 1)),
        LoadError::Truncated {
            wanted: end + 1,
            found: end
        }
    );
    assert_eq!(
        error(&field(WEIGHTS_LEN, weights - 4)),
        LoadError::TrailingBytes {
            wanted: end - 4,
            found: end
        }
    );
    for value in [i32::MAX as u32 + 1, u32::MAX] {
        assert!(matches!(
            error(&field(WEIGHTS_LEN, value)),
            LoadError::Truncated { .. }
        ));
    }
    for value in [u32::MAX, u32::MAX - 15, u32::MAX - 48] {
        assert!(matches!(
            error(&field(GRAPH_LEN, value)),
            LoadError::WeightsOffset { .. } | LoadError::Truncated { .. }
        ));
    }
    // Within the same 16 bytes the weights stay where they are, but the graph's last field is cut.
    assert_eq!(error(&field(GRAPH_LEN, graph - 1)), LoadError::Graph);

    let stored = word(&blob, 28);
    let mut other = blob.clone();
    set_word(other.as_mut_slice(), 28, !stored);
    assert_eq!(
        error(&other),
        LoadError::Crc {
            wanted: !stored,
            found: stored
        }
    );
}

#[test]
fn a_wrong_arena_size_is_refused_when_it_is_used() {
    let blob = Parts::float().encode().unwrap();
    for (at, train) in [(ARENA_INFER, false), (ARENA_TRAIN, true)] {
        let right = word(&blob, at);
        for stated in [
            0,
            1,
            16,
            right - 16,
            right - 1,
            right + 1,
            right + 16,
            1 << 20,
        ] {
            let lying = changed(&blob, |bytes| set_word(bytes, at, stated));
            let model = Model::load(&lying).unwrap();
            let mut arena = poisoned_arena(1 << 20);
            let error = if train {
                Trainer::new(model, arena.as_mut_slice()).map(|_| ())
            } else {
                Session::new(model, arena.as_mut_slice()).map(|_| ())
            };
            match error.unwrap_err() {
                // Too small to plan in at all: the planner's figure is not known.
                SetupError::Header { wanted, found } => {
                    assert!(wanted == right as usize || wanted == 0);
                    assert_eq!(found, stated as usize);
                }
                other => panic!("{other}"),
            }
        }
    }
    let lying = changed(&Parts::integer().encode().unwrap(), |bytes| {
        set_word(bytes, ARENA_TRAIN, 64);
    });
    assert_eq!(error(&lying), LoadError::NoTrainSpec);
}

#[test]
fn misaligned() {
    let blob = Parts::integer().encode().unwrap();
    let mut room = AlignedBytes::zeroed(blob.len() + 16);
    for offset in 1..16 {
        let place = &mut room.as_mut_slice()[offset..offset + blob.len()];
        place.copy_from_slice(&blob);
        assert_eq!(error(place), LoadError::Misaligned);
    }
}

#[test]
fn the_arena_must_be_aligned_and_long_enough() {
    let blob = Parts::float().encode().unwrap();
    let model = Model::load(&blob).unwrap();
    for train in [false, true] {
        let set_up = |arena: &mut [u8]| {
            if train {
                Trainer::new(model, arena).map(|_| ())
            } else {
                Session::new(model, arena).map(|_| ())
            }
        };
        let wanted = if train {
            model.arena_train()
        } else {
            model.arena_infer()
        };
        let mut arena = AlignedBytes::zeroed(wanted + 16);
        let arena = arena.as_mut_slice();
        assert_eq!(set_up(&mut arena[..wanted]), Ok(()));
        for found in [0, 1, wanted - 1] {
            let refused = set_up(&mut arena[..found]);
            assert_eq!(refused, Err(SetupError::Arena { wanted, found }));
        }
        for offset in 1..16 {
            let refused = set_up(&mut arena[offset..]);
            assert_eq!(refused, Err(SetupError::Misaligned));
        }
    }
}

#[test]
fn the_graph_must_decode_to_its_last_byte() {
    let parts = Parts::integer();
    let blob = parts.encode().unwrap();
    let (graph_len, weights_at) = (word(&blob, GRAPH_LEN), word(&blob, WEIGHTS_AT) as usize);
    // Bytes left over: the padding taken for graph.
    let left = weights_at - HEADER_LEN - graph_len as usize;
    for more in 1..=left {
        let long = changed(&blob, |b| set_word(b, GRAPH_LEN, graph_len + more as u32));
        assert_eq!(error(&long), LoadError::GraphLength { left: more });
    }
    assert!(left > 0, "give the model a name of another length");
    // A name that is no UTF-8, and lists longer than the section.
    let name = changed(&blob, |b| b[HEADER_LEN + 1] = 0xFF);
    assert_eq!(error(&name), LoadError::Graph);
    let length = changed(&blob, |b| b[HEADER_LEN] = 0x7F);
    assert_eq!(error(&length), LoadError::Graph);
    let tensors = HEADER_LEN + 1 + parts.name.len();
    let count = changed(&blob, |b| b[tensors] = 0x7F);
    assert_eq!(error(&count), LoadError::Graph);
}
