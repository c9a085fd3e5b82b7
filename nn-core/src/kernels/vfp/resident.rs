//! Dense layers of 8 and of 16 outputs, backward: δ stay in registers while the rows go by.
#![allow(unsafe_code)]

use core::arch::asm;

use super::super::rows::Rows;

/// Weights in these registers less rate · x, in s31, times their δ.
macro_rules! subtract {
    ($weights:literal $($delta:literal $product:literal $weight:literal)*) => {
        concat!(
            "vldmia {weight}, {{", $weights, "}}\n",
            $("vmul.f32 ", $product, ", s31, ", $delta, "\n",)*
            $("vsub.f32 ", $weight, ", ", $weight, ", ", $product, "\n",)*
            "vstmia {weight}!, {{", $weights, "}}\n",
        )
    };
}

/// A function for a number of outputs, whose δ lie in these registers, and whose rows take so many bytes.
macro_rules! resident {
    (
        $(#[$doc:meta])*
        fn $name:ident($deltas:literal $bytes:literal)
        $([$weights:literal: $($delta:literal $product:literal $weight:literal)*])*
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// There are inputs, and so many outputs; all inputs, their weights with a row of biases behind them, and δ lie behind
        /// the pointers.
        #[inline(always)]
        pub(in crate::kernels) unsafe fn $name(rows: &Rows) {
            let Rows { x, inputs, weight, delta, rate, .. } = *rows;
            // SAFETY: the caller's; nothing but weights and that row is written.
            unsafe {
                asm!(
                    concat!("vldmia {value}, {{", $deltas, "}}"),
                    "vmov s30, {rate}",
                    "movs {last}, #1",
                    "2:",
                    "ldr {value}, [{x}], #4",
                    "vmov s31, {value}",
                    "lsls {value}, {value}, #1",
                    "beq 4f",
                    "vmul.f32 s31, s30, s31",
                    "6:",
                    $(subtract!($weights $($delta $product $weight)*),)*
                    "7:",
                    "subs {inputs}, {inputs}, #1",
                    "bne 2b",
                    "movs {inputs}, {last}",
                    "beq 9f",
                    // The biases, where x is 1.
                    "movs {last}, #0",
                    "vmov.f32 s31, s30",
                    "b 6b",
                    "4:",
                    concat!("adds {weight}, {weight}, #", $bytes),
                    "b 7b",
                    "9:",
                    x = inout(reg) x => _,
                    inputs = inout(reg) inputs => _,
                    weight = inout(reg) weight => _,
                    // δ, and then an input.
                    value = inout(reg) delta => _,
                    // rustc knows no registers of this FPU as operands.
                    rate = in(reg) rate.to_bits(),
                    last = out(reg) _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                    out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                    out("s12") _, out("s13") _, out("s14") _, out("s15") _,
                    out("s16") _, out("s17") _, out("s18") _, out("s19") _,
                    out("s20") _, out("s21") _, out("s22") _, out("s23") _,
                    out("s24") _, out("s25") _, out("s26") _, out("s27") _,
                    out("s28") _, out("s29") _, out("s30") _, out("s31") _,
                    options(nostack),
                );
            }
        }
    };
}

resident! {
    /// weight −= (rate · x) · δ of 8 outputs, for each x other than 0; then the same of the biases, where x is 1: 25
    /// instructions for 8 weights.
    fn descend_8("s0-s7" "32")
    [
        "s8-s15":
        "s0" "s16" "s8" "s1" "s17" "s9" "s2" "s18" "s10" "s3" "s19" "s11"
        "s4" "s20" "s12" "s5" "s21" "s13" "s6" "s22" "s14" "s7" "s23" "s15"
    ]
}

resident! {
    /// The same of 16 outputs: 45 instructions for 16 weights.
    fn descend_16("s0-s15" "64")
    [
        "s16-s21":
        "s0" "s23" "s16" "s1" "s24" "s17" "s2" "s25" "s18"
        "s3" "s26" "s19" "s4" "s27" "s20" "s5" "s28" "s21"
    ]
    [
        "s16-s20":
        "s6" "s23" "s16" "s7" "s24" "s17" "s8" "s25" "s18" "s9" "s26" "s19" "s10" "s27" "s20"
    ]
    [
        "s16-s20":
        "s11" "s23" "s16" "s12" "s24" "s17" "s13" "s25" "s18" "s14" "s26" "s19" "s15" "s27" "s20"
    ]
}
