//! Where a model runs: in this process, in QEMU, on a board behind a serial port.
