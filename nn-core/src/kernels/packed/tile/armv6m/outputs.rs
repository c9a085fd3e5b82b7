//! From four sums of a channel to its outputs: where the loops over taps end that take four pixels at a time.

use core::arch::naked_asm;

/// What the upper half of a product has too much: see [`four_outputs`].
pub(super) const ABOVE: i32 = 1 << 14;
/// 2¹⁵ that rounds, and 2³⁰ that keeps a sum from falling below 0.
pub(super) const ROUNDING: i32 = (1 << 30) + (1 << 15);

/// The output of a pixel, as `channel::requantize` makes it: 25 instructions, 28 where it is held to int8.
///
/// With halves of x₂ = 2¹⁶·h + l and of m = 2¹⁶·u + v, v with a sign, ⌊(x₂·m + 2³¹) / 2³²⌋ = h·u + ⌊t / 2¹⁶⌋,
/// t = h·v + l·u + ⌊l·v / 2¹⁶⌋ + 2¹⁵. t lies from −2³⁰ to below 3·2³⁰: with 2³⁰ more it has 32 bits without a sign.
macro_rules! output {
    () => {
        concat!(
            "pop {{r3}}\n",
            "add r3, r8\n",
            "uxth r4, r3\n",
            "asrs r5, r3, #16\n",
            "asrs r3, r3, #31\n",
            "mov r6, r9\n",
            "muls r6, r4, r6\n",
            "asrs r6, r6, #16\n",
            "mov r7, r9\n",
            "muls r7, r5, r7\n",
            "muls r4, r1, r4\n",
            "muls r5, r1, r5\n",
            "adds r6, r6, r7\n",
            "adds r6, r6, r4\n",
            "add r6, r11\n",
            "lsrs r6, r6, #16\n",
            "adds r5, r5, r6\n",
            "add r5, r10\n",
            "adds r5, r5, r3\n",
            "asrs r5, r2\n",
            "sxtb r4, r5\n",
            "cmp r4, r5\n",
            "beq 1f\n",
            "asrs r5, r5, #31\n",
            "movs r4, #127\n",
            "eors r4, r5\n",
            "1:\n",
            "strb r4, [r0]\n",
            "add r0, r12\n",
        )
    };
}

/// The outputs of four pixels, whose doubled sums lie on the stack, from where they are taken: 101 instructions, and 3 for
/// each that is held to int8.
///
/// r0 where they go, r12 bytes from one to the next: r0 is past the last then. Of the channel: r1 u, r9 v, the halves of
/// its multiplier; r2 shift, r8 bias, r10 offset − [`ABOVE`], r11 [`ROUNDING`]. r3 to r7 are lost.
///
/// # Safety
/// Not to be called but by loops in assembly, with a place for each output.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn four_outputs() {
    naked_asm!(output!(), output!(), output!(), output!(), "bx lr")
}
