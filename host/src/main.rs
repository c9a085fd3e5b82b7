//! `mote`: trains a neural network here, runs it and keeps training it on a microcontroller.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
