//! Depthwise convolutions: a lane is an output channel, of which a vector has sixteen.
//!
//! VMULLB and VMULLT give the products of even and of odd channels in 16 bits; VMOVLB and VMOVLT widen them, so that of
//! the four vectors of sums q0 has the channels 0, 4, 8, 12, q1 the second of each four after these, q2 the first and q3
//! the third. Saturating narrowing puts them back in order.

use core::arch::naked_asm;

/// Output channels of a vector.
pub(crate) const LANES: usize = 16;
/// The first channel of each vector of sums.
const ORDER: [usize; 4] = [0, 2, 1, 3];

/// What the functions in assembly read of the channels, in the order of the sums.
#[derive(Clone, Copy)]
#[repr(C)]
struct Table {
    shifts: [[i8; 4]; 4],
    starts: [[i32; 4]; 4],
    multipliers: [[i32; 4]; 4],
    /// Starts with what is missing.
    begun: [[i32; 4]; 4],
    /// Where the lanes' inputs lie, then their weights.
    offsets: [[u8; LANES]; 2],
}

/// What the functions in assembly read, in their order.
#[derive(Clone, Copy)]
#[repr(C)]
struct Frame {
    /// The first input that there is, and the first output.
    x: *const i8,
    y: *mut i8,
    finish: unsafe extern "C" fn(),
    /// Of a line, what is left of them, and lines.
    pixels: usize,
    left: usize,
    lines: usize,
    /// From one pixel to the next.
    x_pixel: usize,
    y_pixel: usize,
    /// From the end of a line to the next one.
    x_line: usize,
    y_line: usize,
    lanes: usize,
    zero: i32,
    /// The lowest and the highest output.
    limits: [i32; 2],
    /// The first of all weights, and of those that meet an input.
    weights: [*const i8; 2],
    /// From one tap to the next.
    x_step: usize,
    weight_step: usize,
    /// Rows of taps that are there.
    rows: usize,
    /// From the end of a row of taps to the next one.
    x_row: usize,
    weight_row: usize,
    /// Taps of such a row: in pairs, and those left over.
    pairs: usize,
    singles: usize,
    /// Taps that are not there: before the first row that is, from one of these to the next, after the last.
    missing: [usize; 3],
    /// From the first weight of a row that is there to its end.
    skip: usize,
    /// The inputs' zero point.
    x_zero: i32,
    table: Table,
}

/// A layer's numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'w> {
    pub(crate) weight: &'w [i8],
    /// The inputs' zero point.
    pub(crate) zero: i8,
    /// The outputs' zero point, the lowest and the highest.
    pub(crate) limits: [i32; 3],
    /// Rows and columns of taps.
    pub(crate) kernel: [usize; 2],
    /// Numbers from a tap to the next one of its row …
    pub(crate) x_step: usize,
    /// … from a row of taps to the next, and from a pixel to the next.
    pub(crate) x_pitch: usize,
    pub(crate) x_pixel: usize,
    /// From line to line, of inputs and of outputs.
    pub(crate) lines: [usize; 2],
    pub(crate) outputs: usize,
    /// Output channels of an input channel.
    pub(crate) multiplier: usize,
}

/// Some output channels of a layer, up to [`LANES`], and a block of pixels.
pub(crate) struct Channels<'w> {
    frame: Frame,
    kernel: [usize; 2],
    x_pitch: usize,
    x_pixel: usize,
    multiplier: usize,
    /// From the first channel on.
    weight: &'w [i8],
    /// The sum of two products fits 16 bits.
    has_pairs: bool,
    len: usize,
    /// Pixels of a vector, and how many numbers its inputs span.
    pixels: usize,
    span: usize,
    /// From line to line.
    lines: [usize; 2],
}

impl<'w> Channels<'w> {
    /// None yet: [`Self::select`] and [`Self::scale`] have to follow.
    #[inline(always)]
    pub(crate) fn of(layer: Layer<'w>) -> Self {
        let [zero, low, high] = layer.limits;
        Self {
            frame: Frame {
                x: core::ptr::null(),
                y: core::ptr::null_mut(),
                finish: keep,
                pixels: 0,
                left: 0,
                lines: 0,
                x_pixel: 0,
                y_pixel: 0,
                x_line: 0,
                y_line: 0,
                lanes: 0,
                zero,
                limits: [low, high],
                weights: [core::ptr::null(); 2],
                x_step: layer.x_step,
                weight_step: layer.outputs,
                rows: 0,
                x_row: 0,
                weight_row: 0,
                pairs: 0,
                singles: 0,
                missing: [0; 3],
                skip: 0,
                x_zero: layer.zero.into(),
                table: Table {
                    shifts: [[0; 4]; 4],
                    starts: [[0; 4]; 4],
                    multipliers: [[0; 4]; 4],
                    begun: [[0; 4]; 4],
                    offsets: [[0; LANES]; 2],
                },
            },
            kernel: layer.kernel,
            x_pitch: layer.x_pitch,
            x_pixel: layer.x_pixel,
            multiplier: layer.multiplier.max(1),
            weight: layer.weight,
            has_pairs: super::lowest(layer.weight) > i32::from(i8::MIN),
            len: 1,
            pixels: 1,
            span: LANES,
            lines: layer.lines,
        }
    }

