//! Weights that a host writes into a locked agent.

use std::cell::RefCell;

use ed25519_dalek::{Signer, SigningKey};
use nn_core::{
    link::{
        Bytes, ErrorCode, Input, Request, Response,
        agent::{AgentError, AgentRequest, AgentResponse, Delta, decode_agent_response},
    },
    ops::AllOps,
};
use sha2::{Digest, Sha512};

use crate::{
    bench::{LEN, start_with},
    flash::{Cut, Flash},
    host::{Host, floats, input, own},
    packages::{blob, crc, key, manifest, pack, sign},
};

fn locked<T>(flash: &RefCell<Flash>, work: impl AsyncFnOnce(&Host) -> T) -> T {
    let key = *key(1).verifying_key().as_bytes();
    start_with::<AllOps, T>(flash, Some(key), &Host::default(), work)
}

/// A locked agent with model 1, that learnt and saved; gives the digest.
fn with_model() -> (RefCell<Flash>, u64) {
    let flash = RefCell::new(Flash::new(LEN));
    let kept = locked(&flash, async |host| {
        let package = pack(&sign(manifest(&blob(1), 1), &key(1)), &blob(1));
        host.install(&package).await.unwrap();
        host.learn(1).await;
        host.save().await;
        host.digest().await
    });
    (flash, kept)
}

/// The bytes of all weights of the model: 24 · 6 + 6 numbers, from this one on.
fn weights(first: f32) -> Vec<u8> {
    floats(
        &(0..150)
            .map(|index| first + index as f32 / 256.0)
            .collect::<Vec<_>>(),
    )
}

async fn write(host: &Host, weights: &[u8]) {
    for (offset, bytes) in (0..).step_by(200).zip(weights.chunks(200)) {
        let request = Request::WriteWeights {
            offset,
            bytes: Bytes(bytes),
        };
        assert_eq!(host.plain(request, own).await, Response::Done);
    }
}

fn signature(weights: &[u8], counter: u32, key: &SigningKey) -> [u8; 64] {
    let delta = Delta {
        model_crc32: crc(&blob(1)),
        counter,
        hash: Sha512::digest(weights).into(),
    };
    key.sign(&delta.signed()).to_bytes()
}

async fn commit(host: &Host, counter: u32, signature: &[u8]) -> Result<(), AgentError> {
    let signature = Bytes(signature);
    host.done(AgentRequest::Commit { counter, signature }).await
}

async fn infer(host: &Host) -> Result<(), ErrorCode> {
    let request = Request::Infer {
        input: Input::Plain(Bytes(&input(1))),
    };
    host.plain(request, |response| match response {
        Response::Output(_) => Ok(()),
        Response::Error(code) => Err(code),
        other => panic!("{other:?}"),
    })
    .await
}

#[test]
fn weights_count_only_when_they_are_signed() {
    let (flash, kept) = with_model();
    let new = weights(-0.25);
    let digest = locked(&flash, async |host| {
        write(host, &new).await;
        // Nothing runs on them, nothing keeps them.
        let uncommitted = Response::Error(ErrorCode::Uncommitted);
        assert_eq!(infer(host).await, Err(ErrorCode::Uncommitted));
        assert_eq!(host.learn(1).await, uncommitted);
        assert_eq!(host.save().await, uncommitted);
        commit(host, 1, &signature(&new, 1, &key(1))).await.unwrap();
        assert_eq!(infer(host).await, Ok(()));
        assert!(matches!(host.save().await, Response::Store(_)));
        host.digest().await
    });
    assert_ne!(digest, kept);
    assert_eq!(
        locked(&flash, async |host| host.served().await.unwrap().1),
        digest
    );
}

