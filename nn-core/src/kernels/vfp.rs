//! Inner loops over f32 in assembly, for Cortex-M4F and M7: sums stay in the 32 registers of the FPU.
//!
//! VMUL and VADD, which round each, and not VMLA: that gives the same bits in one instruction less, but takes three
//! cycles. A sum never waits for its product: all products of eight are formed first. VLDM counts one instruction and
//! takes a cycle for each register, and one.
#![allow(unsafe_code)]

pub(super) mod few;
pub(super) mod links;
mod resident;
pub(super) mod rows;

use core::arch::asm;

use super::products::Products;

/// Eight weights times x, which is in s24, added to eight sums: 17 instructions.
macro_rules! eight_sums {
    ($a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        concat!(
            "vldmia {w}!, {{s16-s23}}\n",
            "vmul.f32 s16, s16, s24\nvmul.f32 s17, s17, s24\n",
            "vmul.f32 s18, s18, s24\nvmul.f32 s19, s19, s24\n",
            "vmul.f32 s20, s20, s24\nvmul.f32 s21, s21, s24\n",
            "vmul.f32 s22, s22, s24\nvmul.f32 s23, s23, s24\n",
            eight_sums!(@add $a "s16" $b "s17" $c "s18" $d "s19"),
            eight_sums!(@add $e "s20" $f "s21" $g "s22" $h "s23"),
        )
    };
    (@add $($sum:literal $product:literal)*) => {
        concat!($("vadd.f32 ", $sum, ", ", $sum, ", ", $product, "\n"),*)
    };
}

/// sums\[i\] += the products of output i, in blocks of 16 and 8; gives the first output that is left.
#[inline(always)]
pub(super) fn add_products(products: &Products<'_, f32>, sums: &mut [f32]) -> usize {
    let sums_at = sums.as_mut_ptr();
    // SAFETY: the sums are there.
    unsafe { from_to(products, sums_at, sums_at, 1, sums.len()) }
}

/// out\[i\] = bias\[i\] + the products of output i, in blocks of 16 and 8, of each pixel; gives the first output that is
/// left.
#[inline(always)]
pub(super) fn sum_products(products: &Products<'_, f32>, bias: &[f32], out: &mut [f32]) -> usize {
    let columns = products.columns.max(1);
    if bias.len() < columns || !out.len().is_multiple_of(columns) {
        return 0;
    }
    let pixels = out.len() / columns;
    // SAFETY: there are as many biases as outputs of a pixel.
    unsafe { from_to(products, bias.as_ptr(), out.as_mut_ptr(), pixels, columns) }
}

/// out\[i\] = bias\[i\] + x · column i of `weight`, in blocks of 16 and 8; gives the first output that is left. Each x whose
/// bits but the sign are 0 is passed over.
#[inline(always)]
pub(super) fn sum_vector(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) -> usize {
    let outputs = out.len();
    // Of numbers in memory: no product gets near the end of a word.
    let is_there = bias.len() >= outputs && weight.len() >= x.len().wrapping_mul(outputs);
    if x.is_empty() || !is_there {
        return 0;
    }
    // SAFETY: all inputs, their weights of these outputs, and as many biases are there.
    unsafe {
        vector(
            x.as_ptr(),
            x.len(),
            weight.as_ptr(),
            outputs,
            bias.as_ptr(),
            out.as_mut_ptr(),
            outputs,
        )
    }
}

/// [`sum_vector`] of `len` outputs, whose weights of an input lie `columns` further than those of the one before it.
///
/// s0–s15 sums, s16–s23 products, s24 x: 41 instructions for 16 MACs, 24 for 8, and 9 where x is 0.
///
/// # Safety
/// There is an input; all inputs, their weights of so many outputs, and as many numbers behind `from` and `to` are there.
#[inline(always)]
unsafe fn vector(
    x: *const f32,
    inputs: usize,
    weight: *const f32,
    columns: usize,
    from: *const f32,
    to: *mut f32,
    len: usize,
) -> usize {
    // SAFETY: the caller's; nothing but what `to` points to is written.
    unsafe {
        asm!(
            "subs {len}, {len}, #16",
            "blo 6f",
            // From the end of a row's block to the start of the next; it wraps.
            "sub {column}, {column}, #64",
            "1:",
            "vldmia {from}!, {{s0-s15}}",
            "mov {at}, {x}",
            "mov {w}, {weight}",
            "mov {count}, {inputs}",
            "2:",
            "ldr {value}, [{at}], #4",
            "vmov s24, {value}",
            "lsls {value}, {value}, #1",
            "beq 4f",
            eight_sums!("s0" "s1" "s2" "s3" "s4" "s5" "s6" "s7"),
            eight_sums!("s8" "s9" "s10" "s11" "s12" "s13" "s14" "s15"),
            "3:",
            "add {w}, {w}, {column}",
            "subs {count}, {count}, #1",
            "bne 2b",
            "vstmia {to}!, {{s0-s15}}",
            "add {weight}, {weight}, #64",
            "subs {len}, {len}, #16",
            "bhs 1b",
            "add {column}, {column}, #64",
            "6:",
            "adds {len}, {len}, #8",
            "bmi 9f",
            "sub {column}, {column}, #32",
            "vldmia {from}, {{s0-s7}}",
            "mov {w}, {weight}",
            "7:",
            "ldr {value}, [{x}], #4",
            "vmov s24, {value}",
            "lsls {value}, {value}, #1",
            "beq 5f",
            eight_sums!("s0" "s1" "s2" "s3" "s4" "s5" "s6" "s7"),
            "8:",
            "add {w}, {w}, {column}",
            "subs {inputs}, {inputs}, #1",
            "bne 7b",
            "vstmia {to}, {{s0-s7}}",
            "b 9f",
            "4:",
            "add {w}, {w}, #64",
            "b 3b",
            "5:",
            "add {w}, {w}, #32",
            "b 8b",
            "9:",
            x = inout(reg) x => _,
            inputs = inout(reg) inputs => _,
            weight = inout(reg) weight => _,
            column = inout(reg) columns.wrapping_mul(4) => _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            len = inout(reg) len => _,
            at = out(reg) _,
            w = out(reg) _,
            count = out(reg) _,
            value = out(reg) _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _,
            out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _,
            out("s12") _, out("s13") _, out("s14") _, out("s15") _,
            out("s16") _, out("s17") _, out("s18") _, out("s19") _,
            out("s20") _, out("s21") _, out("s22") _, out("s23") _,
            out("s24") _,
            options(nostack),
        );
    }
    len & !7
}

