//! From the sums of a block to its outputs: where the loops over taps end.

use core::arch::naked_asm;

/// Tells the channels' sums apart, as `split` of `quads` does: 14 instructions. `g`, `r` and `h` are the three sums, of
/// which `g` becomes 2⁸ times channel 0, `h` channel 1, `r` 2⁸ times channel 2, and `d` channel 3. r10 is lost.
macro_rules! split {
    ($g:literal, $r:literal, $h:literal, $d:literal) => {
        concat!(
            "sub ",
            $d,
            ", ",
            $g,
            ", ",
            $h,
            ", lsl #8\n",
            "sub r10, ",
            $h,
            ", ",
            $g,
            ", lsl #8\n",
            "sub ",
            $r,
            ", ",
            $r,
            ", ",
            $d,
            ", lsl #24\n",
            "sub ",
            $r,
            ", ",
            $r,
            ", r10, lsl #16\n",
            "add ",
            $d,
            ", ",
            $d,
            ", ",
            $d,
            ", lsl #16\n",
            "add r10, r10, r10, lsl #16\n",
            "sub r10, r10, ",
            $r,
            ", lsl #16\n",
            "add ",
            $g,
            ", r10, ",
            $d,
            ", lsl #8\n",
            "sbfx ",
            $h,
            ", r10, #0, #24\n",
            "sub ",
            $g,
            ", ",
            $g,
            ", ",
            $h,
            "\n",
            "sub ",
            $d,
            ", ",
            $d,
            ", ",
            $g,
            ", asr #8\n",
            "sub ",
            $d,
            ", ",
            $r,
            ", ",
            $d,
            ", lsr #8\n",
            "sbfx ",
            $d,
            ", ",
            $d,
            ", #0, #24\n",
            "sub ",
            $r,
            ", ",
            $r,
            ", ",
            $d,
            "\n",
        )
    };
}
pub(super) use split;

/// The output of a sum, of which there is 2^-`shift`: 7 instructions. A channel's share of the table and two registers
/// that are lost follow.
macro_rules! scaled {
    ($sum:literal, $shift:literal, $bias:literal, $m:literal, $offset:literal, $s:literal, $low:literal, $high:literal) => {
        concat!(
            "add ",
            $sum,
            ", ",
            $bias,
            ", ",
            $sum,
            ", ",
            $shift,
            "\n",
            "smull ",
            $low,
            ", ",
            $high,
            ", ",
            $sum,
            ", ",
            $m,
            "\n",
            // The carry is the bit that rounds.
            "lsls ",
            $low,
            ", ",
            $low,
            ", #1\n",
            "adc ",
            $high,
            ", ",
            $high,
            ", ",
            $offset,
            "\n",
            "add ",
            $sum,
            ", ",
            $high,
            ", ",
            $sum,
            ", asr #31\n",
            "asr ",
            $sum,
            ", ",
            $sum,
            ", ",
            $s,
            "\n",
            "ssat ",
            $sum,
            ", #8, ",
            $sum,
            "\n",
        )
    };
}
pub(super) use scaled;

/// Adds a channel's bias to its sum, of which there is 2^-`shift` in a register. r10 the doubled bias.
macro_rules! biased {
    ($sum:literal, $shift:literal) => {
        concat!("add ", $sum, ", r10, ", $sum, ", ", $shift, "\n")
    };
}

