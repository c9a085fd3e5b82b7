//! The library under the CLI `mote`: data, training, quantization, export, devices, reports.
//!
//! Every command of `mote` is a thin file over these modules, so that a test can call
//! what a user runs.

#[cfg(feature = "zoo")]
pub mod analysis;
pub mod bench;
pub mod blob;
pub mod checkpoint;
pub mod curve;
pub mod data;
pub mod device;
pub mod doctor;
pub mod evaluate;
pub mod export;
pub mod fit;
#[cfg(feature = "flash")]
pub mod flash;
pub mod generate;
pub mod history;
pub mod live;
pub mod metrics;
pub mod package;
pub mod paths;
pub mod personalize;
pub mod plan;
pub mod recipe;
pub mod report;
pub mod sample;
#[cfg(feature = "train")]
pub mod search;
pub mod size;
pub mod stock;
#[cfg(feature = "train")]
pub mod train;
pub mod tune;
pub mod ui;
pub mod zoo;
