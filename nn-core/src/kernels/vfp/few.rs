//! Dense layers of up to four outputs: sums, or δ, stay in s0–s3 while the inputs go by.
#![allow(unsafe_code)]

use core::arch::asm;

use super::super::rows::Rows;

/// A line for each of so many outputs: its sum or δ in s0–s3, its weight in s4–s7, a product of its own in s8–s11.
macro_rules! each {
    ($count:tt $line:ident) => {
        concat!($line!("0" "4" "8"), beyond!($count $line))
    };
}

/// The same but for the first.
macro_rules! beyond {
    (1 $line:ident) => {
        ""
    };
    (2 $line:ident) => {
        $line!("1" "5" "9")
    };
    (3 $line:ident) => {
        concat!(beyond!(2 $line), $line!("2" "6" "10"))
    };
    (4 $line:ident) => {
        concat!(beyond!(3 $line), $line!("3" "7" "11"))
    };
}

/// x, in s12, times a weight.
macro_rules! weigh {
    ($sum:literal $weight:literal $product:literal) => {
        concat!("vmul.f32 s", $product, ", s12, s", $weight, "\n")
    };
}

macro_rules! add {
    ($sum:literal $weight:literal $product:literal) => {
        concat!("vadd.f32 s", $sum, ", s", $sum, ", s", $product, "\n")
    };
}

/// δ times a weight.
macro_rules! back {
    ($delta:literal $weight:literal $product:literal) => {
        concat!("vmul.f32 s", $product, ", s", $weight, ", s", $delta, "\n")
    };
}

/// Onto the gradient at an input, in s15.
macro_rules! gather {
    ($delta:literal $weight:literal $product:literal) => {
        concat!("vadd.f32 s15, s15, s", $product, "\n")
    };
}

/// δ times rate · x, in s12.
macro_rules! scale {
    ($delta:literal $weight:literal $product:literal) => {
        concat!("vmul.f32 s", $product, ", s12, s", $delta, "\n")
    };
}

macro_rules! subtract {
    ($delta:literal $weight:literal $product:literal) => {
        concat!("vsub.f32 s", $weight, ", s", $weight, ", s", $product, "\n")
    };
}

