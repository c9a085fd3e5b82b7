//! Packages that must not be served, each refused with its reason, and the model before is served on.

use std::cell::RefCell;

use nn_core::{
    link::{
        Bytes, ErrorCode, Request, Response,
        agent::{AgentError, AgentRequest, AgentResponse, LoadReason, Slot},
        package::{MANIFEST_LEN, Manifest},
    },
    model::reseal,
    op_set,
    ops::{AllOps, OpSet},
};
use sha2::{Digest, Sha512};

use crate::{
    bench::{LEN, SLOT, start_with},
    flash::Flash,
    host::{Host, own},
    packages::{blob, crc, key, manifest, pack, package, sign},
};

/// Where things stand in a blob's header, see docs/format.md.
const VERSION: usize = 4;
const ARENA_INFER: usize = 20;
const ARENA_TRAIN: usize = 24;
const CRC: usize = 28;

/// The blob with other bytes at `at`, and a checksum that fits.
fn changed(blob: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut blob = blob.to_vec();
    blob[at..at + bytes.len()].copy_from_slice(bytes);
    // It is sealed, whether it loads or not.
    reseal(&mut blob).ok();
    blob
}

/// A package whose manifest says of `blob` what `like` says of another, but for its length, hash and CRC-32.
fn packed(blob: &[u8], like: &Manifest) -> Vec<u8> {
    let manifest = Manifest {
        blob_len: blob.len() as u32,
        blob_crc32: u32::from_le_bytes(blob[CRC..CRC + 4].try_into().unwrap()),
        hash: Sha512::digest(blob).into(),
        ..*like
    };
    pack(&manifest, blob)
}

/// An agent with model 1, that learnt; what comes of another package.
fn attempt<K: OpSet>(
    key: Option<[u8; 32]>,
    first: &[u8],
    package: &[u8],
) -> Result<Slot, AgentError> {
    let flash = RefCell::new(Flash::new(LEN));
    let attempted = start_with::<K, _>(&flash, key, &Host::default(), async |host| {
        host.install(first).await.unwrap();
        host.learn(1).await;
        let served = host.served().await;
        let attempted = host.install(package).await;
        if attempted.is_err() {
            assert_eq!(host.served().await, served, "{attempted:?}");
            // It can be asked for again, and is refused again.
            assert!(host.slot(AgentRequest::Activate).await.is_err());
            host.save().await;
        }
        attempted
    });
    if attempted.is_err() {
        start_with::<K, _>(&flash, key, &Host::default(), async |host| {
            assert_eq!(
                host.served().await.unwrap().0,
                crc(&blob(1)),
                "{attempted:?}"
            );
        });
    }
    attempted
}

fn refused(package: &[u8]) -> AgentError {
    attempt::<AllOps>(None, &self::package(1, 5), package).unwrap_err()
}

