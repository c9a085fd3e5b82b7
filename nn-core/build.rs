//! Tells the crate which family of kernels its target takes: `target_feature = "dsp"` is not visible on stable.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(mote_armv7em)");
    println!("cargo::rustc-check-cfg=cfg(mote_vfp)");
    let target = std::env::var("TARGET").unwrap_or_default();
    // Cortex-M4 and M7; all of them have the DSP instructions.
    if target.starts_with("thumbv7em") {
        println!("cargo::rustc-cfg=mote_armv7em");
    }
    // … with an FPU.
    if target == "thumbv7em-none-eabihf" {
        println!("cargo::rustc-cfg=mote_vfp");
    }
}
