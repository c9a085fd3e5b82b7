//! Dense layers of eight outputs and more, backward: a row of weights for each input, in eights and then one by one.
#![allow(unsafe_code)]

use core::arch::asm;

use super::super::rows::Rows;

/// weight −= (rate · x) · δ, for each x other than 0; then, where `last` is 1, the same of one more row, where x is 1: of
/// biases behind the weights.
///
/// s0–s7 δ and then products, s8–s15 weights, s24 the rate, s25 rate · x: 10 instructions a row, and 21 for 8 weights.
///
/// # Safety
/// There are inputs, and eight outputs at least; so many inputs, their weights and that row, and as many δ as there are
/// outputs lie behind the pointers.
#[inline(always)]
pub(in crate::kernels) unsafe fn descend(rows: &Rows, last: usize) {
    let Rows {
        x,
        inputs,
        weight,
        delta,
        outputs,
        rate,
    } = *rows;
    // SAFETY: the caller's; nothing but weights and that row is written.
    unsafe {
        asm!(
            "vmov s24, {rate}",
            "2:",
            "ldr {d}, [{x}], #4",
            "vmov s25, {d}",
            "lsls {d}, {d}, #1",
            "beq 4f",
            "vmul.f32 s25, s24, s25",
            "6:",
            "mov {d}, {delta}",
            "mov {count}, {eights}",
            "3:",
            "vldmia {d}!, {{s0-s7}}",
            "vldmia {weight}, {{s8-s15}}",
            "vmul.f32 s0, s0, s25",
            "vmul.f32 s1, s1, s25",
            "vmul.f32 s2, s2, s25",
            "vmul.f32 s3, s3, s25",
            "vmul.f32 s4, s4, s25",
            "vmul.f32 s5, s5, s25",
            "vmul.f32 s6, s6, s25",
            "vmul.f32 s7, s7, s25",
            "subs {count}, {count}, #1",
            "vsub.f32 s8, s8, s0",
            "vsub.f32 s9, s9, s1",
            "vsub.f32 s10, s10, s2",
            "vsub.f32 s11, s11, s3",
            "vsub.f32 s12, s12, s4",
            "vsub.f32 s13, s13, s5",
            "vsub.f32 s14, s14, s6",
            "vsub.f32 s15, s15, s7",
            "vstmia {weight}!, {{s8-s15}}",
            "bne 3b",
            // What is left of the row.
            "cbnz r3, 5f",
            "7:",
            "subs {inputs}, {inputs}, #1",
            "bne 2b",
            "movs {inputs}, {last}",
            "beq 9f",
            "vmov s25, s24",
            "movs {last}, #0",
            "b 6b",
            "4:",
            "add {weight}, {weight}, {eights}, lsl #5",
            "add {weight}, {weight}, r3, lsl #2",
            "b 7b",
            "5:",
            "mov {count}, r3",
            "8:",
            "vldmia {d}!, {{s0}}",
            "vldmia {weight}, {{s8}}",
            "vmul.f32 s0, s0, s25",
            "subs {count}, {count}, #1",
            "vsub.f32 s8, s8, s0",
            "vstmia {weight}!, {{s8}}",
            "bne 8b",
            "b 7b",
            "9:",
            x = inout(reg) x => _,
            inputs = inout(reg) inputs => _,
            weight = inout(reg) weight => _,
            delta = in(reg) delta,
            eights = in(reg) outputs / 8,
            // One of the lower registers, for CBNZ.
            in("r3") outputs % 8,
            last = inout(reg) last => _,
            d = out(reg) _,
            // rustc knows no registers of this FPU as operands.
            rate = in(reg) rate.to_bits(),
            count = out(reg) _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _,
            out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _,
            out("s12") _, out("s13") _, out("s14") _, out("s15") _,
            out("s24") _, out("s25") _,
            options(nostack),
        );
    }
}