    /// Whether lanes are gathered: the inputs of sixteen channels do not lie side by side.
    #[inline(always)]
    fn gathers(&self) -> bool {
        self.multiplier != 1 || self.frame.weight_step < LANES
    }

    /// Chooses channels, all or sixteen, whose weights begin at `weight`.
    #[inline(always)]
    pub(crate) fn select(&mut self, weight: &'w [i8]) {
        self.prepare(weight);
        // Σ zero · w.
        self.call(&[], [1, 1], &mut [0; LANES]);
    }

    #[inline(never)] // Stack.
    fn prepare(&mut self, weight: &'w [i8]) {
        self.weight = weight;
        self.len = self.frame.weight_step.clamp(1, LANES);
        self.pixels = 1;
        let table = &mut self.frame.table;
        let [_, weights] = &mut table.offsets;
        for (offset, channel) in weights.iter_mut().zip((0..self.len).cycle()) {
            // Below 16.
            *offset = channel as u8;
        }
        table.starts = [[0; 4]; 4];
        self.frame.finish = keep;
        self.take([0; 2], [0; 2]);
    }

    /// `factors` are the bias, the multiplier and the shift of a channel.
    #[inline(never)] // Stack.
    pub(crate) fn scale(&mut self, factors: impl Fn(usize) -> [i32; 3]) {
        let mut any = false;
        let table = &mut self.frame.table;
        let starts = table.starts.as_flattened_mut().iter_mut();
        let multipliers = table.multipliers.as_flattened_mut();
        let scales = multipliers.iter_mut().zip(table.shifts.as_flattened_mut());
        for (place, (start, (multiplier, shift))) in starts.zip(scales).enumerate() {
            let (vector, four) = (place / 4, place % 4);
            let lane = 4 * four + ORDER.get(vector).copied().unwrap_or(0);
            let [bias, factor, bits] = factors(lane % self.len.max(1));
            *start = bias.wrapping_sub(*start);
            *multiplier = factor;
            // −31 to 30.
            *shift = bits as i8;
            any |= bits >= 0;
        }
        let is_whole = self.len == LANES && self.frame.limits == [-128, 127];
        self.frame.finish = match (any, is_whole) {
            (true, _) => finish_any,
            (false, false) => finish_less,
            (false, true) => finish_whole,
        };
    }

    /// A vector is to be of as many of `pixels` pixels as fit; `first` is the channels' first one.
    #[inline(never)] // Stack.
    pub(crate) fn spread(&mut self, first: usize, pixels: usize) {
        if !self.gathers() {
            return;
        }
        let (len, multiplier) = (self.len.max(1), self.multiplier.max(1));
        let (phase, x_pixel) = (first % multiplier, self.x_pixel);
        let place = |lane: usize| lane / len * x_pixel + (phase + lane % len) / multiplier;
        let mut fits = (LANES / len).clamp(1, pixels.max(1));
        // Places are bytes.
        if place(fits * len - 1) > usize::from(u8::MAX) {
            fits = 1;
        }
        self.pixels = fits;
        self.span = place(fits * len - 1) + 1;
        let [inputs, _] = &mut self.frame.table.offsets;
        for (lane, offset) in inputs.iter_mut().enumerate() {
            // Lanes that are not kept repeat the first; eight bits.
            *offset = if lane < fits * len {
                place(lane) as u8
            } else {
                0
            };
        }
    }

    /// The taps that are there: of rows and of columns the number of the first, and how many they are.
    #[inline(never)] // Stack.
    pub(crate) fn take(&mut self, [row, rows]: [usize; 2], [column, columns]: [usize; 2]) {
        let frame = &mut self.frame;
        let [kernel_rows, kernel_columns] = self.kernel;
        let after = kernel_columns.checked_sub(column + columns);
        let below = kernel_rows.checked_sub(row + rows);
        let step = frame.weight_step;
        match (after, below) {
            (Some(after), Some(below)) if rows > 0 && columns > 0 => {
                let [first, last] = [
                    row * kernel_columns + column,
                    after + below * kernel_columns,
                ];
                frame.rows = rows;
                frame.x_row = self.x_pitch.wrapping_sub(columns * frame.x_step);
                frame.weight_row = (kernel_columns - columns) * step;
                let weights = self.weight.as_ptr();
                frame.weights = [weights, weights.wrapping_add(first * step)];
                frame.pairs = if self.has_pairs { columns / 2 } else { 0 };
                frame.singles = columns - 2 * frame.pairs;
                frame.missing = [first, kernel_columns - columns, last];
                frame.skip = columns * step;
            }
            _ => {
                // A row of none.
                frame.rows = 1;
                [frame.x_row, frame.weight_row, frame.skip] = [0; 3];
                frame.weights = [self.weight.as_ptr(); 2];
                [frame.pairs, frame.singles] = [0; 2];
                frame.missing = [kernel_rows * kernel_columns, 0, 0];
            }
        }
    }