#[test]
fn a_wrong_signature_brings_back_the_weights_before() {
    let (flash, kept) = with_model();
    let new = weights(0.125);
    let good = signature(&new, 7, &key(1));
    let mut changed = good;
    changed[40] ^= 4;
    for (counter, signature) in [
        (7, changed.as_slice()),
        (8, &good),
        (7, &good[..63]),
        (7, &[]),
        (7, &signature(&new, 7, &key(2))),
        (7, &signature(&weights(0.5), 7, &key(1))),
    ] {
        locked(&flash, async |host| {
            write(host, &new).await;
            let committed = commit(host, counter, signature).await;
            assert_eq!(committed, Err(AgentError::Signature));
            assert_eq!(host.digest().await, kept);
            assert_eq!(infer(host).await, Ok(()));
        });
    }
    // One byte that was not part of it.
    locked(&flash, async |host| {
        write(host, &new).await;
        write(host, &floats(&[9.0])).await;
        assert_eq!(commit(host, 7, &good).await, Err(AgentError::Signature));
        assert_eq!(host.digest().await, kept);
        // A stranger goes, the next one calls.
        write(host, &new).await;
        assert_eq!(host.served().await.unwrap().1, kept);
        assert_eq!(infer(host).await, Ok(()));
        // Back to the blob's, or to those that are kept, is no delta.
        write(host, &new).await;
        assert_eq!(host.plain(Request::Reset, own).await, Response::Done);
        assert_eq!(infer(host).await, Ok(()));
        write(host, &new).await;
        host.done(AgentRequest::Restore).await.unwrap();
        assert_eq!(host.digest().await, kept);
        assert_eq!(infer(host).await, Ok(()));
    });
}

#[test]
fn a_counter_counts_once() {
    let (flash, _) = with_model();
    let (old, new) = (weights(-0.5), weights(0.5));
    let counter = |wanted, found| Err(AgentError::Counter { wanted, found });
    locked(&flash, async |host| {
        write(host, &old).await;
        let signature = signature(&old, 5, &key(1));
        let request = AgentRequest::Commit {
            counter: 5,
            signature: Bytes(&signature),
        };
        // The answer is lost, and the host asks again.
        for _ in 0..3 {
            let message = host.ask_as(250, request).await;
            let done = decode_agent_response(&message);
            assert_eq!(done, Ok(AgentResponse::Done));
        }
        write(host, &old).await;
        assert_eq!(commit(host, 5, &signature).await, counter(6, 5));
    });
    locked(&flash, async |host| {
        // Old weights again, after the device was away.
        write(host, &old).await;
        let replayed = commit(host, 5, &signature(&old, 5, &key(1))).await;
        assert_eq!(replayed, counter(6, 5));
        write(host, &old).await;
        assert_eq!(
            commit(host, 4, &signature(&old, 4, &key(1))).await,
            counter(6, 4)
        );
        write(host, &new).await;
        commit(host, 6, &signature(&new, 6, &key(1))).await.unwrap();
    });
}

/// What the device learns itself is its own.
#[test]
fn learning_needs_no_signature() {
    let (flash, kept) = with_model();
    locked(&flash, async |host| {
        assert!(matches!(host.learn(5).await, Response::Step { .. }));
        assert!(matches!(host.save().await, Response::Store(_)));
        assert_ne!(host.digest().await, kept);
    });
}

/// Power fails at each operation while written weights are committed and saved: the old ones or the new ones are there, and
/// what was confirmed is not taken twice.
#[test]
fn power_that_fails_in_a_commit_leaves_the_old_weights_or_the_new() {
    let (flash, kept) = with_model();
    let contents = flash.borrow().contents();
    let new = weights(0.25);
    let signature = signature(&new, 1, &key(1));
    let mut digest = None;
    for half in [false, true] {
        for at in 0.. {
            let what = format!("cut at {at}, half done: {half}");
            let flash = RefCell::new(Flash::holding(&contents));
            flash.borrow_mut().power(Some(Cut { at, half }));
            let (committed, saved) = locked(&flash, async |host| {
                if host.served().await.is_none() {
                    return (false, false);
                }
                write(host, &new).await;
                let committed = commit(host, 1, &signature).await.is_ok();
                if committed {
                    digest = Some(host.digest().await);
                }
                let saved = committed && matches!(host.save().await, Response::Store(_));
                (committed, saved)
            });
            let ended = flash.borrow().has_power().is_ok();
            flash.borrow_mut().power(None);
            let found = locked(&flash, async |host| {
                let found = host.served().await.unwrap().1;
                write(host, &new).await;
                let again = commit(host, 1, &signature).await;
                let counter = AgentError::Counter {
                    wanted: 2,
                    found: 1,
                };
                assert!(
                    again == Err(counter) || !committed && again == Ok(()),
                    "{what}"
                );
                found
            });
            if saved {
                assert_eq!(Some(found), digest, "{what}");
            } else {
                assert!(found == kept || Some(found) == digest, "{what}");
            }
            if ended {
                assert!(saved && at > 100, "{what}");
                break;
            }
        }
    }
}
