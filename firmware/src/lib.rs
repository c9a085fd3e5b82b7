//! What every Mote image shares: the [`server`] that answers the host, and the boards.
//!
//! `boards` and `model` exist only in an image: built for a Cortex-M, with one `board-…` feature.
//! On a workstation the server alone is built, for its tests.
#![cfg_attr(target_os = "none", no_std)]

#[cfg(all(target_os = "none", not(feature = "image")))]
compile_error!("an image wants one board: pass `--features board-NAME`, see firmware/boards.rs");

#[cfg(any(not(target_os = "none"), feature = "agent"))]
pub mod agent;
pub mod archive;
pub mod engine;
pub mod flash;
mod log;
pub mod server;
pub mod soak;
pub mod store;
pub mod trial;
pub mod watchdog;

#[cfg(all(target_os = "none", feature = "image"))]
pub mod boards;
#[cfg(all(target_os = "none", feature = "image"))]
pub mod clock;
#[cfg(all(target_os = "none", feature = "image"))]
pub mod fault;
#[cfg(all(target_os = "none", feature = "image"))]
pub mod marks;
#[cfg(all(target_os = "none", feature = "image"))]
pub mod stack;

/// What an agent's image is built around.
#[cfg(all(target_os = "none", feature = "agent"))]
pub mod layout {
    include!(concat!(env!("OUT_DIR"), "/agent.rs"));
}

/// The model in this image, and what follows from it: sizes, kernels, whether it learns.
#[cfg(all(target_os = "none", feature = "image", not(feature = "agent")))]
pub mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// The cases of the app `conformance`, and what follows from them.
#[cfg(all(target_os = "none", feature = "image", not(feature = "agent")))]
pub mod cases {
    include!(concat!(env!("OUT_DIR"), "/cases.rs"));
}
