//! Models, packages and keys to try.

use ed25519_dalek::{Signer, SigningKey};
use firmware::agent::key_id;
use nn_core::{
    conformance::self_test,
    link::package::Manifest,
    memory::Aligned,
    model::Model,
    ops::AllOps,
    train::{Loss, TrainSpec, Trainable},
};
use sha2::{Digest, Sha512};

use crate::line;

/// A blob: 24 inputs, 6 outputs, which learns. Another seed gives other weights.
pub(crate) fn blob(seed: usize) -> Vec<u8> {
    let values: Vec<f32> = (0..24 * 6 + 6)
        .map(|index| ((index * 3 + seed * 5) % 11) as f32 / 16.0 - 0.3125)
        .collect();
    let (weight, bias) = values.split_at(24 * 6);
    let plan = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.0625);
    let mut bytes = vec![0; 2048];
    let len = line::blob(weight, bias, Some(plan), &mut bytes);
    bytes.truncate(len);
    bytes
}

/// Calls `work` with a copy of the blob on a boundary that models want.
pub(crate) fn aligned<T>(blob: &[u8], work: impl FnOnce(&[u8]) -> T) -> T {
    let mut copy = Box::new(Aligned([0; 4096]));
    copy.0[..blob.len()].copy_from_slice(blob);
    work(&copy.0[..blob.len()])
}

/// The CRC-32 in its header.
pub(crate) fn crc(blob: &[u8]) -> u32 {
    aligned(blob, |blob| Model::load(blob).unwrap().header().crc)
}

/// What a package of `blob` says of it.
pub(crate) fn manifest(blob: &[u8], version: u32) -> Manifest {
    let outcome = aligned(blob, |blob| {
        let (mut arena, mut room) = (Aligned([0; 8192]), [0.0; 64]);
        self_test::<AllOps>(blob, &mut arena.0, &mut room, true).unwrap()
    });
    Manifest {
        blob_len: blob.len() as u32,
        blob_crc32: crc(blob),
        version,
        floor: 0,
        inference: outcome.inference,
        training: outcome.training,
        hash: Sha512::digest(blob).into(),
        ..Manifest::default()
    }
}

/// The package of a manifest and a blob.
pub(crate) fn pack(manifest: &Manifest, blob: &[u8]) -> Vec<u8> {
    [manifest.encode().as_slice(), blob].concat()
}

/// An unsigned package.
pub(crate) fn package(seed: usize, version: u32) -> Vec<u8> {
    let blob = blob(seed);
    pack(&manifest(&blob, version), &blob)
}

/// A pair of keys.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The manifest, signed.
pub(crate) fn sign(mut manifest: Manifest, key: &SigningKey) -> Manifest {
    manifest.key = key_id(key.verifying_key().as_bytes());
    manifest.signature = key.sign(&manifest.signed()).to_bytes();
    manifest
}