/// # Safety
/// `len` numbers lie behind `from`, and behind `to` for each pixel as many; more than one pixel has `columns`.
#[inline(always)]
unsafe fn from_to(
    products: &Products<'_, f32>,
    from: *const f32,
    to: *mut f32,
    pixels: usize,
    len: usize,
) -> usize {
    if !products.are_there(pixels, len) {
        return 0;
    }
    if products.sparse {
        if pixels > 1 || products.rows > 1 {
            return 0;
        }
        let [x, weight] = [products.x, products.weight].map(<[f32]>::as_ptr);
        // SAFETY: `are_there`, for every output; so many numbers lie behind the pointers.
        return unsafe { vector(x, products.run, weight, products.columns, from, to, len) };
    }
    let mut at = 0;
    while len - at >= 8 {
        let wide = len - at >= 16;
        let mut x = products.x.as_ptr();
        let mut to = to.wrapping_add(at);
        for _ in 0..pixels {
            // SAFETY: `are_there`, for every output of every pixel; so many numbers from `at` on lie behind the pointers.
            unsafe {
                match wide {
                    true => sixteen(products, x, at, from.add(at), to),
                    false => eight(products, x, at, from.add(at), to),
                }
            };
            x = x.wrapping_add(products.step);
            to = to.wrapping_add(len);
        }
        at += if wide { 16 } else { 8 };
    }
    at
}

