//! The loops of depthwise convolutions, in assembly.

use core::arch::naked_asm;

use super::Frame;

/// What the pixels' sums begin with, then those sums.
///
/// `$weight` reads a tap's weights into q5, `$taps` sums a row of taps.
macro_rules! pixels {
    ($(#[$doc:meta])* $name:ident, [$($begin:literal),*], [$($weight:literal),+], [$($taps:expr),+]) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The frame's pointers are those of what it says, with one pixel and one line at least.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(frame: *mut Frame) {
            naked_asm!(
                cpu!(),
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                $($begin,)*
                "add r10, r0, #112",
                "ldr r2, [r0, #56]",
                "ldrd r3, r4, [r0, #64]",
                // What is missing.
                "ldr r1, [r0, #108]",
                "vdup.8 q7, r1",
                "vldrw.u32 q0, [r10, #16]",
                "vldrw.u32 q1, [r10, #32]",
                "vldrw.u32 q2, [r10, #48]",
                "vldrw.u32 q3, [r10, #64]",
                "ldr r5, [r0, #72]",
                "ldr r6, [r0, #92]",
                "ldr r8, [r0, #104]",
                "1:",
                "cmp r5, #0",
                "it eq",
                "ldreq r6, [r0, #100]",
                "wls lr, r6, 3f",
                "2:",
                $($weight,)+
                "vmullb.s8 q6, q7, q5",
                "vmullt.s8 q4, q7, q5",
                add!(),
                "le lr, 2b",
                "3:",
                "add r2, r2, r8",
                "ldr r6, [r0, #96]",
                "subs r5, r5, #1",
                "bhs 1b",
                "vstrw.32 q0, [r10, #144]",
                "vstrw.32 q1, [r10, #160]",
                "vstrw.32 q2, [r10, #176]",
                "vstrw.32 q3, [r10, #192]",
                "ldrd r8, r7, [r0]",
                "ldrd r6, r9, [r0, #76]",
                "4:",
                "ldr r1, [r0, #12]",
                "str r1, [r0, #16]",
                "5:",
                "mov r1, r8",
                "ldr r2, [r0, #60]",
                "ldr r5, [r0, #72]",
                "vldrw.u32 q0, [r10, #144]",
                "vldrw.u32 q1, [r10, #160]",
                "vldrw.u32 q2, [r10, #176]",
                "vldrw.u32 q3, [r10, #192]",
                "6:",
                $($taps,)+
                "add r1, r1, r6",
                "add r2, r2, r9",
                "subs r5, r5, #1",
                "bne 6b",
                "ldr r1, [r0, #8]",
                "blx r1",
                "ldrd r1, r2, [r0, #24]",
                "add r8, r8, r1",
                "add r7, r7, r2",
                "ldr r1, [r0, #16]",
                "subs r1, r1, #1",
                "str r1, [r0, #16]",
                "bne 5b",
                "ldrd r1, r2, [r0, #32]",
                "add r8, r8, r1",
                "add r7, r7, r2",
                "ldr r1, [r0, #20]",
                "subs r1, r1, #1",
                "str r1, [r0, #20]",
                "bne 4b",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

/// Adds products in q6 and q4 to the sums: 8 instructions for 16.
macro_rules! add {
    () => {
        concat!(
            "vmovlb.s16 q5, q6\n",
            "vadd.i32 q0, q0, q5\n",
            "vmovlt.s16 q6, q6\n",
            "vadd.i32 q1, q1, q6\n",
            "vmovlb.s16 q5, q4\n",
            "vadd.i32 q2, q2, q5\n",
            "vmovlt.s16 q4, q4\n",
            "vadd.i32 q3, q3, q4\n",
        )
    };
}

/// Two taps, whose products fit 16 bits together: x at r1, then at r1 + `$step`; after them r1 goes `$after` further.
macro_rules! pair {
    ($step:literal, $after:literal) => {
        concat!(
            "vldrb.u8 q4, [r1]\n",
            "add r1, r1, ",
            $step,
            "\n",
            "vldrb.u8 q5, [r2]\n",
            "add r2, r2, r4\n",
            "vmullb.s8 q6, q4, q5\n",
            "vmullt.s8 q4, q4, q5\n",
            "vldrb.u8 q5, [r1]\n",
            "vldrb.u8 q7, [r2]\n",
            "add r2, r2, r4\n",
            "vmullt.s8 q5, q5, q7\n",
            "vadd.i16 q4, q4, q5\n",
            "vldrb.u8 q5, [r1]\n",
            "add r1, r1, ",
            $after,
            "\n",
            "vmullb.s8 q5, q5, q7\n",
            "vadd.i16 q6, q6, q5\n",
            add!(),
        )
    };
}

/// A tap.
macro_rules! single {
    () => {
        concat!(
            "vldrb.u8 q4, [r1]\n",
            "add r1, r1, r3\n",
            "vldrb.u8 q5, [r2]\n",
            "add r2, r2, r4\n",
            "vmullb.s8 q6, q4, q5\n",
            "vmullt.s8 q4, q4, q5\n",
            add!(),
        )
    };
}

pixels!(
    /// Sixteen channels whose inputs lie side by side: 24 instructions for two taps, 32 MACs, 15 for one that is left over; 6
    /// for a row of taps, 16 and those of `finish` for a pixel.
    ///
    /// r0 frame, r1 inputs of taps, r2 weights, r3 from tap to tap, r4 from weights to weights, r5 rows of taps left, r6 and
    /// r9 to the next row's, r7 outputs, r8 inputs of the pixel, r10 table, r11 pairs of taps, r12 those left over, lr taps
    /// left; q0–q3 sums, q4–q7 scratch.
    adjacent,
    ["ldrd r11, r12, [r0, #84]"],
    ["vldrb.u8 q5, [r2]", "add r2, r2, r4"],
    [
        "wls lr, r11, 9f",
        "8:",
        pair!("r3", "r3"),
        "le lr, 8b",
        "9:",
        "wls lr, r12, 9f",
        "8:",
        single!(),
        "le lr, 8b",
        "9:"
    ]
);

pixels!(
    /// Lanes whose inputs lie anywhere: 16 instructions for a tap.
    ///
    /// As [`adjacent`], with r11 the places of lanes, r12 taps of a row, q7 the places in the inputs; those in the weights
    /// are read each time.
    gathered,
    [
        "ldrd r11, r12, [r0, #84]",
        "add r12, r12, r11, lsl #1",
        "add r11, r0, #320"
    ],
    [
        "vldrw.u32 q6, [r11, #16]",
        "vldrb.u8 q5, [r2, q6]",
        "add r2, r2, r4"
    ],
    [
        "vldrw.u32 q7, [r11]",
        "wls lr, r12, 9f",
        "8:",
        "vldrb.u8 q4, [r1, q7]",
        "add r1, r1, r3",
        "vldrw.u32 q6, [r11, #16]",
        "vldrb.u8 q5, [r2, q6]",
        "add r2, r2, r4",
        "vmullb.s8 q6, q4, q5",
        "vmullt.s8 q4, q4, q5",
        add!(),
        "le lr, 8b",
        "9:"
    ]
);

/// Three rows of three taps that are all there: 106 instructions for 144 MACs; 11 and those of `finish` for a pixel.
///
/// r0 frame, r1 inputs of taps, r2 weights, r3 from tap to tap, r4 from weights to weights, r5, r6 from pixel to pixel, r7
/// outputs, r8 inputs of the pixel, r9 `finish`, r10 table, r11 pixels left, r12 from the last tap of a row to the next row;
/// q0–q3 sums, q4–q7 scratch.
///
/// # Safety
/// The frame's pointers are those of what it says, with one pixel and one line at least.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn three(frame: *mut Frame) {
    naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "ldrd r3, r4, [r0, #64]",
        "ldr r12, [r0, #76]",
        "add r12, r12, r3",
        "ldrd r5, r6, [r0, #24]",
        "ldr r9, [r0, #8]",
        "add r10, r0, #112",
        "ldrd r8, r7, [r0]",
        "1:",
        "ldr r11, [r0, #12]",
        "2:",
        "mov r1, r8",
        "ldr r2, [r0, #56]",
        "vldrw.u32 q0, [r10, #16]",
        "vldrw.u32 q1, [r10, #32]",
        "vldrw.u32 q2, [r10, #48]",
        "vldrw.u32 q3, [r10, #64]",
        pair!("r3", "r3"),
        pair!("r12", "r3"),
        pair!("r3", "r12"),
        pair!("r3", "r3"),
        single!(),
        "blx r9",
        "add r8, r8, r5",
        "add r7, r7, r6",
        "subs r11, r11, #1",
        "bne 2b",
        "ldrd r1, r2, [r0, #32]",
        "add r8, r8, r1",
        "add r7, r7, r2",
        "ldr r1, [r0, #20]",
        "subs r1, r1, #1",
        "str r1, [r0, #20]",
        "bne 1b",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

/// From the sums to outputs at r7: 46 instructions for sixteen, 66 where a shift may not be below 0; 38 where there are
/// sixteen, of all bytes. (`finish.rs` says why that is the reference's.)
///
/// r0 frame, r10 table, r1, r2 scratch; q0–q3 sums, q4–q6 scratch.
macro_rules! finish {
    ($name:ident, $any:literal, $whole:literal) => {
        /// # Safety
        /// Called by the functions above.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name() {
            macro_rules! four {
                ($sums:literal, $at:literal) => {
                    concat!(
                        "vldrb.s32 q5, [r2, #",
                        $at,
                        "]\n",
                        "vldrw.u32 q4, [r10, #80 + 4 * ",
                        $at,
                        "]\n",
                        ".if ",
                        $any,
                        "\n",
                        "vmov.i32 q6, #0\n",
                        "vmax.s32 q6, q6, q5\n",
                        "vshl.s32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", q6\n",
                        "vsub.i32 q5, q5, q6\n",
                        ".endif\n",
                        "vqrdmulh.s32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", q4\n",
                        ".if ",
                        $any,
                        "\n",
                        "vand q4, ",
                        $sums,
                        ", q5\n",
                        "vshr.s32 q4, q4, #31\n",
                        ".else\n",
                        "vshr.s32 q4, ",
                        $sums,
                        ", #31\n",
                        ".endif\n",
                        "vqadd.s32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", q4\n",
                        "vrshl.s32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", q5\n",
                        "vadd.i32 ",
                        $sums,
                        ", ",
                        $sums,
                        ", r1\n",
                    )
                };
            }
            naked_asm!(
                cpu!(),
                "mov r2, r10",
                "ldr r1, [r0, #44]",
                four!("q0", "0"),
                four!("q1", "4"),
                four!("q2", "8"),
                four!("q3", "12"),
                "vqmovnb.s32 q0, q0",
                "vqmovnt.s32 q0, q1",
                "vqmovnb.s32 q2, q2",
                "vqmovnt.s32 q2, q3",
                "vqmovnb.s16 q0, q0",
                "vqmovnt.s16 q0, q2",
                concat!(
                    ".if ",
                    $whole,
                    "\n",
                    "vstrb.8 q0, [r7]\n",
                    ".else\n",
                    "ldrd r1, r2, [r0, #48]\n",
                    "vdup.8 q4, r1\n",
                    "vdup.8 q5, r2\n",
                    "ldr r1, [r0, #40]\n",
                    "vmax.s8 q0, q0, q4\n",
                    "vmin.s8 q0, q0, q5\n",
                    "vctp.8 r1\n",
                    "vpst\n",
                    "vstrbt.8 q0, [r7]\n",
                    ".endif\n",
                ),
                "bx lr",
            )
        }
    };
}
finish!(finish_any, "1", "0");
finish!(finish_less, "0", "0");
finish!(finish_whole, "0", "1");

/// The sums as they are, to the start of the table at r10.
///
/// # Safety
/// Called by the functions above.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn keep() {
    naked_asm!(
        cpu!(),
        "vstrw.32 q0, [r10, #16]",
        "vstrw.32 q1, [r10, #32]",
        "vstrw.32 q2, [r10, #48]",
        "vstrw.32 q3, [r10, #64]",
        "bx lr",
    )
}
