//! Number by number: tables, sums and products of two tensors, the largest of windows.

use core::arch::naked_asm;

use crate::fixed_point::Rescale;
use crate::kernels::{LEFT_SHIFT, Windows};

/// values\[i\] = table\[values\[i\] + 128\].
#[inline]
pub(crate) fn look_up(values: &mut [i8], table: &[i8; 256]) {
    // SAFETY: as many numbers lie behind the pointer; any byte is a place in the table.
    unsafe { look_up_each(values.as_mut_ptr(), table.as_ptr(), values.len()) };
}

/// 5 instructions for 16 numbers. r0 numbers, r1 table, lr how many are left; q0 places, q1 entries, q2 128.
///
/// # Safety
/// `len` numbers lie behind `values`, 256 behind `table`.
#[unsafe(naked)]
unsafe extern "C" fn look_up_each(values: *mut i8, table: *const i8, len: usize) {
    naked_asm!(
        cpu!(),
        "push {{r4, lr}}",
        "vmov.i8 q2, #128",
        "wlstp.8 lr, r2, 3f",
        "2:",
        "vldrb.u8 q0, [r0]",
        "veor q0, q0, q2",
        "vldrb.u8 q1, [r1, q0]",
        "vstrb.8 q1, [r0], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r4, pc}}",
    )
}

/// A factor as the functions below read it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Factor {
    multiplier: i32,
    /// Bits to the left, before the multiplication.
    left: i32,
    /// Bits to the left after it, not above 0.
    right: i32,
}

impl Factor {
    fn new(Rescale { multiplier, shift }: Rescale) -> Self {
        let shift = i32::from(shift);
        Self {
            multiplier,
            left: shift.max(0),
            right: shift.min(0),
        }
    }
}

/// y = clamp(zero + sum(x0(x0 − zero_0) + x1(x1 − zero_1))), each number shifted to the left by 20 bits before; or y =
/// clamp(zero + x0((x0 − zero_0) · (x1 − zero_1))). No factor of a sum is above 1.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Pairs {
    starts: [i32; 2],
    zero: i32,
    x1_step: usize,
    factors: [Factor; 3],
    limits: [i32; 2],
}

impl Pairs {
    /// `zeros` are those of x0, x1 and y.
    #[inline]
    pub(crate) fn new(factors: [Rescale; 3], zeros: [i8; 3], range: [i8; 2]) -> Self {
        let [zero_0, zero_1, zero] = zeros.map(i32::from);
        Self {
            starts: [-zero_0, -zero_1],
            zero,
            x1_step: 4,
            factors: factors.map(Factor::new),
            limits: range.map(i32::from),
        }
    }

    /// Sums: y holds x0; x1 is repeated along it.
    pub(crate) fn add(self, y: &mut [i8], x1: &[i8]) {
        let starts = self.starts.map(|start| start << LEFT_SHIFT);
        Self { starts, ..self }.each(y, x1, add_each);
    }

    /// Products: y holds x0; x1 is repeated along it.
    pub(crate) fn multiply(self, y: &mut [i8], x1: &[i8]) {
        self.each(y, x1, multiply_each);
    }

    #[inline(always)]
    fn each(
        mut self,
        y: &mut [i8],
        x1: &[i8],
        function: unsafe extern "C" fn(*mut i8, *const i8, usize, *const Self),
    ) {
        if let [one] = *x1 {
            self.x1_step = 0;
            // SAFETY: four numbers that meet all others, of which there are as many.
            unsafe { function(y.as_mut_ptr(), [one; 4].as_ptr(), y.len(), &self) };
            return;
        }
        for y in y.chunks_mut(x1.len().max(1)) {
            let len = y.len().min(x1.len());
            // SAFETY: as many numbers lie behind both.
            unsafe { function(y.as_mut_ptr(), x1.as_ptr(), len, &self) };
        }
    }
}

