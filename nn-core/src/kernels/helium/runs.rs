//! Runs of inputs that are gathered into a patch.

use core::arch::naked_asm;

/// Runs of numbers, each a step further than the one before.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Runs {
    /// How many.
    pub(crate) count: usize,
    /// Numbers of each.
    pub(crate) len: usize,
    /// From one to the next where they are read.
    pub(crate) x_step: usize,
    /// … and in the patch.
    pub(crate) step: usize,
}

impl Runs {
    /// Whether there are some, within so many numbers.
    #[inline(always)]
    pub(super) fn fit(&self, x: usize, patch: usize) -> bool {
        let last = self.count.wrapping_sub(1);
        let fits = |step: usize, len: usize| step * last + self.len <= len;
        self.count > 0 && fits(self.x_step, x) && fits(self.step, patch)
    }

    /// Copies them from `x` on to `patch` on; none where they are not all there.
    #[inline(always)]
    pub(crate) fn copy(&self, x: &[i8], patch: &mut [i8]) {
        if !self.fit(x.len(), patch.len()) {
            return;
        }
        let steps = [self.x_step, self.step];
        // SAFETY: the last run ends in both slices (checked above), and no run is left out: there is one.
        unsafe { copy_runs(patch.as_mut_ptr(), x.as_ptr(), self.count, self.len, &steps) };
    }
}

/// 3 instructions for 16 numbers and 7 for a run; 7 for a run of up to 16.
///
/// r0 to, r1 from, r2 runs left, r3 numbers of a run, r4, r5 the steps, r6, r7 within a run, lr numbers left.
///
/// # Safety
/// `count` runs, one at least, lie at the steps behind both pointers.
#[unsafe(naked)]
unsafe extern "C" fn copy_runs(
    to: *mut i8,
    from: *const i8,
    count: usize,
    len: usize,
    steps: *const [usize; 2],
) {
    naked_asm!(
        cpu!(),
        "push {{r4-r7, lr}}",
        "ldr r4, [sp, #20]",
        "ldm r4, {{r4, r5}}",
        "cmp r3, #16",
        "bhi 2f",
        "vctp.8 r3",
        "1:",
        "vpstt",
        "vldrbt.u8 q0, [r1]",
        "vstrbt.8 q0, [r0]",
        "add r1, r1, r4",
        "add r0, r0, r5",
        "subs r2, r2, #1",
        "bne 1b",
        "pop {{r4-r7, pc}}",
        "2:",
        "mov r6, r0",
        "mov r7, r1",
        "dlstp.8 lr, r3",
        "3:",
        "vldrb.u8 q0, [r7], #16",
        "vstrb.8 q0, [r6], #16",
        "letp lr, 3b",
        "add r1, r1, r4",
        "add r0, r0, r5",
        "subs r2, r2, #1",
        "bne 2b",
        "pop {{r4-r7, pc}}",
    )
}

/// Fills a patch: 2 instructions for 16 numbers.
///
/// # Safety
/// `len` numbers lie behind `to`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn fill_patch(to: *mut i8, value: i32, len: usize) {
    naked_asm!(
        cpu!(),
        "push {{r4, lr}}",
        "vdup.8 q0, r1",
        "wlstp.8 lr, r2, 3f",
        "2:",
        "vstrb.8 q0, [r0], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r4, pc}}",
    )
}
