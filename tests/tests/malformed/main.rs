//! Blobs with something wrong: each is refused with the error that names it, and none makes anything panic.

mod fuzz;
mod header;
mod nodes;
mod operators;
mod tensors;
mod windows;

use host::export::AlignedBytes;
use nn_core::model::{LoadError, Model};
use tests::parts::{Parts, refresh_crc};

// Where the header's words lie.
const VERSION_AND_LAYOUT: usize = 4;
const GRAPH_LEN: usize = 8;
const WEIGHTS_AT: usize = 12;
const WEIGHTS_LEN: usize = 16;
const ARENA_INFER: usize = 20;
const ARENA_TRAIN: usize = 24;

fn both() -> [AlignedBytes; 2] {
    [Parts::float(), Parts::integer()].map(|parts| parts.encode().expect("a valid model"))
}

/// The blob with some bytes changed, its checksum made to match.
fn changed(blob: &AlignedBytes, change: impl FnOnce(&mut [u8])) -> AlignedBytes {
    let mut blob = blob.clone();
    change(blob.as_mut_slice());
    refresh_crc(blob.as_mut_slice());
    blob
}

fn error(blob: &[u8]) -> LoadError {
    Model::load(blob).expect_err("a refusal")
}

fn float(change: impl FnOnce(&mut Parts)) -> Result<(), LoadError> {
    let mut parts = Parts::float();
    change(&mut parts);
    parts.load()
}

fn integer(change: impl FnOnce(&mut Parts)) -> Result<(), LoadError> {
    let mut parts = Parts::integer();
    change(&mut parts);
    parts.load()
}