#[test]
fn every_bad_package_has_its_reason() {
    let (good, like) = (blob(2), manifest(&blob(2), 6));
    let reason = |reason| AgentError::Blob { reason };
    // What stands for itself.
    assert!(attempt::<AllOps>(None, &package(1, 5), &pack(&like, &good)).is_ok());
    assert!(attempt::<AllOps>(None, &package(1, 5), &packed(&good, &like)).is_ok());

    // The manifest.
    for at in 0..8 {
        let mut bad = pack(&like, &good);
        bad[at] ^= 0x80;
        assert_eq!(refused(&bad), AgentError::Manifest, "byte {at}");
    }
    let long = Manifest {
        blob_len: SLOT - 255,
        ..like
    };
    let too_long = |found| AgentError::TooLong {
        wanted: SLOT - 256,
        found,
    };
    assert_eq!(refused(&pack(&long, &good)), too_long(SLOT - 255));
    let none = Manifest {
        blob_len: 0,
        ..like
    };
    assert_eq!(refused(&pack(&none, &good)), too_long(0));
    let above = Manifest { floor: 7, ..like };
    assert_eq!(
        refused(&pack(&above, &good)),
        AgentError::Floor {
            wanted: 7,
            found: 6
        }
    );

    // The bytes.
    for at in [0, 5, 40, good.len() / 2, good.len() - 1] {
        let mut bad = pack(&like, &good);
        bad[MANIFEST_LEN + at] ^= 1;
        assert_eq!(refused(&bad), AgentError::Hash, "byte {at}");
    }
    let other_crc = Manifest {
        blob_crc32: 1,
        ..like
    };
    assert_eq!(refused(&pack(&other_crc, &good)), AgentError::Hash);
    let mut bad_crc = good.clone();
    bad_crc[CRC] ^= 1;
    assert_eq!(refused(&packed(&bad_crc, &like)), AgentError::Hash);

    // The blob.
    let cut = &good[..good.len() - 16];
    assert_eq!(refused(&packed(cut, &like)), reason(LoadReason::NoBlob));
    assert_eq!(
        refused(&packed(&good[..40], &like)),
        reason(LoadReason::NoBlob)
    );
    assert_eq!(
        refused(&packed(&[7; 100], &like)),
        reason(LoadReason::NoBlob)
    );
    let version = u16::from_le_bytes([good[VERSION], good[VERSION + 1]]) + 1;
    let newer = changed(&good, VERSION, &version.to_le_bytes());
    assert_eq!(refused(&packed(&newer, &like)), reason(LoadReason::Version));
    let layout = changed(&good, VERSION + 2, &9u16.to_le_bytes());
    assert_eq!(refused(&packed(&layout, &like)), reason(LoadReason::Layout));
    for at in [ARENA_INFER, ARENA_TRAIN] {
        let size = u32::from_le_bytes(good[at..at + 4].try_into().unwrap());
        for wrong in [size - 16, size + 16, size + 1, size / 2] {
            let bad = changed(&good, at, &wrong.to_le_bytes());
            let error = refused(&packed(&bad, &like));
            assert_eq!(error, reason(LoadReason::ArenaSize), "{size}, {wrong}");
        }
        let bad = changed(&good, at, &u32::MAX.to_le_bytes());
        let error = refused(&packed(&bad, &like));
        assert!(
            matches!(error, AgentError::Arena { found: 8192, .. }),
            "{error:?}"
        );
    }

    // The self-test.
    let (wanted, found) = (like.inference ^ 1, like.inference);
    let other = Manifest {
        inference: wanted,
        ..like
    };
    assert_eq!(
        refused(&pack(&other, &good)),
        AgentError::SelfTest { wanted, found }
    );
    let (wanted, found) = (like.training ^ 1, like.training);
    let other = Manifest {
        training: wanted,
        ..like
    };
    assert_eq!(
        refused(&pack(&other, &good)),
        AgentError::SelfTest { wanted, found }
    );
    // None is promised.
    let silent = Manifest {
        training: 0,
        ..like
    };
    assert!(attempt::<AllOps>(None, &package(1, 5), &pack(&silent, &good)).is_ok());
}

/// A load whose bytes went wrong unseen is begun at the first byte, where the same manifest comes again.
#[test]
fn wrong_bytes_are_loaded_anew() {
    let flash = RefCell::new(Flash::new(LEN));
    crate::bench::start(&flash, async |host| {
        host.install(&package(1, 1)).await.unwrap();
        let good = package(2, 2);
        let mut bad = good.clone();
        bad[MANIFEST_LEN + 50] ^= 1;
        assert_eq!(host.install(&bad).await, Err(AgentError::Hash));
        assert_eq!(host.load_some(&good, 0).await, Ok(0));
        host.install(&good).await.unwrap();
        assert_eq!(host.served().await.unwrap().0, crc(&blob(2)));
    });
}

/// An agent that lets no model learn serves those that could, tests what it can, and says so.
#[test]
fn an_agent_without_training_runs_models() {
    op_set!(
        /// Nothing learns.
        Runs: DENSE, f32
    );
    let flash = RefCell::new(Flash::new(LEN));
    start_with::<Runs, _>(&flash, None, &Host::default(), async |host| {
        host.install(&package(1, 1)).await.unwrap();
        let no_plan = Response::Error(ErrorCode::NoTrainPlan);
        assert_eq!(host.learn(1).await, no_plan);
        assert_eq!(host.save().await, no_plan);
        assert_eq!(host.plain(Request::Digest, own).await, no_plan);
        assert_eq!(
            host.done(AgentRequest::Restore).await,
            Err(AgentError::NoTrainPlan)
        );
        host.install(&package(2, 2)).await.unwrap();
        host.slot(AgentRequest::Rollback).await.unwrap();
        host.agent(AgentRequest::Profile { first: 0 }, |response| {
            assert!(matches!(response, AgentResponse::Profile { nodes: 1, .. }));
        })
        .await;
    });
}

