//! Power that fails at every operation of the flash, and every page of it worn.

use std::cell::{Cell, RefCell};

use nn_core::link::{ErrorCode, Response, agent::AgentError, agent::AgentRequest};

use crate::{
    bench::{LEN, start},
    flash::{Cut, Flash, PAGE},
    host::Host,
    packages::{blob, crc, package},
};

/// How far a day has come: all that is confirmed up to there must last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Confirmed {
    Nothing,
    Activated,
    Saved,
    RolledBack,
}

/// What the models come to.
#[derive(Debug, Clone, Copy)]
struct Digests {
    /// Of model 1: what was saved first, and what it has learnt when model 2 comes.
    first: [u64; 2],
    /// Of model 2: the blob's, and what it learns.
    second: [u64; 2],
}

/// A flash where model 1 is active and has learnt, model 3 was before it.
fn morning() -> (Vec<u8>, u64) {
    let flash = RefCell::new(Flash::new(LEN));
    let saved = start(&flash, async |host| {
        host.install(&package(3, 1)).await.unwrap();
        host.install(&package(1, 2)).await.unwrap();
        host.learn(1).await;
        host.save().await;
        host.digest().await
    });
    let contents = flash.borrow().contents();
    (contents, saved)
}

/// Model 1 learns; model 2 is loaded, activated, learns, is saved; model 1 comes back. Ends with the first refusal.
async fn day(host: &Host, confirmed: &Cell<Confirmed>) -> Result<(), AgentError> {
    host.learn(2).await;
    host.install(&package(2, 3)).await?;
    confirmed.set(Confirmed::Activated);
    host.learn(3).await;
    match host.save().await {
        Response::Store(_) => {}
        Response::Error(ErrorCode::StoreFailed) => return Err(AgentError::Unsaved),
        other => panic!("{other:?}"),
    }
    confirmed.set(Confirmed::Saved);
    host.slot(AgentRequest::Rollback).await?;
    confirmed.set(Confirmed::RolledBack);
    Ok(())
}

/// A day without faults.
fn digests() -> Digests {
    let (contents, saved) = morning();
    let flash = RefCell::new(Flash::holding(&contents));
    start(&flash, async |host| {
        host.learn(2).await;
        let learnt = host.digest().await;
        host.install(&package(2, 3)).await.unwrap();
        let own = host.digest().await;
        host.learn(3).await;
        Digests {
            first: [saved, learnt],
            second: [own, host.digest().await],
        }
    })
}

/// What is served after a day that went as far as `confirmed`.
fn check(what: &str, served: Option<(u32, u64)>, confirmed: Confirmed, digests: &Digests) {
    let (crc32, digest) = served.unwrap_or_else(|| panic!("{what}: no model"));
    let [first, second] = [crc(&blob(1)), crc(&blob(2))];
    let is_first = crc32 == first;
    assert!(is_first || crc32 == second, "{what}: another model");
    let possible = match (confirmed, is_first) {
        (Confirmed::Nothing, true) => &digests.first[..],
        (Confirmed::Nothing, false) => &digests.second[..1],
        (Confirmed::Activated, false) => &digests.second[..],
        (Confirmed::Saved, false) => &digests.second[1..],
        (Confirmed::Saved | Confirmed::RolledBack, true) => &digests.first[1..],
        _ => panic!("{what}: what was confirmed is gone"),
    };
    assert!(possible.contains(&digest), "{what}: other weights");
}

#[test]
fn power_that_fails_leaves_the_old_model_or_the_new() {
    let (contents, _) = morning();
    let digests = digests();
    let mut cuts = 0;
    for half in [false, true] {
        for at in 0.. {
            let what = format!("cut at {at}, half done: {half}");
            let flash = RefCell::new(Flash::holding(&contents));
            flash.borrow_mut().power(Some(Cut { at, half }));
            let confirmed = Cell::new(Confirmed::Nothing);
            let ended = start(&flash, async |host| {
                // An agent that cannot read has no power.
                match host.served().await {
                    Some(_) => day(host, &confirmed).await,
                    None => Err(AgentError::NoModel),
                }
            });
            if flash.borrow().has_power().is_ok() {
                assert_eq!(ended, Ok(()), "{what}");
                break;
            }
            cuts += 1;
            // Once more while it mends itself, then for good.
            flash.borrow_mut().power(Some(Cut { at: at % 5, half }));
            start(&flash, async |_| {});
            flash.borrow_mut().power(None);
            let confirmed = confirmed.get();
            start(&flash, async |host| {
                check(&what, host.served().await, confirmed, &digests);
                // From there on all goes as it should.
                if host.served().await.unwrap().0 == crc(&blob(1)) {
                    let came = host.install(&package(2, 3)).await;
                    assert_eq!(came.map(|slot| slot.version), Ok(3), "{what}");
                } else {
                    host.slot(AgentRequest::Rollback).await.unwrap();
                    let (crc32, digest) = host.served().await.unwrap();
                    assert_eq!((crc32, digest), (crc(&blob(1)), digests.first[1]), "{what}");
                    host.slot(AgentRequest::Rollback).await.unwrap();
                }
                host.learn(9).await;
                assert!(matches!(host.save().await, Response::Store(_)), "{what}");
            });
            let served = start(&flash, async |host| host.served().await);
            assert_eq!(served.unwrap().0, crc(&blob(2)), "{what}");
        }
    }
    assert!(cuts > 1000, "a day takes more operations than {cuts} / 2");
}

/// Each page in turn is no longer erased: what is confirmed lasts, and what is refused names the page.
#[test]
fn worn_flash_is_told_and_costs_no_model() {
    let (contents, _) = morning();
    let mut refused = 0;
    for page in (0..LEN).step_by(PAGE) {
        let what = format!("worn page {}", page / PAGE);
        let flash = RefCell::new(Flash::holding(&contents));
        flash.borrow_mut().worn = Some(page);
        let (served, saved) = start(&flash, async |host| {
            // More than the journal and the stores take without erasing a page.
            for _ in 0..6 {
                match day(host, &Cell::new(Confirmed::Nothing)).await {
                    Ok(()) => {}
                    Err(AgentError::Flash { offset }) => {
                        refused += 1;
                        let place = offset as usize / PAGE * PAGE;
                        assert_eq!(place, page, "{what}");
                    }
                    Err(AgentError::Unsaved) => refused += 1,
                    Err(other) => panic!("{what}: {other:?}"),
                }
                assert!(host.served().await.is_some(), "{what}");
            }
            let saved = matches!(host.save().await, Response::Store(_));
            (host.served().await.unwrap(), saved)
        });
        let (crc32, digest) = start(&flash, async |host| host.served().await.unwrap());
        assert_eq!(crc32, served.0, "{what}");
        assert!(!saved || digest == served.1, "{what}: other weights");
    }
    // All pages but the slots' last, which packages of this length do not reach.
    assert!(refused > LEN / PAGE - 4, "{refused} refusals");
}
