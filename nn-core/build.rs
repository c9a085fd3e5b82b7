//! Tells the crate which family of kernels its target takes: `target_feature = "dsp"` is not visible on stable.

/// Cores with MVE. rustc has no target of theirs: that of Armv8-M Mainline, compiled for one of them.
const HELIUM: [&str; 3] = ["cortex-m55", "cortex-m85", "cortex-m52"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(mote_armv7em, mote_armv7m, mote_armv6m)");
    println!("cargo::rustc-check-cfg=cfg(mote_vfp, mote_helium)");
    let target = std::env::var("TARGET").unwrap_or_default();
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let helium = target == "thumbv8m.main-none-eabihf"
        && HELIUM
            .iter()
            .any(|cpu| flags.contains(&format!("target-cpu={cpu}")));
    // Cortex-M4 and M7, all of which have the DSP instructions; M3; M0 and M0+.
    let families = [
        ("armv7em", target.starts_with("thumbv7em") || helium),
        ("armv7m", target.starts_with("thumbv7m")),
        ("armv6m", target.starts_with("thumbv6m")),
        // Cores with MVE have the DSP instructions, too …
        ("helium", helium),
        // … and an FPU.
        ("vfp", target == "thumbv7em-none-eabihf" || helium),
    ];
    for (family, is_there) in families {
        if is_there {
            println!("cargo::rustc-cfg=mote_{family}");
        }
    }
}
