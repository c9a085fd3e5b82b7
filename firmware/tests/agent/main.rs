//! The agent on a workstation: a flash and a line made of memory, and all that can go wrong with them.

mod flash;
mod host;
#[path = "../line/mod.rs"]
mod line;
mod packages;

mod bad_packages;
mod life;
mod locked;
mod power;
mod wire;
