//! Foreign bytes in the flash.

use std::cell::RefCell;

use nn_core::link::agent::{AgentError, AgentRequest};

use crate::{
    bench::{JOURNAL, LEN, PLACES, start},
    flash::Flash,
    life::with_model,
    packages::{blob, crc, package},
};

/// Each byte of the blob that is served is damaged in turn.
#[test]
fn a_damaged_blob_gives_way_to_the_one_before() {
    let flash = with_model();
    let learnt = start(&flash, async |host| {
        host.learn(1).await;
        let learnt = host.digest().await;
        host.install(&package(2, 2)).await.unwrap();
        learnt
    });
    let contents = flash.borrow().contents();
    let [first, second] = [&PLACES.slots[0], &PLACES.slots[1]].map(|slot| slot.start as usize);
    for at in (0..256 + blob(2).len()).step_by(7) {
        let damaged = RefCell::new(Flash::holding(&contents));
        damaged
            .borrow_mut()
            .plant(second + at, &[contents[second + at] ^ 0x10]);
        let served = start(&damaged, async |host| host.served().await.unwrap().0);
        // What the manifest says besides length and CRC-32 was checked when it was activated.
        let matters = !(16..112).contains(&at) && !(192..256).contains(&at);
        let wanted = crc(&blob(if matters { 1 } else { 2 }));
        assert_eq!(served, wanted, "byte {at}");
    }
    flash.borrow_mut().plant(second + 300, &[0; 64]);
    start(&flash, async |host| {
        assert_eq!(host.served().await, Some((crc(&blob(1)), learnt)));
        assert_eq!(
            host.slot(AgentRequest::Rollback).await,
            Err(AgentError::NoStandby)
        );
        // What is there can be taught, and another be loaded.
        host.install(&package(3, 3)).await.unwrap();
        host.slot(AgentRequest::Rollback).await.unwrap();
    });
    flash.borrow_mut().plant(first + 300, &[0; 64]);
    flash.borrow_mut().plant(second + 300, &[0; 64]);
    start(&flash, async |host| {
        assert_eq!(host.served().await, None);
        host.install(&package(2, 4)).await.unwrap();
    });
    start(&flash, async |host| {
        assert_eq!(host.served().await.unwrap().0, crc(&blob(2)));
    });
}

/// Whatever a flash holds, an agent starts, and takes a model.
#[test]
fn noise_in_the_flash_is_no_model() {
    for seed in 0..60u32 {
        let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let bytes: Vec<u8> = (0..LEN)
            .map(|_| match seed % 3 {
                0 => noise() as u8,
                1 => 0,
                _ => [0, 0xFF, noise() as u8][noise() as usize % 3],
            })
            .collect();
        let flash = RefCell::new(Flash::holding(&bytes));
        let saved = start(&flash, async |host| {
            assert_eq!(host.served().await, None, "noise {seed}");
            host.install(&package(1, 1)).await.unwrap();
            host.learn(1).await;
            host.save().await;
            host.digest().await
        });
        let served = start(&flash, async |host| host.served().await);
        assert_eq!(served, Some((crc(&blob(1)), saved)), "noise {seed}");
    }
}

/// The journal alone is lost: the agent starts without a model, and takes one.
#[test]
fn a_journal_of_noise_is_begun_anew() {
    let flash = with_model();
    flash.borrow_mut().plant(0, &[0x5A; JOURNAL as usize]);
    start(&flash, async |host| {
        assert_eq!(host.served().await, None);
        host.install(&package(1, 1)).await.unwrap();
    });
    let served = start(&flash, async |host| host.served().await);
    assert_eq!(served.unwrap().0, crc(&blob(1)));
}

/// Bits of the journal change: a model that was served is, or none, and the next one can be loaded.
#[test]
fn a_damaged_journal_does_no_harm() {
    let flash = with_model();
    start(&flash, async |host| {
        host.install(&package(2, 2)).await.unwrap();
    });
    let contents = flash.borrow().contents();
    let known = [crc(&blob(1)), crc(&blob(2))];
    let mut lost = 0;
    for at in (0..JOURNAL as usize).filter(|at| contents[*at] != 0xFF) {
        for bits in [0x01, 0x80, 0xFF] {
            let flash = RefCell::new(Flash::holding(&contents));
            flash.borrow_mut().plant(at, &[contents[at] ^ bits]);
            start(&flash, async |host| {
                match host.served().await {
                    Some((served, _)) => assert!(known.contains(&served), "byte {at}"),
                    None => lost += 1,
                }
                host.install(&package(3, 3)).await.unwrap();
            });
            let served = start(&flash, async |host| host.served().await.unwrap().0);
            assert_eq!(served, crc(&blob(3)), "byte {at}");
        }
    }
    // The item before it counts, mostly.
    assert!(lost < 10, "{lost} times no model was left");
}
