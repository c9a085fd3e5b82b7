//! Tells the crate which family of kernels its target takes: `target_feature = "dsp"` is not visible on stable.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(mote_armv7em, mote_armv7m, mote_armv6m)");
    println!("cargo::rustc-check-cfg=cfg(mote_vfp)");
    let target = std::env::var("TARGET").unwrap_or_default();
    // Cortex-M4 and M7, all of which have the DSP instructions; M3; M0 and M0+.
    let families = [
        ("thumbv7em", "armv7em"),
        ("thumbv7m", "armv7m"),
        ("thumbv6m", "armv6m"),
    ];
    for (prefix, family) in families {
        if target.starts_with(prefix) {
            println!("cargo::rustc-cfg=mote_{family}");
        }
    }
    // … with an FPU.
    if target == "thumbv7em-none-eabihf" {
        println!("cargo::rustc-cfg=mote_vfp");
    }
}
