//! Models come, learn, go and come back.

use std::cell::RefCell;

use nn_core::link::{
    Bytes, ErrorCode, Input, LabelBytes, PROTOCOL, Request, Response, StoreState,
    agent::{AgentError, AgentRequest, AgentResponse, SlotState, Status, decode_agent_response},
};

use crate::{
    bench::{LEN, start},
    flash::{Flash, PAGE},
    host::{input, own},
    packages::{blob, crc, package},
};

fn fresh() -> RefCell<Flash> {
    RefCell::new(Flash::new(LEN))
}

/// A flash with model 1 active.
pub(crate) fn with_model() -> RefCell<Flash> {
    let flash = fresh();
    start(&flash, async |host| {
        host.install(&package(1, 1)).await.unwrap()
    });
    flash
}

#[test]
fn a_model_is_loaded_served_taught_saved_and_there_after_a_start() {
    let flash = fresh();
    let (first, learnt) = start(&flash, async |host| {
        assert_eq!(host.served().await, None);
        let slot = host.install(&package(1, 7)).await.unwrap();
        assert_eq!(
            (slot.slot, slot.state, slot.version),
            (0, SlotState::Active, 7)
        );
        let (crc32, first) = host.served().await.unwrap();
        assert_eq!(crc32, crc(&blob(1)));
        let infer = Request::Infer {
            input: Input::Plain(Bytes(&input(1))),
        };
        let outputs = host.plain(infer, |response| match response {
            Response::Output(Bytes(output)) => output.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(outputs.await, 24);
        assert!(matches!(host.learn(1).await, Response::Step { .. }));
        let learnt = host.digest().await;
        assert_ne!(learnt, first);
        let Response::Store(report) = host.save().await else {
            panic!()
        };
        assert_eq!(
            (report.state, report.model_crc32),
            (StoreState::Kept, crc32)
        );
        // Not saved; on a board the next host finds it.
        host.learn(2).await;
        let unsaved = host.digest().await;
        assert_eq!(host.plain(Request::Bye, own).await, Response::Done);
        assert_eq!(host.served().await.unwrap().1, unsaved);
        assert_ne!(host.digest().await, learnt);
        (first, learnt)
    });
    start(&flash, async |host| {
        assert_eq!(host.served().await, Some((crc(&blob(1)), learnt)));
        host.plain(Request::Reset, own).await;
        assert_eq!(host.digest().await, first);
        host.done(AgentRequest::Restore).await.unwrap();
        assert_eq!(host.digest().await, learnt);
        host.plain(Request::Forget, own).await;
        host.done(AgentRequest::Restore).await.unwrap();
        assert_eq!(host.digest().await, first);
    });
}

#[test]
fn what_was_learnt_and_not_saved_outlasts_another_model() {
    let flash = with_model();
    let learnt = start(&flash, async |host| {
        host.learn(3).await;
        let learnt = host.digest().await;
        let slot = host.install(&package(2, 2)).await.unwrap();
        assert_eq!(slot.slot, 1);
        assert_eq!(host.served().await.unwrap().0, crc(&blob(2)));
        let before = host.slot(AgentRequest::Slot { slot: 0 }).await.unwrap();
        assert_eq!((before.state, before.version), (SlotState::Standby, 1));
        learnt
    });
    start(&flash, async |host| {
        assert_eq!(host.served().await.unwrap().0, crc(&blob(2)));
        host.learn(4).await;
        let second = host.digest().await;
        let slot = host.slot(AgentRequest::Rollback).await.unwrap();
        assert_eq!((slot.slot, slot.version), (0, 1));
        assert_eq!(host.served().await, Some((crc(&blob(1)), learnt)));
        host.slot(AgentRequest::Rollback).await.unwrap();
        assert_eq!(host.served().await, Some((crc(&blob(2)), second)));
        // The same blob loaded anew begins anew.
        host.install(&package(1, 3)).await.unwrap();
        let (crc32, digest) = host.served().await.unwrap();
        assert_eq!(crc32, crc(&blob(1)));
        assert_ne!(digest, learnt);
    });
}

/// After each piece the host goes away, and the device, too.
#[test]
fn a_load_goes_on_where_it_stood() {
    let package = package(1, 1);
    let mut flash = fresh();
    let mut resumed = Vec::new();
    for pieces in 0..5 {
        let sent = start(&flash, async |host| {
            let sent = host.load_some(&package, pieces).await.unwrap();
            // Another host, the same device: not a byte is lost.
            assert_eq!(host.load_some(&package, 0).await, Ok(sent));
            let loading = host.slot(AgentRequest::Slot { slot: 0 }).await.unwrap();
            let whole = sent as usize == blob(1).len();
            let state = if whole {
                SlotState::Loaded
            } else {
                SlotState::Loading
            };
            assert_eq!(loading.state, state);
            sent
        });
        let again = start(&flash, async |host| {
            host.load_some(&package, 0).await.unwrap()
        });
        assert!(
            again <= sent && sent - again <= PAGE as u32,
            "{again} of {sent}"
        );
        resumed.push(again);
        let operations = flash.borrow().operations;
        start(&flash, async |host| host.install(&package).await.unwrap());
        assert!(pieces < 4 || flash.borrow().operations - operations < 100);
        flash = fresh();
    }
    assert!(resumed.is_sorted() && resumed[0] == 0 && resumed[4] as usize == blob(1).len());
}

#[test]
fn pieces_out_of_order_twice_and_too_many_are_told_apart() {
    let flash = with_model();
    start(&flash, async |host| {
        let other = package(2, 2);
        let blob = blob(2);
        let chunk = |offset: usize, len: usize| AgentRequest::Chunk {
            offset: offset as u32,
            bytes: Bytes(&blob[offset..offset + len]),
        };
        assert_eq!(host.loading(chunk(0, 9)).await, Err(AgentError::NotLoading));
        assert_eq!(
            host.slot(AgentRequest::Activate).await,
            Err(AgentError::NotLoading)
        );
        assert_eq!(host.load_some(&other, 0).await, Ok(0));
        let gap = |wanted, found| Err(AgentError::Offset { wanted, found });
        assert_eq!(host.loading(chunk(100, 50)).await, gap(0, 100));
        assert_eq!(host.loading(chunk(0, 100)).await, Ok(100));
        assert_eq!(host.loading(chunk(0, 100)).await, Ok(100));
        assert_eq!(host.loading(chunk(50, 70)).await, Ok(120));
        assert_eq!(host.loading(chunk(0, 20)).await, Ok(120));
        let incomplete = AgentError::Incomplete {
            wanted: blob.len() as u32,
            found: 120,
        };
        assert_eq!(host.slot(AgentRequest::Activate).await, Err(incomplete));
        let beyond = AgentRequest::Chunk {
            offset: 120,
            bytes: Bytes(&[0; 500]),
        };
        assert_eq!(host.loading(beyond).await, Ok(620));
        assert_eq!(
            host.loading(AgentRequest::Chunk {
                offset: 620,
                bytes: Bytes(&[0; 580])
            })
            .await,
            gap(620, 620)
        );
        host.done(AgentRequest::Abort).await.unwrap();
        host.done(AgentRequest::Abort).await.unwrap();
        assert_eq!(host.loading(chunk(0, 9)).await, Err(AgentError::NotLoading));
        let slot = host.slot(AgentRequest::Slot { slot: 1 }).await.unwrap();
        assert_eq!(slot.state, SlotState::Empty);
        assert_eq!(
            host.slot(AgentRequest::Slot { slot: 2 }).await,
            Err(AgentError::NoSlot)
        );
        assert_eq!(
            host.served().await.unwrap().0,
            crc(&crate::packages::blob(1))
        );
    });
}

#[test]
fn a_repeated_request_changes_nothing() {
    let flash = with_model();
    start(&flash, async |host| {
        host.load_some(&package(2, 2), usize::MAX).await.unwrap();
        let slot = |message: Vec<u8>| match decode_agent_response(&message).unwrap() {
            AgentResponse::Slot(slot) => slot.slot,
            other => panic!("{other:?}"),
        };
        for _ in 0..3 {
            assert_eq!(slot(host.ask_as(200, AgentRequest::Activate).await), 1);
        }
        for _ in 0..3 {
            assert_eq!(slot(host.ask_as(201, AgentRequest::Rollback).await), 0);
        }
        assert_eq!(slot(host.ask_as(202, AgentRequest::Rollback).await), 1);
        // Late, out of order.
        host.ask_as(203, AgentRequest::Status).await;
        assert_eq!(slot(host.ask_as(202, AgentRequest::Rollback).await), 1);
        let eval = AgentRequest::Eval {
            input: Input::Plain(Bytes(&input(1))),
            target: LabelBytes::Class(0),
        };
        host.ask_as(204, eval).await;
        host.ask_as(204, eval).await;
        let status = host.agent(AgentRequest::Status, status).await;
        assert_eq!((status.runs, status.judged), (1, 1));
        // A run, too: a recurrent model would go on.
        let infer = Request::Infer {
            input: Input::Plain(Bytes(&input(1))),
        };
        let first = host.ask_as(205, infer).await;
        assert_eq!(host.ask_as(205, infer).await, first);
        let status = host.agent(AgentRequest::Status, self::status).await;
        assert_eq!((status.runs, status.judged), (2, 1));
    });
}

fn status(response: AgentResponse) -> Status {
    match response {
        AgentResponse::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_served_is_counted_and_told() {
    let flash = with_model();
    start(&flash, async |host| {
        let eval = |class| AgentRequest::Eval {
            input: Input::Plain(Bytes(&[0; 96])),
            target: LabelBytes::Class(class),
        };
        // With an input of zeros the output is the bias.
        let bias: Vec<f32> = (144..150)
            .map(|index| ((index * 3 + 5) % 11) as f32 / 16.0 - 0.3125)
            .collect();
        let largest = (0..6).max_by(|a, b| bias[*a].total_cmp(&bias[*b])).unwrap();
        for class in 0..6 {
            let judged = host.agent(eval(class), |response| match response {
                AgentResponse::Judged { prediction, right } => (prediction as usize, right),
                other => panic!("{other:?}"),
            });
            assert_eq!(judged.await, (largest, class as usize == largest));
        }
        let refused = |response: AgentResponse| match response {
            AgentResponse::Refused(error) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(host.agent(eval(6), refused).await, AgentError::Sample);
        host.learn(1).await;
        let status = host.agent(AgentRequest::Status, status).await;
        assert_eq!((status.runs, status.steps), (6, 1));
        assert_eq!((status.judged, status.right), (6, 1));
        assert!(status.unsaved && f32::from_bits(status.loss) > 0.0);
        let profile = AgentRequest::Profile { first: 0 };
        let counted = host.agent(profile, |response| match response {
            AgentResponse::Profile { nodes, counts, .. } => (nodes, counts.0.len()),
            other => panic!("{other:?}"),
        });
        assert_eq!(counted.await, (1, 4));
        host.agent(AgentRequest::Info, |response| match response {
            AgentResponse::Info(info) => {
                assert_eq!((info.board, info.key, info.active), ("bench", 0, Some(0)));
                assert_eq!((info.starts, info.flash as usize), (2, LEN));
            }
            other => panic!("{other:?}"),
        })
        .await;
    });
}

#[test]
fn without_a_model_all_say_so() {
    start(&fresh(), async |host| {
        let no_model = Response::Error(ErrorCode::NoModel);
        let hello = Request::Hello { protocol: PROTOCOL };
        for request in [
            hello,
            Request::Digest,
            Request::Save,
            Request::Reset,
            Request::Store,
        ] {
            assert_eq!(host.plain(request, own).await, no_model);
        }
        assert_eq!(host.learn(1).await, no_model);
        let old = Request::Hello { protocol: 2 };
        let wrong = ErrorCode::Protocol {
            wanted: PROTOCOL,
            found: 2,
        };
        assert_eq!(host.plain(old, own).await, Response::Error(wrong));
        assert_eq!(
            host.done(AgentRequest::Restore).await,
            Err(AgentError::NoModel)
        );
        assert_eq!(
            host.slot(AgentRequest::Rollback).await,
            Err(AgentError::NoStandby)
        );
        for slot in [0, 1] {
            let slot = host.slot(AgentRequest::Slot { slot }).await.unwrap();
            assert_eq!(slot.state, SlotState::Empty);
        }
    });
}
