//! The Mote runtime.
#![no_std]
#![deny(unsafe_code)]