    /// The channels of so many pixels of so many lines, whose inputs begin at the first of x that is there.
    #[inline(always)]
    pub(crate) fn run(&mut self, x: &[i8], [pixels, lines]: [usize; 2], y: &mut [i8]) {
        self.call(x, [pixels / self.pixels.max(1), lines], y);
        if !pixels.is_multiple_of(self.pixels) {
            // The last ones once more.
            let first = pixels.saturating_sub(self.pixels);
            let x = x.get(first * self.x_pixel..).unwrap_or(&[]);
            let y = y.get_mut(first * self.frame.weight_step..);
            self.call(x, [1, lines], y.unwrap_or(&mut []));
        }
    }

    /// So many vectors of so many lines; none where not all of their numbers are there.
    #[inline(never)] // Stack.
    fn call(&mut self, x: &[i8], [vectors, lines]: [usize; 2], y: &mut [i8]) {
        [self.frame.pixels, self.frame.lines] = [vectors, lines];
        self.frame.x = x.as_ptr();
        self.frame.y = y.as_mut_ptr();
        if !self.place([x.len(), y.len()]) {
            return;
        }
        let frame = &mut self.frame;
        let is_three =
            self.kernel == [3, 3] && [frame.rows, frame.pairs, frame.singles] == [3, 1, 1];
        let pixels = match (self.gathers(), is_three) {
            (true, _) => gathered,
            (false, true) => three,
            (false, false) => adjacent,
        };
        // SAFETY: all numbers that the frame tells of are there (checked above), those of lanes that are not kept, too: they
        // lie in the places of others.
        unsafe { pixels(&raw mut self.frame) };
    }

    /// Steps from pixel to pixel and from line to line; whether there is a pixel, and all numbers are there, of so many
    /// inputs and outputs.
    #[inline(never)] // Stack.
    fn place(&mut self, [x_len, y_len]: [usize; 2]) -> bool {
        let frame = &mut self.frame;
        let last = |count: usize, step: usize| count.saturating_sub(1) * step;
        let [rows, columns] = self.kernel;
        let [x_line, y_line] = self.lines;
        frame.x_pixel = self.pixels * self.x_pixel;
        frame.y_pixel = self.pixels * frame.weight_step;
        frame.x_line = x_line.wrapping_sub(frame.pixels * frame.x_pixel);
        frame.y_line = y_line.wrapping_sub(frame.pixels * frame.y_pixel);
        frame.lanes = self.pixels * self.len;
        let taps = 2 * frame.pairs + frame.singles;
        let x_end = last(frame.lines, x_line)
            + last(frame.pixels, frame.x_pixel)
            + last(frame.rows, self.x_pitch)
            + last(taps, frame.x_step)
            + self.span;
        let y_end = last(frame.lines, y_line) + last(frame.pixels, frame.y_pixel) + frame.lanes;
        let weight_end = last(rows * columns, frame.weight_step) + self.len;
        let is_none = frame.pixels == 0 || frame.lines == 0 || rows * columns == 0;
        !is_none
            && (taps == 0 || x_end <= x_len)
            && y_end <= y_len
            && weight_end <= self.weight.len()
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Frame, weights) == 56);
    assert!(offset_of!(Frame, missing) == 92);
    assert!(offset_of!(Frame, table) == 112);
    assert!(offset_of!(Table, offsets) == 208);
};

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
        unsafe extern "C" fn $name(frame: *mut Frame) {
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
    /// Sixteen channels whose inputs lie side by side: 24 instructions for two taps, 32 MACs, 16 for one that is left over; 6
    /// for a row of taps, 18 and those of `finish` for a pixel.
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
    /// Lanes whose inputs lie anywhere: 17 instructions for a tap.
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

/// Three rows of three taps that are all there: 106 instructions for 144 MACs; 12 and those of `finish` for a pixel.
///
/// r0 frame, r1 inputs of taps, r2 weights, r3 from tap to tap, r4 from weights to weights, r5, r6 from pixel to pixel, r7
/// outputs, r8 inputs of the pixel, r9 `finish`, r10 table, r11 pixels left, r12 from the last tap of a row to the next row;
/// q0–q3 sums, q4–q7 scratch.
///
/// # Safety
/// The frame's pointers are those of what it says, with one pixel and one line at least.
#[unsafe(naked)]
unsafe extern "C" fn three(frame: *mut Frame) {
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

/// From the sums to outputs at r7: 44 instructions for sixteen, 64 where a shift may not be below 0; 36 where there are
/// sixteen, of all bytes. (`finish.rs` says why that is the reference's.)
///
/// r0 frame, r10 table, r1, r2 scratch; q0–q3 sums, q4–q6 scratch.
macro_rules! finish {
    ($name:ident, $any:literal, $whole:literal) => {
        /// # Safety
        /// Called by the functions above.
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
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
unsafe extern "C" fn keep() {
    naked_asm!(
        cpu!(),
        "vstrw.32 q0, [r10, #16]",
        "vstrw.32 q1, [r10, #32]",
        "vstrw.32 q2, [r10, #48]",
        "vstrw.32 q3, [r10, #64]",
        "bx lr",
    )
}
