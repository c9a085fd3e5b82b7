//! Lets the binaries find libtorch without an environment variable: its folder becomes their rpath.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_LIB");
    if env::var_os("CARGO_FEATURE_TRAIN").is_none() {
        return;
    }
    // The same two variables, read the same way, as torch-sys does.
    let Some(libtorch) = env::var_os("LIBTORCH_LIB").or_else(|| env::var_os("LIBTORCH")) else {
        return; // torch-sys looks in /usr/lib, and says what to do when it finds nothing
    };
    let lib = PathBuf::from(libtorch).join("lib");
    println!("cargo:rerun-if-changed={}", lib.display());
    let torch = lib.join("libtorch_cpu.so");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") && !torch.exists() {
        println!(
            "cargo:error=libtorch was not found: there is no {}. Run scripts/setup, \
             or build without training: cargo build -p host --no-default-features --features flash",
            torch.display()
        );
        return;
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
