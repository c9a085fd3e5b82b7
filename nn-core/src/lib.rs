//! The Mote runtime.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "link")]
pub mod link;
