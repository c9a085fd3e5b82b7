//! The library under the CLI `mote`.
