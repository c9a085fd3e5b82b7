//! The agent on a workstation: a flash and a line made of memory, and all that can go wrong with them.

mod bench;
mod flash;
mod host;
#[path = "../line/mod.rs"]
mod line;
mod packages;

mod bad_packages;
mod damage;
mod life;
mod locked;
mod power;
mod wire;