/// The functions of one number of outputs, whose registers are listed, and which takes so many bytes.
macro_rules! few {
    (
        $count:tt $sums:literal $weights:literal $bytes:literal
        $sum:ident $sum_raw:ident $descend:ident $descend_relu:ident
    ) => {
        /// y = bias + x · weight. Each x whose bits but the sign are 0 is passed over.
        ///
        /// # Safety
        /// There is an input; so many inputs, their weights, and as many biases and y as there are outputs lie behind the
        /// pointers.
        #[inline(always)]
        unsafe fn $sum(x: *const f32, inputs: usize, weight: *const f32, bias: *const f32, y: *mut f32) {
            // SAFETY: the caller's; nothing but y is written.
            unsafe {
                asm!(
                    concat!("vldmia {bias}, {{", $sums, "}}"),
                    "2:",
                    "ldr {value}, [{x}], #4",
                    "lsls {bias}, {value}, #1",
                    "beq 4f",
                    "vmov s12, {value}",
                    concat!("vldmia {weight}!, {{", $weights, "}}"),
                    each!($count weigh),
                    each!($count add),
                    "subs {inputs}, {inputs}, #1",
                    "bne 2b",
                    "b 6f",
                    "4:",
                    concat!("adds {weight}, {weight}, #", $bytes),
                    "subs {inputs}, {inputs}, #1",
                    "bne 2b",
                    "6:",
                    concat!("vstmia {y}, {{", $sums, "}}"),
                    x = inout(reg) x => _,
                    inputs = inout(reg) inputs => _,
                    weight = inout(reg) weight => _,
                    // What the sums begin with, and then whether an input is 0.
                    bias = inout(reg) bias => _,
                    y = in(reg) y,
                    value = out(reg) _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                    out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                    out("s12") _,
                    options(nostack),
                );
            }
        }

        /// The same of max(x, 0), which takes the place of x.
        ///
        /// # Safety
        /// As above.
        #[inline(always)]
        unsafe fn $sum_raw(x: *mut f32, inputs: usize, weight: *const f32, bias: *const f32, y: *mut f32) {
            // SAFETY: the caller's; nothing but x and y is written.
            unsafe {
                asm!(
                    concat!("vldmia {bias}, {{", $sums, "}}"),
                    "movs {zero}, #0",
                    "2:",
                    "ldr r3, [{x}], #4",
                    // Below 0, or not a number.
                    "cmp r3, #0x7F800000",
                    "bhi 4f",
                    "cbz r3, 5f",
                    "vmov s12, r3",
                    concat!("vldmia {weight}!, {{", $weights, "}}"),
                    each!($count weigh),
                    each!($count add),
                    "subs {inputs}, {inputs}, #1",
                    "bne 2b",
                    "b 6f",
                    "4:",
                    "str {zero}, [{x}, #-4]",
                    "5:",
                    concat!("adds {weight}, {weight}, #", $bytes),
                    "subs {inputs}, {inputs}, #1",
                    "bne 2b",
                    "6:",
                    concat!("vstmia {y}, {{", $sums, "}}"),
                    x = inout(reg) x => _,
                    inputs = inout(reg) inputs => _,
                    weight = inout(reg) weight => _,
                    bias = in(reg) bias,
                    y = in(reg) y,
                    zero = out(reg) _,
                    // An input: one of the lower registers, for CBZ.
                    out("r3") _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                    out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                    out("s12") _,
                    options(nostack),
                );
            }
        }

        /// weight −= (rate · x) · δ, for each x other than 0; then, where `last` is 1, the same of one more row, where x is 1:
        /// of biases behind the weights.
        ///
        /// # Safety
        /// There is an input; so many inputs, their weights and that row, and as many δ as there are outputs lie behind the
        /// pointers.
        #[inline(always)]
        unsafe fn $descend(
            x: *const f32,
            inputs: usize,
            weight: *mut f32,
            delta: *const f32,
            rate: f32,
            last: usize,
        ) {
            // SAFETY: the caller's; nothing but weights and that row is written.
            unsafe {
                asm!(
                    concat!("vldmia {value}, {{", $sums, "}}"),
                    "vmov s13, {rate}",
                    "2:",
                    "ldr {value}, [{x}], #4",
                    "lsls {rate}, {value}, #1",
                    "beq 4f",
                    "6:",
                    concat!("vldmia {weight}, {{", $weights, "}}"),
                    "vmov s12, {value}",
                    "vmul.f32 s12, s13, s12",
                    each!($count scale),
                    each!($count subtract),
                    concat!("vstmia {weight}!, {{", $weights, "}}"),
                    "7:",
                    "subs {inputs}, {inputs}, #1",
                    "bne 2b",
                    "movs {inputs}, {last}",
                    "beq 9f",
                    "movs {last}, #0",
                    "mov {value}, #0x3F800000",
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
                    rate = inout(reg) rate.to_bits() => _,
                    last = inout(reg) last => _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                    out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                    out("s12") _, out("s13") _,
                    options(nostack),
                );
            }
        }

        /// The same, and before a row learns the gradient at its input, Σ weight · δ, takes the place of x: 0 where x, a
        /// ReLU's output, is 0.
        ///
        /// # Safety
        /// As above.
        #[inline(always)]
        unsafe fn $descend_relu(
            x: *mut f32,
            inputs: usize,
            weight: *mut f32,
            delta: *const f32,
            rate: f32,
            last: usize,
        ) {
            // SAFETY: the caller's; nothing but x, weights and that row is written.
            unsafe {
                asm!(
                    concat!("vldmia r3, {{", $sums, "}}"),
                    "vmov s13, {rate}",
                    "movs {rate}, #0",
                    "vmov s14, {rate}",
                    "2:",
                    "ldr r3, [{x}], #4",
                    "cbz r3, 4f",
                    concat!("vldmia {weight}, {{", $weights, "}}"),
                    // Below 0, or not a number: no ReLU gives that.
                    "cmp r3, #0x7F800000",
                    "bhi 5f",
                    each!($count back),
                    "vadd.f32 s15, s14, s8",
                    beyond!($count gather),
                    "vstr s15, [{x}, #-4]",
                    "6:",
                    "vmov s12, r3",
                    "vmul.f32 s12, s13, s12",
                    each!($count scale),
                    each!($count subtract),
                    concat!("vstmia {weight}!, {{", $weights, "}}"),
                    "subs {inputs}, {inputs}, #1",
                    "bne 2b",
                    "b 7f",
                    "4:",
                    concat!("adds {weight}, {weight}, #", $bytes),
                    "subs {inputs}, {inputs}, #1",
                    "bne 2b",
                    "7:",
                    "movs {inputs}, {last}",
                    "beq 9f",
                    "movs {last}, #0",
                    "mov r3, #0x3F800000",
                    concat!("vldmia {weight}, {{", $weights, "}}"),
                    "b 6b",
                    "5:",
                    "str {rate}, [{x}, #-4]",
                    "cmp r3, #0x80000000",
                    "beq 4b",
                    "b 6b",
                    "9:",
                    x = inout(reg) x => _,
                    inputs = inout(reg) inputs => _,
                    weight = inout(reg) weight => _,
                    // δ, and then an input: one of the lower registers, for CBZ.
                    inout("r3") delta => _,
                    // The rate, and then 0.
                    rate = inout(reg) rate.to_bits() => _,
                    last = inout(reg) last => _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                    out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                    out("s12") _, out("s13") _, out("s14") _, out("s15") _,
                    options(nostack),
                );
            }
        }
    };
}