/// Rescales a vector; scratch is q2.
macro_rules! reduced {
    ($x:literal, $multiplier:literal, $right:literal) => {
        concat!(
            "vqrdmulh.s32 ",
            $x,
            ", ",
            $x,
            ", ",
            $multiplier,
            "\n",
            "vand q2, ",
            $x,
            ", ",
            $right,
            "\n",
            "vshr.s32 q2, q2, #31\n",
            "vqadd.s32 ",
            $x,
            ", ",
            $x,
            ", q2\n",
            "vrshl.s32 ",
            $x,
            ", ",
            $x,
            ", ",
            $right,
            "\n",
        )
    };
}

/// Four sums: 28 instructions.
///
/// r0 y, r1 x1, r3, r4 less the zero points, shifted, r5 zero point, r6 from x1 to x1, r7–r9 multipliers, r12 numbers, lr
/// how many are left; q0, q1 numbers, q2 scratch, q3–q5 shifts, q6, q7 the limits.
///
/// # Safety
/// `len` numbers lie behind `y`, and at each step of four behind `x1`.
#[unsafe(naked)]
unsafe extern "C" fn add_each(y: *mut i8, x1: *const i8, len: usize, pairs: *const Pairs) {
    naked_asm!(
        cpu!(),
        "push {{r4-r9, lr}}",
        "vpush {{d8-d15}}",
        "mov r12, r3",
        "ldm r12, {{r3, r4, r5, r6, r7}}",
        "ldr r8, [r12, #24]",
        "vdup.32 q3, r8",
        "ldr r8, [r12, #36]",
        "vdup.32 q4, r8",
        "ldr r8, [r12, #48]",
        "vdup.32 q5, r8",
        "ldrd r8, r9, [r12, #52]",
        "vdup.32 q6, r8",
        "vdup.32 q7, r9",
        "ldr r8, [r12, #28]",
        "ldr r9, [r12, #40]",
        "wlstp.32 lr, r2, 3f",
        "2:",
        "vldrb.s32 q0, [r0]",
        "vldrb.s32 q1, [r1]",
        "add r1, r1, r6",
        "vshl.i32 q0, q0, #{shift}",
        "vadd.i32 q0, q0, r3",
        reduced!("q0", "r7", "q3"),
        "vshl.i32 q1, q1, #{shift}",
        "vadd.i32 q1, q1, r4",
        reduced!("q1", "r8", "q4"),
        "vadd.i32 q0, q0, q1",
        reduced!("q0", "r9", "q5"),
        "vadd.i32 q0, q0, r5",
        "vmax.s32 q0, q0, q6",
        "vmin.s32 q0, q0, q7",
        "vstrb.32 q0, [r0], #4",
        "letp lr, 2b",
        "3:",
        "vpop {{d8-d15}}",
        "pop {{r4-r9, pc}}",
        shift = const LEFT_SHIFT,
    )
}

/// Four products: 17 instructions.
///
/// As [`add_each`], with one factor, of which q3 are the bits to the left before it, q4 those after it.
///
/// # Safety
/// As [`add_each`].
#[unsafe(naked)]
unsafe extern "C" fn multiply_each(y: *mut i8, x1: *const i8, len: usize, pairs: *const Pairs) {
    naked_asm!(
        cpu!(),
        "push {{r4-r9, lr}}",
        "vpush {{d8-d15}}",
        "mov r12, r3",
        "ldm r12, {{r3, r4, r5, r6, r7}}",
        "ldrd r8, r9, [r12, #20]",
        "vdup.32 q3, r8",
        "vdup.32 q4, r9",
        "ldrd r8, r9, [r12, #52]",
        "vdup.32 q6, r8",
        "vdup.32 q7, r9",
        "wlstp.32 lr, r2, 3f",
        "2:",
        "vldrb.s32 q0, [r0]",
        "vldrb.s32 q1, [r1]",
        "add r1, r1, r6",
        "vadd.i32 q0, q0, r3",
        "vadd.i32 q1, q1, r4",
        "vmul.i32 q0, q0, q1",
        "vshl.s32 q0, q0, q3",
        reduced!("q0", "r7", "q4"),
        "vadd.i32 q0, q0, r5",
        "vmax.s32 q0, q0, q6",
        "vmin.s32 q0, q0, q7",
        "vstrb.32 q0, [r0], #4",
        "letp lr, 2b",
        "3:",
        "vpop {{d8-d15}}",
        "pop {{r4-r9, pc}}",
    )
}