/// The same where a ReLU made x: before a row learns the gradient at its input, Σ weight · δ, takes the place of x, 0
/// where x is 0. It ends before an x that no ReLU gives, below 0 or not a number; gives how many inputs are left from
/// there on.
///
/// s0–s7 δ and then products, s8–s15 weights, s16–s23 products, s24 the rate, s25 rate · x, s26 0, s27 the sum: 14
/// instructions a row, and 37 for 8 weights.
///
/// # Safety
/// As above.
#[inline(never)]
pub(in crate::kernels) unsafe fn descend_relu(rows: &Rows) -> usize {
    let Rows {
        x,
        mut inputs,
        weight,
        delta,
        outputs,
        rate,
    } = *rows;
    // SAFETY: the caller's; nothing but x and weights is written.
    unsafe {
        asm!(
            "vmov s24, {rate}",
            "movs {rate}, #0",
            "vmov s26, {rate}",
            "2:",
            "ldr r3, [{x}], #4",
            // 0, below 0, or not a number.
            "subs {count}, r3, #1",
            "cmp {count}, #0x7F800000",
            "bhs 4f",
            "vmov s25, r3",
            "vmul.f32 s25, s24, s25",
            "vmov.f32 s27, s26",
            "mov r3, {delta}",
            "lsr {count}, {outputs}, #3",
            "3:",
            "vldmia r3!, {{s0-s7}}",
            "vldmia {weight}, {{s8-s15}}",
            "vmul.f32 s16, s8, s0",
            "vmul.f32 s17, s9, s1",
            "vmul.f32 s18, s10, s2",
            "vmul.f32 s19, s11, s3",
            "vmul.f32 s20, s12, s4",
            "vmul.f32 s21, s13, s5",
            "vmul.f32 s22, s14, s6",
            "vmul.f32 s23, s15, s7",
            "vadd.f32 s27, s27, s16",
            "vmul.f32 s0, s0, s25",
            "vadd.f32 s27, s27, s17",
            "vmul.f32 s1, s1, s25",
            "vadd.f32 s27, s27, s18",
            "vmul.f32 s2, s2, s25",
            "vadd.f32 s27, s27, s19",
            "vmul.f32 s3, s3, s25",
            "vadd.f32 s27, s27, s20",
            "vmul.f32 s4, s4, s25",
            "vadd.f32 s27, s27, s21",
            "vmul.f32 s5, s5, s25",
            "vadd.f32 s27, s27, s22",
            "vmul.f32 s6, s6, s25",
            "vadd.f32 s27, s27, s23",
            "vmul.f32 s7, s7, s25",
            "subs {count}, {count}, #1",
            "vsub.f32 s8, s8, s0",
            "vsub.f32 s9, s9, s1",
            "vsub.f32 s10, s10, s2",
            "vsub.f32 s11, s11, s3",
            "vsub.f32 s12, s12, s4",
            "vsub.f32 s13, s13, s5",
            "vsub.f32 s14, s14, s6",
            "vsub.f32 s15, s15, s7",
            "vstmia {weight}!, {{s8-s15}}",
            "bne 3b",
            "ands {count}, {outputs}, #7",
            "bne 5f",
            "6:",
            "vstr s27, [{x}, #-4]",
            "7:",
            "subs {inputs}, {inputs}, #1",
            "bne 2b",
            "b 9f",
            "4:",
            "cbnz r3, 9f",
            "add {weight}, {weight}, {outputs}, lsl #2",
            "b 7b",
            "5:",
            "vldmia r3!, {{s0}}",
            "vldmia {weight}, {{s8}}",
            "vmul.f32 s16, s8, s0",
            "vmul.f32 s0, s0, s25",
            "vadd.f32 s27, s27, s16",
            "subs {count}, {count}, #1",
            "vsub.f32 s8, s8, s0",
            "vstmia {weight}!, {{s8}}",
            "bne 5b",
            "b 6b",
            "9:",
            x = inout(reg) x => _,
            inputs = inout(reg) inputs,
            weight = inout(reg) weight => _,
            delta = in(reg) delta,
            outputs = in(reg) outputs,
            // One of the lower registers, for CBNZ.
            out("r3") _,
            // The rate, and then 0.
            rate = inout(reg) rate.to_bits() => _,
            count = out(reg) _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _,
            out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _,
            out("s12") _, out("s13") _, out("s14") _, out("s15") _,
            out("s16") _, out("s17") _, out("s18") _, out("s19") _,
            out("s20") _, out("s21") _, out("s22") _, out("s23") _,
            out("s24") _, out("s25") _, out("s26") _, out("s27") _,
            options(nostack),
        );
    }
    inputs
}
