//! From the sums of a block to its outputs: where the loops over taps end.

use core::arch::naked_asm;

/// Adds a channel's bias to its sum, of which there is 2^-`shift` in a register. r10 the doubled bias.
macro_rules! biased {
    ($sum:literal, $shift:literal) => {
        concat!("add ", $sum, ", r10, ", $sum, ", ", $shift, "\n")
    };
}

/// Requantizes a sum: 4 instructions, a channel's share of the table in r11, r12 and lr; r10 is lost.
macro_rules! requantized {
    ($sum:literal) => {
        concat!(
            "smmlar r10, ",
            $sum,
            ", r11, r12\n",
            "add ",
            $sum,
            ", r10, ",
            $sum,
            ", asr #31\n",
            "asr ",
            $sum,
            ", ",
            $sum,
            ", lr\n",
            "ssat ",
            $sum,
            ", #8, ",
            $sum,
            "\n",
        )
    };
}

/// The outputs of a channel at two pixels, of whose sums there is 2^-`shift` in two registers: 11 instructions.
/// r0 table.
macro_rules! two_outputs {
    ($first:literal, $second:literal, $shift:literal) => {
        concat!(
            "ldm r0!, {{r10-r12, lr}}\n",
            biased!($second, $shift),
            biased!($first, $shift),
            requantized!($second),
            requantized!($first),
        )
    };
}

/// The output of a channel for the larger of its sums at two pixels: 9 instructions. r0 table.
macro_rules! larger_output {
    ($first:literal, $second:literal, $shift:literal) => {
        concat!(
            "ldm r0!, {{r10-r12, lr}}\n",
            "cmp ",
            $first,
            ", ",
            $second,
            "\n",
            "it lt\n",
            "movlt ",
            $first,
            ", ",
            $second,
            "\n",
            biased!($first, $shift),
            requantized!($first),
        )
    };
}

/// Stores a block's outputs from the sums of even channels and, 2^-`shift` of them, of odd ones: of both pixels 59
/// instructions, of the larger 46, above what is there 49. Keeps r1.
///
/// The second pixel is stored before the first: where they share their place, it is the first's.
macro_rules! store {
    ($shift:literal) => {
        concat!(
            "ldr r10, [sp, #44]\n",
            "ldr r0, [sp, #24]\n",
            "cmp r10, #0\n",
            "bne 1f\n",
            two_outputs!("r2", "r3", "lsl #1"),
            two_outputs!("r4", "r5", $shift),
            two_outputs!("r6", "r7", "lsl #1"),
            two_outputs!("r8", "r9", $shift),
            "ldrd r10, r11, [sp, #28]\n",
            "bfi r3, r5, #8, #8\n",
            "bfi r3, r7, #16, #8\n",
            "bfi r3, r9, #24, #8\n",
            "str r3, [r10, r11]\n",
            "2:\n",
            "bfi r2, r4, #8, #8\n",
            "bfi r2, r6, #16, #8\n",
            "bfi r2, r8, #24, #8\n",
            "3:\n",
            "str r2, [r10], #4\n",
            "strd r0, r10, [sp, #24]\n",
            "pop {{pc}}\n",
            "1:\n",
            larger_output!("r2", "r3", "lsl #1"),
            larger_output!("r4", "r5", $shift),
            larger_output!("r6", "r7", "lsl #1"),
            larger_output!("r8", "r9", $shift),
            "ldr r11, [sp, #44]\n",
            "ldr r10, [sp, #28]\n",
            "cmp r11, #1\n",
            "beq 2b\n",
            "bfi r2, r4, #8, #8\n",
            "bfi r2, r6, #16, #8\n",
            "bfi r2, r8, #24, #8\n",
            "ldr r3, [r10]\n",
            "ssub8 r4, r2, r3\n",
            "sel r2, r2, r3\n",
            "b 3b\n",
        )
    };
}

/// Stores a block's outputs, of two channels in a halfword.
///
/// # Safety
/// Called with the sums in r2–r9 and the frame on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn finish() {
    naked_asm!(
        cpu!(),
        "push {{lr}}",
        "sub r4, r4, r2",
        "sub r5, r5, r3",
        "sub r8, r8, r6",
        "sub r9, r9, r7",
        store!("asr #7"),
    )
}

/// Stores a block's outputs, each channel's sums by themselves.
///
/// # Safety
/// Called with the sums in r2–r9 and the frame on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn finish_each() {
    naked_asm!(cpu!(), "push {{lr}}", store!("lsl #1"))
}

/// The output of a channel, of whose sum there is 2^-`shift` in a register: 6 instructions. r0 table.
macro_rules! output {
    ($sum:literal, $shift:literal) => {
        concat!(
            "ldm r0!, {{r10-r12, lr}}\n",
            biased!($sum, $shift),
            requantized!($sum),
        )
    };
}

/// Stores a block's outputs of one vector: 34 instructions. Keeps r1.
///
/// # Safety
/// Called with the sums in r2–r5 and the frame on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn finish_single() {
    naked_asm!(
        cpu!(),
        "push {{lr}}",
        "sub r3, r3, r2",
        "sub r5, r5, r4",
        "ldrd r0, r6, [sp, #24]",
        output!("r2", "lsl #1"),
        output!("r3", "asr #7"),
        output!("r4", "lsl #1"),
        output!("r5", "asr #7"),
        "bfi r2, r3, #8, #8",
        "bfi r2, r4, #16, #8",
        "bfi r2, r5, #24, #8",
        "str r2, [r6], #4",
        "strd r0, r6, [sp, #24]",
        "pop {{pc}}",
    )
}
