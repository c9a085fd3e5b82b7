//! Output channels of gathered pixels.

use core::arch::naked_asm;

use super::runs::{Runs, fill_patch};

/// Channels that are computed at a time, at most.
pub(crate) const CHANNELS: usize = 8;

/// The sums of a pixel's channels.
pub(crate) type Sums = [[i32; 4]; CHANNELS / 4];

/// What the functions in assembly read, in their order.
#[derive(Clone, Copy)]
#[repr(C)]
struct Frame {
    x: *const i8,
    pixels: usize,
    /// The outputs, or the sums.
    y: *mut i8,
    len: usize,
    /// From one pixel's inputs to those of the next one.
    x_step: usize,
    /// From where a pixel's outputs have ended to those of the next one.
    y_step: usize,
    blocks: usize,
    table: *const i32,
    zero: i32,
    /// From where a row has ended, in whole sixteens, to the row of the next block.
    next: usize,
    /// The lowest and the highest output.
    limits: [i32; 2],
    rows: [*const i8; 4],
    /// The multipliers and the shifts of the channels.
    factors: [*const i32; 2],
    /// Where runs go, and the patch.
    to: *mut i8,
    runs: Runs,
    patch: *const i8,
}

/// Where a pixel's inputs lie.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// In one piece.
    One,
    /// In runs.
    Gathered,
}

/// The output channels of a chunk, a pixel at a time.
#[repr(C, align(4))]
pub(crate) struct Chunk<'w, const N: usize> {
    patch: [i8; N],
    /// Where the channels' sums begin.
    starts: Sums,
    frame: Frame,
    /// Channels that have factors.
    channels: u16,
    /// Whether a shift is above 0.
    grows: bool,
    /// The outputs of all.
    y: *mut i8,
    room: usize,
    borrowed: core::marker::PhantomData<(&'w [i32], &'w [i8], &'w mut [i8])>,
}

