//! The CLI `mote`.

fn main() {}