/// What [`largest_whole`] and [`largest_part`] read, in their order.
#[repr(C)]
struct Windowed {
    x: *const i8,
    y: *mut i8,
    pixels: usize,
    rows: usize,
    columns: usize,
    channels: usize,
    pitch: usize,
    step: usize,
    lanes: usize,
}

/// The largest of each channel of `pixels` windows.
///
/// # Safety
/// Windows have a cell at least, and channels; all cells lie in the windows' numbers, as many pixels behind y.
#[inline]
pub(crate) unsafe fn largest(windows: &Windows<'_>, y: *mut i8, pixels: usize) {
    let channels = windows.channels;
    let lanes = channels.min(16);
    let mut at = 0;
    while at < channels && pixels > 0 {
        // The last sixteen overlap those before where they must.
        let first = at.min(channels - lanes);
        let windowed = Windowed {
            x: windows.x.as_ptr().wrapping_add(first),
            y: y.wrapping_add(first),
            pixels,
            rows: windows.rows,
            columns: windows.columns,
            channels,
            pitch: windows.pitch,
            step: windows.step,
            lanes,
        };
        // SAFETY: `lanes` channels of each cell are there, and of each pixel.
        unsafe {
            if lanes == 16 {
                largest_whole(&windowed);
            } else {
                largest_part(&windowed);
            }
        };
        at = first + lanes;
    }
}

/// A cell: 4 instructions for sixteen channels, 5 where there are less; 5 for a row of cells and 8 for a pixel, 9 where
/// there are less.
///
/// r0 x, r1 y, r2 pixels left, r3 rows, r4 columns, r5 channels, r6 numbers from row to row, r7 from window to window, r8
/// row, r9 cell, r10 rows left, lr columns left; q0 the largest, q1 a cell.
macro_rules! largest {
    ($name:ident, $part:literal) => {
        /// # Safety
        /// What it tells of is there, one window with one cell at least.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(windowed: *const Windowed) {
            naked_asm!(
                cpu!(),
                "push {{r4-r10, lr}}",
                concat!(
                    ".if ",
                    $part,
                    "\n",
                    "ldr r1, [r0, #32]\n",
                    "vctp.8 r1\n",
                    ".endif\n",
                ),
                "ldm r0, {{r0-r7}}",
                "1:",
                "mov r8, r0",
                "mov r10, r3",
                "vmov.i8 q0, #128",
                "2:",
                "mov r9, r8",
                "dls lr, r4",
                "3:",
                concat!(
                    ".if ",
                    $part,
                    "\n",
                    "vpst\n",
                    "vldrbt.u8 q1, [r9]\n",
                    ".else\n",
                    "vldrb.u8 q1, [r9]\n",
                    ".endif\n",
                ),
                "add r9, r9, r5",
                "vmax.s8 q0, q0, q1",
                "le lr, 3b",
                "add r8, r8, r6",
                "subs r10, r10, #1",
                "bne 2b",
                concat!(
                    ".if ",
                    $part,
                    "\n",
                    "vpst\n",
                    "vstrbt.8 q0, [r1]\n",
                    ".else\n",
                    "vstrb.8 q0, [r1]\n",
                    ".endif\n",
                ),
                "add r0, r0, r7",
                "add r1, r1, r5",
                "subs r2, r2, #1",
                "bne 1b",
                "pop {{r4-r10, pc}}",
            )
        }
    };
}
largest!(largest_whole, "0");
largest!(largest_part, "1");