impl<'w, const N: usize> Chunk<'w, N> {
    /// Of channels with these multipliers, shifts and limits (zero point, lowest and highest output), and the outputs of
    /// all.
    #[inline(always)]
    pub(crate) fn new(
        [multipliers, shifts]: [&'w [i32]; 2],
        [zero, low, high]: [i32; 3],
        y: &'w mut [i8],
    ) -> Self {
        let none = core::ptr::null();
        Self {
            patch: [0; N],
            starts: [[0; 4]; CHANNELS / 4],
            frame: Frame {
                x: none,
                pixels: 0,
                y: core::ptr::null_mut(),
                len: 0,
                x_step: 0,
                y_step: 0,
                blocks: 0,
                table: core::ptr::null(),
                zero,
                next: 0,
                limits: [low, high],
                rows: [none; 4],
                factors: [multipliers, shifts].map(|factors| factors.as_ptr()),
                to: core::ptr::null_mut(),
                runs: Runs::default(),
                patch: none,
            },
            // No more than fit a chunk.
            channels: multipliers.len().min(shifts.len()).min(CHANNELS) as u16,
            grows: shifts.iter().any(|shift| *shift > 0),
            y: y.as_mut_ptr(),
            room: y.len(),
            borrowed: core::marker::PhantomData,
        }
    }

    /// Where the sum of each channel begins.
    #[inline(always)]
    pub(crate) fn starts(&mut self) -> &mut [i32] {
        self.starts.as_flattened_mut()
    }

    /// `len` inputs meet `blocks` fours of rows from `weight` on, `pitch` apart; none where those are not there.
    #[inline(never)] // Stack.
    pub(crate) fn meet(&mut self, weight: &'w [i8], pitch: usize, len: usize, blocks: usize) {
        let last = (4 * blocks).wrapping_sub(1);
        let fits =
            len > 0 && (1..=CHANNELS / 4).contains(&blocks) && last * pitch + len <= weight.len();
        let frame = &mut self.frame;
        frame.len = len;
        frame.next = (4 * pitch).wrapping_sub(len.next_multiple_of(16));
        frame.blocks = if fits { blocks } else { 0 };
        frame.rows = [0, 1, 2, 3].map(|row| weight.as_ptr().wrapping_add(row * pitch));
    }

    /// The patch; what lies past its numbers does not matter.
    #[inline(always)]
    pub(crate) fn patch(&mut self) -> &mut [i8; N] {
        &mut self.patch
    }

    /// Fills the patch.
    #[inline(always)]
    pub(crate) fn fill(&mut self, value: i8) {
        // SAFETY: N numbers are in it.
        unsafe { fill_patch(self.patch.as_mut_ptr(), value.into(), N) };
    }

    /// The outputs of `pixels` pixels, whose inputs lie `x_step` apart and their outputs `y_step`, from `at` on.
    #[inline(always)]
    pub(crate) fn finish_row(
        &mut self,
        (x, x_step): (&[i8], usize),
        (pixels, at, y_step): (usize, usize, usize),
    ) {
        let last = pixels.wrapping_sub(1);
        if pixels > 0 && x_step * last + self.frame.len <= x.len() {
            self.frame.x = x.as_ptr();
            self.frame.x_step = x_step;
            self.run(Run::One, (pixels, at, y_step));
        }
    }

    /// The same of inputs that are gathered in runs, which go into the patch from `to` on.
    #[inline(always)]
    pub(crate) fn finish_gathered(
        &mut self,
        (x, x_step): (&[i8], usize),
        (runs, to): (Runs, usize),
        (pixels, at, y_step): (usize, usize, usize),
    ) {
        let last = pixels.wrapping_sub(1);
        let Some(patch) = self.patch.get_mut(to..) else {
            return;
        };
        let x_room = x.len().checked_sub(x_step * last);
        if pixels > 0 && self.frame.len <= N && runs.fit(x_room.unwrap_or(0), patch.len()) {
            self.frame.x = x.as_ptr();
            self.frame.x_step = x_step;
            self.frame.runs = runs;
            self.frame.to = patch.as_mut_ptr();
            self.frame.patch = self.patch.as_ptr();
            self.run(Run::Gathered, (pixels, at, y_step));
        }
    }

    /// The frame's pixels, whose outputs begin at `at` and lie `y_step` apart.
    #[inline(always)]
    fn run(&mut self, run: Run, (pixels, at, y_step): (usize, usize, usize)) {
        let own = 4 * self.frame.blocks;
        let last = pixels.wrapping_sub(1);
        if own == 0
            || pixels > 1 && y_step < own
            || at + y_step * last + own > self.room
            || own > usize::from(self.channels)
        {
            return;
        }
        let frame = &mut self.frame;
        frame.pixels = pixels;
        frame.y = self.y.wrapping_add(at);
        frame.y_step = y_step.wrapping_sub(own);
        frame.table = self.starts.as_ptr().cast();
        let finished = match (run, self.grows) {
            (Run::One, false) => pixels_less,
            (Run::One, true) => pixels_any,
            (Run::Gathered, false) => gathered_less,
            (Run::Gathered, true) => gathered_any,
        };
        // SAFETY: `meet` has checked the rows, the caller the inputs; outputs and factors are checked above.
        unsafe { finished(&self.frame) };
    }

    /// Its outputs from `at` on, for other kernels.
    #[inline]
    pub(crate) fn outputs(&mut self, at: usize) -> &mut [i8] {
        let at = at.min(self.room);
        // SAFETY: these are numbers of the slice that it was made with, borrowed as long as it is.
        unsafe { core::slice::from_raw_parts_mut(self.y.add(at), self.room - at) }
    }

    /// sums = Σ patch · row, of each channel: from the table's start on, or going on.
    #[inline(never)] // Stack.
    pub(crate) fn sum(&mut self, sums: &mut Sums, begins: bool) {
        if self.frame.blocks == 0 || self.frame.len > N {
            return;
        }
        self.frame.x = self.patch.as_ptr();
        self.frame.pixels = 1;
        self.frame.y = sums.as_mut_ptr().cast();
        self.frame.table = self.starts.as_ptr().cast();
        let sum = if begins { sums_begun } else { sums_continued };
        // SAFETY: as in `run`; sums of no more blocks are there.
        unsafe { sum(&self.frame) };
    }
}

/// 16 inputs of a pixel with four rows: 10 instructions for 64 MACs; and 32 for a block's four outputs, 36 where a shift
/// is above 0 (12 to keep sums instead); and 14 for a pixel, which with runs takes 7 more, and those of
/// `runs::copy_runs`.
///
/// r0, r2, r4, r6 sums (accumulators of MVE are even registers), r1, r3, r5, r9 rows, r8 inputs, r7 outputs or sums, r10
/// table, r11 inputs of a row, r12 blocks left, lr inputs left; q0 inputs, q1 weights; then q0 sums,
/// q1 multipliers, q2 shifts, q3 scratch. Stack: the frame's address, inputs,
/// pixels left, what the blocks read.
macro_rules! pixels {
    ($name:ident, $begins:literal, $finishes:literal, $grows:literal, $gathers:literal) => {
        /// # Safety
        /// The frame's pointers are those of what it says, with one block and one pixel at least.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(frame: *const Frame) {
            macro_rules! row {
                ($row:literal, $sum:literal) => {
                    concat!(
                        "vldrb.u8 q1, [",
                        $row,
                        "], #16\n",
                        "vmladava.s8 ",
                        $sum,
                        ", q0, q1\n",
                    )
                };
            }
            naked_asm!(
                cpu!(),
                "push {{r4-r11, lr}}",
                "ldm r0, {{r1, r2, r7, r11}}",
                // For what the blocks read: the patch, or the inputs themselves.
                "sub sp, sp, #4",
                "push {{r0-r2}}",
                "1:",
                "ldr r12, [sp]",
                "ldr r8, [sp, #4]",
                concat!(
                    ".if ",
                    $gathers,
                    "\n",
                    "add r0, r12, #72\n",
                    "ldm r0, {{r0, r2, r3, r4, r5}}\n",
                    "cmp r3, #16\n",
                    "bhi 5f\n",
                    "vctp.8 r3\n",
                    "4:\n",
                    "vpstt\n",
                    "vldrbt.u8 q0, [r8]\n",
                    "vstrbt.8 q0, [r0]\n",
                    "add r8, r8, r4\n",
                    "add r0, r0, r5\n",
                    "subs r2, r2, #1\n",
                    "bne 4b\n",
                    "b 7f\n",
                    "5:\n",
                    "mov r6, r0\n",
                    "mov r9, r8\n",
                    "dlstp.8 lr, r3\n",
                    "6:\n",
                    "vldrb.u8 q0, [r9], #16\n",
                    "vstrb.8 q0, [r6], #16\n",
                    "letp lr, 6b\n",
                    "add r8, r8, r4\n",
                    "add r0, r0, r5\n",
                    "subs r2, r2, #1\n",
                    "bne 5b\n",
                    "7:\n",
                    "ldr r8, [r12, #92]\n",
                    ".endif\n",
                ),
                "str r8, [sp, #12]",
                "add r0, r12, #48",
                "ldm r0, {{r1, r3, r5, r9}}",
                "ldr r10, [r12, #28]",
                "ldr r12, [r12, #24]",
                "2:",
                "ldr r8, [sp, #12]",
                concat!(
                    ".if ",
                    $begins,
                    "\n",
                    "ldm r10!, {{r0, r2, r4, r6}}\n",
                    ".else\n",
                    "ldm r7, {{r0, r2, r4, r6}}\n",
                    ".endif\n",
                ),
                "dlstp.8 lr, r11",
                "3:",
                "vldrb.u8 q0, [r8], #16",
                row!("r1", "r0"),
                row!("r3", "r2"),
                row!("r5", "r4"),
                row!("r9", "r6"),
                "letp lr, 3b",
                "ldr r8, [sp]",
                concat!(
                    ".if ",
                    $finishes,
                    "\n",
                    "vmov q0[2], q0[0], r0, r4\n",
                    "vmov q0[3], q0[1], r2, r6\n",
                    "ldrd r0, r2, [r8, #64]\n",
                    "ldr r4, [r8, #28]\n",
                    "sub r4, r10, r4\n",
                    "add r0, r0, r4\n",
                    "add r2, r2, r4\n",
                    "vldrw.u32 q1, [r0, #-16]\n",
                    "vldrw.u32 q2, [r2, #-16]\n",
                    ".if ",
                    $grows,
                    "\n",
                    "vpt.s32 gt, q2, zr\n",
                    "vshlt.s32 q0, q0, q2\n",
                    "vmov.i32 q3, #0\n",
                    "vmin.s32 q2, q2, q3\n",
                    ".endif\n",
                    "vqrdmulh.s32 q0, q0, q1\n",
                    "vand q3, q0, q2\n",
                    "vshr.s32 q3, q3, #31\n",
                    "vqadd.s32 q0, q0, q3\n",
                    "vrshl.s32 q0, q0, q2\n",
                    "ldrd r0, r2, [r8, #32]\n",
                    "vadd.i32 q0, q0, r0\n",
                    "ldrd r0, r4, [r8, #40]\n",
                    "vdup.32 q1, r0\n",
                    "vdup.32 q2, r4\n",
                    "vmax.s32 q0, q0, q1\n",
                    "vmin.s32 q0, q0, q2\n",
                    "vstrb.32 q0, [r7], #4\n",
                    ".else\n",
                    "stm r7!, {{r0, r2, r4, r6}}\n",
                    "ldr r2, [r8, #36]\n",
                    ".endif\n",
                ),
                "add r1, r1, r2",
                "add r3, r3, r2",
                "add r5, r5, r2",
                "add r9, r9, r2",
                "subs r12, r12, #1",
                "bne 2b",
                "ldrd r0, r2, [r8, #16]",
                "ldrd r1, r3, [sp, #4]",
                "add r7, r7, r2",
                "add r1, r1, r0",
                "subs r3, r3, #1",
                "strd r1, r3, [sp, #4]",
                "bne 1b",
                "add sp, sp, #16",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}
pixels!(pixels_less, "1", "1", "0", "0");
pixels!(pixels_any, "1", "1", "1", "0");
pixels!(sums_begun, "1", "0", "0", "0");
pixels!(sums_continued, "0", "0", "0", "0");
pixels!(gathered_less, "1", "1", "0", "1");
pixels!(gathered_any, "1", "1", "1", "1");
