//! From int32 sums to int8 outputs, four at a time.
//!
//! The reference's ⌊(x·m + 2³⁰) / 2³¹⌋ is VQRDMULH, since m ≥ 0 (the one product that it saturates has two factors of
//! −2³¹). To nearest with halves away from zero, v / 2ᵉ is VRSHL, halves up, of v less one where v < 0 and e > 0: the
//! sign of v AND −e; that VQADD saturates as the reference does.

use core::arch::naked_asm;

/// What rescales the sums of some channels, in the order in which assembly reads it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Rescaling<'r> {
    multipliers: *const i32,
    shifts: *const i32,
    /// The zero point, the lowest and the highest output.
    limits: [i32; 3],
    len: usize,
    /// Whether a shift may be above 0.
    grows: bool,
    table: core::marker::PhantomData<&'r [i32]>,
}

impl<'r> Rescaling<'r> {
    /// Of as many channels as both have.
    #[inline]
    pub(crate) fn new(multipliers: &'r [i32], shifts: &'r [i32], limits: [i32; 3]) -> Self {
        Self {
            multipliers: multipliers.as_ptr(),
            shifts: shifts.as_ptr(),
            limits,
            len: multipliers.len().min(shifts.len()),
            grows: shifts.iter().any(|shift| *shift > 0),
            table: core::marker::PhantomData,
        }
    }

    /// y\[i\] of channel i, as many as all have.
    #[inline]
    pub(crate) fn finish(&self, sums: &[i32], y: &mut [i8]) {
        let len = self.len.min(sums.len()).min(y.len());
        let finish = if self.grows { finish_any } else { finish_less };
        // SAFETY: `len` numbers lie behind each pointer, those of the table too.
        unsafe {
            finish(
                sums.as_ptr(),
                y.as_mut_ptr(),
                len,
                (&raw const *self).cast(),
            );
        };
    }
}

/// What the functions in assembly read of a table.
type Numbers = [u32; 5];

/// 13 instructions for four numbers, 16 where a shift may be above 0.
///
/// r0 sums, r1 y, r3 multipliers, r4 shifts, r5 zero point, lr how many are left; q0 sums, q1 shifts, q2 multipliers, q3
/// scratch, q4, q5 the limits.
macro_rules! one {
    ($name:ident, $any:literal) => {
        /// # Safety
        /// `len` numbers lie behind each pointer, and behind those of the table.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(
            sums: *const i32,
            y: *mut i8,
            len: usize,
            table: *const Numbers,
        ) {
            naked_asm!(
                cpu!(),
                "push {{r4-r6, lr}}",
                "vpush {{d8-d11}}",
                "ldm r3, {{r3-r6, r12}}",
                "vdup.32 q4, r6",
                "vdup.32 q5, r12",
                "wlstp.32 lr, r2, 3f",
                "2:",
                "vldrw.u32 q0, [r0], #16",
                "vldrw.u32 q1, [r4], #16",
                "vldrw.u32 q2, [r3], #16",
                concat!(
                    ".if ",
                    $any,
                    "\n",
                    "vpt.s32 gt, q1, zr\n",
                    "vshlt.s32 q0, q0, q1\n",
                    ".endif\n",
                    "vqrdmulh.s32 q0, q0, q2\n",
                    ".if ",
                    $any,
                    "\n",
                    "vptttt.s32 le, q1, zr\n",
                    "vandt q3, q0, q1\n",
                    "vshrt.s32 q3, q3, #31\n",
                    "vqaddt.s32 q0, q0, q3\n",
                    "vrshlt.s32 q0, q0, q1\n",
                    ".else\n",
                    "vand q3, q0, q1\n",
                    "vshr.s32 q3, q3, #31\n",
                    "vqadd.s32 q0, q0, q3\n",
                    "vrshl.s32 q0, q0, q1\n",
                    ".endif\n",
                ),
                "vadd.i32 q0, q0, r5",
                "vmax.s32 q0, q0, q4",
                "vmin.s32 q0, q0, q5",
                "vstrb.32 q0, [r1], #4",
                "letp lr, 2b",
                "3:",
                "vpop {{d8-d11}}",
                "pop {{r4-r6, pc}}",
            )
        }
    };
}
one!(finish_any, "1");
one!(finish_less, "0");
