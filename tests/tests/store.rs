//! What a board in QEMU learns outlasts a restart, and only for the model that learnt it.

use std::path::PathBuf;

use host::{
    blob::Blob,
    device::{self, BuildError, Device, DeviceError, Place},
    ui::Ui,
};
use nn_core::{link::StoreState, train::Target};
use tests::skip;

const BOARD: &str = "qemu:an386";

fn blob(name: &str) -> Blob {
    let models = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models"));
    Blob::open(&models.join(name)).unwrap()
}

/// The board with this model; `None` where this machine cannot emulate it.
fn start(blob: &Blob, flash: &std::path::Path) -> Option<Box<dyn Device>> {
    let place: Place = BOARD.parse().unwrap();
    match device::open_with_store(&place, Some(flash), blob, &Ui::silent()) {
        Ok(device) => Some(device),
        Err(
            error @ (DeviceError::NoQemu { .. }
            | DeviceError::Build(BuildError::NoToolchain { .. })),
        ) => {
            skip(BOARD, &error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn learn(device: &mut dyn Device, steps: u16) {
    let len = device.info().input_len;
    for step in 0..steps {
        let image: Vec<u8> = (0..len)
            .map(|i| (i * usize::from(step + 3)) as u8)
            .collect();
        device.train(&image, Target::Class(step % 10)).unwrap();
    }
}

#[test]
fn what_is_learnt_outlasts_a_restart() {
    let flash = std::env::temp_dir().join(format!("mote-store-{}.bin", std::process::id()));
    std::fs::remove_file(&flash).ok();
    let head = blob("mnist-cnn-head.mote");
    let Some(mut device) = start(&head, &flash) else {
        return;
    };
    let own = device.weights_digest().unwrap();
    assert_eq!(device.store().unwrap().unwrap().state, StoreState::Empty);
    learn(device.as_mut(), 3);
    let kept = device.weights_digest().unwrap();
    assert_ne!(kept, own);
    assert_eq!(device.save().unwrap().state, StoreState::Kept);
    // Learnt, not kept, and the power goes.
    learn(device.as_mut(), 2);
    assert_ne!(device.weights_digest().unwrap(), kept);
    drop(device);

    let mut device = start(&head, &flash).unwrap();
    assert_eq!(device.store().unwrap().unwrap().state, StoreState::Kept);
    assert_eq!(device.weights_digest().unwrap(), kept);
    device.reset().unwrap();
    assert_eq!(device.weights_digest().unwrap(), own);
    drop(device);

    let mlp = blob("mnist-mlp-head.mote");
    let mut device = start(&mlp, &flash).unwrap();
    let report = device.store().unwrap().unwrap();
    assert_eq!(report.state, StoreState::OtherModel);
    assert_eq!(report.model_crc32, head.model().header().crc);
    drop(device);

    let mut device = start(&head, &flash).unwrap();
    assert_eq!(device.weights_digest().unwrap(), kept);
    assert_eq!(device.forget().unwrap().state, StoreState::Empty);
    assert_eq!(device.weights_digest().unwrap(), kept);
    device.finish().unwrap();
    let mut device = start(&head, &flash).unwrap();
    assert_eq!(device.weights_digest().unwrap(), own);
    device.finish().unwrap();
    std::fs::remove_file(&flash).unwrap();
}

#[test]
fn a_file_that_is_no_flash_is_refused_and_left_alone() {
    let path = std::env::temp_dir().join(format!("mote-no-store-{}", std::process::id()));
    std::fs::write(&path, b"mine").unwrap();
    let head = blob("mnist-cnn-head.mote");
    for place in [BOARD, "host"] {
        let place: Place = place.parse().unwrap();
        let opened = device::open_with_store(&place, Some(&path), &head, &Ui::silent());
        let error = opened.err().unwrap().to_string();
        let wanted = match place {
            Place::Host => "--store FILE is the flash of a board in QEMU",
            _ => "has 4 bytes, wanted whole pages of 4096",
        };
        assert!(error.contains(wanted), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    std::fs::remove_file(&path).unwrap();
}