/// A function for one width of block: loops over runs, over the inputs of a run, and, unrolled, over outputs.
macro_rules! block {
    (
        $(#[$doc:meta])*
        fn $name:ident($outputs:literal in $sums:literal)
        $([$($sum:literal)*])*
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// There is an input; all inputs from `x` on, and the weights of so many outputs from `at` on, are there; so many numbers
        /// lie behind `from` and `to`.
        #[inline(never)]
        unsafe fn $name(
            products: &Products<'_, f32>,
            x: *const f32,
            at: usize,
            from: *const f32,
            to: *mut f32,
        ) {
            let Products { weight, columns, run, rows, x_step, w_step, .. } = *products;
            // SAFETY: the caller's; nothing but what `to` points to is written.
            unsafe {
                asm!(
                    concat!("vldmia {value}, {{", $sums, "}}"),
                    "2:",
                    "mov {count}, {run}",
                    "3:",
                    "vldmia {x}!, {{s24}}",
                    $(eight_sums!($($sum)*),)*
                    "add {w}, {w}, {column}",
                    "subs {count}, {count}, #1",
                    "bne 3b",
                    "add {x}, {x}, {x_step}",
                    "add {w}, {w}, {w_step}",
                    "subs {rows}, {rows}, #1",
                    "bne 2b",
                    concat!("vstmia {to}, {{", $sums, "}}"),
                    to = in(reg) to,
                    x = inout(reg) x => _,
                    w = inout(reg) weight.as_ptr().wrapping_add(at) => _,
                    // From the end of what is read to the start of the next; these wrap.
                    column = in(reg) columns.wrapping_sub($outputs).wrapping_mul(4),
                    x_step = in(reg) x_step.wrapping_sub(run).wrapping_mul(4),
                    w_step = in(reg) w_step.wrapping_sub(run.wrapping_mul(columns)).wrapping_mul(4),
                    run = in(reg) run,
                    rows = inout(reg) rows => _,
                    count = out(reg) _,
                    // What the sums begin with, and then an input.
                    value = inout(reg) from => _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                    out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                    out("s12") _, out("s13") _, out("s14") _, out("s15") _,
                    out("s16") _, out("s17") _, out("s18") _, out("s19") _,
                    out("s20") _, out("s21") _, out("s22") _, out("s23") _,
                    out("s24") _,
                    options(nostack),
                );
            }
        }
    };
}

block! {
    /// 38 instructions for 16 MACs: 2.4 a MAC, 3.4 cycles.
    fn sixteen(16 in "s0-s15")
    ["s0" "s1" "s2" "s3" "s4" "s5" "s6" "s7"]
    ["s8" "s9" "s10" "s11" "s12" "s13" "s14" "s15"]
}

block! {
    /// 21 instructions for 8 MACs: 2.6 a MAC, 3.6 cycles.
    fn eight(8 in "s0-s7")
    ["s0" "s1" "s2" "s3" "s4" "s5" "s6" "s7"]
}

/// w\[i\] −= x · delta\[i\] for whole eights; gives how many numbers those are.
///
/// s0–s7 δ and then products, s8–s15 weights, s24 x: 21 instructions for 8 weights, 2.6 a weight.
pub(super) fn subtract_products(x: f32, delta: &[f32], weights: &mut [f32]) -> usize {
    let eights = delta.len().min(weights.len()) / 8;
    if eights > 0 {
        // SAFETY: so many numbers are there; nothing but weights is written.
        unsafe {
            asm!(
                "vmov s24, {x}",
                "2:",
                "vldmia {delta}!, {{s0-s7}}",
                "vldmia {weights}, {{s8-s15}}",
                "vmul.f32 s0, s0, s24",
                "vmul.f32 s1, s1, s24",
                "vmul.f32 s2, s2, s24",
                "vmul.f32 s3, s3, s24",
                "vmul.f32 s4, s4, s24",
                "vmul.f32 s5, s5, s24",
                "vmul.f32 s6, s6, s24",
                "vmul.f32 s7, s7, s24",
                "subs {eights}, {eights}, #1",
                "vsub.f32 s8, s8, s0",
                "vsub.f32 s9, s9, s1",
                "vsub.f32 s10, s10, s2",
                "vsub.f32 s11, s11, s3",
                "vsub.f32 s12, s12, s4",
                "vsub.f32 s13, s13, s5",
                "vsub.f32 s14, s14, s6",
                "vsub.f32 s15, s15, s7",
                "vstmia {weights}!, {{s8-s15}}",
                "bne 2b",
                delta = inout(reg) delta.as_ptr() => _,
                weights = inout(reg) weights.as_mut_ptr() => _,
                eights = inout(reg) eights => _,
                // rustc knows no registers of this FPU as operands.
                x = in(reg) x.to_bits(),
                out("s24") _,
                out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                out("s12") _, out("s13") _, out("s14") _, out("s15") _,
                options(nostack),
            );
        }
    }
    8 * eights
}

/// w\[i\] −= x · (0 + delta\[i\]) for whole eights; gives how many numbers those are.
///
/// As [`subtract_products`], with s25 0 and a VADD for each: 29 instructions for 8 weights.
pub(super) fn subtract_sums(x: f32, delta: &[f32], weights: &mut [f32]) -> usize {
    let eights = delta.len().min(weights.len()) / 8;
    if eights > 0 {
        // SAFETY: so many numbers are there; nothing but weights is written.
        unsafe {
            asm!(
                "vmov s24, {x}",
                "vmov s25, {zero}",
                "2:",
                "vldmia {delta}!, {{s0-s7}}",
                "vldmia {weights}, {{s8-s15}}",
                "vadd.f32 s0, s0, s25",
                "vadd.f32 s1, s1, s25",
                "vadd.f32 s2, s2, s25",
                "vadd.f32 s3, s3, s25",
                "vadd.f32 s4, s4, s25",
                "vadd.f32 s5, s5, s25",
                "vadd.f32 s6, s6, s25",
                "vadd.f32 s7, s7, s25",
                "vmul.f32 s0, s0, s24",
                "vmul.f32 s1, s1, s24",
                "vmul.f32 s2, s2, s24",
                "vmul.f32 s3, s3, s24",
                "vmul.f32 s4, s4, s24",
                "vmul.f32 s5, s5, s24",
                "vmul.f32 s6, s6, s24",
                "vmul.f32 s7, s7, s24",
                "subs {eights}, {eights}, #1",
                "vsub.f32 s8, s8, s0",
                "vsub.f32 s9, s9, s1",
                "vsub.f32 s10, s10, s2",
                "vsub.f32 s11, s11, s3",
                "vsub.f32 s12, s12, s4",
                "vsub.f32 s13, s13, s5",
                "vsub.f32 s14, s14, s6",
                "vsub.f32 s15, s15, s7",
                "vstmia {weights}!, {{s8-s15}}",
                "bne 2b",
                delta = inout(reg) delta.as_ptr() => _,
                weights = inout(reg) weights.as_mut_ptr() => _,
                eights = inout(reg) eights => _,
                // rustc knows no registers of this FPU as operands.
                x = in(reg) x.to_bits(),
                zero = in(reg) 0,
                out("s24") _, out("s25") _,
                out("s0") _, out("s1") _, out("s2") _, out("s3") _,
                out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                out("s12") _, out("s13") _, out("s14") _, out("s15") _,
                options(nostack),
            );
        }
    }
    8 * eights
}