/// Any bits of the graph flipped, with checksums and a hash that fit: it is refused, or served; nothing else.
#[test]
fn changed_graphs_do_no_harm() {
    let (good, like) = (blob(2), manifest(&blob(2), 6));
    let mut tried = [0; 2];
    for at in (4..160.min(good.len())).filter(|at| !(CRC..CRC + 4).contains(at)) {
        for bits in [1, 0x80, 0xFF] {
            let bad = changed(&good, at, &[good[at] ^ bits]);
            let attempted = attempt::<AllOps>(None, &package(1, 5), &packed(&bad, &like));
            tried[usize::from(attempted.is_ok())] += 1;
        }
    }
    assert!(tried[0] > 200, "{tried:?}");
}

#[test]
fn an_operator_that_the_agent_lacks_is_named() {
    op_set!(
        /// No dense layer.
        NoDense: SOFTMAX | RELU, f32, train
    );
    let flash = RefCell::new(Flash::new(LEN));
    let attempted = start_with::<NoDense, _>(&flash, None, &Host::default(), async |host| {
        host.install(&package(1, 1)).await
    });
    let reason = LoadReason::Kernel;
    assert_eq!(attempted, Err(AgentError::Blob { reason }));
}

#[test]
fn a_locked_agent_takes_what_its_key_has_signed() {
    let (own, stranger) = (key(1), key(2));
    let public = Some(*own.verifying_key().as_bytes());
    let (good, plain) = (blob(2), manifest(&blob(2), 6));
    let first = pack(&sign(manifest(&blob(1), 5), &own), &blob(1));
    let refused = |package: &[u8]| attempt::<AllOps>(public, &first, package).unwrap_err();

    let signed = sign(plain, &own);
    assert!(attempt::<AllOps>(public, &first, &pack(&signed, &good)).is_ok());
    assert_eq!(refused(&pack(&plain, &good)), AgentError::Unsigned);
    let other = sign(plain, &stranger);
    let (wanted, found) = (signed.key, other.key);
    assert_eq!(
        refused(&pack(&other, &good)),
        AgentError::Key { wanted, found }
    );
    // Another's signature under this key's name.
    let forged = Manifest {
        key: wanted,
        ..other
    };
    assert_eq!(refused(&pack(&forged, &good)), AgentError::Signature);
    // Changed after signing: whatever the signature covers, and the signature.
    for change in [
        Manifest {
            version: 7,
            ..signed
        },
        Manifest { floor: 1, ..signed },
        Manifest {
            blob_crc32: 1,
            ..signed
        },
        Manifest {
            blob_len: 99,
            ..signed
        },
        Manifest {
            inference: 1,
            ..signed
        },
        Manifest {
            training: 1,
            ..signed
        },
        Manifest {
            hash: [1; 64],
            ..signed
        },
        Manifest {
            signature: [0; 64],
            ..signed
        },
        Manifest {
            signature: [0xFF; 64],
            ..signed
        },
    ] {
        assert_eq!(refused(&pack(&change, &good)), AgentError::Signature);
    }
    for byte in [0, 31, 32, 63] {
        let mut change = signed;
        change.signature[byte] ^= 1;
        assert_eq!(refused(&pack(&change, &good)), AgentError::Signature);
    }
    // The blob under a manifest that was signed.
    let mut bad = pack(&signed, &good);
    *bad.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&bad), AgentError::Hash);
}

#[test]
fn the_floor_rises_and_stays() {
    let flash = RefCell::new(Flash::new(LEN));
    let floor = |wanted, found| Err(AgentError::Floor { wanted, found });
    let version = |seed, version, floor| {
        let manifest = Manifest {
            floor,
            ..manifest(&blob(seed), version)
        };
        pack(&manifest, &blob(seed))
    };
    crate::bench::start(&flash, async |host| {
        host.install(&version(1, 3, 0)).await.unwrap();
        host.install(&version(2, 2, 0)).await.unwrap();
        host.install(&version(3, 6, 4)).await.unwrap();
        // The one before lies below.
        assert_eq!(host.slot(AgentRequest::Rollback).await, floor(4, 2));
        assert_eq!(host.served().await.unwrap().0, crc(&blob(3)));
    });
    crate::bench::start(&flash, async |host| {
        assert_eq!(host.install(&version(1, 3, 0)).await, floor(4, 3));
        host.install(&version(1, 4, 0)).await.unwrap();
        assert_eq!(host.install(&version(2, 3, 0)).await, floor(4, 3));
        host.slot(AgentRequest::Rollback).await.unwrap();
        // A manifest that is no manifest.
        for len in [0, 1, 255] {
            let manifest = Bytes(&[0; 255][..len]);
            let begun = host.loading(AgentRequest::Begin { manifest }).await;
            assert_eq!(begun, Err(AgentError::Manifest));
        }
    });
}