/// Requantizes a sum: 6 instructions, a channel's share of the table in r11, r12 and lr; r1 and r10 are lost.
macro_rules! requantized {
    ($sum:literal) => {
        concat!(
            "smull r10, r1, ",
            $sum,
            ", r11\n",
            // The carry is the bit that rounds.
            "lsls r10, r10, #1\n",
            "adc r1, r1, r12\n",
            "add ",
            $sum,
            ", r1, ",
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

/// The outputs of a channel at two pixels, of whose sums there is 2^-`shift` in two registers: 15 instructions.
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

/// The output of a channel for the larger of its sums at two pixels: 11 instructions. r0 table.
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

/// The larger of an output and of what is stored `at` bytes from r10. r3 is lost.
macro_rules! or_there {
    ($output:literal, $at:literal) => {
        concat!(
            "ldrsb r3, [r10, #",
            $at,
            "]\n",
            "cmp ",
            $output,
            ", r3\n",
            "it lt\n",
            "movlt ",
            $output,
            ", r3\n",
        )
    };
}

/// Stores a block's outputs from the channels' sums, r2, r3 of channel 0 at both pixels, r6, r7 of 1, r4, r5 of 2,
/// r8, r9 of 3, 2^-`even` and 2^-`odd` of them: of both pixels 74 instructions, of the larger 56, above what is there 71.
///
/// The second pixel is stored before the first: where they share their place, it is the first's.
macro_rules! store {
    ($even:literal, $odd:literal) => {
        concat!(
            "ldr r10, [sp, #48]\n",
            "ldr r0, [sp, #28]\n",
            "cmp r10, #0\n",
            "bne 1f\n",
            two_outputs!("r2", "r3", $even),
            two_outputs!("r6", "r7", $odd),
            two_outputs!("r4", "r5", $even),
            two_outputs!("r8", "r9", $odd),
            "ldrd r10, r11, [sp, #32]\n",
            "bfi r3, r7, #8, #8\n",
            "bfi r3, r5, #16, #8\n",
            "bfi r3, r9, #24, #8\n",
            "str r3, [r10, r11]\n",
            "2:\n",
            "bfi r2, r6, #8, #8\n",
            "bfi r2, r4, #16, #8\n",
            "bfi r2, r8, #24, #8\n",
            "str r2, [r10], #4\n",
            "strd r0, r10, [sp, #28]\n",
            "pop {{r1, pc}}\n",
            "1:\n",
            larger_output!("r2", "r3", $even),
            larger_output!("r6", "r7", $odd),
            larger_output!("r4", "r5", $even),
            larger_output!("r8", "r9", $odd),
            "ldr r11, [sp, #48]\n",
            "ldr r10, [sp, #32]\n",
            "cmp r11, #1\n",
            "beq 2b\n",
            or_there!("r2", "0"),
            or_there!("r6", "1"),
            or_there!("r4", "2"),
            or_there!("r8", "3"),
            "b 2b\n",
        )
    };
}

/// Stores a block's outputs, from three sums for four channels.
///
/// # Safety
/// Called with the sums in r2–r7 and the frame on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn finish() {
    naked_asm!(
        "push {{r1, lr}}",
        split!("r2", "r4", "r6", "r8"),
        split!("r3", "r5", "r7", "r9"),
        store!("asr #7", "lsl #1"),
    )
}

/// The output of a channel, of whose sum there is 2^-`shift` in a register: 8 instructions. r0 table.
macro_rules! output {
    ($sum:literal, $shift:literal) => {
        concat!(
            "ldm r0!, {{r10-r12, lr}}\n",
            biased!($sum, $shift),
            requantized!($sum),
        )
    };
}

/// Stores a block's outputs of one vector: 54 instructions.
///
/// # Safety
/// Called with the sums in r2, r4, r6 and the frame on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn finish_single() {
    naked_asm!(
        "push {{r1, lr}}",
        split!("r2", "r4", "r6", "r8"),
        "ldrd r0, r9, [sp, #28]",
        output!("r2", "asr #7"),
        output!("r6", "lsl #1"),
        output!("r4", "asr #7"),
        output!("r8", "lsl #1"),
        "bfi r2, r6, #8, #8",
        "bfi r2, r4, #16, #8",
        "bfi r2, r8, #24, #8",
        "str r2, [r9], #4",
        "strd r0, r9, [sp, #28]",
        "pop {{r1, pc}}",
    )
}