few! { 1 "s0" "s4" "4" sum_1 sum_raw_1 descend_1 descend_relu_1 }
few! { 2 "s0-s1" "s4-s5" "8" sum_2 sum_raw_2 descend_2 descend_relu_2 }
few! { 3 "s0-s2" "s4-s6" "12" sum_3 sum_raw_3 descend_3 descend_relu_3 }
few! { 4 "s0-s3" "s4-s7" "16" sum_4 sum_raw_4 descend_4 descend_relu_4 }

/// y = bias + x · weight, of up to four outputs; where `is_raw`, max(x, 0) takes the place of x before.
///
/// # Safety
/// There is an input; so many inputs, their weights, and as many biases and y as there are outputs lie behind the
/// pointers.
#[inline(always)]
pub(in crate::kernels) unsafe fn sum(
    x: *mut f32,
    inputs: usize,
    weight: *const f32,
    bias: *const f32,
    y: *mut f32,
    outputs: usize,
    is_raw: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        match (outputs, is_raw) {
            (1, false) => sum_1(x, inputs, weight, bias, y),
            (2, false) => sum_2(x, inputs, weight, bias, y),
            (3, false) => sum_3(x, inputs, weight, bias, y),
            (4, false) => sum_4(x, inputs, weight, bias, y),
            (1, true) => sum_raw_1(x, inputs, weight, bias, y),
            (2, true) => sum_raw_2(x, inputs, weight, bias, y),
            (3, true) => sum_raw_3(x, inputs, weight, bias, y),
            (4, true) => sum_raw_4(x, inputs, weight, bias, y),
            _ => {}
        }
    }
}

/// Of up to four outputs: weight −= (rate · x) · δ, and before, where a ReLU made x, the gradient Σ weight · δ in its
/// place; then, where `last` is 1, a row of biases behind the weights.
///
/// # Safety
/// There is an input; so many inputs, their weights, that row, and as many δ as there are outputs lie behind the
/// pointers.
#[inline(always)]
pub(in crate::kernels) unsafe fn descend(rows: &Rows, is_relu: bool, last: usize) {
    let Rows {
        x,
        inputs,
        weight,
        delta,
        outputs,
        rate,
    } = *rows;
    // SAFETY: the caller's.
    unsafe {
        match (outputs, is_relu) {
            (1, false) => descend_1(x, inputs, weight, delta, rate, last),
            (2, false) => descend_2(x, inputs, weight, delta, rate, last),
            (3, false) => descend_3(x, inputs, weight, delta, rate, last),
            (4, false) => descend_4(x, inputs, weight, delta, rate, last),
            (1, true) => descend_relu_1(x, inputs, weight, delta, rate, last),
            (2, true) => descend_relu_2(x, inputs, weight, delta, rate, last),
            (3, true) => descend_relu_3(x, inputs, weight, delta, rate, last),
            (4, true) => descend_relu_4(x, inputs, weight, delta, rate, last),
            _ => {}
        }
    }
}
